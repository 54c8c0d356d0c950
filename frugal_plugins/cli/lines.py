"""The input of `frugal run` and `frugal batch`: one request on each line, checked before anything is sent."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from frugal_plugins.cli.table_lines import TABLES, table_lines, with_messages
from frugal_plugins.errors import InputError
from frugal_plugins.litellm.reach import CONNECTION
from frugal_plugins.request import Endpoint, Request

STDIN: Final = "-"
_REFUSED: Final = CONNECTION | {"mock_response", "callbacks", "success_callback", "failure_callback"}
_NOT_SENT: Final = frozenset({"stream", "stream_options", "metadata"})
_URLS: Final[Mapping[Any, Endpoint]] = {
    "/v1/chat/completions": "chat",
    "/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
    "/v1/messages": "messages",
}
CHAT_ONLY: Final[tuple[Endpoint, ...]] = ("chat",)
EVERYTHING: Final[tuple[Endpoint, ...]] = ("chat", "responses", "embeddings", "messages")
_DIGEST_CHARS: Final = 16

Filled = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input.

    Attributes:
        number: counted from 1; empty lines count but are not requests.
        digest: a hash of the line's text, by which a resumed run knows that the input is still the same.
        custom_id: the caller's own name for the request, where there is one.
        params: the body without `model` and `messages`.
        frugal: what the caller said in `frugal` or `metadata.frugal`.
        aside: fields that are not part of the request, such as the right answer.
        bad: why the line cannot be used, or None.
    """

    number: int
    digest: str
    custom_id: str | None = None
    model: str | None = None
    messages: tuple[Mapping[str, Any], ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    frugal: Mapping[str, Any] = field(default_factory=dict)
    bad: str | None = None
    endpoint: Endpoint = "chat"
    aside: Mapping[str, Any] = field(default_factory=dict)

    def problem(self, source: str) -> InputError:
        """The line's problem, with its place and what to do."""
        return InputError(f"{self.bad}. Correct the line, or go on without it with --on-bad-line skip.", file=source, line=self.number)

    def request(self, model: str) -> Request:
        """The line as a request; `model` where it names none."""
        return Request(self.model or model, self.messages, self.params, endpoint=self.endpoint)


class RequestLines(Protocol):
    """Requests, one on each line; can be read more than once. `source` is what they are called in messages."""

    source: str

    def __iter__(self) -> Iterator[Line]: ...

    def count(self) -> int:
        """How many requests there are."""


class InputLines:
    """A JSONL, CSV or Parquet file, or stdin (JSONL, which is read whole). Can be read more than once.

    Args:
        endpoints: which kinds of request may come.
        documents: whether a plain text is one to be embedded, because the recipe's model does nothing else.
        aside: fields that are no part of the request and are kept beside it; a line that differs in nothing else is the same line.
        filled: makes a body of a line that has neither messages nor input: the variables of a prompt.

    Raises InputError when the file cannot be opened.
    """

    def __init__(
        self,
        source: str,
        endpoints: tuple[Endpoint, ...] = CHAT_ONLY,
        *,
        documents: bool = False,
        aside: tuple[str, ...] = (),
        filled: Filled | None = None,
    ) -> None:
        self.source = "stdin" if source == STDIN else source
        self._endpoints = endpoints
        self._documents = documents
        self._aside = aside
        self._filled = filled
        self._held = sys.stdin.buffer.read().splitlines(keepends=True) if source == STDIN else None

    def __iter__(self) -> Iterator[Line]:
        used: dict[str, int] = {}
        for number, raw in enumerate(self._raw(), start=1):
            if not raw.strip():
                continue
            line = parse_line(raw, number, self._endpoints, documents=self._documents, aside=self._aside, filled=self._filled)
            if line.custom_id is not None and line.bad is None:
                first = used.setdefault(line.custom_id, number)
                if first != number:
                    line = Line(number, line.digest, bad=f"custom_id '{line.custom_id[:60]}' was used in line {first} already")
            yield line

    def count(self) -> int:
        """How many requests there are."""
        return sum(1 for raw in self._raw() if raw.strip())

    def _raw(self) -> Iterator[bytes]:
        if self._held is not None:
            yield from self._held
            return
        if Path(self.source).suffix.lower() in TABLES:
            yield from table_lines(Path(self.source), texts=self._aside)
            return
        try:
            with Path(self.source).open("rb") as file:
                yield from file
        except OSError as error:
            raise InputError(f"the input cannot be read ({error.strerror}); check the path", file=self.source) from error


def parse_line(
    raw: bytes,
    number: int,
    endpoints: tuple[Endpoint, ...] = CHAT_ONLY,
    *,
    documents: bool = False,
    aside: tuple[str, ...] = (),
    filled: Filled | None = None,
) -> Line:
    """Read one line: an OpenAI-style body, a `prompt`, the batch form with `custom_id` and `body`, or a document (`id`, `text`)."""
    digest = hashlib.sha256(raw.strip()).hexdigest()[:_DIGEST_CHARS]
    try:
        said = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        return Line(number, digest, bad="the line is not UTF-8")
    except (ValueError, RecursionError) as error:
        half = "" if raw.endswith(b"\n") else "; it is the last line and looks half-written"
        return Line(number, digest, bad=f"the line is not JSON ({getattr(error, 'msg', None) or error}){half}")
    if not isinstance(said, dict):
        return Line(number, digest, bad=f"the line is {type(said).__name__}, not an object")
    beside = _put_aside(said, aside)
    if aside:
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:_DIGEST_CHARS]
    if filled is not None and not {"messages", "input", "body"} & said.keys():
        try:
            said = filled(said)
        except InputError as error:
            return Line(number, digest, bad=str(error))
    if not {"input", "body"} & said.keys():
        said = with_messages(said)
    if documents and "text" in said and not {"messages", "input", "body"} & said.keys():
        said = _as_document(said)
    custom_id = said.get("custom_id")
    body: Any = said.get("body", said if {"messages", "input"} & said.keys() else None)
    name = custom_id if isinstance(custom_id, str) else None
    endpoint = _endpoint(said, body, documents)
    problem = _form_problem(said, custom_id, endpoint, endpoints)
    if problem is None and not isinstance(body, dict):
        problem = "there is no request: write {'prompt': ...}, {'model': ..., 'messages': [...]} or {'custom_id': ..., 'body': {...}}"
    if problem is None:
        problem = _messages_problem(body) if endpoint in ("chat", "messages") else _input_problem(body, endpoint)
    problem = problem or _body_problem(body)
    if problem is not None or endpoint is None:
        return Line(number, digest, custom_id=name, bad=problem)
    own = {"custom_id", "frugal", "url", "method"} if body is said else set()
    params = {key: value for key, value in body.items() if key not in _NOT_SENT | own | {"model", "messages"}}
    messages = () if endpoint == "embeddings" else _items(params.pop("input")) if endpoint == "responses" else tuple(body["messages"])
    return Line(number, digest, name, body.get("model"), messages, params, _frugal(said, body), endpoint=endpoint, aside=beside)


