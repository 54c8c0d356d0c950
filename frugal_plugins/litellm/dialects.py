"""The three APIs a request may be written for: how each is asked, read and answered out of the cache."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from frugal_plugins.litellm import messages_api, responses_api, stored
from frugal_plugins.litellm.convert import reply_of
from frugal_plugins.litellm.streams import Reading
from frugal_plugins.request import Endpoint, Reply, Request


class AsyncReading(Protocol):
    """An open stream that is read on its way to the caller."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Chunk by chunk, `OPENED` first."""

    def reply(self) -> Reply:
        """The answer as far as it was read."""


class ReplyOf(Protocol):
    """Reads a response of the host."""

    def __call__(self, response: Any, *, asked_model: str) -> Reply:
        """The response in our words."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API.

    Attributes:
        method: LiteLLM's async function for it.
        router_method: the Router's.
        stored: a stored answer as LiteLLM keeps those of this API in its caches.
        pieces: an answer that was waited for, as the pieces a streaming caller expects; and whether he wants its usage.
    """

    endpoint: Endpoint
    method: str
    router_method: str
    reply_of: ReplyOf
    reading: Callable[[Any, Request], AsyncReading]
    stored: Callable[[Request, Reply, str], dict[str, Any]]
    pieces: Callable[[Request, Reply, str, bool], Iterator[Any]]


CHAT: Final = Dialect(
    "chat",
    "acompletion",
    "acompletion",
    reply_of,
    lambda source, request: Reading(source, request, hide_usage=False),
    lambda _request, reply, call_id: stored.response_of(reply, {"id": call_id}).model_dump(),
    lambda _request, reply, call_id, with_usage: stored.chunks_of(reply, {"id": call_id}, with_usage=with_usage),
)
MESSAGES: Final = Dialect(
    "messages",
    "anthropic_messages",
    "aanthropic_messages",
    messages_api.reply_of,
    messages_api.MessagesReading,
    messages_api.stored,
    messages_api.pieces_of,
)
RESPONSES: Final = Dialect(
    "responses",
    "aresponses",
    "aresponses",
    responses_api.reply_of,
    responses_api.ResponsesReading,
    responses_api.stored,
    responses_api.pieces_of,
)

DIALECTS: Final[Mapping[str, Dialect]] = {
    "completion": CHAT,
    "acompletion": CHAT,
    "anthropic_messages": MESSAGES,
    "responses": RESPONSES,
    "aresponses": RESPONSES,
}
"""By what LiteLLM calls the type of a call."""

OF_ENDPOINT: Final[Mapping[Endpoint, Dialect]] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
