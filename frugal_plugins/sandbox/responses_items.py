"""The items of a Responses conversation, read as the messages of a chat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from frugal_plugins.request import canonical


def input_items(given: Any) -> tuple[Any, ...]:
    """The input as items: a string is a user message."""
    return ({"type": "message", "role": "user", "content": given},) if isinstance(given, str) else tuple(given)


def messages_of(items: Iterable[Mapping[str, Any]], instructions: str | None) -> list[dict[str, Any]]:
    """One message per item; reasoning items say nothing."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            messages.append({"role": item["role"], "content": item["content"]})
        elif kind == "function_call":
            call = {"name": item["name"], "arguments": item["arguments"]}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif kind == "function_call_output":
            messages.append({"role": "tool", "content": item["output"], "tool_call_id": item["call_id"]})
        elif kind not in ("reasoning", "item_reference"):
            messages.append({"role": "assistant", "content": canonical(item)})
    return messages
