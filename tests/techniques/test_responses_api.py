"""The Responses API's `instructions` and items get the same care as a chat: clocks to the end, shorter prose, schemas by form, a key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from frugal_plugins.request import Request
from frugal_plugins.techniques.prompt_cache import PromptCache
from frugal_plugins.techniques.shorten import Shorten
from tests.support import FakeModel, send
from tests.techniques.test_prompt_cache import CLAUDE, GPT, LONG

RULES = "Please make sure to always answer politely. Please note that orders leave at noon. " * 3
SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string", "description": f"The {name} of the order."} for name in ("order", "city", "status", "reason")},
    "required": ["order", "city"],
}
RESULT = (
    {"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "4711"},
)


def asked(instructions: str, *items: Any, model: str = GPT, **params: Any) -> Request:
    return Request(
        model, items or ({"role": "user", "content": "Where is it?"},), {"instructions": instructions, **params}, endpoint="responses"
    )


def sent(technique: Any, request: Request, now: float = 0.0) -> tuple[Request, list[str]]:
    model = FakeModel()
    _, ctx = send(request, model, technique, clock=lambda: now)
    actions = [decision.action for decision in ctx.decisions]
    assert "stood_down" not in actions
    return model.calls[0].request, actions


def clocked(minute: int, *items: Any, **params: Any) -> Request:
    return asked(f"The time is 2026-11-22 10:{minute:02d}:09 UTC.\n{LONG}", *items, **params)


@pytest.mark.parametrize(
    ("items", "tail"),
    [
        (({"role": "user", "content": "Where is it?"},), {"role": "user", "content": "Where is it?\n\n10:05:09"}),
        (
            ({"role": "user", "content": [{"type": "input_text", "text": "Where is it?"}]},),
            {"role": "user", "content": [{"type": "input_text", "text": "Where is it?"}, {"type": "input_text", "text": "\n10:05:09"}]},
        ),
        (({"role": "user", "content": "Find it."}, *RESULT), {"role": "user", "content": "[10:05:09]"}),
    ],
)
def test_a_clock_in_the_instructions_moves_to_the_end(items: tuple[Any, ...], tail: Any) -> None:
    technique = PromptCache()
    for minute in range(5):
        sent(technique, clocked(minute, *items), minute * 60.0)
    shown, actions = sent(technique, clocked(5, *items), 300.0)
    assert "10:05:09" not in shown.params["instructions"]
    assert shown.params["instructions"].endswith(LONG)
    assert shown.messages[-1] == tail
    assert actions == ["moved", "keyed"]
    assert len(shown.params["prompt_cache_key"]) <= 32


def test_nothing_moves_into_a_conversation_the_provider_keeps() -> None:
    technique = PromptCache()
    for minute in range(6):
        shown, _ = sent(technique, clocked(minute, previous_response_id="resp_1"), minute * 60.0)
    assert shown.messages == ({"role": "user", "content": "Where is it?"},)
    assert "10:05:09" in shown.params["instructions"]


def test_models_that_want_marks_get_none_here() -> None:
    technique = PromptCache()
    for minute in range(6):
        request = asked(LONG, model=CLAUDE)
        shown, _ = sent(technique, request, minute * 20.0)
    assert shown is request


def test_instructions_are_shortened_by_the_rules() -> None:
    shown, actions = sent(Shorten(), asked(RULES))
    assert actions == ["shortened"]
    assert len(shown.params["instructions"]) < len(RULES)
    assert "always" in shown.params["instructions"]
    assert shown.messages == asked(RULES).messages


def test_a_schema_in_the_instructions_becomes_the_form_of_the_text() -> None:
    schema = f"```json\n{json.dumps(SCHEMA, indent=2)}\n```"
    prompt = f"You read mails about orders and take out what they say.\n\nAnswer only with JSON by this JSON Schema:\n{schema}\n"
    shown, _ = sent(Shorten(), asked(prompt, text={"verbosity": "low"}))
    assert shown.params["text"]["verbosity"] == "low"
    assert shown.params["text"]["format"]["type"] == "json_schema"
    assert set(shown.params["text"]["format"]["schema"]["properties"]) == {"order", "city", "status", "reason"}
    assert "properties" not in shown.params["instructions"]
    own, _ = sent(Shorten(), asked(prompt, text={"format": {"type": "json_object"}}))
    assert own.params["text"] == {"format": {"type": "json_object"}}


def test_descriptions_of_flat_tools_are_trimmed() -> None:
    parameters = {
        "type": "object",
        "properties": {"order_id": {"type": "string", "description": "The order id."}},
        "required": ["order_id"],
    }
    tool = {"type": "function", "name": "find_order", "description": "Find order. This function finds an order.", "parameters": parameters}
    shown, _ = sent(Shorten(), asked("Be brief.", tools=[tool]))
    (slim,) = shown.params["tools"]
    assert slim["parameters"]["required"] == ["order_id"]
    assert len(json.dumps(slim)) < len(json.dumps(tool))
