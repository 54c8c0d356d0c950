"""The guards see what similar vectors cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_plugins.meaning.guards import compare, same_answer

TRAPS = {
    "numbers": [
        ("Return it within 30 days?", "Return it within 60 days?"),
        ("What is 17*3?", "What is 17*4?"),
        ("A room for two people", "A room for three people"),
        ("Is $100 enough?", "Is $900 enough?"),
        ("Ist es in zwei Tagen da?", "Ist es in drei Tagen da?"),
        ("Send 20k", "Send 20"),
    ],
    "dates": [
        ("Are you open on Sunday?", "Are you open on Monday?"),
        ("The weather in May", "The weather in June"),
        ("What happened last week?", "What happens next week?"),
        ("Êtes-vous ouverts le lundi ?", "Êtes-vous ouverts le mardi ?"),
    ],
    "units": [("How many miles is it?", "How many kilometers is it?"), ("10 kg in the bag", "10 lb in the bag")],
    "negation": [
        ("Cancel my subscription", "Don't cancel my subscription"),
        ("Should I water it in winter?", "Should I stop watering it in winter?"),
        ("Can I pay with a card?", "Can I pay without a card?"),
        ("Kann ich das zurückgeben?", "Kann ich das nicht zurückgeben?"),
        ("Puedo pagar con tarjeta?", "No puedo pagar con tarjeta?"),
    ],
    "antonyms": [
        ("How do I enable dark mode?", "How do I disable dark mode?"),
        ("How do I subscribe?", "How do I unsubscribe?"),
        ("What is the maximum deposit?", "What is the minimum deposit?"),
    ],
    "entities": [
        ("Do you ship to France?", "Do you ship to Spain?"),
        ("the capital of france", "the capital of spain"),
        ("Who founded Acme?", "Who founded Bolt?"),
        ("Does it run on an iPhone12?", "Does it run on an iPhone13?"),
    ],
    "scope": [("Is parking free?", "Is parking free for students?"), ("How do I wash wool?", "How do I wash silk?")],
    "order": [("Fly from Rome to Paris", "Fly from Paris to Rome")],
    "question": [("When do you open?", "Where do you open?"), ("How many are there?", "Why are there?")],
}
SAME = [
    ("How do I cancel my order?", "how can i cancel an order"),
    ("When do you open on Sundays?", "Hi! When do you open on sunday, please?"),
    ("How can I buy a ticket?", "How can I purchase a ticket?"),
    ("What's the price of delivery?", "what is the cost of delivery"),
    ("I lost my pasword", "I lost my password"),
    ("Is it allowed?", "is it permitted?"),
    ("Return within thirty days", "Return within 30 days"),
    ("It costs 1,000 dollars", "It costs $1000"),
]


@pytest.mark.parametrize(("guard", "one", "other"), [(guard, *pair) for guard, pairs in TRAPS.items() for pair in pairs])
def test_a_guard_names_what_changes_the_answer(guard: str, one: str, other: str) -> None:
    assert guard in compare(one, other).conflicts
    assert guard in compare(other, one).conflicts


@pytest.mark.parametrize(("one", "other"), SAME)
def test_another_way_to_say_the_same_is_no_conflict(one: str, other: str) -> None:
    assert compare(one, other).conflicts == ()


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_two_texts_can_be_compared_and_both_ways_agree(one: str, other: str) -> None:
    assert compare(one, other).conflicts == compare(other, one).conflicts


@given(st.text(max_size=300))
def test_a_text_never_conflicts_with_itself(text: str) -> None:
    difference = compare(text, text)
    assert difference.conflicts == ()
    assert difference.same_words


def test_long_texts_are_not_compared_word_by_word() -> None:
    assert compare("word " * 1000, "word " * 1000).conflicts == ("length",)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("We open at 9 on Mondays.", "On Mondays we open at 9.", True),
        ("We open at 9.", "We open at 8.", False),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ("Yes.", "yes", True),
        ("You can return it.", "You cannot return it.", False),
        ("The delivery takes three days.", "Our headquarters are in Oslo.", False),
    ],
)
def test_whether_two_answers_say_the_same(one: str, other: str, same: bool) -> None:
    assert same_answer(one, other) is same
