"""Prompt files: plain text, or the JSON body of a request. Read, shortened, written back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.request import Endpoint, Request
from frugal_plugins.techniques.shorten import Shorten, texts_of
from frugal_plugins.text.prompts import Level
from frugal_plugins.tokens import count_messages

_MOST_BYTES: Final = 4_000_000
_WINDOWS: Final = "\r\n"
_NO_PROMPTS: Final = frozenset({".yaml", ".yml", ".py", ".toml", ".ini", ".cfg", ".csv", ".jsonl", ".html", ".xml", ".js", ".ts"})


@dataclass(frozen=True, slots=True)
class PromptFile:
    """One prompt on its way to fewer tokens.

    Attributes:
        before: the file as it stands, byte for byte.
        request: the prompt as a request would carry it, as far as it was shortened.
        body: the JSON object around it; None for a text file.
        did: what was done, step by step.
    """

    path: Path
    before: str
    request: Request
    body: Mapping[str, Any] | None = None
    did: tuple[str, ...] = field(default=())

    @property
    def texts(self) -> list[str]:
        """What the developer wrote: the file's text, or the system prompts of the body."""
        return [text for text, _ in texts_of(self.request)]

    @property
    def after(self) -> str:
        """The file as it would be written."""
        if self.body is None:
            text = str(self.request.messages[0]["content"])
            text = text if not self.before.endswith("\n") or text.endswith("\n") else f"{text}\n"
            return text.replace("\n", _WINDOWS) if _WINDOWS in self.before else text
        changed = {**self.body, **self.request.params}
        if "messages" in self.body:
            changed["messages"] = list(self.request.messages)
        return json.dumps(changed, indent=2, ensure_ascii=False) + "\n"

    @property
    def tokens(self) -> int:
        """Input tokens of what the developer wrote, tools and schema included."""
        names = ("tools", "functions", "response_format", "system")
        params = {name: self.request.params[name] for name in names if self.request.params.get(name)}
        fronts = tuple(message for message in self.request.messages if message.get("role") in ("system", "developer"))
        return count_messages(fronts, self.request.model, params=params)

    def by_rules(self, level: Level, *, schemas: bool) -> PromptFile:
        """Shortened by rules: prose, tool descriptions, schemas spelled out. The file as it is where that gains nothing."""
        how = "off" if not schemas else "notation" if self.body is None else "response_format"
        short, did = Shorten(level=level, schemas=how).shorter(self.request)  # type: ignore[arg-type]
        changed = replace(self, request=short, did=(*self.did, *did))
        return changed if did and changed.tokens < self.tokens else self

    def with_text(self, old: str, new: str, did: str) -> PromptFile:
        """The file with one of its texts replaced."""
        put = next(put for text, put in texts_of(self.request) if text == old)
        return replace(self, request=put(new), did=(*self.did, did))


def read_prompt(path: Path, model: str) -> PromptFile:
    """Read a prompt file. Raises InputError, naming it, for what is no prompt."""
    text = _read(path)
    if path.suffix.lower() in _NO_PROMPTS:
        raise InputError(f"{path.suffix} is no prompt file; give plain text or Markdown, or a request body as .json", file=str(path))
    if path.suffix.lower() != ".json":
        return PromptFile(path, text, Request(model, ({"role": "system", "content": text.replace(_WINDOWS, "\n")},)))
    try:
        body = json.loads(text)
    except ValueError as error:
        raise InputError(f"not JSON ({error}); give a request body with messages, or a text file", file=str(path)) from error
    messages = body.get("messages", []) if isinstance(body, dict) else None
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages) or not (messages or body.get("tools")):
        raise InputError("no request body; give an object with messages (or tools), or a text file", file=str(path))
    params = {name: value for name, value in body.items() if name not in ("messages", "model")}
    endpoint: Endpoint = "messages" if "system" in body else "chat"
    return PromptFile(path, text, Request(str(body.get("model") or model), tuple(messages), params, endpoint=endpoint), body)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"is larger than {_MOST_BYTES // 1_000_000} MB, which is no prompt; give one prompt a file", file=str(path))
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}); check the path and its permissions", file=str(path)) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text (byte {error.start}); save it as UTF-8", file=str(path)) from error
    if not text.strip():
        raise InputError("is empty; give a file with a prompt in it", file=str(path))
    if "\0" in text:
        raise InputError("holds a zero byte, so it is no text; give a prompt as UTF-8 text", file=str(path))
    return text
