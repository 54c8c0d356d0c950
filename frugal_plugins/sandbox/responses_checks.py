"""What OpenAI's Responses API refuses, in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_plugins.sandbox.api_errors import bad_request, missing, unsupported_parameter, wrong_type
from frugal_plugins.sandbox.chat_checks import check_numbers, check_reasoning, check_tier, model_card
from frugal_plugins.sandbox.codec import words
from frugal_plugins.sandbox.price_sheet import ModelCard, PriceSheet
from frugal_plugins.sandbox.shapes import RESPONSES, check_openai
from frugal_plugins.sandbox.strict_schema import check_response_schema, check_tool_schema

FIELDS = words(
    """
    background context_management conversation include input instructions max_output_tokens max_tool_calls metadata model
    moderation parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention
    reasoning safety_identifier service_tier store stream stream_options temperature text tool_choice tools top_logprobs top_p
    truncation user
    """
)

LEAST_OUTPUT_TOKENS = 16

_NOT_SERVED = ("background", "conversation", "prompt")

_ROLES = ("assistant", "system", "developer", "user")


def check_response_call(body: Mapping[str, Any], prices: PriceSheet) -> ModelCard:
    """The model's card, or the refusal this body earns."""
    for name in body:
        if name not in FIELDS:
            raise bad_request(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for name in _NOT_SERVED:
        if body.get(name):
            raise bad_request(f"The sandbox does not serve '{name}': send the whole input in one request.", name, "unsupported_parameter")
    card = model_card(body, prices)
    check_openai(body, RESPONSES)
    _check_input(body)
    check_numbers(body, card, "max_output_tokens", least_tokens=LEAST_OUTPUT_TOKENS)
    if card.reasoning:
        check_reasoning(body, card)
    elif (body.get("reasoning") or {}).get("effort"):
        raise unsupported_parameter("reasoning.effort")
    check_tier(body, card)
    _check_tools(body)
    _check_format(body)
    return card


def _check_input(body: Mapping[str, Any]) -> None:
    if "input" not in body:
        raise missing("input")
    given = body["input"]
    if isinstance(given, str):
        return
    if not isinstance(given, list):
        raise wrong_type("input", "one of a string or array of objects", given)
    for place, item in enumerate(given):
        _check_item(item, f"input[{place}]")
    if body.get("previous_response_id") is None:
        _check_pairs(given)


def _check_item(item: Any, where: str) -> None:
    if not isinstance(item, dict):
        raise wrong_type(where, "an object", item)
    kind = item.get("type", "message")
    needed = {
        "message": ("role", "content"),
        "function_call": ("call_id", "name", "arguments"),
        "function_call_output": ("call_id", "output"),
    }
    for name in needed.get(kind, ()):
        if item.get(name) is None:
            raise missing(f"{where}.{name}")
    if kind == "message" and item["role"] not in _ROLES:
        supported = "'assistant', 'system', 'developer', and 'user'"
        raise bad_request(f"Invalid value: '{item['role']}'. Supported values are: {supported}.", f"{where}.role", "invalid_value")


def _check_pairs(items: list[Mapping[str, Any]]) -> None:
    """Every function call has its output, and every output its call."""
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    for name in calls:
        if name not in outputs:
            raise bad_request(f"No tool output found for function call {name}.", "input")
    for name in outputs:
        if name not in calls:
            raise bad_request(f"No tool call found for function call output with call_id {name}.", "input")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise wrong_type("tools", "an array of objects", tools)
    for place, tool in enumerate(tools):
        if not isinstance(tool, dict) or not tool.get("type"):
            raise missing(f"tools[{place}].type")
        if tool["type"] == "function":
            check_tool_schema(tool, f"tools[{place}]")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function" and choice.get("name") not in [tool.get("name") for tool in tools]:
        raise bad_request(f"Tool choice '{choice.get('name')}' not found in 'tools' parameter.", "tool_choice")
    if choice == "required" and not tools:
        raise bad_request("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")


def _check_format(body: Mapping[str, Any]) -> None:
    form = (body.get("text") or {}).get("format")
    if form is None:
        return
    kind = form.get("type")
    if kind == "json_schema":
        check_response_schema(form, "text.format")
    elif kind == "json_object":
        if "json" not in str(body["input"]).lower() + str(body.get("instructions") or "").lower():
            text = "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'."
            raise bad_request(text, "input")
    elif kind != "text":
        raise bad_request(f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'.", "text.format.type")
