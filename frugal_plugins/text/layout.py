"""Rewriting the parts of a request a provider's prompt cache cares about: its front, its end, and the marks in between.

String contents stay strings as long as no mark is set. Nothing is edited in place; parts that do not change stay the same objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from frugal_plugins.request import Message, Request, text_of
from frugal_plugins.text.turns import head_length
from frugal_plugins.text.volatile import replaced


def developer_param(request: Request) -> str | None:
    """The parameter that holds the developer's prompt, where an API has one and the request uses it."""
    return next((name for name in ("system", "instructions") if request.params.get(name)), None)


def developer_text(request: Request) -> str:
    """What the developer wrote in front: Anthropic's `system`, the Responses API's `instructions`, else the leading system messages."""
    name = developer_param(request)
    if name is not None:
        return text_of({"content": request.params[name]})
    return "\n".join(text_of(message) for message in request.messages[: head_length(request.messages)])


def lifetime_mark(lifetime: str) -> dict[str, str]:
    """A `cache_control` value for `5m` or `1h`."""
    return {"type": "ephemeral", "ttl": "1h"} if lifetime == "1h" else {"type": "ephemeral"}


def mark_openai(message: Message) -> Message | None:
    """The message with OpenAI's breakpoint at its end; None where it has no block that may carry one."""
    mark = {"mode": "explicit"}
    content = message.get("content")
    if isinstance(content, str):
        block = {"type": "text", "text": content, "prompt_cache_breakpoint": mark}
        return {**message, "content": [block]} if content.strip() else None
    if not isinstance(content, (list, tuple)):
        return None
    for place in range(len(content) - 1, -1, -1):
        block = content[place]
        if isinstance(block, Mapping) and block.get("type") == "text" and str(block.get("text") or "").strip():
            return {**message, "content": [*content[:place], {**block, "prompt_cache_breakpoint": mark}, *content[place + 1 :]]}
    return None


def mark_message(message: Message, lifetime: str) -> Message | None:
    """The message with a breakpoint at its end; None where it has no block that may carry one."""
    mark = lifetime_mark(lifetime)
    if message.get("role") in ("tool", "function"):
        return {**message, "cache_control": mark}
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": [{"type": "text", "text": content, "cache_control": mark}]} if content.strip() else None
    if not isinstance(content, (list, tuple)):
        return None
    for place in range(len(content) - 1, -1, -1):
        block = content[place]
        if isinstance(block, Mapping) and _may_carry(block):
            return {**message, "content": [*content[:place], {**block, "cache_control": mark}, *content[place + 1 :]]}
    return None


def _may_carry(block: Mapping[str, Any]) -> bool:
    """Thinking blocks and empty texts may not carry a mark."""
    if block.get("type") in ("thinking", "redacted_thinking"):
        return False
    return bool(str(block.get("text") or "").strip()) if block.get("type") == "text" else True


def mark_system(system: Any, lifetime: str) -> Any:
    """An Anthropic `system` with a breakpoint at its end."""
    if isinstance(system, str):
        return [{"type": "text", "text": system, "cache_control": lifetime_mark(lifetime)}]
    marked = mark_message({"content": system}, lifetime)
    return system if marked is None else marked["content"]


def mark_tools(tools: Sequence[Mapping[str, Any]], lifetime: str) -> list[Mapping[str, Any]]:
    """Tools with a breakpoint behind the last."""
    return [*tools[:-1], {**tools[-1], "cache_control": lifetime_mark(lifetime)}]


def with_passages(request: Request, new: Mapping[str, str]) -> Request:
    """The request with passages of the developer's prompt in other words, or without those whose words are ""."""
    name = developer_param(request)
    if name is not None:
        return request.with_params(**{name: _changed(request.params[name], new)})
    head = head_length(request.messages)
    front = (_with(message, new) for message in request.messages[:head])
    return request.with_(messages=(*front, *request.messages[head:]))


def _with(message: Message, new: Mapping[str, str]) -> Message:
    content = message.get("content")
    changed = _changed(content, new)
    return message if changed is content else {**message, "content": changed}


def _changed(content: Any, new: Mapping[str, str]) -> Any:
    if isinstance(content, str):
        left = replaced(content, new)
        return content if left == content else left
    if not isinstance(content, (list, tuple)):
        return content
    parts = []
    for block in content:
        text = block.get("text") if isinstance(block, Mapping) else None
        kept = replaced(text, new) if isinstance(text, str) else None
        if kept is None or kept == text:
            parts.append(block)
        elif kept:
            parts.append({**block, "text": kept})
    return parts if len(parts) != len(content) or any(a is not b for a, b in zip(parts, content, strict=True)) else content


def with_tail(request: Request, text: str, *, apart: bool) -> Request:
    """The request with a text as its last line: behind what the user or a tool said last.

    Args:
        apart: as a content block or message of its own, so that a mark on the one before holds.
    """
    last = request.messages[-1]
    content = last.get("content")
    if last.get("role") != "user" and (apart or not content):
        return request.with_(messages=(*request.messages, {"role": "user", "content": f"[{text}]"}))
    if isinstance(content, str) and not apart:
        changed: Message = {**last, "content": f"{content}\n\n{text}"}
    else:
        kind = "input_text" if request.endpoint == "responses" else "text"
        blocks = [{"type": kind, "text": content}] if isinstance(content, str) else list(content or ())
        changed = {**last, "content": [*blocks, {"type": kind, "text": f"\n{text}"}]}
    return request.with_(messages=(*request.messages[:-1], changed))
