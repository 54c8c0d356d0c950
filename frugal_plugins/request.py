"""What goes to a model and what comes back, in the words of the chat APIs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast

from frugal_plugins.errors import TruncatedOutput
from frugal_plugins.usage import Usage

Message = Mapping[str, Any]
NO_USAGE: Final = Usage()
Endpoint = Literal["chat", "messages", "responses", "embeddings"]
Lane = Literal["standard", "batch", "flex", "priority"]


@dataclass(frozen=True, slots=True)
class Request:
    """One call a program wants to make.

    Attributes:
        model: as the caller named it (`gpt-4o`, `anthropic/claude-haiku-4-5`, or the recipe's own name).
        messages: the conversation in the endpoint's own shape, never copied or edited in place; empty for embeddings.
        params: every other field of the body (tools, temperature, response_format, ...), untouched.
        tags: what the caller said in `metadata.frugal` (`task`, `tenant`, `team`, ...).
        scope: who may share a stored answer (tenant, key, recipe); part of every cache key.
        session: the conversation this belongs to, if the caller named one.
        stream: whether the caller reads the answer piece by piece.
        endpoint: which API the body is written for.
    """

    model: str
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    scope: tuple[str, ...] = ()
    session: str | None = None
    stream: bool = False
    endpoint: Endpoint = "chat"

    def with_(self, **changes: Any) -> Request:
        """A copy with some fields changed. The parts left alone stay the same objects."""
        return replace(self, **changes)

    def with_params(self, **changes: Any) -> Request:
        """A copy with some params set; a value of None removes the param."""
        params = {**self.params, **changes}
        return self.with_(params={k: v for k, v in params.items() if v is not None or k not in changes})

    @property
    def last_user_text(self) -> str:
        """The text of the last user message, or "" where there is none."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message)
        return ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        message: the assistant message (`role`, `content`, perhaps `tool_calls`); the first one when `n` > 1.
        model: the model that answered, as the provider named it.
        usage: what the provider counted; all zero when nothing was asked (a cache hit).
        finish: `stop`, `length`, `tool_calls`, `content_filter`, or `closed` when the reader left a stream early.
        raw: the host's own response object, handed back to the caller untouched.
        others: the further choices when `n` > 1.
        saved: for a stored answer, what it cost when it was made.
        billed_as: the model's full name on the price list, where the host knows it better than the request (a proxy's alias).
        id: the provider's own id of the answer, by which an invoice names it.
        lane: the price class the provider says it billed (`standard`, `flex`, `batch`, `priority`).
        request_id: what the ledger and `Recipe.feedback` know the request by; on what `Recipe.complete` returns.
    """

    message: Message
    model: str
    usage: Usage = NO_USAGE
    finish: str = "stop"
    raw: Any = field(default=None, compare=False, repr=False)
    others: tuple[Message, ...] = ()
    saved: Usage | None = None
    billed_as: str | None = None
    id: str | None = None
    lane: Lane = "standard"
    request_id: str | None = None

    def with_(self, **changes: Any) -> Reply:
        """A copy with some fields changed."""
        return replace(self, **changes)

    @property
    def text(self) -> str:
        """The text of the answer."""
        return text_of(self.message)

    def json(self) -> Any:
        """The answer as an object. Raises TruncatedOutput when it ended at the token limit, ValueError when it is not JSON."""
        try:
            return json.loads(self.text)
        except ValueError as error:
            if self.finish == "length":
                raise TruncatedOutput(
                    "the answer ended at the token limit before its JSON was complete; raise the task's output_tokens"
                ) from error
            raise


def text_of(message: Message) -> str:
    """The text of a message: a string content as it is, the text parts of a list joined, None as ""."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, (list, tuple)):
        return ""
    return "\n".join(str(part["text"]) for part in content if isinstance(part, Mapping) and isinstance(part.get("text"), str))


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal for equal values, whatever order a dict was built in."""
    if value.__class__ is str or _PIECES is None:
        return _CANONICAL.encode(value)
    return "".join(_PIECES(value, 0))


def fingerprint(value: Any) -> str:
    """A SHA-256 of the canonical form. Used wherever text may not be kept."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """What to write for an object JSON does not know: a pydantic model's schema or fields, or its repr."""
    for name in ("model_json_schema", "model_dump"):
        method = getattr(value, name, None)
        if callable(method) and (name == "model_json_schema") == isinstance(value, type):
            return method()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return repr(value)


_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)
"""Made once: `json.dumps` would make one for every call."""


def _in_c() -> Callable[[Any, int], Iterable[str]] | None:
    """The C encoder inside, which `encode` makes anew for every call; None where Python has none.

    It is told not to look for values that hold themselves: those end in RecursionError instead of ValueError.
    """
    make, text = getattr(json.encoder, "c_make_encoder", None), json.encoder.encode_basestring
    return (
        None if make is None else cast("Callable[[Any, int], Iterable[str]]", make(None, _plain, text, None, ":", ",", True, False, True))
    )


_PIECES: Final = _in_c()


def opening(messages: tuple[Message, ...]) -> Iterator[tuple[Any, Any] | str]:
    """A conversation up to the first thing its user says. Texts as they are: Python remembers their hashes."""
    for message in messages:
        role, content = message.get("role"), message.get("content")
        yield (role, content) if len(message) == 2 and role.__class__ is content.__class__ is str else canonical(message)
        if role == "user":
            return
