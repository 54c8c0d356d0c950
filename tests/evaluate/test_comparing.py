from __future__ import annotations

import pytest

from frugal_plugins.errors import InputError
from frugal_plugins.evaluate import Comparison, compare

SAYS = [
    ("normalised", "$1,200.00", 1200, True),
    ("normalised", "The total is 42 EUR.", "42", True),
    ("normalised", "Between 41 and 42 EUR.", "42", False),
    ("normalised", "-3", 3, False),
    ("normalised", "version 1.2.3", "1.2", False),
    ("normalised", "**Refund**", "refund", True),
    ("normalised", "refund or delivery", "refund", False),
    ("normalised", '{"reasoning": "because", "label": "refund"}', "refund", True),
    ("normalised", "Yes.", True, True),
    ("normalised", "No, it is not.", True, False),
    ("normalised", "Thank you.  We look into it and come back to you soon", "thank you. we look into it and come back to you soon.", True),
    ("exact", " refund\n", "refund", True),
    ("exact", "Refund", "refund", False),
    ("contains", "We ship to Norway within 5 days.", "norway", True),
    ("contains", "We ship to Norwayland.", "Norway", False),
    ("contains", "Norway: 5 days", ["Norway", "5 days"], True),
    ("contains", "Norway: soon", ["Norway", "5 days"], False),
    ("auto", '```json\n{"total": 12.0, "who": "Acme ", "note": 1}\n```', {"total": 12, "who": "Acme"}, True),
    ("auto", '{"total": "12"}', {"total": 12}, False),
    ("auto", '{"total": true}', {"total": 1}, False),
    ("auto", '{"tags": ["b", "a"]}', '{"tags": ["a", "b"]}', False),
    ("auto", "Total: 12", {"total": 12}, False),
]  # fmt: skip


@pytest.mark.parametrize(("how", "answer", "expected", "right"), SAYS)
def test_an_answer_is_right_or_it_is_not(how: Comparison, answer: str, expected: object, right: bool) -> None:
    assert compare(answer, expected, how).right is right


def test_json_is_compared_field_by_field_and_only_where_asked() -> None:
    wanted = {"total": 12, "buyer": {"name": "Acme", "city": "Oslo"}}
    said = '{"total": 12, "buyer": {"name": "Acme", "city": "Bergen"}, "note": "x"}'
    assert compare(said, wanted).fields == {"total": True, "buyer": False}
    assert compare(said, wanted, "json", ("total", "buyer.name")).right is True
    missing = compare(said, wanted, "json", ("total", "vat"))
    assert missing.fields == {"total": True, "vat": False}
    assert "vat" in missing.why


def test_what_cannot_be_compared_as_json_is_said() -> None:
    with pytest.raises(InputError, match="'refund' is no JSON object"):
        compare("{}", "refund", "json")
