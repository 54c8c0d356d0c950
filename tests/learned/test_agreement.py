"""Two answers say the same when a person would say so; free text is never compared."""

from __future__ import annotations

import pytest

from frugal_plugins.learned.agreement import agree, stated

SAME = [
    ("42", "The answer is 42."),
    ('{"reasoning": "6*7", "answer": "42"}', '```json\n{"answer": 42}\n```'),
    ('{"answer": "$1,200.00"}', "\\boxed{1200}"),
    ('{"answer": "12 hours"}', '{"answer": "12"}'),
    ('{"answer": "\\\\frac{1}{2}"}', '{"answer": "1/2"}'),
    ('{"answer": "0.5"}', '{"answer": "1/2"}'),
    ('{"answer": "x = 5"}', '{"answer": "5"}'),
    ('{"answer": "\'a b\'"}', '{"answer": "a b"}'),
    ('{"answer": "[1, 2]"}', '{"answer": "[1,2]"}'),
    ("Positive", "positive."),
    ("(B) the moon", "B"),
    ('{"name": "Anna", "age": 3}', '{"age": 3, "name": "Anna"}'),
    ('{"answer": "True"}', '{"answer": "true"}'),
]
DIFFERENT = [
    ("42", "43"),
    ('{"answer": "\'aB\'"}', '{"answer": "\'ab\'"}'),
    ("positive", "negative"),
    ("A", "B"),
    ('{"answer": "1/2"}', '{"answer": "1/3"}'),
    ('{"name": "Anna"}', '{"name": "Hanna"}'),
    ('{"answer": "f.irst_second"}', '{"answer": "f"}'),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_in_other_words(one: str, other: str) -> None:
    assert agree([one, other]) is True


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_differs(one: str, other: str) -> None:
    assert agree([one, other]) is False


LETTER = "Dear Anna, thank you for writing to us. We are looking into your order and will come back to you within two days."


@pytest.mark.parametrize("text", [LETTER, "", "word " * 10_000, LETTER + "\n\n" + LETTER])
def test_free_text_cannot_be_compared(text: str) -> None:
    assert stated(text) is None
    assert agree([text, text]) is None
    assert agree([text, "42"]) is None


@pytest.mark.parametrize("text", ["[" * 5000, "'" * 999, "\\boxed{" * 400, '"answer": ' * 3000, "\ud800", "9" * 1999, "1/0", "(" * 1999])
def test_hostile_text_is_harmless(text: str) -> None:
    agree([text, text])


def test_nothing_to_compare_is_not_agreement() -> None:
    assert agree([]) is None
