"""What OpenAI's chat endpoint refuses, in its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from frugal_plugins.request import text_of
from frugal_plugins.sandbox.api_errors import (
    ApiError,
    bad_request,
    below_minimum,
    missing,
    no_such_model,
    unsupported_parameter,
    wrong_type,
)
from frugal_plugins.sandbox.codec import words
from frugal_plugins.sandbox.price_sheet import ModelCard, PriceSheet
from frugal_plugins.sandbox.shapes import CHAT, check_openai
from frugal_plugins.sandbox.strict_schema import check_response_schema, check_tool_schema

FIELDS = words(
    """
    messages model audio frequency_penalty logit_bias logprobs max_completion_tokens max_tokens metadata modalities moderation n
    parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention
    reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options temperature
    tool_choice tools top_logprobs top_p user verbosity web_search_options
    """
)

ROLES = ("system", "assistant", "user", "function", "tool", "developer")

MOST_CHOICES = 128

_SAMPLING = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}

_RANGES = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}

TIERS = ("auto", "default", "flex", "priority", "scale")


def check_chat(body: Mapping[str, Any], prices: PriceSheet) -> ModelCard:
    """The model's card, or the refusal this body earns."""
    for name in body:
        if name not in FIELDS:
            raise bad_request(f"Unrecognized request argument supplied: {name}")
    card = model_card(body, prices)
    check_messages(body)
    check_openai(body, CHAT)
    _check_tool_pairs(body["messages"])
    check_numbers(body, card, "max_tokens", "max_completion_tokens")
    check_reasoning(body, card)
    check_tier(body, card)
    _check_tools(body)
    _check_format(body)
    _check_logprobs(body)
    return card


def model_card(body: Mapping[str, Any], prices: PriceSheet, kind: str = "chat") -> ModelCard:
    """The card of the model the body names."""
    model = body.get("model")
    if model is None or model == "":
        raise bad_request("you must provide a model parameter")
    if not isinstance(model, str):
        raise wrong_type("model", "a string", model)
    card = prices.find(model)
    if card is None:
        raise no_such_model(model, anthropic=False)
    if card.kind != kind:
        raise ApiError(404, f"This is not a {kind} model and thus not supported in this endpoint.", param="model")
    return card


def check_messages(body: Mapping[str, Any]) -> None:
    """Present, not empty, known roles, contents of the right type, tool results after the calls they answer."""
    messages = body.get("messages")
    if "messages" not in body:
        raise missing("messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages)
    if not messages:
        text = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        raise bad_request(text, "messages", "empty_array")
    for place, message in enumerate(messages):
        _check_message(message, f"messages[{place}]")


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise wrong_type(where, "an object", message)
    role = message.get("role")
    if role is None:
        raise missing(f"{where}.role")
    if not isinstance(role, str) or role not in ROLES:
        supported = ", ".join(f"'{name}'" for name in ROLES[:-1]) + f", and '{ROLES[-1]}'"
        raise bad_request(f"Invalid value: '{role}'. Supported values are: {supported}.", f"{where}.role", "invalid_value")
    content = message.get("content")
    if content is None:
        if role == "assistant" and (message.get("tool_calls") or message.get("function_call") or message.get("refusal")):
            return
        text = f"Invalid value for 'content': expected a string, got null in '{where}.content'."
        raise bad_request(text, f"{where}.content")
    if not isinstance(content, (str, list)):
        raise wrong_type(f"{where}.content", "one of a string or array of objects", content)
    for place, part in enumerate(content if isinstance(content, list) else ()):
        _check_part(part, f"{where}.content[{place}]")


def _check_part(part: Any, where: str) -> None:
    kinds = ("text", "image_url", "input_audio", "refusal", "file")
    if not isinstance(part, dict):
        raise wrong_type(where, "an object", part)
    kind = part.get("type")
    if kind not in kinds:
        supported = ", ".join(f"'{name}'" for name in kinds)
        raise bad_request(f"Invalid value: '{kind}'. Supported values are: {supported}.", f"{where}.type", "invalid_value")
    if kind == "text" and not isinstance(part.get("text"), str):
        raise missing(f"{where}.text")
    image = part.get("image_url")
    if kind == "image_url" and not (isinstance(image, dict) and isinstance(image.get("url"), str)):
        raise missing(f"{where}.image_url.url")


def _check_tool_pairs(messages: Sequence[Mapping[str, Any]]) -> None:
    """Every tool message answers a call just made, and every call is answered before anything else is said."""
    waiting: dict[str, None] = {}
    calls_at = 0
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                text = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise bad_request(text, f"messages.[{place}].role")
            del waiting[str(message["tool_call_id"])]
            continue
        if waiting:
            raise _unanswered(waiting, calls_at)
        waiting = {str(call.get("id")): None for call in message.get("tool_calls") or () if isinstance(call, dict)}
        calls_at = place
    if waiting:
        raise _unanswered(waiting, calls_at)


def _unanswered(waiting: Mapping[str, None], place: int) -> ApiError:
    text = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(map(str, waiting))}"
    )
    return bad_request(text, f"messages.[{place}].role")


