"""A value that fits a JSON Schema, chosen the same way every time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import Any

from frugal_plugins.sandbox.dice import Dice

_DEEP = 6
"""From this depth on optional parts are left out, so that a schema that contains itself comes to an end."""

_MOST_ITEMS = 1_000
_MOST_LETTERS = 10_000
"""However much a schema asks for, an answer stays an answer."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NAME = re.compile(r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)?\b")

_WORDS = ("amber", "harbor", "ledger", "maple", "north", "orchard", "paper", "quartz", "river", "signal", "timber", "violet")
_PEOPLE = ("Ada Park", "Ben Ortiz", "Chiara Lund", "Dana Weiss", "Emil Novak", "Farah Khan")

_FORMATS = {
    "date": "20{y:02d}-{m:02d}-{d:02d}",
    "date-time": "20{y:02d}-{m:02d}-{d:02d}T{h:02d}:30:00Z",
    "time": "{h:02d}:30:00Z",
    "duration": "PT{h}H",
    "email": "{w}@example.com",
    "hostname": "{w}.example.com",
    "uri": "https://{w}.example.com/{d}",
    "ipv4": "192.0.2.{d}",
    "ipv6": "2001:db8::{d}",
    "uuid": "{x:08x}-0000-4000-8000-{x:012x}",
}


def instance(schema: Any, dice: Dice, text: str = "") -> Any:
    """A valid value for `schema`; names and numbers are taken from `text` where they fit."""
    return _Writer(schema if isinstance(schema, Mapping) else {}, dice, text).value(schema, "", 0)


