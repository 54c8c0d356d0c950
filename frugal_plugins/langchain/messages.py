"""LangChain's messages in the words of the chat API, and back.

Nothing is dropped on the way: content blocks travel as they are, whatever provider they are written for, because a
technique may look at them and a cache key must depend on them. The model itself is always handed the caller's own message
objects; only a message that a technique has replaced is built anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
    convert_to_messages,
)

from frugal_plugins.request import Message, canonical

_ROLES: Final = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user", "system": "system"}
_KNOWN: Final = ("system", "developer", "user", "assistant", "tool", "function")
_SAID_ELSEWHERE: Final = frozenset({"tool_calls", "refusal", "parsed", "__openai_role__", "provider_specific_fields"})


@dataclass(frozen=True, slots=True)
class Conversation:
    """The caller's messages, and the same messages as dicts for the techniques to read."""

    originals: Sequence[BaseMessage]
    dicts: tuple[Message, ...]

    @classmethod
    def of(cls, messages: Sequence[BaseMessage]) -> Conversation:
        """Read the caller's messages."""
        return cls(messages, tuple(as_dict(message) for message in messages))

    def back(self, wanted: Sequence[Message]) -> list[BaseMessage]:
        """What to hand to a model: the caller's own objects, except where a technique put another dict."""
        own = {id(said): message for said, message in zip(self.dicts, self.originals, strict=True)}
        return [own[id(said)] if id(said) in own else from_dict(said) for said in wanted]


def as_dict(message: BaseMessage) -> dict[str, Any]:
    """One message as the chat API writes it.

    >>> from langchain_core.messages import HumanMessage
    >>> as_dict(HumanMessage("hi"))
    {'role': 'user', 'content': 'hi'}
    """
    said: dict[str, Any] = {"role": _role(message), "content": _content(message.content)}
    if message.name:
        said["name"] = message.name
    if isinstance(message, AIMessage):
        if message.tool_calls or message.invalid_tool_calls:
            said["tool_calls"] = [*map(_tool_call, message.tool_calls), *map(_tool_call, message.invalid_tool_calls)]
        if message.additional_kwargs.get("refusal"):
            said["refusal"] = message.additional_kwargs["refusal"]
    if isinstance(message, ToolMessage):
        said["tool_call_id"] = message.tool_call_id
        if message.status != "success":
            said["status"] = message.status
    if not message.additional_kwargs:
        return said
    return said | {k: v for k, v in message.additional_kwargs.items() if k not in _SAID_ELSEWHERE and v is not None and k not in said}


def from_dict(said: Message) -> BaseMessage:
    """A message of LangChain's own from one of the chat API."""
    content = said.get("content")
    if said.get("role") == "system" and len(said) == 2 and isinstance(content, str):
        return _system(content)
    if said.get("role") not in _KNOWN:
        return ChatMessage(role=str(said.get("role")), content="" if content is None else content)
    return convert_to_messages([{**said, "content": "" if content is None else content}])[0]


@lru_cache(maxsize=256)
def _system(text: str) -> SystemMessage:
    """A developer's prompt; a technique rewrites the same one in the same way for every call."""
    return SystemMessage(text)


def without_marks(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Messages without Anthropic's `cache_control`, which OpenAI refuses; those that have none stay the same objects."""
    return [_unmarked(message) if _has_marks(message) else message for message in messages]


def plain_text(content: Any) -> str | None:
    """The text of an answer when there is nothing else in it worth keeping, else None.

    Thinking and tool calls beside the text do not count: they are not shown again. Citations and images do.
    """
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for block in content or ():
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") == "text" and not block.get("citations") and not block.get("annotations"):
            texts.append(str(block.get("text") or ""))
        elif block.get("type") not in ("thinking", "redacted_thinking", "reasoning", "tool_use", "tool_call", "function_call"):
            return None
    return "".join(texts)


def _has_marks(message: BaseMessage) -> bool:
    return isinstance(message.content, list) and any(isinstance(block, dict) and "cache_control" in block for block in message.content)


def _unmarked(message: BaseMessage) -> BaseMessage:
    blocks = [{k: v for k, v in block.items() if k != "cache_control"} if isinstance(block, dict) else block for block in message.content]
    return message.model_copy(update={"content": blocks})


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    role = message.additional_kwargs.get("__openai_role__")
    return role if isinstance(role, str) else _ROLES.get(message.type, message.type)


def _content(content: Any) -> Any:
    if isinstance(content, list) and any(isinstance(block, str) for block in content):
        return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]
    return content


def _tool_call(call: ToolCall | InvalidToolCall) -> Mapping[str, Any]:
    arguments = call["args"] if isinstance(call["args"], str) or call["args"] is None else canonical(call["args"])
    return {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": arguments}}