def check_numbers(body: Mapping[str, Any], card: ModelCard, *limits: str, least_tokens: int = 1) -> None:
    """Token limits, sampling numbers and the number of answers within their ranges."""
    for name in limits:
        if body.get(name) is not None:
            _check_whole(name, body[name], least_tokens)
            _check_limit(name, body[name], card)
    for name, (low, high) in _RANGES.items():
        if body.get(name) is not None:
            _check_range(name, body[name], low, high)
    n = body.get("n")
    if n is not None:
        _check_whole("n", n, 1)
        if n > MOST_CHOICES:
            text = f"Invalid 'n': integer above maximum value. Expected a value <= {MOST_CHOICES}, but got {n} instead."
            raise bad_request(text, "n", "integer_above_max_value")


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    if value < least:
        raise below_minimum(name, least, value)


def _check_limit(name: str, value: int, card: ModelCard) -> None:
    most = card.max_output_tokens
    if value > most:
        text = f"{name} is too large: {value}. This model supports at most {most} completion tokens, whereas you provided {value}."
        raise bad_request(text, name, "invalid_value")


def _check_range(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a decimal", value)
    if low <= value <= high:
        return
    word, sign, bound = ("below minimum", ">=", low) if value < low else ("above maximum", "<=", high)
    text = f"Invalid '{name}': decimal {word} value. Expected a value {sign} {bound}, but got {value} instead."
    raise bad_request(text, name, f"decimal_{word.replace(' ', '_').removesuffix('imum')}_value")


def check_reasoning(body: Mapping[str, Any], card: ModelCard) -> None:
    """What reasoning models do not take, and what only they take."""
    if not card.reasoning:
        if body.get("reasoning_effort") is not None:
            raise bad_request("Unrecognized request argument supplied: reasoning_effort")
        return
    if body.get("max_tokens") is not None:
        raise unsupported_parameter("max_tokens", "max_completion_tokens")
    for name, default in _SAMPLING.items():
        value = body.get(name)
        if value is not None and value != default:
            text = f"Unsupported value: '{name}' does not support {value} with this model. Only the default ({default}) value is supported."
            raise bad_request(text, name, "unsupported_value")
    for name in ("logprobs", "top_logprobs", "logit_bias", "stop"):
        if body.get(name) and not (name == "stop" and card.id.startswith(("o1", "o3-mini"))):
            raise unsupported_parameter(name)
    if card.id == "o1-mini":
        for place, message in enumerate(body.get("messages") or ()):
            if message.get("role") in ("system", "developer"):
                text = f"Unsupported value: 'messages[{place}].role' does not support '{message['role']}' with this model."
                raise bad_request(text, f"messages[{place}].role", "unsupported_value")


def check_tier(body: Mapping[str, Any], card: ModelCard) -> None:
    """A service tier that exists and that this model sells."""
    tier = body.get("service_tier")
    if tier is None:
        return
    if tier not in TIERS:
        supported = ", ".join(f"'{name}'" for name in TIERS)
        raise bad_request(f"Invalid value: '{tier}'. Supported values are: {supported}.", "service_tier", "invalid_value")
    if tier == "flex" and not card.flex:
        raise bad_request("Flex is not available for this model.", "service_tier", "invalid_service_tier")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    choice = body.get("tool_choice")
    if tools is None:
        if choice is not None:
            raise bad_request("Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
        return
    if not isinstance(tools, list):
        raise wrong_type("tools", "an array of objects", tools)
    if not tools:
        text = "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead."
        raise bad_request(text, "tools", "empty_array")
    for place, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != "function":
            raise missing(f"tools[{place}].function")
        check_tool_schema(function, f"tools[{place}].function")
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        if name not in [tool["function"]["name"] for tool in tools]:
            text = f"Tool choice '{name}' not found in 'tools' parameter."
            raise bad_request(f"Invalid value for 'tool_choice': {text}", "tool_choice")
    elif choice not in (None, "none", "auto", "required"):
        text = f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'."
        raise bad_request(text, "tool_choice", "invalid_value")


def _check_format(body: Mapping[str, Any]) -> None:
    form = body.get("response_format")
    if form is None:
        return
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_object":
        if not any("json" in text_of(message).lower() for message in body["messages"]):
            text = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
            raise bad_request(text, "messages")
    elif kind == "json_schema":
        check_response_schema(form.get("json_schema"), "response_format")
    elif kind != "text":
        text = f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'."
        raise bad_request(text, "response_format.type", "invalid_value")


def _check_logprobs(body: Mapping[str, Any]) -> None:
    top = body.get("top_logprobs")
    if top is None:
        return
    if not body.get("logprobs"):
        text = "Invalid value for 'top_logprobs': 'top_logprobs' is only allowed when 'logprobs' is enabled."
        raise bad_request(text, "top_logprobs")
    if isinstance(top, bool) or not isinstance(top, int) or not 0 <= top <= 20:
        raise bad_request(f"Invalid value for 'top_logprobs': must be from 0 to 20, but got {top} instead.", "top_logprobs")
