"""The prompt is laid out so that it is read once, and marked only where that pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.prices import PriceBook, own_rates
from frugal_plugins.request import Request
from frugal_plugins.techniques.prompt_cache import PromptCache
from frugal_plugins.text.turns import has_marks
from tests.support import FakeModel, send
from tests.text.shapes import odd_messages

LONG = "You answer questions about orders of the shop. Be kind and brief.\n" * 160
CLAUDE, GPT = "anthropic/claude-sonnet-4-5", "openai/gpt-4o"
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}


def sent(technique: PromptCache, request: Request, now: float = 0.0) -> tuple[Request, list[str]]:
    model = FakeModel()
    _, ctx = send(request, model, technique, clock=lambda: now)
    actions = [decision.action for decision in ctx.decisions]
    assert "stood_down" not in actions
    return model.calls[0].request, actions


def question(text: str = "Where is my order?", *, model: str = CLAUDE, system: str = LONG, **params: Any) -> Request:
    return Request(model, ({"role": "system", "content": system}, {"role": "user", "content": text}), params)


def marks(request: Request) -> list[str]:
    """Where the breakpoints are, and for how long."""
    found = []
    for place, message in enumerate(request.messages):
        content = message.get("content")
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        own = [message.get("cache_control"), *(block.get("cache_control") for block in blocks)]
        found.extend(f"{place}:{mark.get('ttl', '5m')}" for mark in own if mark)
    return found


def test_a_one_shot_prompt_is_left_as_it_is() -> None:
    request = question()
    shown, actions = sent(PromptCache(), request)
    assert shown is request
    assert actions == ["left"]


def test_a_front_that_comes_back_soon_is_marked_and_one_that_comes_back_within_the_hour_for_an_hour() -> None:
    quick, slow = PromptCache(), PromptCache()
    for number in range(6):
        soon, _ = sent(quick, question(f"Question {number}?"), number * 20.0)
        later, _ = sent(slow, question(f"Question {number}?"), number * 1200.0)
    assert marks(soon) == ["0:5m"]
    assert marks(later) == ["0:1h"]


def test_a_front_that_comes_back_once_a_day_is_not_marked() -> None:
    technique = PromptCache()
    for number in range(6):
        shown, actions = sent(technique, question(f"Question {number}?"), number * 86_400.0)
    assert marks(shown) == []
    assert actions == ["left"]


def conversation(turns: int, model: str = CLAUDE, system: str = LONG) -> Request:
    found: list[Mapping[str, Any]] = [{"role": "system", "content": system}]
    for turn in range(turns):
        found += [{"role": "user", "content": f"Question {turn}?"}, {"role": "assistant", "content": f"Answer {turn}."}]
    return Request(model, (*found[:-1],), session="s")


def test_a_conversation_that_goes_on_is_marked_at_its_end() -> None:
    technique = PromptCache()
    for turn in range(1, 5):
        shown, _ = sent(technique, conversation(turn), turn * 20.0)
    assert marks(shown) == ["0:5m", "7:5m"]
    assert shown.messages[7]["content"][0]["text"] == "Question 3?"
    assert shown.messages[1]["content"] == "Question 0?"


def test_tool_results_carry_the_mark_themselves_as_litellm_wants_it() -> None:
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    base = conversation(2)
    shown, _ = sent(
        PromptCache(),
        base.with_(messages=(*base.messages, call, {"role": "tool", "tool_call_id": "c1", "content": "ok"}), params={"tools": [TOOL]}),
    )
    assert shown.messages[-1]["cache_control"] == {"type": "ephemeral"}
    assert shown.messages[-1]["content"] == "ok"


def test_a_prompt_below_the_minimum_is_never_marked() -> None:
    technique = PromptCache()
    for turn in range(1, 6):
        shown, actions = sent(technique, conversation(turn, system="Be brief."), turn * 5.0)
    assert marks(shown) == []
    assert actions == ["left"]


def test_the_callers_own_marks_are_kept_and_none_are_added() -> None:
    own = {"role": "system", "content": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}
    base = conversation(3)
    request = base.with_(messages=(own, *base.messages[1:]))
    shown, actions = sent(PromptCache(), request)
    assert shown is request
    assert actions == ["left"]


def test_marks_are_taken_out_for_a_provider_that_refuses_them() -> None:
    own = {"role": "system", "content": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]}
    request = Request(GPT, (own, {"role": "user", "content": "Hi"}), {"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}]})
    shown, actions = sent(PromptCache(), request)
    assert not any(map(has_marks, shown.messages))
    assert not has_marks(shown.params["tools"])
    assert shown.messages[1] is request.messages[1]
    assert actions[0] == "stripped"
    assert has_marks(own)


def test_openai_gets_a_cache_key_for_what_comes_back_and_the_callers_own_wins() -> None:
    technique = PromptCache()
    first, _ = sent(technique, question(model=GPT))
    assert "prompt_cache_key" not in first.params
    second, actions = sent(technique, question("And mine?", model=GPT), 10.0)
    third, _ = sent(technique, question("And his?", model=GPT), 20.0)
    assert second.params["prompt_cache_key"] == third.params["prompt_cache_key"]
    assert second.messages[0]["content"] == LONG
    assert actions == ["keyed"]
    own, _ = sent(technique, question(model=GPT, prompt_cache_key="mine"), 30.0)
    assert own.params["prompt_cache_key"] == "mine"


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_clock_seen_changing_moves_to_the_end_and_the_front_stays_the_same(model: str) -> None:
    technique, fronts = PromptCache(), []
    for number in range(4):
        shown, actions = sent(technique, question(model=model, system=f"It is 2026-11-22 10:0{number}.\n{LONG}"), number * 20.0)
        fronts.append(str(shown.messages[0]["content"]))
    assert "10:0" not in fronts[2]
    assert "moved" in actions
    last = shown.messages[-1]["content"]
    text = last if isinstance(last, str) else "".join(block["text"] for block in last)
    assert text.startswith("Where is my order?")
    assert text.splitlines()[-1] == "10:03"
    assert "It is 2026-11-22 (time: last line)." in fronts[2]
    assert isinstance(last, str) is (model == GPT)


def test_a_date_that_stays_the_same_and_a_rule_with_a_time_stay_where_they_are() -> None:
    technique = PromptCache()
    for number in range(4):
        system = f"Today is 2026-11-22.\nYou must not call before 1{number}:00.\n{LONG}"
        shown, actions = sent(technique, question(model=GPT, system=system), number * 20.0)
    assert shown.messages[0]["content"] == system
    assert "moved" not in actions


def test_two_lines_of_one_shape_that_never_change_are_not_taken_for_a_clock() -> None:
    technique = PromptCache()
    system = f"Breakfast: 07:30\nBreakfast: 08:30\n{LONG}"
    for number in range(4):
        shown, _ = sent(technique, question(model=GPT, system=system), number * 20.0)
    assert shown.messages[0]["content"] == system


def test_a_line_that_stays_is_not_moved_because_another_of_its_shape_changes() -> None:
    technique = PromptCache()
    for number in range(3):
        system = f"The time is 10:0{number}.\nThe shop opens.\nThe time is 08:00.\n{LONG}"
        shown, _ = sent(technique, question(model=GPT, system=system), number * 20.0)
    assert "The time is 08:00." in shown.messages[0]["content"]
    assert "10:02" not in shown.messages[0]["content"]


def test_reporting_changes_nothing() -> None:
    technique = PromptCache(volatile="report")
    for number in range(3):
        system = f"It is 10:0{number}.\n{LONG}"
        shown, actions = sent(technique, question(model=GPT, system=system), number * 20.0)
    assert shown.messages[0]["content"] == system
    assert actions[0] == "found"


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_after_a_tool_result_the_clock_is_the_last_line_and_a_marked_result_stays_as_it_is(model: str) -> None:
    technique = PromptCache()
    for number in range(3):
        base = conversation(2, model=model, system=f"It is 2026-11-22 10:0{number}.\n{LONG}")
        call = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        }
        result = {"role": "tool", "tool_call_id": "c", "content": "ok"}
        shown, _ = sent(technique, base.with_(messages=(*base.messages, call, result)), number * 20.0)
    if model == GPT:
        assert shown.messages[-1] == {**result, "content": "ok\n\n10:02"}
    else:
        assert shown.messages[-2]["content"] == "ok"
        assert shown.messages[-1] == {"role": "user", "content": "[10:02]"}


def test_two_clocks_are_moved_whole() -> None:
    technique = PromptCache()
    for number in range(4):
        system = f"In Oslo it is 2026-11-22 10:0{number}.\nIn Rome it is 2026-11-22 11:0{number}.\n{LONG}"
        shown, _ = sent(technique, question(model=GPT, system=system), number * 20.0)
    assert "Oslo" not in shown.messages[0]["content"]
    assert "[In Oslo it is 2026-11-22 10:03.\nIn Rome it is 2026-11-22 11:03.]" in shown.messages[-1]["content"]


def test_tools_in_another_order_are_sent_as_the_first_time() -> None:
    other = {"type": "function", "function": {"name": "pay", "parameters": {}}}
    technique = PromptCache()
    sent(technique, question(model=GPT, tools=[TOOL, other]))
    shown, actions = sent(technique, question(model=GPT, tools=[dict(reversed(other.items())), TOOL]), 10.0)
    assert shown.params["tools"] == [TOOL, other]
    assert [list(tool) for tool in shown.params["tools"]] == [list(TOOL), list(other)]
    assert actions[0] == "ordered"


def test_an_anthropic_body_is_marked_in_its_own_fields() -> None:
    technique = PromptCache()
    for number in range(4):
        body = ({"role": "user", "content": f"Question {number}?"},)
        shown, _ = sent(technique, Request(CLAUDE, body, {"system": LONG}, endpoint="messages"), number * 20.0)
    assert shown.params["system"] == [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]


@given(st.lists(odd_messages, max_size=8), st.sampled_from([CLAUDE, GPT, "gemini/gemini-2.5-flash", "nobody/knows"]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_odd_shapes_are_served_with_at_most_four_marks(messages: Sequence[Mapping[str, Any]], model: str, tools: bool) -> None:
    technique = PromptCache()
    params = {"tools": [TOOL]} if tools else {}
    for number in range(3):
        body = ({"role": "system", "content": f"It is 10:0{number}.\n{LONG}"}, *messages)
        shown, _ = sent(technique, Request(model, body, params), number * 10.0)
    assert len(marks(shown)) <= 4


WRITES_COST = "openai/gpt-5.6"
PRICES = PriceBook(
    {
        WRITES_COST: own_rates(
            WRITES_COST, {"input_usd": 4, "output_usd": 20, "cache_read_usd": "0.4", "cache_write_usd": 5, "cache_write_1h_usd": 5}, "test"
        )
    }
)


def openai_marks(request: Request) -> list[int]:
    """Messages with OpenAI's breakpoint."""
    return [place for place, message in enumerate(request.messages) if has_marks(message.get("content"), ["prompt_cache_breakpoint"])]


