"""Rules speak only when the words are plain; no signal is never cheap."""

from __future__ import annotations

import pytest

from frugal_plugins.flow import Context
from frugal_plugins.request import Request
from frugal_plugins.tasks import find_task
from tests.support import ask_for

FLAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"name": {"type": "string"}}}}}
DEEP = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "object"}}}}}

PLAIN = [
    ("Is this message spam? Answer yes or no.\n\nWin a prize", "yes_no"),
    ("Classify the ticket: my parcel is late", "classification"),
    ("Which department should handle this?", "classification"),
    ("Extract the order number from: order 55", "extraction"),
    ("Summarize the thread below in three sentences.", "summary"),
    ("Write an outline for a talk about chairs", "outline"),
    ("Draft an email to the carrier about the delay", "drafting"),
    ("Write a report on returns in October", "document"),
    ("Write a function that parses dates", "code"),
    ("Debug this:\n```python\nprint(1/0)\n```", "code"),
    ("Prove that there are infinitely many primes = 3 mod 4", "reasoning"),
    ("How many different ways can 5 people sit in a row?", "reasoning"),
]


@pytest.mark.parametrize(("text", "task"), PLAIN)
def test_plain_words_are_recognised(text: str, task: str) -> None:
    found = find_task(ask_for(text))
    assert found is not None
    assert (found.name, found.source) == (task, "rules")


@pytest.mark.parametrize(
    "text", ["", "hmm", "What should I do about my mother's medication?", "P=NP?", "a" * 100_000, "\ud800", "それは何ですか"]
)
def test_where_no_rule_speaks_there_is_no_task(text: str) -> None:
    assert find_task(ask_for(text)) is None


def test_of_two_kinds_the_one_that_needs_the_better_model_wins() -> None:
    found = find_task(ask_for("Extract the bug and fix the function below: def f(x): return x"))
    assert found is not None
    assert found.name == "code"


def test_a_support_system_prompt_and_a_flat_schema_are_signals_a_deep_schema_is_not() -> None:
    support = find_task(ask_for("Where is my parcel?", system="You are a customer support agent."))
    assert support is not None
    assert support.name == "support_reply"
    flat = find_task(ask_for("Anna, Berlin", response_format=FLAT))
    assert flat is not None
    assert flat.name == "extraction"
    assert find_task(ask_for("Anna, Berlin", response_format=DEEP)) is None


POLICY = "You are a customer support agent of a shop. " + "Returns are possible within 30 days. " * 80


def test_a_short_first_question_to_support_with_the_policy_in_the_prompt_is_a_faq() -> None:
    found = find_task(ask_for("Can I return a chair I sat on?", system=POLICY))
    assert found is not None
    assert found.name == "faq"


@pytest.mark.parametrize(
    "request_",
    [
        ask_for("How much would three desks cost in total?", system=POLICY),
        ask_for("If I paid 649 and get 10 % off?", system=POLICY),
        ask_for("word " * 100, system=POLICY),
        ask_for("Can I return it?", system="You are a customer support agent."),
        ask_for("And the chair?", system=POLICY).with_(
            messages=(
                {"role": "system", "content": POLICY},
                {"role": "assistant", "content": "Hello!"},
                {"role": "user", "content": "And it?"},
            )
        ),
    ],
)
def test_sums_long_questions_and_later_turns_are_not(request_: Request) -> None:
    found = find_task(request_)
    assert found is not None
    assert found.name == "support_reply"


def test_words_deep_in_a_long_system_prompt_are_reference_not_instruction() -> None:
    found = find_task(ask_for("Where is it?", system=POLICY + " Staff extract the label and answer yes or no."))
    assert found is not None
    assert found.name == "faq"


def test_an_agents_step_is_never_guessed_at() -> None:
    assert find_task(ask_for("Answer yes or no", tools=[{"type": "function"}])) is None


def test_the_instruction_is_found_at_the_end_of_a_long_text() -> None:
    found = find_task(ask_for("word " * 50_000 + "\nSummarize the text above."))
    assert found is not None
    assert found.name == "summary"


def test_what_the_caller_declared_always_wins() -> None:
    ctx = Context(declared_task="yes_no")
    assert ctx.task(ask_for("Write a function")).name == "yes_no"


def test_odd_shapes_are_no_task_and_no_crash() -> None:
    for content in (None, [], [{"type": "image_url"}], [{"type": "text", "text": None}], 5):
        assert find_task(Request("m", ({"role": "user", "content": content},))) is None
    assert find_task(Request("m", ())) is None
