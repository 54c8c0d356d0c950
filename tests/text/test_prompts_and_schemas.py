"""Prompts and schemas get shorter without losing a rule, a number or a name."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.text.prompts import constraints, shorten_prompt, shortened
from frugal_plugins.text.schemas import minimised, notation, trimmed_tool

PROMPT = """# ROLE

You are an assistant of a shop.   I want you to answer briefly.


Please make sure to answer in order to help. You must never promise more than 30 % and `do  not  touch` {placeholder}.
Note that the shop closes at 18:00.
The shop sells shoes and bags and hats to people.
The shop sells shoes and bags and hats to people.

```python
if  please :   # in order to
    pass
```
"""


def test_boilerplate_goes_and_what_matters_stays() -> None:
    short = shorten_prompt(PROMPT)
    assert "in order to help" not in short.after
    assert "`do  not  touch` {placeholder}" in short.after
    assert "```python\nif  please :   # in order to\n    pass\n```" in short.after
    assert short.after.count("sells shoes") == 1
    assert short.tokens_after < short.tokens_before
    assert "-Please make sure" in short.diff()
    assert short.usd_per_month(1_000_000, 2.5) > 0


@given(
    st.lists(
        st.sampled_from([*PROMPT.split(" "), "\n", "NOT", "don't", "at least 5,", "“x  y”", "**bold**", "- ", "{{ v }}", "<tag>", "3.5%"]),
        max_size=80,
    )
)
@settings(max_examples=200, deadline=None)
def test_no_number_negation_modal_or_protected_span_is_lost(words: list[str]) -> None:
    text = " ".join(words)
    short = shortened(text)
    had, has = constraints(text), constraints(short)
    assert all(not counts - has[kind] for kind, counts in had.items())
    assert len(short) <= len(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Thanks. Please answer briefly and do it now.", "Thanks. Answer briefly and do it now."),
        ("Check it. In order to answer, use the table. Then stop.", "Check it. To answer, use the table. Then stop."),
        ("1. Please kindly answer.\n2. Kindly, please use tables.", "1. Answer.\n2. Use tables."),
        ("- Please note that iPhones cost 5. Please say so.", "- iPhones cost 5. Say so."),
        ("It is important to note that prices are in EUR.", "Prices are in EUR."),
        ("You must remember that refunds take 5 days.", "You must remember that refunds take 5 days."),
        ("Feel free to use tables in it.", "You may use tables in it."),
        ("Note: please answer in French, please.", "Note: answer in French."),
        ('"Please keep this" and `Please this`. Please `run` it.', '"Please keep this" and `Please this`. `run` it.'),
    ],
)
def test_a_sentence_that_loses_its_first_words_still_begins_with_a_capital(before: str, after: str) -> None:
    assert shortened(before) == after


@pytest.mark.parametrize(
    "again",
    ["to answer, you must use the 3 tables!", "In order to answer, you must use the 3 tables", "- To answer, you must use the 3 tables.",
     "Please, in order to answer, you must use the 3 tables."],
)  # fmt: skip
def test_a_sentence_is_not_said_again_with_another_beginning_or_end(again: str) -> None:
    first = "To answer, you must use the 3 tables. Name the source.\n"
    assert shortened(first + again) == first.strip()


@pytest.mark.parametrize(
    "text",
    [
        "Can you answer in French now? You can answer in French now.",
        "Return the field userId with it. Return the field userid with it.",
        "You must name the 3 tables. You must not name the 3 tables.",
        "You must name all of 3 tables. You must name all of 4 tables.",
    ],
)
def test_two_sentences_that_mean_different_things_both_stay(text: str) -> None:
    assert shortened(text).count(".") + shortened(text).count("?") == 2


SPANS = (
    "A-1047",
    "`Please run`",
    "```\nPlease  wait\n```",
    '"Please, in order to"',
    "{{name}}",
    "{user_id}",
    "<tag>",
    "userId",
    "7.5 %",
)
RULES = ("never", "not", "must", "should", "only", "may", "cannot")
WORDS = (
    "Please",
    "please",
    "In order to",
    "I want you to",
    "really",
    "the tables",
    "answer",
    "to answer",
    "Make sure to",
    "Please note that",
)


@given(
    st.lists(
        st.tuples(st.sampled_from([*SPANS, *RULES, *WORDS]), st.sampled_from([" ", " ", " ", ", ", ". ", "! ", ".\n", "\n- ", ":\n\n"])),
        max_size=40,
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_a_prompt_is_made_of_nothing_that_matters_is_lost(parts: list[tuple[str, str]]) -> None:
    text = "".join(word + gap for word, gap in parts)
    short = shortened(text)
    assert len(short) <= len(text)
    for span in SPANS:
        assert (span in short) == (span in text)
    for word in RULES:
        assert bool(re.search(rf"\b{word}\b", short, re.IGNORECASE)) == bool(re.search(rf"\b{word}\b", text))


def test_the_same_prompt_gives_the_same_bytes_and_a_short_one_stays_short() -> None:
    short = shortened(PROMPT)
    assert shortened(PROMPT) == short
    assert len(shortened(short)) <= len(short)


@pytest.mark.parametrize("text", ["", "x", "\0 1 \0", "{", "```", "a\r\nb"])
def test_small_and_odd_prompts_are_served(text: str) -> None:
    assert len(shortened(text)) <= len(text)


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Order",
    "type": "object",
    "properties": {
        "id": {"title": "Id", "type": "string", "pattern": "^[A-Z]+$", "description": "The id."},
        "title": {"type": "string", "default": None},
        "kind": {"enum": ["a", "b"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 1},
        "more": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "all": {"allOf": [{"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}]},
    },
    "required": ["id", "lines"],
    "additionalProperties": False,
    "$defs": {"Line": {"title": "Line", "type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}},
}


def test_a_schema_loses_what_says_nothing_and_keeps_a_property_called_title() -> None:
    plain = minimised(SCHEMA)
    assert "$defs" not in plain
    assert plain["properties"]["title"] == {"type": "string"}
    assert plain["properties"]["lines"]["items"]["properties"]["n"] == {"type": "integer", "minimum": 1}
    assert "Id" not in json.dumps(plain)


def test_the_notation_has_every_name_value_bound_and_mark() -> None:
    text = notation(SCHEMA)
    for part in (
        "id: str[/^[A-Z]+$/] # The id.",
        "title?: str",
        'kind?: "a"|"b"',
        "lines: {n: int[>=1]}[][items>=1]",
        "more?: int|null",
        "x: num",
        "nothing else",
    ):
        assert part in text, part


def test_a_schema_that_refers_to_itself_keeps_its_definition() -> None:
    tree = {"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}}}
    assert "Node = {next?: Node}" in notation(tree)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["string", "null"]},
        {"const": 3},
        {"not": {"type": "string"}},
        {"items": True},
        {"properties": None},
        {"type": "object"},
    ],
)
def test_odd_schemas_are_written(schema: dict[str, object]) -> None:
    assert notation(schema)


TOOL = {
    "type": "function",
    "function": {
        "name": "triangle_area",
        "description": "Calculate the area of a triangle. It is a very nice function. It must not be used for circles.",
        "parameters": {
            "type": "object",
            "properties": {
                "base": {"type": "integer", "description": "The base of the triangle."},
                "unit": {"type": "string", "enum": ["cm", "in"], "description": "The unit to be used. If not provided, defaults to 'cm'."},
            },
            "required": ["base"],
        },
    },
}


def test_a_tool_keeps_its_names_rules_and_defaults_and_loses_repetition() -> None:
    slim = trimmed_tool(TOOL)["function"]
    assert slim["description"] == "Calculate area of triangle. It must not be used for circles"
    assert slim["parameters"]["properties"]["base"] == {"type": "integer"}
    assert slim["parameters"]["properties"]["unit"]["description"] == "Unit. default 'cm'"
    assert slim["parameters"]["required"] == ["base"]
    assert "The base of" in TOOL["function"]["parameters"]["properties"]["base"]["description"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Rating of the hotel", "Rating"),
        ("Currency in which the hotel is paid", "Currency in which hotel is paid"),
        ("ID of the hotel", "ID of hotel"),
        ("City where the hotel is located", "City"),
        ("City of the customer", "City of customer"),
        ("Rating of the hotel, 1 to 5", "Rating of hotel, 1 to 5"),
        ("The person for whom the price needs to be calculated", "Person for whom price needs to be calculated"),
    ],
)
def test_only_what_the_tools_own_name_says_goes_from_the_end(said: str, left: str) -> None:
    tool = {"name": "find_hotel", "input_schema": {"type": "object", "properties": {"x": {"type": "string", "description": said}}}}
    assert trimmed_tool(tool)["input_schema"]["properties"]["x"]["description"] == left


def test_a_tool_with_nothing_to_trim_is_the_same_object() -> None:
    tool = {"name": "f", "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    assert trimmed_tool(tool) is tool
