"""Tool results in fewer tokens without losing anything: JSON as a table notation, repeats as references.

The notation, which a model reads without being taught and `expand` turns back into the very same value:

    {1#id:A7,city:Oslo}      an object; the 1# names its columns (id, city) for later
    {1#B9|Rome}              another object with the columns of 1#
    <2#id|city;A7|Oslo;B9|Rome>   a list of objects: columns, then rows;  <2#;C3|Bonn> uses the columns of 2# again
    =A7.flights              the value that `flights` had in the object above that starts with A7

Plain words stand without quotes; whatever could be mistaken is written as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z_][\w .@/+:&'()-]*[\w.)']|[A-Za-z_]|\d[\w@/+:-]*[A-Za-z@/+:-][\w@/+:-]*")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_$][\w$.-]*|\d+[A-Za-z_-][\w-]*")
_HOME: Final = re.compile(r"[A-Za-z0-9_][\w @/+-]*")
_PATH: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS_OF_JSON: Final = frozenset({"true", "false", "null", "NaN", "Infinity"})
_LEAST_NAMED_KEYS: Final = 2
_LEAST_REFERENCE_CHARS: Final = 24
_LEAST_TEXT_CHARS: Final = 60
_DEEPEST: Final = 60


@dataclass(slots=True)
class Told:
    """What the reader has seen so far: columns that have a number, values that have an address, texts that may repeat."""

    columns: dict[tuple[str, ...], int] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)
    texts: dict[bytes, str] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)
    _undo: list[tuple[dict[Any, Any], Any, Any]] = field(default_factory=list)

    def learn(self, book: dict[Any, Any], key: Any, value: Any) -> None:
        """Write into one of the books, so that it can be taken back; a value of None removes the key."""
        self._undo.append((book, key, book.get(key)))
        if value is None:
            book.pop(key, None)
        else:
            book[key] = value

    def settle(self, *, keep: bool) -> None:
        """The reader will see what was learnt since the last time, or will not."""
        for book, key, before in reversed(self._undo if not keep else ()):
            if before is None:
                book.pop(key, None)
            else:
                book[key] = before
        self._undo.clear()


def compact(text: str, told: Told) -> str | None:
    """A tool result in table notation, adding to what the reader was told; None where nothing is gained.

    JSON objects and lists are rewritten; any other text is only replaced when the very same one was told before.
    """
    repeated = _repeated(text, told)
    if repeated is not None:
        return repeated
    value = _parsed(text)
    if value is None:
        return None
    written = _Writer(told).write(value, "", "")
    shorter = len(written) < len(text)
    told.settle(keep=shorter)
    return written if shorter else None


def _repeated(text: str, told: Told) -> str | None:
    if len(text) < _LEAST_TEXT_CHARS:
        return None
    key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if key in told.texts:
        return f"(the same result as above: {told.texts[key]}...)"
    told.texts[key] = " ".join(text.split())[:24]
    return None


def _parsed(text: str) -> Any:
    """The object or list a text is, or None; numbers that Python would write differently make it None."""
    bare = text.strip()
    if len(bare) < 2 or bare[0] + bare[-1] not in ("{}", "[]"):
        return None
    try:
        value = json.loads(bare, object_pairs_hook=_once, parse_float=_Exact, parse_int=_Exact, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if value and _depth(value) < _DEEPEST else None


class _Exact(str):
    """A number kept as it was written."""

    __slots__ = ()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(child) for child in children), default=0)


@dataclass(slots=True)
class _Writer:
    told: Told

    def write(self, value: Any, home: str, path: str) -> str:
        """`home` is the first value of the object around, `path` the keys that lead here from it."""
        if isinstance(value, dict):
            return self._mapping(value, home, path)
        if isinstance(value, list):
            return self._sequence(value, home, path)
        return scalar(value)

    def _mapping(self, value: Mapping[str, Any], home: str, path: str) -> str:
        if not value:
            return "{}"
        keys = tuple(value)
        number = self.told.columns.get(keys)
        own = _home_of(value)
        cells = [self._cell(part, own or home, key if own else _joined(path, key)) for key, part in value.items()]
        if number is not None:
            return f"{{{number}#{'|'.join(cells)}}}"
        label = f"{self._number(keys)}#" if len(keys) >= _LEAST_NAMED_KEYS else ""
        return f"{{{label}{','.join(f'{key_text(key)}:{cell}' for key, cell in zip(keys, cells, strict=True))}}}"

    def _sequence(self, value: Sequence[Any], home: str, path: str) -> str:
        keys = _common_keys(value)
        if keys is None:
            return f"[{','.join(self._cell(part, home, _joined(path, str(place))) for place, part in enumerate(value))}]"
        number = self.told.columns.get(keys)
        head = f"{number}#" if number is not None else f"{self._number(keys)}#{'|'.join(map(key_text, keys))}"
        rows = ["|".join(self._cell(part, _home_of(row) or "", key) for key, part in row.items()) for row in value]
        return f"<{head};{';'.join(rows)}>"

    def _cell(self, value: Any, home: str, path: str) -> str:
        """A value, or a reference to the same value above. Long values become known under their address."""
        address = f"={home}.{path}" if _HOME.fullmatch(home) and _PATH.fullmatch(path) else ""
        if not isinstance(value, (dict, list)):
            self._replaces(address, "")
            return scalar(value)
        plain = json.dumps(value, separators=(",", ":"))
        if len(plain) < _LEAST_REFERENCE_CHARS:
            written = self.write(value, home, path)
            self._replaces(address, plain)
            return written
        known = self.told.addresses.get(plain)
        written = known if known is not None else self.write(value, home, path)
        if address:
            self._replaces(address, plain)
            self.told.learn(self.told.holds, address, plain)
            if plain not in self.told.addresses:
                self.told.learn(self.told.addresses, plain, address)
        return written

    def _replaces(self, address: str, plain: str) -> None:
        """Another value stands at this address now: the one before can no longer be referred to by it."""
        before = self.told.holds.get(address)
        if before is not None and before != plain:
            self.told.learn(self.told.holds, address, None)
            if self.told.addresses.get(before) == address:
                self.told.learn(self.told.addresses, before, None)

    def _number(self, keys: tuple[str, ...]) -> int:
        number = self.told.count.get("columns", 0) + 1
        self.told.learn(self.told.count, "columns", number)
        self.told.learn(self.told.columns, keys, number)
        return number


def _home_of(value: Mapping[str, Any]) -> str:
    """The first value of an object when it is a word or id that can stand for it."""
    first = next(iter(value.values()), None)
    return first if isinstance(first, str) and not isinstance(first, _Exact) and len(first) <= 32 else ""


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _common_keys(value: Sequence[Any]) -> tuple[str, ...] | None:
    """The keys all objects of a list have, in the same order; None where it is no such list."""
    if len(value) < 2 or not isinstance(value[0], dict) or not value[0]:
        return None
    keys = tuple(value[0])
    return keys if all(isinstance(row, dict) and tuple(row) == keys for row in value) else None


def scalar(value: Any) -> str:
    """A single value: plain where nothing else could be meant, JSON otherwise."""
    if isinstance(value, _Exact):
        return str.__str__(value)
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value not in _WORDS_OF_JSON and not _NUMBER.fullmatch(value)
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def key_text(key: str) -> str:
    """A key: plain where it is a word."""
    return key if _PLAIN_KEY.fullmatch(key) and key not in _WORDS_OF_JSON else json.dumps(key, ensure_ascii=False)