class _Writer:
    def __init__(self, root: Mapping[str, Any], dice: Dice, text: str) -> None:
        self._root = root
        self._dice = dice
        self._numbers: list[str] = _NUMBER.findall(text[-4000:])
        self._names: list[str] = _NAME.findall(text[-4000:])

    def value(self, schema: Any, name: str, depth: int) -> Any:
        """A value for one part of the schema; `name` is the property it is for."""
        if schema is True or not isinstance(schema, Mapping) or not schema:
            return self._dice.pick(_WORDS)
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._dice.pick(schema["enum"])
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                rest = {key: part for key, part in schema.items() if key != union}
                return self.value(_merged(rest, self._resolved(self._option(schema[union], depth))), name, depth)
        return self._typed(_type(schema, depth), schema, name, depth)

    def _typed(self, kind: str, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, whole=kind == "integer")
        if kind == "boolean":
            return self._dice.below(2) == 1
        return None if kind == "null" else self._string(schema, name)

    def _resolved(self, part: Any) -> Mapping[str, Any]:
        """The schema with its `$ref` followed and its `allOf` merged in."""
        schema: Mapping[str, Any] = part if isinstance(part, Mapping) else {}
        for _ in range(20):
            if "$ref" not in schema:
                break
            rest = {key: part for key, part in schema.items() if key != "$ref"}
            schema = _merged(self._at(schema["$ref"]), rest)
        if schema.get("allOf"):
            merged: Mapping[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
            for one in schema["allOf"]:
                merged = _merged(merged, self._resolved(one))
            return merged
        return schema

    def _at(self, reference: str) -> Mapping[str, Any]:
        place: Any = self._root
        for step in filter(None, reference.lstrip("#").split("/")):
            name = step.replace("~1", "/").replace("~0", "~")
            place = place.get(name, {}) if isinstance(place, Mapping) else {}
        return place if isinstance(place, Mapping) else {}

    def _option(self, options: Sequence[Any], depth: int) -> Any:
        """One of several schemas; deep down the one that ends soonest."""
        if depth < _DEEP:
            return self._dice.pick(options)
        ranks = {"null": 0, "boolean": 1, "integer": 1, "number": 1, "string": 1, "array": 2, "object": 3}
        return min(options, key=lambda option: ranks.get(_type(self._resolved(option), depth), 3))

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required = list(schema.get("required") or ())
        names = [name for name in properties if name in required or depth < _DEEP // 2 or (depth < _DEEP and self._dice.below(2))]
        names += [name for name in required if name not in properties]
        result = {name: self.value(properties.get(name, True), name, depth + 1) for name in names}
        extra = schema.get("additionalProperties")
        wanted = max(int(schema.get("minProperties") or 0), 1 if isinstance(extra, Mapping) and not properties else 0)
        for word in _WORDS:
            if len(result) >= wanted:
                break
            result.setdefault(word, self.value(extra, word, depth + 1))
        return result

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        first = [self.value(part, name, depth + 1) for part in schema.get("prefixItems") or ()]
        low = min(_MOST_ITEMS, int(schema.get("minItems", 0 if depth >= _DEEP else 1) or 0))
        high = int(schema.get("maxItems", max(low, 3)))
        wanted = low if depth >= _DEEP else self._dice.between(low, max(low, min(high, low + 2)))
        items = schema.get("items", True)
        values = first[:high] if items is False else [*first]
        tries = 0
        while items is not False and len(values) < wanted and tries < wanted * 20:
            tries += 1
            value = self.value(items, name, depth + 1)
            if not (schema.get("uniqueItems") and value in values):
                values.append(value)
        return values

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> int | float:
        low, high, step = _bounds(schema, whole)
        open_ended = not {"maximum", "exclusiveMaximum"} & set(schema)
        for text in self._numbers:
            found = float(text)
            if low <= found and (found <= high or open_ended) and (not whole or found.is_integer()) and not step:
                return int(found) if whole else found
        if step:
            return _plain(step * self._dice.between(ceil(low / step), max(ceil(low / step), floor(high / step))), whole)
        return self._dice.between(ceil(low), floor(high)) if floor(high) >= ceil(low) else (low + high) / 2

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        low, high = min(_MOST_LETTERS, int(schema.get("minLength") or 0)), schema.get("maxLength")
        if schema.get("pattern"):
            from frugal_plugins.sandbox.pattern import matching

            found = matching(schema["pattern"], self._dice)
            if found is not None:
                return found
        if schema.get("format") in _FORMATS:
            return self._formatted(schema["format"])
        text = self._said(name.lower())
        while len(text) < low:
            text += " " + self._dice.pick(_WORDS)
        return text if high is None else text[: int(high)]

    def _formatted(self, name: str) -> str:
        dice = self._dice
        parts = {"y": dice.between(20, 26), "m": dice.between(1, 12), "d": dice.between(1, 28), "h": dice.between(1, 23)}
        return _FORMATS[name].format(w=dice.pick(_WORDS), x=dice.below(1 << 32), **parts)

    def _said(self, name: str) -> str:
        """Something that suits a property of this name."""
        if "mail" in name:
            return self._formatted("email")
        if "date" in name or name.endswith("_at"):
            return self._formatted("date")
        if "url" in name or "link" in name:
            return self._formatted("uri")
        if self._names and self._dice.below(3):
            return self._dice.pick(self._names)
        if "name" in name or "author" in name or "person" in name:
            return self._dice.pick(_PEOPLE)
        if name in ("summary", "reason", "reasoning", "explanation", "description", "text", "answer", "content", "message"):
            return " ".join(self._dice.pick(_WORDS) for _ in range(self._dice.between(6, 18))).capitalize() + "."
        return " ".join(self._dice.pick(_WORDS) for _ in range(self._dice.between(1, 3)))


def _type(schema: Mapping[str, Any], depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return "null" if depth >= _DEEP and "null" in kind else next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema or isinstance(schema.get("additionalProperties"), Mapping):
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "number" if "minimum" in schema or "maximum" in schema else "string"


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both schemas at once: properties and required names of both, else the second one's word."""
    result = {**one, **other}
    if "properties" in one and "properties" in other:
        result["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        result["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return result


def _bounds(schema: Mapping[str, Any], whole: bool) -> tuple[float, float, float | None]:
    step = schema.get("multipleOf")
    nudge = step or (1 if whole else 0.01)
    low = schema.get("minimum")
    high = schema.get("maximum")
    if isinstance(schema.get("exclusiveMinimum"), (int, float)):
        low = schema["exclusiveMinimum"] + nudge
    if isinstance(schema.get("exclusiveMaximum"), (int, float)):
        high = schema["exclusiveMaximum"] - nudge
    if low is None:
        low = 1 if high is None or high >= 1 else high - 100
    if high is None:
        high = low + 100
    return low, max(low, high), step


def _plain(number: float, whole: bool) -> int | float:
    return round(number) if whole else round(number, 9)