def test_an_openai_model_that_charges_for_writing_is_told_not_to_write_a_one_shot() -> None:
    shown, actions = sent(PromptCache(PRICES), question(model=WRITES_COST))
    assert shown.params["prompt_cache_options"] == {"mode": "explicit"}
    assert openai_marks(shown) == []
    assert actions == ["placed"]


def test_a_shared_front_gets_one_breakpoint_and_the_questions_behind_it_are_not_written() -> None:
    technique = PromptCache(PRICES)
    for number in range(6):
        shown, _ = sent(technique, question(f"Question {number}?", model=WRITES_COST), number * 900.0)
    assert openai_marks(shown) == [0]
    assert shown.params["prompt_cache_options"] == {"mode": "explicit"}
    assert shown.params["prompt_cache_key"]
    assert shown.messages[0]["content"][0]["text"] == LONG


def test_a_conversation_that_goes_on_is_left_to_the_implicit_breakpoint() -> None:
    technique = PromptCache(PRICES)
    for turn in range(1, 6):
        shown, _ = sent(technique, conversation(turn, WRITES_COST), turn * 20.0)
    assert "prompt_cache_options" not in shown.params
    assert openai_marks(shown) == [0]


@pytest.mark.parametrize("own", [{"prompt_cache_options": {"mode": "implicit"}}, {}])
def test_a_callers_own_openai_marks_are_kept(own: dict[str, Any]) -> None:
    block = {"type": "text", "text": LONG, "prompt_cache_breakpoint": {"mode": "explicit"}}
    system = LONG if own else [block]
    request = Request(WRITES_COST, ({"role": "system", "content": system}, {"role": "user", "content": "Hi?"}), own)
    shown, actions = sent(PromptCache(PRICES), request)
    assert shown is request
    assert actions == ["left"]


