"""What the sandbox says: recorded answers, and made-up ones."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.errors import InputError
from frugal_plugins.sandbox import PriceSheet, recorded_from_zeroeval
from frugal_plugins.sandbox.answers import AnswerBook
from frugal_plugins.sandbox.ask import Ask, Turn
from frugal_plugins.sandbox.dice import Dice
from frugal_plugins.sandbox.generator import conversation_seed, generate
from frugal_plugins.sandbox.json_instance import instance
from frugal_plugins.sandbox.pattern import matching

SHEET = PriceSheet.load()


def ask(*turns: tuple[str, str], model: str = "gpt-4o-mini", **more: Any) -> Ask:
    card = SHEET.find(model)
    assert card is not None
    return Ask(card=card, model=model, turns=tuple(Turn(role, text) for role, text in turns), **more)


def found(book: AnswerBook, *turns: tuple[str, str], model: str = "gpt-4o-mini") -> str | None:
    answer = book.find(ask(*turns, model=model))
    return answer.text if answer else None


class TestRecorded:
    def test_the_model_is_found_by_exact_dated_and_any_name(self) -> None:
        outputs = {"gpt-4o-mini": "mini", "openai/gpt-4o-2024-08-06": "big", "claude-3-haiku-20240307": "haiku", "*": "any"}
        book = AnswerBook([{"user": "q", "outputs": outputs}])
        assert found(book, ("user", "q")) == "mini"
        assert found(book, ("user", "q"), model="gpt-4o-mini-2024-07-18") == "mini"
        assert found(book, ("user", "q"), model="gpt-4o") == "big"
        assert found(book, ("user", "q"), model="claude-3-haiku-20240307") == "haiku"
        assert found(book, ("user", "q"), model="gpt-4.1") == "any"

    def test_without_an_entry_for_the_model_nothing_is_found(self) -> None:
        book = AnswerBook([{"user": "q", "outputs": {"gpt-4o": "x"}}])
        assert found(book, ("user", "q")) is None
        assert found(book, ("user", "q "), model="gpt-4o") is None

    def test_the_most_specific_line_wins(self) -> None:
        book = AnswerBook(
            [
                {"user": "q", "outputs": {"*": "plain"}},
                {"user": "q", "system_contains": "pirate", "outputs": {"*": "arr"}},
                {"user": "q", "system_contains": "pirate", "context_contains": "gold", "outputs": {"*": "arr, gold"}},
            ]
        )
        assert found(book, ("system", "You are a pirate"), ("user", "q")) == "arr"
        assert found(book, ("system", "You are a pirate"), ("user", "gold?"), ("assistant", "aye"), ("user", "q")) == "arr, gold"
        assert found(book, ("user", "q")) == "plain"

    def test_context_means_earlier_messages_only(self) -> None:
        book = AnswerBook([{"user": "gold", "context_contains": "gold", "outputs": {"*": "x"}}])
        assert found(book, ("user", "gold")) is None

    def test_tool_results_tell_the_steps_of_an_agent_apart(self) -> None:
        book = AnswerBook([{"user": "q", "outputs": {"*": "first"}}, {"user": "q", "after": ["1", "2"], "outputs": {"*": "third"}}])
        assert found(book, ("user", "q")) == "first"
        assert found(book, ("user", "q"), ("assistant", ""), ("tool", "1")) is None
        assert found(book, ("user", "q"), ("assistant", ""), ("tool", "1"), ("assistant", ""), ("tool", "2")) == "third"

    def test_files_and_zeroeval_lines(self, tmp_path: Path) -> None:
        line = {"id": "1", "prompt": "p", "outputs": {"gpt-4o-2024-08-06": "yes"}, "correct": {}}
        path = tmp_path / "recorded.jsonl.gz"
        path.write_bytes(gzip.compress(json.dumps(line).encode() + b"\n\n"))
        assert found(AnswerBook([path]), ("user", "p"), model="gpt-4o") == "yes"
        assert recorded_from_zeroeval(line) == {"user": "p", "outputs": line["outputs"]}

    def test_a_broken_line_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "recorded.jsonl"
        path.write_text('{"user": "a", "outputs": {}}\n{oops\n')
        with pytest.raises(InputError, match=r"recorded\.jsonl:2: not JSON"):
            AnswerBook([path])
        with pytest.raises(InputError, match="needs 'user'"):
            AnswerBook([{"question": "x"}])


class TestMadeUp:
    def test_it_depends_on_the_whole_conversation(self) -> None:
        def say(*turns: tuple[str, str]) -> str | None:
            question = ask(*turns)
            return generate(question, conversation_seed(question)).text

        assert say(("user", "Why is the sky blue?")) == say(("user", "Why is the sky blue?"))
        assert say(("system", "x"), ("user", "Why is the sky blue?")) != say(("user", "Why is the sky blue?"))

    @pytest.mark.parametrize("question", ["Is the sea deep?", "Here is a text. Does it mention a boat?", "Can cats swim?"])
    def test_a_yes_no_question_gets_yes_or_no(self, question: str) -> None:
        asked = ask(("user", question))
        assert re.match(r"(Yes|No), .*\.$", generate(asked, conversation_seed(asked)).text or "")

    def test_lengths_vary_like_answers_do(self) -> None:
        sizes = []
        for number in range(200):
            asked = ask(("user", f"Explain topic {number} to me."))
            sizes.append(len((generate(asked, conversation_seed(asked)).text or "").split()))
        assert min(sizes) < 20
        assert 40 < sorted(sizes)[100] < 150
        assert max(sizes) > 200

    def test_a_summary_is_made_of_what_was_said(self) -> None:
        asked = ask(
            ("user", "My order 7781 is late. Please help."), ("assistant", "I see it. It ships Monday."), ("user", "Summarize this.")
        )
        text = generate(asked, conversation_seed(asked)).text or ""
        assert "order 7781" in text

    def test_json_asked_for_in_words(self) -> None:
        asked = ask(("user", 'Answer in json:\n{"reasoning": "___", "answer": "___"}\n'))
        text = generate(asked, conversation_seed(asked)).text or ""
        assert set(json.loads(text.removeprefix("```json\n").removesuffix("\n```"))) == {"reasoning", "answer"}


TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["value", "children"],
    "additionalProperties": False,
}

SCHEMAS = [
    TREE,
    {"$defs": {"a": {"enum": ["x", "y"]}}, "type": "object", "properties": {"k": {"$ref": "#/$defs/a"}}, "required": ["k"]},
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5, "maximum": 7}, "m": {"type": "number", "multipleOf": 0.5}}},
    {"type": "array", "items": {"type": "string", "minLength": 30, "maxLength": 40}, "minItems": 2, "maxItems": 4},
    {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": {"const": 4}}, "required": ["a"]}]},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}, {"required": ["b"]}]},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    {"type": "object", "properties": {"when": {"type": "string", "format": "date-time"}, "who": {"type": "string", "format": "email"}}},
    {"type": "object", "properties": {"code": {"type": "string", "pattern": r"^[A-Z]{2}-\d{3,5}(a|bc)?$"}}, "required": ["code"]},
    {"type": ["string", "null"], "enum": ["a", None]},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "maximum": -5},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"messages": []}', "needs 'user'"),
        (b'{"user": "ping"}', "'outputs' has to be answers by model"),
        (b'{"user": "ping", "outputs": "pong"}', "'outputs' has to be answers by model"),
        (b'{"user": "h\xe9", "outputs": {}}', "UTF-8"),
    ],
)
def test_a_recorded_line_that_cannot_be_used_is_named(tmp_path: Path, line: bytes, says: str) -> None:
    file = tmp_path / "recorded.jsonl"
    file.write_bytes(b'{"user": "ping", "outputs": {"*": "pong"}}\n' + line + b"\n")
    with pytest.raises(InputError, match=rf"recorded\.jsonl:2: .*{says}"):
        AnswerBook([file])


class TestInstances:
    @pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:40])
    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 2**64 - 1), text=st.sampled_from(["", "Ann Lee paid 6 euros", "-3 and 0.5 and 1e9"]))
    def test_an_instance_is_valid(self, schema: dict[str, Any], seed: int, text: str) -> None:
        value = instance(schema, Dice(seed), text)
        jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
        assert value == instance(schema, Dice(seed), text)

    @settings(max_examples=100, deadline=None)
    @given(
        seed=st.integers(0, 2**32),
        pattern=st.sampled_from(
            [r"^\d{3}-\d{4}$", r"[a-f0-9]+", r"^(?:Mr|Ms)\. [A-Z][a-z]*$", r"[^abc]x?", r"\w{2,}", r"a|b|(c|d)+", r"^[\d\-]{4}$"]
        ),
    )
    def test_text_for_a_pattern_matches_it(self, seed: int, pattern: str) -> None:
        text = matching(pattern, Dice(seed))
        assert text is not None
        assert re.search(pattern, text)

    def test_a_pattern_it_cannot_write_is_admitted(self) -> None:
        assert matching(r"(?=x)y", Dice(1)) is None
        assert matching(r"[", Dice(1)) is None
