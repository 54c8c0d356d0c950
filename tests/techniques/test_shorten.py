"""The developer's prompt is shortened by fixed rules, the same way every time, and users' words never."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.prices import PriceBook, own_rates
from frugal_plugins.request import Request
from frugal_plugins.techniques.shorten import Shorten
from tests.support import FakeModel, reply_with, send
from tests.text.shapes import odd_messages

WORDY = (
    "I want you to act as a clerk of a shop.\n\n\nPlease make sure to be brief in order to help. "
    "Note that you must never promise more than 30 %.\n"
    "With regard to refunds, it is very important to ask for the order number {number}.   \n" * 2
)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "title": "City"}, "n": {"type": "integer"}}, "required": ["city"]}
ASKED = f"You read letters.\nAnswer in JSON that follows this schema:\n{json.dumps(SCHEMA, indent=2)}\nBe exact. " + "Read all of it. " * 8


def sent(request: Request, technique: Shorten | None = None) -> tuple[Request, list[str]]:
    model = FakeModel()
    _, ctx = send(request, model, technique or Shorten())
    actions = [decision.action for decision in ctx.decisions]
    assert "stood_down" not in actions
    return model.calls[0].request, actions


def asked(system: Any = WORDY, user: str = "Please make sure to help me in order to win!", model: str = "gpt-4o", **params: Any) -> Request:
    return Request(model, ({"role": "system", "content": system}, {"role": "user", "content": user}), params)


def test_a_wordy_prompt_gets_shorter_and_keeps_its_rules() -> None:
    request = asked()
    shown, actions = sent(request)
    text = shown.messages[0]["content"]
    assert actions == ["shortened"]
    assert len(text) < len(WORDY)
    assert "never promise more than 30 %" in text
    assert "{number}" in text


def test_what_the_user_writes_stays_the_same_object() -> None:
    request = asked()
    shown, _ = sent(request)
    assert shown.messages[1] is request.messages[1]


def test_the_same_prompt_is_sent_with_the_same_bytes_by_every_process() -> None:
    first, _ = sent(asked())
    later = asked().with_(
        messages=(*asked().messages, {"role": "assistant", "content": "Please note that..."}, {"role": "user", "content": "And?"})
    )
    second, _ = sent(later, Shorten())
    assert second.messages[0] == first.messages[0]
    assert second.messages[2] is later.messages[2]


def test_content_blocks_stay_blocks_and_marked_ones_stay_as_they_are() -> None:
    shown, _ = sent(asked([{"type": "text", "text": WORDY}]))
    assert shown.messages[0]["content"][0]["type"] == "text"
    assert len(shown.messages[0]["content"][0]["text"]) < len(WORDY)
    marked = asked([{"type": "text", "text": WORDY, "cache_control": {"type": "ephemeral"}}])
    assert sent(marked)[0] is marked


def test_a_prompt_is_not_shrunk_below_what_the_provider_caches() -> None:
    system = "Please note that " * 40 + "You sell shoes. " * 235
    request = asked(system, model="openai/gpt-5")
    shown, actions = sent(request)
    assert shown is request
    assert actions == ["left"]


def test_a_json_instruction_becomes_response_format_where_the_model_has_it() -> None:
    shown, _ = sent(asked(ASKED))
    assert "schema" not in shown.messages[0]["content"]
    assert shown.params["response_format"]["json_schema"]["schema"]["required"] == ["city"]
    plain, _ = sent(asked(ASKED, model="nobody/knows"))
    assert "response_format" not in plain.params
    assert "city: str" in plain.messages[0]["content"]
    left, _ = sent(asked(ASKED), Shorten(schemas="off", level="format"))
    assert '"properties"' in left.messages[0]["content"]


def test_tool_descriptions_that_repeat_names_go_and_the_callers_tools_stay_untouched() -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "city_weather",
            "description": "Get the weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "The name of the city."}}},
        },
    }
    request = asked("Be brief.", tools=[tool])
    shown, _ = sent(request)
    assert shown.params["tools"][0]["function"]["parameters"]["properties"]["city"] == {"type": "string"}
    assert tool["function"]["parameters"]["properties"]["city"]["description"] == "The name of the city."  # type: ignore[index]
    assert sent(request, Shorten(tools=False))[0] is request


def test_an_anthropic_system_is_shortened_in_its_own_field() -> None:
    shown, _ = sent(Request("claude-sonnet-4-5", ({"role": "user", "content": "Hi"},), {"system": WORDY}, endpoint="messages"))
    assert len(shown.params["system"]) < len(WORDY)


@pytest.mark.parametrize("system", ["Be brief.", "", None, [], [None]])
def test_short_and_empty_prompts_are_the_same_object(system: Any) -> None:
    request = asked(system)
    assert sent(request)[0] is request


@given(
    st.lists(odd_messages, max_size=8),
    st.sampled_from([{}, {"tools": [None]}, {"tools": "x"}, {"system": [{"type": "text"}]}, {"tools": [{"name": 3}]}]),
)
@settings(max_examples=80, deadline=None)
def test_odd_shapes_are_served(messages: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> None:
    request = Request("gpt-4o", ({"role": "system", "content": WORDY}, *messages), params)
    shown, _ = sent(request)
    assert len(shown.messages) == len(request.messages)


KINDS = ("order", "invoice", "customer", "parcel", "refund", "flight", "hotel", "recipe", "song", "museum", "weather", "currency")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"find_{kind}",
            "description": f"Look a {kind} up by what is known of it and say where the {kind} is.",
            "parameters": {"type": "object", "properties": {f"{kind}_id": {"type": "string", "description": f"Which {kind} is meant."}}},
        },
    }
    for kind in KINDS
]
FLAT = PriceBook({"house/flat": own_rates("house/flat", {"input_usd": 1, "output_usd": 5}, "test")})


def named(request: Request) -> list[str]:
    return [tool["function"]["name"] for tool in request.params["tools"]]


def with_tools(*texts: str, model: str = "house/flat", **more: Any) -> Request:
    messages = tuple({"role": "user" if place % 2 == 0 else "assistant", "content": text} for place, text in enumerate(texts))
    return Request(model, messages, {"tools": TOOLS, **more})


def selecting() -> Shorten:
    return Shorten(FLAT, tools=False, select_tools=3)


def test_tools_that_fit_are_sent_and_the_others_are_named() -> None:
    shown, actions = sent(with_tools("Where is my parcel and its invoice?"), selecting())
    assert actions[0] == "selected"
    assert {"find_parcel", "find_invoice"} <= set(named(shown))
    assert named(shown)[-1] == "more_tools"
    assert "find_museum" in shown.params["tools"][-1]["function"]["description"]
    assert shown.params["tools"][0] in TOOLS


def test_a_conversation_keeps_its_tools_and_only_gets_more() -> None:
    technique = selecting()
    first, _ = sent(with_tools("Where is my parcel?"), technique)
    later, _ = sent(with_tools("Where is my parcel?", "In Oslo.", "And what is the weather there?"), technique)
    assert set(named(first)) <= set(named(later))
    assert "find_weather" in named(later)


def test_a_model_that_wants_another_tool_is_asked_again_with_all_and_then_left_alone() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "more_tools", "arguments": "{}"}}
    wants = reply_with(None, tool_calls=[call])
    model = FakeModel([wants, reply_with("Here it is.")])
    technique = selecting()
    reply, ctx = send(with_tools("Where is my parcel?"), model, technique)
    assert reply.text == "Here it is."
    assert named(model.calls[1].request) == [f"find_{kind}" for kind in KINDS]
    assert ctx.attempts[0].replaced_by == "shorten"
    shown, _ = sent(with_tools("Where is my parcel?"), technique)
    assert len(named(shown)) == len(TOOLS)


def test_tools_the_provider_reads_from_its_cache_are_left_as_they_are() -> None:
    many = [
        {**tool, "function": {**tool["function"], "name": f"{tool['function']['name']}_{number}"}} for number in range(4) for tool in TOOLS
    ]
    request = Request("openai/gpt-5", ({"role": "user", "content": "Where is my parcel?"},), {"tools": many})
    shown, actions = sent(request, Shorten(tools=False, select_tools=3))
    assert shown is request
    assert actions == ["left"]


@pytest.mark.parametrize(
    "change",
    [
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "find_song"}}},
        {"n": 2},
        {"tools": [*TOOLS, TOOLS[0]]},
        {"tools": [*TOOLS, "odd"]},
        {"tools": TOOLS[:3]},
    ],
)
def test_where_a_choice_could_change_the_answer_all_are_sent(change: dict[str, Any]) -> None:
    request = with_tools("Where is my parcel?", **change)
    shown, actions = sent(request, selecting())
    assert shown is request
    assert actions == []


def test_a_used_tool_and_a_providers_own_stay_and_unrelated_words_choose_nothing() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "find_song", "arguments": "{}"}}
    messages = ({"role": "user", "content": "My parcel?"}, {"role": "assistant", "content": None, "tool_calls": [call]})
    request = Request("house/flat", messages, {"tools": [*TOOLS, {"type": "web_search"}]})
    shown, _ = sent(request, selecting())
    assert {"type": "web_search"} in shown.params["tools"]
    assert any(tool.get("function", {}).get("name") == "find_song" for tool in shown.params["tools"])
    plain = with_tools("Hello!")
    assert sent(plain, selecting())[0] is plain


def test_anthropics_tools_are_chosen_too() -> None:
    tools = [
        {"name": tool["function"]["name"], "input_schema": {"type": "object"}, "description": tool["function"]["description"]}
        for tool in TOOLS
    ]
    request = Request("house/flat", ({"role": "user", "content": "Where is my parcel?"},), {"tools": tools}, endpoint="messages")
    shown, _ = sent(request, selecting())
    assert shown.params["tools"][-1]["input_schema"] == {"type": "object", "properties": {}}
    wants = reply_with(None).with_(
        message={"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "more_tools", "input": {}}]}
    )
    model = FakeModel([wants, reply_with("Fine.")])
    assert send(request, model, selecting())[0].text == "Fine."


def test_a_conversation_that_is_just_long_enough_to_be_cached_is_not_made_too_short_and_stays_as_it_was_cached() -> None:
    """1,024 tokens are cached at a tenth; 30 fewer would cost ten times as much."""
    system = WORDY + " ".join(f"Desk {kind} has {kind % 7} drawers and ships within {kind % 5} days." for kind in range(54))
    technique, said = Shorten(), asked(system).messages
    whole, shorter, now = [], [], 0.0
    for turn in range(16):
        now += 20.0
        said = (*said[:-1], {"role": "user", "content": f"And what is kind number {turn} made of, wood or steel?"})
        model = FakeModel()
        send(Request("openai/gpt-5", said, session="s"), model, technique, clock=lambda now=now: now)
        shown = model.calls[0].request.messages
        (whole if shown[0] is said[0] else shorter).append(turn)
        said = (*said, {"role": "assistant", "content": f"Kind {turn} is made of wood and of steel."}, {"role": "user", "content": "?"})
    assert shorter == list(range(len(shorter)))
    assert whole == list(range(len(shorter), 16))
    assert 0 < len(shorter) < 16
    model = FakeModel()
    send(Request("openai/gpt-5", said, session="s"), model, technique, clock=lambda: now + 900.0)
    assert model.calls[0].request.messages[0] is not said[0]
