"""A chat completion request as Anthropic's Messages API writes it, and a message as a chat completion would answer it.

A field without a counterpart is refused by name before anything is sent: dropping it would change what was asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.models import capabilities
from frugal_plugins.prices import bare_name
from frugal_plugins.request import Message, Reply, Request, canonical, text_of
from frugal_plugins.usage import from_anthropic

_AS_THEY_ARE: Final = ("temperature", "top_p", "top_k", "thinking", "cache_control", "output_config")
_WITHOUT_MEANING: Final = frozenset(
    {"stream", "stream_options", "service_tier", "metadata", "store", "max_tokens", "max_completion_tokens"}
)
_EFFORTS: Final = {"low": 1024, "medium": 2048, "high": 4096}
_FINISHES: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_LONGEST_ANSWER_TOKENS: Final = 4096


def anthropic_body(request: Request) -> dict[str, Any]:
    """The body of a message. Raises InputError for a field or content part that has no counterpart."""
    body: dict[str, Any] = {"model": bare_name(request.model), "max_tokens": _limit(request), "messages": _turns(request.messages)}
    system = [part for message in request.messages if message.get("role") in ("system", "developer") for part in _parts(message)]
    if system:
        body["system"] = system[0]["text"] if len(system) == 1 and set(system[0]) == {"type", "text"} else system
    for name, value in request.params.items():
        if value is not None and name not in _WITHOUT_MEANING:
            _put(body, name, value)
    if not request.params.get("tools"):
        body.pop("tool_choice", None)
    return body


def anthropic_reply(message: Mapping[str, Any]) -> Reply:
    """A message as a Reply."""
    texts = [block["text"] for block in message["content"] if block["type"] == "text"]
    said: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    calls = [
        {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": canonical(block["input"])}}
        for block in message["content"]
        if block["type"] == "tool_use"
    ]
    if calls:
        said["tool_calls"] = calls
    reason = str(message.get("stop_reason") or "")
    return Reply(
        said, str(message["model"]), from_anthropic(message["usage"]), _FINISHES.get(reason, reason), message, id=message.get("id")
    )


def _limit(request: Request) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        if isinstance(request.params.get(name), int):
            return int(request.params[name])
    return min(_LONGEST_ANSWER_TOKENS, capabilities(request.model).max_output_tokens or _LONGEST_ANSWER_TOKENS)


def _put(body: dict[str, Any], name: str, value: Any) -> None:
    """One parameter in Anthropic's words."""
    if name in _AS_THEY_ARE:
        body[name] = value
    elif name == "stop":
        body["stop_sequences"] = [value] if isinstance(value, str) else list(value)
    elif name == "user":
        body["metadata"] = {"user_id": str(value)}
    elif name == "tools":
        body["tools"] = [_tool(tool) for tool in value]
    elif name == "tool_choice":
        body["tool_choice"] = {**_choice(value), **body.get("tool_choice", {})}
    elif name == "parallel_tool_calls":
        if value is False:
            body["tool_choice"] = {"type": "auto", **body.get("tool_choice", {}), "disable_parallel_tool_use": True}
    elif name == "reasoning_effort":
        _think(body, value)
    elif name == "response_format":
        _shape(body, value)
    elif not (name == "n" and value == 1):
        raise InputError(f"'{name}' has no counterpart in Anthropic's batches; take it out, or send this row to another model")


def _think(body: dict[str, Any], effort: Any) -> None:
    budget = _EFFORTS.get(effort)
    if budget is not None:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        body["max_tokens"] = max(body["max_tokens"], budget + 1024)


def _shape(body: dict[str, Any], wanted: Any) -> None:
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "text":
        return
    if kind != "json_schema":
        raise InputError(f"response_format {kind!r} has no counterpart in Anthropic's batches; use json_schema, or another model")
    body["output_config"] = {"format": {"type": "json_schema", "schema": wanted["json_schema"].get("schema") or {}}}


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool  # Anthropic's own form, or one of its own tools
    made = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object", "properties": {}}}
    more = {
        name: value for name, value in (("description", function.get("description")), ("cache_control", tool.get("cache_control"))) if value
    }
    return {**made, **more}


def _choice(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {"type": "tool", "name": value["function"]["name"]} if "function" in value else dict(value)
    return {"type": {"required": "any"}.get(str(value), str(value))}


def _turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """User and assistant turns by turns; what stands side by side for one role becomes one turn."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            continue
        parts = _result(message) if role in ("tool", "function") else [*_parts(message), *_calls(message)]
        speaker = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += parts
        else:
            turns.append({"role": speaker, "content": parts})
    for turn in turns:
        only = turn["content"]
        if len(only) == 1 and set(only[0]) == {"type", "text"}:
            turn["content"] = only[0]["text"]
    return turns


def _parts(message: Message) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [_part(part) for part in content or ()]


def _part(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "image_url":
        url = part["image_url"]["url"] if isinstance(part["image_url"], Mapping) else part["image_url"]
        head, _, data = str(url).partition(";base64,")
        if data and head.startswith("data:"):
            return {"type": "image", "source": {"type": "base64", "media_type": head.removeprefix("data:"), "data": data}}
        return {"type": "image", "source": {"type": "url", "url": url}}
    if kind in ("text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"):
        return dict(part)
    raise InputError(f"a content part of type {kind!r} has no counterpart in Anthropic's batches; take it out, or use another model")


def _calls(message: Message) -> list[dict[str, Any]]:
    made = []
    for call in message.get("tool_calls") or ():
        arguments = call["function"].get("arguments") or "{}"
        made.append({"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": json.loads(arguments)})
    return made


def _result(message: Message) -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": text_of(message)}]
