"""A look at one answer, without asking anyone."""

from __future__ import annotations

from typing import Any

import pytest

from frugal_plugins.learned.verify import look, mean_logprob, schema_problem
from tests.support import ask_for, reply_with

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name"],
}
WANTED = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("text", "finish", "finding"),
    [
        ("", "stop", "empty"),
        ("  \n", "stop", "empty"),
        ("I'm sorry, but I can't help with that.", "stop", "refused"),
        ("I cannot assist with this request.", "stop", "refused"),
        ("Unfortunately, I am unable to determine the total.", "stop", "refused"),
        ("I don't have enough information to answer that.", "stop", "refused"),
        ("I'm sorry about that! E07 means that the legs are not level.", "stop", None),
        ("Sorry, we can't ship beds to Iceland.", "stop", None),
        ("I can't wait to see it!", "stop", None),
        ("Some text", "content_filter", "refused"),
        ("Some text that was cut", "length", "truncated"),
        ("All is well.", "stop", None),
        ("The customer said she was sorry.", "stop", None),
    ],
)
def test_what_is_plainly_wrong_is_found(text: str, finish: str, finding: str | None) -> None:
    assert look(ask_for(), reply_with(text, finish=finish)).finding == finding


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ('{"name": "Anna", "age": 3}', True),
        ('```json\n{"name": "Anna"}\n```', True),
        ('{"age": 3}', False),
        ('{"name": "Anna", "age": "three"}', False),
        ('{"name": "Anna", "age": true}', False),
        ('{"name": "Anna", "kind": "c"}', False),
        ('{"name": "Anna", "tags": ["x", 1]}', False),
        ("Anna is 3", False),
        ("[" * 20_000, False),
    ],
)
def test_a_structured_answer_is_held_against_its_schema(text: str, good: bool) -> None:
    assert look(ask_for(response_format=WANTED), reply_with(text)).good is good


def test_a_schema_problem_names_the_place_and_never_the_value() -> None:
    problem = schema_problem({"name": "Anna", "tags": ["x", 17]}, SCHEMA)
    assert problem is not None
    assert "tags[1]" in problem
    assert "17" not in problem


def test_a_task_can_demand_a_pattern() -> None:
    assert look(ask_for(), reply_with("order 55"), pattern=r"order \d+").good
    assert look(ask_for(), reply_with("no idea"), pattern=r"order \d+").finding == "not_matching"


def test_tool_calls_are_good_when_their_arguments_parse() -> None:
    def calling(arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"type": "function", "function": {"name": "f", "arguments": arguments}}]}

    assert look(ask_for(), reply_with(None, **calling('{"a": 1}'))).good
    assert not look(ask_for(), reply_with(None, **calling('{"a": '))).good


def test_an_unsure_answer_is_found_where_the_provider_sends_log_probabilities() -> None:
    raw = {"choices": [{"logprobs": {"content": [{"logprob": -0.1}, {"logprob": -1.9}]}}]}
    assert mean_logprob(raw) == pytest.approx(-1.0)
    assert look(ask_for(), reply_with("x").with_(raw=raw), least_logprob=-0.5).finding == "unsure"
    assert look(ask_for(), reply_with("x").with_(raw=raw), least_logprob=-2).good
    for odd in (None, {}, {"choices": []}, {"choices": [{"logprobs": None}]}, object()):
        assert mean_logprob(odd) is None
