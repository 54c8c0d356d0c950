"""A request as the body one provider takes, and its answer as a Reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from frugal_plugins.batch.anthropic_body import anthropic_body, anthropic_reply
from frugal_plugins.errors import InputError
from frugal_plugins.models import always_thinks
from frugal_plugins.prices import bare_name, provider_of
from frugal_plugins.request import Lane, Reply, Request
from frugal_plugins.usage import from_openai

_NOT_SENT: Final = frozenset({"stream", "stream_options", "service_tier"})
_LANES: Final[Mapping[Any, Lane]] = {"flex": "flex", "priority": "priority", "batch": "batch"}

Body = dict[str, Any]


class Wording:
    """How calls are put into words: OpenAI's chat completions and Anthropic's messages.

    A host with words of its own (LangChain) replaces `body` and `reply`.
    """

    def body(self, _row: int, request: Request, /) -> Body:
        """The provider's body of a call. Raises InputError where it has no counterpart for something."""
        if provider_of(request.model) == "anthropic":
            return anthropic_body(request)
        params = {name: value for name, value in request.params.items() if name not in _NOT_SENT and value is not None}
        if always_thinks(request.model) and "max_tokens" in params:
            params.setdefault("max_completion_tokens", params.pop("max_tokens"))
        return {"model": bare_name(request.model), "messages": [dict(message) for message in request.messages], **params}

    def reply(self, _row: int, model: str, body: Mapping[str, Any], lane: Lane, /) -> Reply:
        """What came back, in our words. Raises InputError when it is not an answer."""
        try:
            found = anthropic_reply(body) if provider_of(model) == "anthropic" else openai_reply(body)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"the answer cannot be read ({type(error).__name__}: {error}); it is asked again") from error
        said = _LANES.get(body.get("service_tier") or (body.get("usage") or {}).get("service_tier"), "standard")
        return found.with_(lane="batch" if lane == "batch" else said, billed_as=model)


def openai_reply(body: Mapping[str, Any]) -> Reply:
    """A chat completion as a Reply."""
    first, *rest = [_message(choice["message"]) for choice in body["choices"]]
    return Reply(
        message=first,
        model=str(body["model"]),
        usage=from_openai(body["usage"]),
        finish=str(body["choices"][0].get("finish_reason") or ""),
        raw=body,
        others=tuple(rest),
        id=body.get("id"),
    )


def _message(said: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in said.items() if value not in (None, [], {})}
    return {"role": "assistant", "content": None, **kept}
