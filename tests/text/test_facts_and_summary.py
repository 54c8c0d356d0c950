"""Summaries put facts first, invent nothing and stay within their budget; recall finds what was said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.learned.embedding import static_embedding
from frugal_plugins.text.facts import folded, hard_facts, sentences, unfaithful
from frugal_plugins.text.recall import Archive, asked_back
from frugal_plugins.text.summary import Said, summarise
from frugal_plugins.tokens import count_text
from tests.text.shapes import sentences as any_sentences

CHAT = (
    Said("user", "Hi there! I would like to book a table at P.f. Chang's in Corte Madera for two people."),
    Said("assistant", "Sure, that sounds great. For which day shall I book it?"),
    Said("user", "March 8th at 7 pm please. I am allergic to peanuts, so no peanuts."),
    Said("assistant", "Thank you very much, that is really very nice of you to say."),
)


def test_a_summary_keeps_names_numbers_and_negations_and_leaves_chatter_out() -> None:
    text = summarise(CHAT, 48)
    assert all(fact in text for fact in ("P.f. Chang's", "Corte Madera", "March 8th", "7 pm", "no peanuts"))
    assert "very nice" not in text


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool", ""]), any_sentences), max_size=12), st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_a_summary_invents_nothing_and_keeps_to_its_budget(turns: list[tuple[str, str]], budget: int) -> None:
    said = [Said(role, text) for role, text in turns]
    text = summarise(said, budget)
    assert unfaithful(text, " ".join(turn.text for turn in said) + " U: A: T:") == []
    assert count_text(text) <= budget * 1.2 + 8


def test_a_fact_the_reader_sees_anyway_earns_nothing() -> None:
    said = [Said("user", "The code is 7731."), Said("user", "The gate is B12.")]
    assert summarise(said, 9, known="The code is 7731.") == "U: The gate is B12."


@pytest.mark.parametrize(
    ("summary", "invented"),
    [
        ("The order ships on 12 May to Anna.", ["12"]),
        ("Order AB99XY is paid.", ["ab99xy"]),
        ("The order of Bert is paid.", ["bert"]),
        ("The order ships on 11 May.", []),
        ("", []),
    ],
)
def test_what_a_summary_makes_up_is_found(summary: str, invented: list[str]) -> None:
    assert unfaithful(summary, "Order AB12XY of Anna was paid and ships on 11 May.") == invented


def test_abbreviations_do_not_end_a_sentence() -> None:
    assert sentences("Returns the U.S. president. Takes a year, e.g. 1999.") == ["Returns the U.S. president.", "Takes a year, e.g. 1999."]


def test_facts_are_found_once_and_folded() -> None:
    assert hard_facts('Anna paid $30.50 for "the blue one" on 2026-11-22, ref AB12CD. Anna!')[:3] == ["anna", "$30.50", '"the blue one"']


MEMORY = Archive(
    [
        Said("user", "My dog is called Bruno and he eats twice a day."),
        Said("assistant", "Nice!"),
        Said("user", "The alarm code of the garage is 7731. I changed it in March."),
        Said("user", "I ordered a strawberry matcha latte yesterday."),
    ]
)


def test_recall_finds_the_sentence_that_answers_and_quotes_its_place() -> None:
    found = MEMORY.find("What is the code of my garage alarm?", 60)
    assert "7731" in found[0].text
    assert found[0].place == 2


def test_recall_prefers_what_sounds_like_the_question_to_what_only_shares_a_word() -> None:
    said = [Said("user", "Please send the parcel by express courier on Monday morning."), Said("user", "A parcel of land.")]

    def best(archive: Archive) -> int:
        found = archive.find("Which delivery service did I want for the parcel?", 90)
        return max(found, key=lambda quote: quote.score).place

    assert best(Archive(said)) == 1
    assert best(Archive(said, static_embedding())) == 0


def test_recall_keeps_to_its_budget_and_leaves_out_what_is_sent_anyway() -> None:
    assert MEMORY.find("garage alarm code", 5) == []
    assert not any("7731" in quote.text for quote in MEMORY.find("garage alarm code", 90, already="The alarm code of the garage is 7731."))


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("What was the alarm code of my garage?", True),
        ("Remind me of the garage code.", True),
        ("The garage is cold today.", False),
        ("What is the capital of Peru?", False),
        ("", False),
    ],
)
def test_only_questions_about_what_is_gone_ask_back(question: str, asks: bool) -> None:
    assert bool(asked_back(question, MEMORY, [])) is asks


def test_what_still_stands_in_the_prompt_is_not_asked_back() -> None:
    assert asked_back("What was the alarm code of my garage?", MEMORY, ["the alarm code of the garage is 7731"]) == ""


def test_folding_makes_mentions_equal() -> None:
    assert folded("It’s  Anna") == "it's anna"
