"""What Anthropic's Messages API refuses, in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from frugal_plugins.sandbox.api_errors import ApiError, bad_request, no_such_model
from frugal_plugins.sandbox.codec import words
from frugal_plugins.sandbox.price_sheet import ModelCard
from frugal_plugins.sandbox.provider import Call, Provider
from frugal_plugins.sandbox.shapes import MESSAGES, check_anthropic

COUNT_FIELDS = words("messages model cache_control output_config system thinking tool_choice tools")

FIELDS = COUNT_FIELDS | words(
    """
    max_tokens container diagnostics inference_geo metadata service_tier speed stop_sequences stream temperature top_k top_p
    user_profile_id workspace_id
    """
)

BETA_FIELDS = words("context_management mcp_servers output_format")
"""Fields that need an `anthropic-beta` header."""

MOST_BREAKPOINTS = 4

_BLOCKS = {
    "user": ("text", "image", "document", "tool_result", "search_result", "container_upload"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result", "document"),
}

_NO_THINKING = ("claude-3-haiku", "claude-3-5")

_ONE_OF_TEMPERATURE_AND_TOP_P = ("claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5", "claude-opus-4-6")


def check_messages_call(provider: Provider, call: Call, *, counting: bool = False) -> ModelCard:
    """The model's card, or the refusal this body earns. Counting tokens takes fewer fields."""
    body = call.body
    if "anthropic-version" not in call.headers:
        raise bad_request("anthropic-version: header is required")
    known = COUNT_FIELDS if counting else FIELDS
    for name in body:
        if name not in known and not (name in BETA_FIELDS and call.headers.get("anthropic-beta")):
            raise bad_request(f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages", *(() if counting else ("max_tokens",))):
        if body.get(name) is None:
            raise bad_request(f"{name}: Field required")
    check_anthropic(body, MESSAGES)
    card = provider.prices.find(body["model"])
    if card is None or card.provider != "anthropic":
        raise no_such_model(body["model"], anthropic=True)
    _check_messages(body["messages"])
    _check_system(body.get("system"))
    _check_tools(body)
    _check_breakpoints(body)
    if not counting:
        _check_limits(body, card)
        _check_thinking(body, card)
    return card


def _check_limits(body: Mapping[str, Any], card: ModelCard) -> None:
    limit = body["max_tokens"]
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise bad_request("max_tokens: Input should be a valid integer")
    if limit < 1:
        raise bad_request("max_tokens: must be greater than or equal to 1")
    if limit > card.max_output_tokens:
        most = card.max_output_tokens
        raise bad_request(f"max_tokens: {limit} > {most}, which is the maximum allowed number of output tokens for {body['model']}")
    for name in ("temperature", "top_p"):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise bad_request(f"{name}: Input should be a valid number")
        if not 0 <= value <= 1:
            raise bad_request(f"{name}: range: 0..1")
    if body.get("temperature") is not None and body.get("top_p") is not None and card.id in _ONE_OF_TEMPERATURE_AND_TOP_P:
        raise bad_request("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    stops = body.get("stop_sequences") or ()
    if any(not isinstance(stop, str) or not stop.strip() for stop in stops):
        raise bad_request("stop_sequences: each stop sequence must contain non-whitespace")


def _check_thinking(body: Mapping[str, Any], card: ModelCard) -> None:
    thinking = body.get("thinking")
    if thinking is None or thinking.get("type") == "disabled":
        return
    if thinking.get("type") not in ("enabled", "adaptive"):
        raise bad_request("thinking: Input tag does not match any of the expected tags: 'disabled', 'enabled', 'adaptive'")
    if card.id.startswith(_NO_THINKING):
        raise bad_request(f"'{body['model']}' does not support thinking.")
    if thinking["type"] == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int):
            raise bad_request("thinking.enabled.budget_tokens: Field required")
        if budget < 1024:
            raise bad_request("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= body["max_tokens"]:
            raise bad_request("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("temperature") not in (None, 1):
        raise bad_request("`temperature` may only be set to 1 when thinking is enabled.")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise bad_request("Thinking may not be enabled when tool_choice forces tool use.")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list):
        raise bad_request("messages: Input should be a valid list")
    if not messages:
        raise bad_request("messages: at least one message is required")
    for place, message in enumerate(messages):
        _check_message(message, place, last=place == len(messages) - 1)
    if messages[0]["role"] != "user":
        raise bad_request('messages: first message must use the "user" role')
    _check_tool_pairs(messages)


def _check_message(message: Any, place: int, *, last: bool) -> None:
    where = f"messages.{place}"
    if not isinstance(message, dict):
        raise bad_request(f"{where}: Input should be a valid dictionary or object to extract fields from")
    role, content = message.get("role"), message.get("content")
    if role == "system":
        text = 'Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'
        raise bad_request(f"messages: {text}")
    if role not in _BLOCKS:
        raise bad_request(f"{where}.role: Input should be 'user' or 'assistant'")
    for name in message:
        if name not in ("role", "content"):
            raise bad_request(f"{where}.{name}: Extra inputs are not permitted")
    if not isinstance(content, (str, list)):
        raise bad_request(f"{where}.content: {'Field required' if content is None else 'Input should be a valid string or list'}")
    if not content and not (last and role == "assistant"):
        raise bad_request(f"{where}: all messages must have non-empty content except for the optional final assistant message")
    for number, block in enumerate(content if isinstance(content, list) else ()):
        _check_block(block, role, f"{where}.content.{number}")
    if last and role == "assistant" and isinstance(content, str) and content != content.rstrip():
        raise bad_request("messages: final assistant content cannot end with trailing whitespace")


def _check_block(block: Any, role: str, where: str) -> None:
    if not isinstance(block, dict):
        raise bad_request(f"{where}: Input should be a valid dictionary or object to extract fields from")
    kind = block.get("type")
    if kind not in _BLOCKS["user"] + _BLOCKS["assistant"]:
        raise bad_request(f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    if kind not in _BLOCKS[role]:
        raise bad_request(f"{where}: `{kind}` blocks can only be in `{'assistant' if role == 'user' else 'user'}` messages")
    if kind == "text" and not isinstance(block.get("text"), str):
        raise bad_request(f"{where}.text: Field required")
    if kind == "text" and not block["text"].strip():
        if block.get("cache_control"):
            raise bad_request(f"{where}: cache_control cannot be set for empty text blocks")
        raise bad_request("messages: text content blocks must be non-empty")
    for name in {"tool_use": ("id", "name", "input"), "tool_result": ("tool_use_id",), "image": ("source",)}.get(str(kind), ()):
        if block.get(name) is None:
            raise bad_request(f"{where}.{kind}.{name}: Field required")


def _check_tool_pairs(messages: Sequence[Mapping[str, Any]]) -> None:
    """A tool_use is answered in the very next message, and a tool_result answers one of the message before."""
    for place, message in enumerate(messages):
        asked = [block["id"] for block in _blocks(message) if block["type"] == "tool_use"]
        following = messages[place + 1] if place + 1 < len(messages) else {}
        given = [block["tool_use_id"] for block in _blocks(following) if block["type"] == "tool_result"]
        left = [name for name in asked if name not in given]
        if left:
            raise bad_request(
                f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(left)}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            )
        before = [block["id"] for block in _blocks(messages[place - 1]) if block["type"] == "tool_use"] if place else []
        for number, block in enumerate(_blocks(message)):
            if block["type"] == "tool_result" and block["tool_use_id"] not in before:
                raise bad_request(
                    f"messages.{place}.content.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )


def _blocks(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else ()


def _check_system(system: Any) -> None:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        raise bad_request("system: Input should be a valid string or list")
    for place, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise bad_request(f"system.{place}.type: Input should be 'text'")
        if not isinstance(block.get("text"), str):
            raise bad_request(f"system.{place}.text: Field required")
        if not block["text"].strip():
            raise bad_request("system: text content blocks must be non-empty")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools, choice = body.get("tools") or (), body.get("tool_choice")
    for place, tool in enumerate(tools):
        if not tool.get("name"):
            raise bad_request(f"tools.{place}.custom.name: Field required")
        if tool.get("type", "custom") != "custom":
            continue
        schema = tool.get("input_schema")
        if not isinstance(schema, dict):
            raise bad_request(f"tools.{place}.custom.input_schema: Field required")
        if schema.get("type") != "object":
            raise bad_request(f"tools.{place}.custom.input_schema.type: Input should be 'object'")
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        raise bad_request("tools: Tool names must be unique.")
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        raise bad_request("tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'")
    if not tools:
        raise bad_request("tool_choice may only be specified while providing tools")
    if kind == "tool" and choice.get("name") not in names:
        raise bad_request(f"Tool '{choice.get('name')}' not found in provided tools")


def marks_in(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every cache_control in the order the cache reads: tools, system, messages; with its place for error messages."""
    for place, tool in enumerate(body.get("tools") or ()):
        yield f"tools.{place}", tool.get("cache_control")
    system = body.get("system")
    for place, block in enumerate(system if isinstance(system, list) else ()):
        yield f"system.{place}", block.get("cache_control")
    for place, message in enumerate(body["messages"]):
        for number, block in enumerate(_blocks(message)):
            inner = block.get("content") if block["type"] == "tool_result" else None
            for deep, part in enumerate(inner if isinstance(inner, list) else ()):
                yield f"messages.{place}.content.{number}.content.{deep}", part.get("cache_control")
            yield f"messages.{place}.content.{number}", block.get("cache_control")
    yield "", body.get("cache_control")


def _check_breakpoints(body: Mapping[str, Any]) -> None:
    marks = [(place, mark) for place, mark in marks_in(body) if mark]
    if len(marks) > MOST_BREAKPOINTS:
        raise bad_request(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
    short_seen = False
    for place, mark in marks:
        where = f"{place}.cache_control" if place else "cache_control"
        if not isinstance(mark, dict) or mark.get("type") != "ephemeral":
            raise bad_request(f"{where}.type: Input should be 'ephemeral'")
        ttl = mark.get("ttl", "5m")
        if ttl not in ("5m", "1h"):
            raise bad_request(f"{where}.ttl: Input should be '5m' or '1h'")
        if ttl == "1h" and short_seen:
            raise bad_request(
                f"{where}.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
                "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
        short_seen = short_seen or ttl == "5m"


def check_context(prompt_tokens: int, body: Mapping[str, Any], call: Call, card: ModelCard) -> None:
    """Anthropic's refusal of a prompt, or a prompt and its answer, longer than the context."""
    long = "context-1m" in call.headers.get("anthropic-beta", "")
    most = card.long_context_tokens if long else card.context_tokens
    if prompt_tokens > most:
        raise ApiError(400, f"prompt is too long: {prompt_tokens} tokens > {most} maximum")
    limit = body.get("max_tokens", 0)
    if prompt_tokens + limit > most:
        raise ApiError(
            400,
            f"input length and `max_tokens` exceed context limit: {prompt_tokens} + {limit} > {most}, "
            "decrease input length or `max_tokens` and try again",
        )