@pytest.mark.parametrize("model", [GPT, CLAUDE, "mistral/mistral-large-latest", "gemini/gemini-2.5-pro", "openai/gpt-5"])
def test_openai_marks_are_taken_out_where_they_are_refused(model: str) -> None:
    block = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    params = {"prompt_cache_options": {"mode": "explicit"}, "prompt_cache_key": "k"}
    shown, actions = sent(PromptCache(), Request(model, ({"role": "user", "content": [block]},), params))
    assert openai_marks(shown) == []
    assert "prompt_cache_options" not in shown.params
    assert ("prompt_cache_key" in shown.params) == model.startswith("openai/")
    assert "stripped" in actions


def test_anthropics_marks_are_taken_out_for_openai_and_openais_own_stay() -> None:
    blocks = [
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "y", "prompt_cache_breakpoint": {"mode": "explicit"}},
    ]
    shown, _ = sent(PromptCache(PRICES), Request(WRITES_COST, ({"role": "user", "content": blocks},)))
    assert openai_marks(shown) == [0]
    assert not has_marks(shown.messages[0], ["cache_control"])


def test_marks_reach_openai_through_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    from frugal_plugins.sandbox import Sandbox

    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    with Sandbox() as sandbox:
        technique = PromptCache(PRICES)
        for number in range(4):
            shown, _ = sent(technique, question(model=WRITES_COST), number * 60.0)
        litellm.completion(
            model="openai/gpt-5",
            messages=[dict(m) for m in shown.messages],
            api_base=sandbox.openai_base_url,
            api_key="k",
            **dict(shown.params),
        )
        body = sandbox.requests()[-1].body
    assert body["prompt_cache_options"] == {"mode": "explicit"}
    assert body["messages"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}


def test_a_date_that_changes_once_a_day_stays_in_front() -> None:
    technique = PromptCache()
    for number in range(60):
        day = 22 + number // 30
        shown, actions = sent(technique, question(model=GPT, system=f"Today is 2026-11-{day}.\n{LONG}"), number * 60.0)
    assert "moved" not in actions
    assert "2026-11-23" in shown.messages[0]["content"]


@pytest.mark.parametrize(
    ("line", "front", "end"),
    [
        ("Now: Sunday, March 4th, 2026 at 10:05 PM EST", "Now: Sunday, March 4th, 2026 (time: last line) EST", "\n10:03 PM"),
        ("Trace 10:05 from 2026-11-22 10:05", LONG[:20], "[Trace 10:0"),
    ],
)
def test_only_a_line_that_states_one_moment_is_split(line: str, front: str, end: str) -> None:
    technique = PromptCache()
    for number in range(4):
        shown, _ = sent(technique, question(model=GPT, system=f"{line.replace('10:05', f'10:0{number}')}\n{LONG}"), number * 20.0)
    assert shown.messages[0]["content"].startswith(front)
    assert end in shown.messages[-1]["content"]
