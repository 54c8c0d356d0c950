"""What changes in a prompt is found in the traffic itself, and a log says what it costs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from frugal_plugins.errors import InputError
from frugal_plugins.text.traffic import lint, read_traffic
from frugal_plugins.text.turns import cuts, digest, has_marks, without_marks
from frugal_plugins.text.volatile import passages

STEADY = "You answer questions about orders. Be kind and brief.\n" * 120


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("The current time is 2024-05-15 15:00:00 EST.", "clock"),
        ("Today is Monday, March 4th, 2026.", "clock"),
        ("Now: 10:05", "clock"),
        ("Trace 123e4567-e89b-12d3-a456-426614174000", "uuid"),
        ("Request id: req_011CSHoEeqs5C35K2UUqR7Fy", "id"),
        ("Epoch 1763805600", "number"),
    ],
)
def test_what_looks_volatile_is_told_apart(line: str, kind: str) -> None:
    assert passages(line)[0].kinds == (kind,)


@pytest.mark.parametrize("line", ["Be brief.", "Give 3 examples.", "Use section 4.2 of the manual.", "Only 100% matter."])
def test_plain_lines_do_not(line: str) -> None:
    assert passages(line)[0].kinds == ()


def test_a_rule_never_moves_and_passages_joined_are_the_prompt() -> None:
    text = "It is 10:05.\nYou must not call before 18:00.\n\n" + "A long line about things. It was 2026-11-22 then. " * 6
    assert "".join(passage.text for passage in passages(text)) == text
    assert [passage.may_move for passage in passages(text)[:2]] == [True, False]


def log_line(number: int, system: str, **more: Any) -> str:
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": f"Where is order {number}?"}],
    }
    return json.dumps({"body": {**body, **more}, "at_seconds": 1_700_000_000 + number * 30})


def test_a_clock_on_top_is_found_with_what_it_costs() -> None:
    lines = [log_line(n, f"It is 2026-11-22 10:{n:02d}.\n{STEADY}") for n in range(20)]
    report = lint(read_traffic(lines))
    (family,) = report.families
    assert family.calls == 20
    assert family.cached_percent < 5
    assert family.possible_percent > 80
    assert [(found.kind, found.calls) for found in family.breaks] == [("clock", 19)]
    assert "<clock>" in family.breaks[0].shape
    assert (family.breaks[0].part, family.breaks[0].offset, family.breaks[0].line) == ("messages[0]", 0, 1)
    assert report.lost_usd_per_month > 0


def test_shuffled_tools_are_found() -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("a", "b")]
    lines = [log_line(n, STEADY, tools=tools[:: 1 if n % 2 else -1]) for n in range(6)]
    (family,) = lint(read_traffic(lines)).families
    assert [found.kind for found in family.breaks] == ["tools_order"]


def test_a_steady_log_has_nothing_to_say_and_an_empty_one_neither() -> None:
    (family,) = lint(read_traffic([log_line(n, STEADY) for n in range(5)])).families
    assert family.breaks == ()
    assert family.usd_per_month == family.possible_usd_per_month
    assert lint([]).families == ()


@pytest.mark.parametrize("line", ["no json", "[]", '{"model": "m"}', '{"messages": [], "model": 3}'])
def test_a_line_that_is_no_request_is_named(line: str) -> None:
    with pytest.raises(InputError, match="log:2"):
        read_traffic([log_line(0, "x"), line], "log")


def test_marks_do_not_make_a_message_another_one() -> None:
    plain = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    marked = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}
    assert digest(plain) == digest(marked)
    assert has_marks(marked)
    assert without_marks(marked) == plain
    assert without_marks(plain) is plain


def test_a_conversation_is_cut_only_before_a_person_speaks_and_never_between_call_and_result() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
    user = {"role": "user", "content": "x"}
    assert cuts([user, call, result, user, call, user, result, user]) == [0, 7]
