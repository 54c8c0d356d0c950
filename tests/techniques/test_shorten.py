"""The developer's prompt is shortened by fixed rules, the same way every time, and users' words never."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.request import Request
from frugal_plugins.techniques.shorten import Shorten
from tests.support import FakeModel, send
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
