"""Whether an answer is the expected one: to the letter, by what it says, as JSON field by field, or by the words it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, get_args

from frugal_plugins.errors import InputError
from frugal_plugins.learned.agreement import stated
from frugal_plugins.learned.verify import parsed
from frugal_plugins.text.facts import folded

Comparison = Literal["auto", "exact", "normalised", "json", "contains", "judge"]
COMPARISONS: Final[tuple[str, ...]] = get_args(Comparison)

_NUMBER: Final = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?![\w]|\.\d)")
_ENDS: Final = " \t\n.!\"'`*"
_TRUTHS: Final[Mapping[bool, frozenset[str]]] = {True: frozenset({"true", "yes"}), False: frozenset({"false", "no"})}
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of comparing one answer.

    Attributes:
        right: None where nobody could tell (a judge that said neither or both).
        why: what differs, for a person.
        fields: for JSON, which fields were right.
    """

    right: bool | None
    why: str = ""
    fields: Mapping[str, bool] = field(default_factory=dict)


def compare(answer: str, expected: Any, how: Comparison = "auto", fields: Sequence[str] = ()) -> Verdict:
    """Compare an answer with what was expected.

    `exact`: to the letter, but for white space around it. `normalised`: numbers by value, labels and short answers without case,
    quotes and end marks; for a number, the only number in the answer counts. `json`: the answer is a JSON object whose `fields`
    (else all that are expected) equal the expected ones. `contains`: the expected text, or each of a list of texts, stands in
    the answer as whole words. `auto`: `json` for an object, else `normalised`.

    >>> compare("The total is $1,200.00.", 1200).right, compare("Refund", "refund.").right, compare("refund it", "refund").right
    (True, True, False)
    >>> compare('{"total": 12.0, "note": "x"}', {"total": 12, "currency": "EUR"}).fields
    {'total': True, 'currency': False}
    """
    wanted = _as_object(expected) if how in ("auto", "json") else None
    if how == "json" and wanted is None:
        raise InputError(f"the expected value {str(expected)[:60]!r} is no JSON object; write one, or compare in another way")
    if wanted is not None:
        return _same_fields(answer, wanted, fields)
    if how == "exact":
        return _verdict(answer.strip() == _text(expected).strip(), expected)
    if how == "contains":
        return _holds(answer, expected)
    return _verdict(_says(answer, expected), expected)


def _verdict(right: bool, expected: Any) -> Verdict:
    return Verdict(right, "" if right else f"expected {_text(expected)[:80]!r}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_object(expected: Any) -> Mapping[str, Any] | None:
    if isinstance(expected, str) and expected.lstrip()[:1] == "{":
        expected = parsed(expected)
    return expected if isinstance(expected, Mapping) else None


def _says(answer: str, expected: Any) -> bool:
    """Whether both say the same in one spelling."""
    if isinstance(expected, bool):
        said = stated(answer)
        return (said.form if said is not None else folded(answer).strip(_ENDS)) in _TRUTHS[expected]
    if isinstance(expected, (list, Mapping)):
        return _equal(parsed(answer), expected)
    number = _value(_text(expected))
    if number is not None and (only := _only_number(answer)) is not None:
        return only == number
    wanted, said = stated(_text(expected)), stated(answer)
    if wanted is not None and said is not None and wanted.same(said):
        return True
    return folded(answer).strip(_ENDS) == folded(_text(expected)).strip(_ENDS)


def _only_number(answer: str) -> Decimal | None:
    """The value of an answer that names one number only, however often."""
    found = {_value(one) for one in _NUMBER.findall(answer)}
    return found.pop() if len(found) == 1 else None


def _value(text: str) -> Decimal | None:
    try:
        value = Decimal(text.strip().lstrip("$€£").replace(",", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _holds(answer: str, expected: Any) -> Verdict:
    wanted = [_text(one) for one in expected] if isinstance(expected, list) else [_text(expected)]
    said = folded(answer)
    missing = [one for one in wanted if not re.search(rf"(?<!\w){re.escape(folded(one))}(?!\w)", said)]
    return Verdict(not missing, "" if not missing else f"does not hold {', '.join(repr(one[:60]) for one in missing[:5])}")


def _same_fields(answer: str, wanted: Mapping[str, Any], fields: Sequence[str]) -> Verdict:
    names = list(fields) or list(wanted)
    said = parsed(answer)
    if not isinstance(said, Mapping):
        return Verdict(False, "is no JSON object", dict.fromkeys(names, False))
    found = {name: _equal(_at(said, name), _at(wanted, name)) for name in names}
    wrong = [f"{name}: {_text(None if (got := _at(said, name)) is _MISSING else got)[:40]}" for name, right in found.items() if not right]
    return Verdict(not wrong, "; ".join(wrong[:5]), found)


def _at(said: Mapping[str, Any], path: str) -> Any:
    """A field, or one inside another (`buyer.name`)."""
    if path in said:
        return said[path]
    inner: Any = said
    for name in path.split("."):
        if not isinstance(inner, Mapping) or name not in inner:
            return _MISSING
        inner = inner[name]
    return inner


def _equal(one: Any, other: Any) -> bool:
    """Equal as JSON: numbers by value, texts but for white space around them, lists in order, objects by their fields."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other
    if isinstance(one, str) and isinstance(other, str):
        return one.strip() == other.strip()
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    return one is None and other is None
