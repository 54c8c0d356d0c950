"""YAML for people: a small, strict part of the language, with the place of every key.

One document, one mapping with text keys, no anchors, aliases, merge keys or tags, bounded in size and depth. Words are what
they look like: only `true` and `false` are booleans, so `mode: on` is the word "on" (YAML 1.1 would make it a boolean), and
010 or 1:30 are not turned into other numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Never

import yaml

from frugal_plugins.errors import RecipeError

MAX_DEPTH: Final = 12
MAX_NODES: Final = 2_000

KeyPath = tuple[str | int, ...]
"""A key from the top of the recipe: `("tasks", "yes_no", "tier")`."""
Places = Mapping[KeyPath, tuple[int, int]]
"""Line and column, counted from 1, of every key and list item."""

UNWRITABLE: Final = re.compile("[\0\ud800-\udfff]")
"""What no file name, prompt or JSON document can carry."""
MAX_DIGITS: Final = 40
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")

# What PyYAML says (a part of it) and what to do about it. The first that fits wins.
_HINTS: Final = (
    (r"'\t'", "indent with spaces, not with tabs"),
    ("cannot start any token", "put a text that begins with this character in quotes"),
    ("mapping values are not allowed", "line this key up with its neighbours, or put a text that contains ': ' in quotes"),
    ("could not find expected ':'", "write 'key: value', with a space after the colon"),
    ("expected ',' or", "close the bracket, or add the missing comma"),
    ("expected <block end>", "line this up with its neighbours, or put a text that begins with { or [ in quotes"),
    ("unexpected end of stream", "close the quotation mark"),
    ("escape", "write \\\\ for a backslash, or use single quotes"),
)
_ANY_HINT: Final = "check the indentation and the quotes here and on the line above"


def read_yaml(text: str, path: Path) -> tuple[dict[str, Any], Places]:
    """Turn text into plain values and their places; every failure of the parser becomes a RecipeError with its place."""
    tree = _Tree(path)
    try:
        data = tree.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        said = error.problem or error.context or "it ends too early"
        hint = next((hint for part, hint in _HINTS if part in said), _ANY_HINT)
        tree.fail(f"this is not valid YAML: {said}; {hint}", error.problem_mark or error.context_mark)
    except yaml.reader.ReaderError as error:
        raise RecipeError(
            f"the character U+{ord(text[error.position]):04X} is not allowed in YAML; delete it, or write it as an escape in double quotes",
            where=f"{path}:{place_after(text[: error.position])}",
        ) from None
    except (ValueError, OverflowError) as error:  # PyYAML lets these out for \U escapes and %YAML versions beyond all bounds
        tree.fail(f"this is not valid YAML: a number or an escape is out of range ({error}); write the character itself", tree.last)
    return data, tree.places


def place_after(text: str) -> str:
    """`line:column` of what follows this text."""
    return f"{text.count(chr(10)) + 1}:{len(text) - text.rfind(chr(10))}"


class _Tree:
    """Builds plain values from parser events, one document, within the bounds."""

    __slots__ = ("events", "last", "nodes", "path", "places")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: Iterator[Any] = iter(())
        self.nodes = 0
        self.places: dict[KeyPath, tuple[int, int]] = {}
        self.last: Any = None

    def fail(self, message: str, mark: Any) -> Never:
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise RecipeError(message, where=f"{self.path}:{line}:{column}") from None

    def next(self) -> Any:
        event = next(self.events)
        self.last = event.start_mark
        return event

    def document(self, events: Iterator[Any]) -> dict[str, Any]:
        self.events = events
        self.next()
        if isinstance(self.next(), yaml.StreamEndEvent):
            self.fail("the file is empty; start with 'tiers:', or copy a shipped recipe", self.last)
        first = self.next()
        if not isinstance(first, yaml.MappingStartEvent):
            self._check(first, 1)
            self.fail("a recipe is a mapping; write 'key: value' lines at the top", first.start_mark)
        self.places[()] = _place(first)
        data = self.value(first, (), 1)
        self.next()
        if not isinstance(self.next(), yaml.StreamEndEvent):
            self.fail("a file holds one recipe; move what follows this '---' to a file of its own", self.last)
        assert isinstance(data, dict)
        return data

    def value(self, event: Any, path: KeyPath, depth: int) -> Any:
        self._check(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event)
        return self.mapping(path, depth) if isinstance(event, yaml.MappingStartEvent) else self.sequence(path, depth)

    def mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key = self.key(event)
            here = (*path, key)
            if key in found:
                self.fail(f"the key '{key[:80]}' is here twice, first on line {self.places[here][0]}; keep one of them", event.start_mark)
            self.places[here] = _place(event)
            found[key] = self.value(self.next(), here, depth + 1)
        return found

    def sequence(self, path: KeyPath, depth: int) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            here = (*path, len(found))
            self.places[here] = _place(event)
            found.append(self.value(event, here, depth + 1))
        return found

    def key(self, event: Any) -> str:
        self._check(event, 1)
        if not isinstance(event, yaml.ScalarEvent):
            self.fail("a key must be text; put a text that begins with { or [ in quotes", event.start_mark)
        if not event.style and event.value == "<<":
            self.fail("merge keys (<<) are not allowed in a recipe; write the keys out", event.start_mark)
        key = self.scalar(event)
        if not isinstance(key, str):
            self.fail(f"a key must be text; put {event.value[:80] or 'it'} in quotes", event.start_mark)
        return key

    def scalar(self, event: Any) -> str | int | float | bool | None:
        text: str = event.value
        if UNWRITABLE.search(text):
            self.fail("a text contains a NUL or half a character; delete it", event.start_mark)
        if event.style:
            return text
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if not _FLOAT.match(text):
            return text
        if len(text) > MAX_DIGITS or not math.isfinite(float(text)):
            self.fail("this number is too large; write a smaller one, or put it in quotes if it is text", event.start_mark)
        return int(text) if _INTEGER.match(text) else float(text)

    def _check(self, event: Any, depth: int) -> None:
        """Refuse what a recipe never needs and an attacker would use."""
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            message = "anchors and aliases (&name, *name) are not allowed in a recipe; write the value out, or put it in quotes"
            self.fail(message, event.start_mark)
        if event.tag is not None:
            self.fail("tags (!name) are not allowed in a recipe; write a plain value, or put it in quotes", event.start_mark)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.fail(f"a recipe has at most {MAX_NODES} keys and values; split it into several recipes", event.start_mark)
        if depth > MAX_DEPTH and not isinstance(event, yaml.ScalarEvent):
            self.fail(f"this is nested deeper than {MAX_DEPTH} levels; a recipe never needs that, flatten it", event.start_mark)


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