def _put_aside(said: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Take what is no part of the request out of a line: beside the body, in it, or in its metadata."""
    body = said.get("body")
    inner = body if isinstance(body, dict) else said
    metadata = inner.get("metadata")
    places = [said, inner, metadata if isinstance(metadata, dict) else {}]
    return {name: place.pop(name) for name in names for place in places if name in place}


def _as_document(said: Mapping[str, Any]) -> dict[str, Any]:
    """A document as the request that embeds it."""
    more = {key: said[key] for key in ("model", "dimensions", "user") if key in said}
    name = said.get("custom_id", said.get("id"))
    named = {} if name is None else {"custom_id": str(name) if isinstance(name, int) else name}
    return {**named, "url": "/v1/embeddings", "frugal": said.get("frugal"), "body": {**more, "input": said["text"]}}


def _endpoint(said: Mapping[str, Any], body: Any, documents: bool) -> Endpoint | None:
    """Which API a line is written for; None where its url names none of them."""
    if said.get("url") is not None:
        return _URLS.get(said["url"])
    if isinstance(body, dict) and "input" in body and "messages" not in body:
        return "embeddings" if documents or "embed" in str(body.get("model")) else "responses"
    return "chat"


def _form_problem(said: Mapping[str, Any], custom_id: Any, endpoint: Endpoint | None, endpoints: tuple[Endpoint, ...]) -> str | None:
    if custom_id is not None and not isinstance(custom_id, str):
        return "custom_id must be text"
    if custom_id == "":
        return "custom_id is empty; name the request, or leave it out"
    if endpoint is None:
        able = " or ".join(url for url, kind in _URLS.items() if kind in endpoints and url.startswith("/v1"))
        return f"url {str(said['url'])[:60]!r} is not {able}"
    if endpoint not in endpoints:
        asked = next(url for url, kind in _URLS.items() if kind == endpoint)
        return f"url '{asked}' is not /v1/chat/completions; it goes through frugal batch, or frugal run --lane batch"
    return None


def _messages_problem(body: Mapping[str, Any]) -> str | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages must be a list with at least one message"
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            return f"messages[{index}] must be an object with a role"
    return None


def _input_problem(body: Mapping[str, Any], endpoint: Endpoint | None) -> str | None:
    given = body.get("input")
    if endpoint == "embeddings":
        tokens = isinstance(given, list) and all(isinstance(one, (str, int, list)) for one in given)
        return None if given and (isinstance(given, str) or tokens) else "input must be a text or a list of texts, and not empty"
    if isinstance(given, str) and given:
        return None
    if isinstance(given, list) and given and all(isinstance(item, dict) for item in given):
        return None
    return "input must be a text or a list of items, and not empty"


def _body_problem(body: Mapping[str, Any]) -> str | None:
    if "model" in body and (not isinstance(body["model"], str) or not body["model"]):
        return "model must be text; leave it out to let the recipe choose"
    refused = sorted(_REFUSED & body.keys())
    if refused:
        return f"{refused[0]} does not belong in a request; keys and addresses come from the environment"
    return None


def _items(given: Any) -> tuple[Mapping[str, Any], ...]:
    return ({"role": "user", "content": given},) if isinstance(given, str) else tuple(given)


def _frugal(said: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = body.get("metadata")
    inner = metadata.get("frugal") if isinstance(metadata, dict) else None
    return {**(inner if isinstance(inner, dict) else {}), **(outer if isinstance(outer := said.get("frugal"), dict) else {})}


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
