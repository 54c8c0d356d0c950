"""Back from the table notation of `tables.compact` to the JSON it was made from: the proof that nothing is lost."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

_LABEL: Final = re.compile(r"(\d+)#")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_BARE: Final = re.compile(r"[^|;,{}\[\]<>\"]+")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS: Final = {"true": True, "false": False, "null": None}


@dataclass(slots=True)
class Reader:
    """Reads the results of one conversation, in order."""

    columns: dict[int, tuple[str, ...]] = field(default_factory=dict)
    holds: dict[str, Any] = field(default_factory=dict)

    def read(self, written: str) -> Any:
        """The value a compacted result stands for. Raises ValueError where it is none."""
        value, end = self._value(written, 0, "", "")
        if end != len(written):
            raise ValueError(f"unexpected text at {end}; this is not a compacted result")
        return value

    def _value(self, text: str, at: int, home: str, path: str) -> tuple[Any, int]:
        first = text[at : at + 1]
        if first == "{":
            return self._mapping(text, at + 1, home, path)
        if first == "<":
            return self._table(text, at + 1)
        if first == "[":
            return self._list(text, at + 1, home, path)
        if first == '"':
            match = _STRING.match(text, at)
            if match is None:
                raise ValueError(f"an open string at {at}")
            return json.loads(match.group()), match.end()
        match = _BARE.match(text, at)
        if match is None:
            raise ValueError(f"nothing to read at {at}")
        return self._bare(match.group()), match.end()

    def _bare(self, word: str) -> Any:
        if word.startswith("="):
            return self.holds[word]
        if word in _WORDS:
            return _WORDS[word]
        return json.loads(word) if _NUMBER.fullmatch(word) else word

    def _mapping(self, text: str, at: int, home: str, path: str) -> tuple[Any, int]:
        if text[at] == "}":
            return {}, at + 1
        label = _LABEL.match(text, at)
        at = label.end() if label else at
        if label and int(label.group(1)) in self.columns:
            cells, end = self._cells(text, at, "|", self.columns[int(label.group(1))], home, path)
            return cells, end + 1
        found: dict[str, Any] = {}
        own: str | None = None
        while True:
            key, at = self._key(text, at)
            value, at = self._cell(text, at + 1, own or home, key if own else _joined(path, key))
            if not found:
                own = _home(value)
            found[key] = value
            if text[at] == "}":
                break
            at += 1
        if label:
            self.columns[int(label.group(1))] = tuple(found)
        return found, at + 1

    def _key(self, text: str, at: int) -> tuple[str, int]:
        if text[at] == '"':
            match = _STRING.match(text, at)
            if match is None:
                raise ValueError(f"an open key at {at}")
            return json.loads(match.group()), match.end()
        end = min(place for place in (text.find(mark, at) for mark in ":|;>}") if place >= 0)
        return text[at:end], end

    def _cells(self, text: str, at: int, mark: str, keys: tuple[str, ...], home: str, path: str) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        own = ""
        for place, key in enumerate(keys):
            at += len(mark) if place else 0
            found[key], at = self._cell(text, at, own or home, key if own else _joined(path, key))
            own = own if place else _home(found[key])
        return found, at

    def _table(self, text: str, at: int) -> tuple[Any, int]:
        label = _LABEL.match(text, at)
        if label is None:
            raise ValueError(f"a table without a number at {at}")
        number, at = int(label.group(1)), label.end()
        if number not in self.columns:
            keys: list[str] = []
            while text[at] != ";":
                at += 1 if keys else 0
                key, at = self._key(text, at)
                keys.append(key)
            self.columns[number] = tuple(keys)
        rows: list[dict[str, Any]] = []
        while text[at] == ";":
            row, at = self._cells(text, at + 1, "|", self.columns[number], "", "")
            rows.append(row)
        return rows, at + 1

    def _list(self, text: str, at: int, home: str, path: str) -> tuple[Any, int]:
        found: list[Any] = []
        while text[at] != "]":
            at += 1 if found else 0
            value, at = self._cell(text, at, home, _joined(path, str(len(found))))
            found.append(value)
        return found, at + 1

    def _cell(self, text: str, at: int, home: str, path: str) -> tuple[Any, int]:
        value, end = self._value(text, at, home, path)
        if isinstance(value, (dict, list)) and home:
            self.holds[f"={home}.{path}"] = value
        return value, end


def _home(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 32 else ""


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
