"""The input of `frugal run`: one request on each line, checked before anything is sent."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.litellm.reach import CONNECTION

STDIN: Final = "-"
_REFUSED: Final = CONNECTION | {"mock_response", "callbacks", "success_callback", "failure_callback"}
_NOT_SENT: Final = frozenset({"stream", "stream_options", "metadata"})
_CHAT_URLS: Final = (None, "/v1/chat/completions", "/chat/completions")
_DIGEST_CHARS: Final = 16


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input.

    Attributes:
        number: counted from 1; empty lines count but are not requests.
        digest: a hash of the line's text, by which a resumed run knows that the input is still the same.
        custom_id: the caller's own name for the request, where there is one.
        params: the body without `model` and `messages`.
        frugal: what the caller said in `frugal` or `metadata.frugal`.
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

    def problem(self, source: str) -> InputError:
        """The line's problem, with its place and what to do."""
        return InputError(f"{self.bad}. Correct the line, or go on without it with --on-bad-line skip.", file=source, line=self.number)


class InputLines:
    """A JSONL file, or stdin (which is read whole). Can be read more than once.

    Raises InputError when the file cannot be opened.
    """

    def __init__(self, source: str) -> None:
        self.source = "stdin" if source == STDIN else source
        self._held = sys.stdin.buffer.read().splitlines(keepends=True) if source == STDIN else None

    def __iter__(self) -> Iterator[Line]:
        used: dict[str, int] = {}
        for number, raw in enumerate(self._raw(), start=1):
            if not raw.strip():
                continue
            line = parse_line(raw, number)
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
        try:
            with Path(self.source).open("rb") as file:
                yield from file
        except OSError as error:
            raise InputError(f"the input cannot be read ({error.strerror}); check the path", file=self.source) from error


def parse_line(raw: bytes, number: int) -> Line:
    """Read one line: an OpenAI-style body, or the batch form with `custom_id` and `body`."""
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
    custom_id = said.get("custom_id")
    body: Any = said.get("body", said if "messages" in said else None)
    name = custom_id if isinstance(custom_id, str) else None
    problem = _form_problem(said, custom_id)
    if problem is None and not isinstance(body, dict):
        problem = "there is no request: write {'model': ..., 'messages': [...]} or {'custom_id': ..., 'body': {...}}"
    if problem is None:
        problem = _body_problem(body)
    if problem is not None:
        return Line(number, digest, custom_id=name, bad=problem)
    own = {"custom_id", "frugal"} if body is said else set()
    params = {key: value for key, value in body.items() if key not in _NOT_SENT | own | {"model", "messages"}}
    return Line(number, digest, name, body.get("model"), tuple(body["messages"]), params, _frugal(said, body))


def _form_problem(said: Mapping[str, Any], custom_id: Any) -> str | None:
    if custom_id is not None and not isinstance(custom_id, str):
        return "custom_id must be text"
    if said.get("url") not in _CHAT_URLS:
        return f"url {str(said['url'])[:60]!r} is not /v1/chat/completions"
    return None


def _body_problem(body: Mapping[str, Any]) -> str | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages must be a list with at least one message"
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            return f"messages[{index}] must be an object with a role"
    if "model" in body and (not isinstance(body["model"], str) or not body["model"]):
        return "model must be text; leave it out to let the recipe choose"
    refused = sorted(_REFUSED & body.keys())
    if refused:
        return f"{refused[0]} does not belong in a request; keys and addresses come from the environment"
    return None


def _frugal(said: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = body.get("metadata")
    inner = metadata.get("frugal") if isinstance(metadata, dict) else None
    return {**(inner if isinstance(inner, dict) else {}), **(outer if isinstance(outer := said.get("frugal"), dict) else {})}


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
