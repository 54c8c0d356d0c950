"""An Anthropic prompt as blocks, in the order its cache reads them: tools, system, messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from frugal_plugins.request import canonical
from frugal_plugins.sandbox.anthropic_checks import marks_in
from frugal_plugins.sandbox.ask import Ask, Tool, Turn
from frugal_plugins.sandbox.codec import dumps
from frugal_plugins.sandbox.counting import count
from frugal_plugins.sandbox.price_sheet import ModelCard
from frugal_plugins.sandbox.prompt import part_tokens
from frugal_plugins.sandbox.prompt_cache import FIVE_MINUTES, ONE_HOUR, Block
from frugal_plugins.tokens import PER_MESSAGE

PRIMING_TOKENS = 3
"""What the answer's own frame takes, as in `frugal_plugins.tokens.count_messages`."""


def blocks_of(body: Mapping[str, Any]) -> list[Block]:
    """Every block with its tokens, what tells it apart, and the lifetime of a breakpoint on it."""
    model: str = body["model"]
    cached = any(mark for _, mark in marks_in(body))
    blocks = [_definition(tool, model) for tool in body.get("tools") or ()]
    for name in ("output_config", "output_format"):
        schema = _schema(body.get(name))
        if schema is not None:
            blocks.append(Block(count(canonical(schema), model), dumps(schema)))
    system = body.get("system")
    texts = [{"text": system}] if isinstance(system, str) and system else system or ()
    blocks += [Block(count(block["text"], model), b"system\0" + block["text"].encode(), _seconds(block)) for block in texts]
    settings = dumps([body.get("tool_choice"), body.get("thinking")]) if cached else b""
    for message in body["messages"]:
        blocks.extend(_message(message, model, settings, cached))
        settings = b""
    if body.get("cache_control"):
        last = blocks[-1]
        blocks[-1] = Block(last.tokens, last.identity, last.ttl_seconds or _seconds(body))
    return blocks


def _message(message: Mapping[str, Any], model: str, settings: bytes, cached: bool) -> Iterable[Block]:
    """The blocks of one message; its frame and role are part of the first."""
    frame = PER_MESSAGE + count(message["role"], model)
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts or [{"type": "text", "text": ""}]:
        identity = settings + message["role"].encode() + b"\0" + dumps(_unmarked(part)) if cached else b""
        yield Block(frame + block_tokens(part, model), identity, _seconds(part))
        frame, settings = 0, b""


def block_tokens(block: Mapping[str, Any], model: str) -> int:
    """How many tokens one content block is; marks and signatures are not read by the model."""
    kind = block["type"]
    if kind == "text":
        return count(block["text"], model)
    if kind == "tool_use":
        return count(block["name"], model) + count(canonical(block["input"]), model)
    if kind == "tool_result":
        content = block.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
        return sum(part_tokens(_unmarked(part), model) for part in parts)
    if kind == "thinking":
        return 0
    return part_tokens(_unmarked(block), model)


def ask_of(body: Mapping[str, Any], card: ModelCard) -> Ask:
    """The question a Messages body asks."""
    choice = body.get("tool_choice") or {"type": "auto"}
    thinking = body.get("thinking") or {}
    on = thinking.get("type") in ("enabled", "adaptive")
    return Ask(
        card=card,
        model=body["model"],
        turns=tuple(_turns(body)),
        tools=tuple(Tool(tool["name"], tool["input_schema"]) for tool in body.get("tools") or () if "input_schema" in tool),
        tool_choice={"any": "required", "tool": "named"}.get(choice["type"], choice["type"]),
        named_tool=choice.get("name"),
        output_schema=_schema(body.get("output_config")) or _schema(body.get("output_format")),
        max_output_tokens=body["max_tokens"],
        stop=tuple(body.get("stop_sequences") or ()),
        thinking_tokens=thinking.get("budget_tokens", body["max_tokens"]) if on else None,
    )


def _turns(body: Mapping[str, Any]) -> Iterable[Turn]:
    system = body.get("system")
    if system:
        yield Turn("system", system if isinstance(system, str) else "\n".join(block["text"] for block in system))
    for message in body["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = [part for part in parts if part["type"] == "tool_result"]
        yield from (Turn("tool", _result_text(part)) for part in results)
        if len(results) < len(parts) or not parts:
            yield Turn(message["role"], "\n".join(part["text"] for part in parts if part["type"] == "text"))


def _result_text(block: Mapping[str, Any]) -> str:
    content = block.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if part.get("text"))


def _schema(config: Any) -> Any:
    """The schema of `output_config.format` (or the beta's `output_format`), if one is asked for."""
    form = config.get("format", config) if isinstance(config, Mapping) else None
    return form.get("schema") if isinstance(form, Mapping) and form.get("type") == "json_schema" else None


def _definition(tool: Mapping[str, Any], model: str) -> Block:
    plain = _unmarked(tool)
    return Block(count(canonical(plain), model), dumps(plain), _seconds(tool))


def _unmarked(block: Any) -> Any:
    if isinstance(block, Mapping):
        inner = block.get("content")
        block = {name: value for name, value in block.items() if name != "cache_control"}
        if isinstance(inner, list):
            block["content"] = [_unmarked(part) for part in inner]
    return block


def _seconds(block: Mapping[str, Any]) -> int | None:
    """The lifetime a breakpoint on this block, or inside it, asks for; None without one."""
    mark = block.get("cache_control")
    inner = block.get("content")
    if not mark and block.get("type") == "tool_result" and isinstance(inner, list):
        mark = next((part["cache_control"] for part in inner if part.get("cache_control")), None)
    if not mark:
        return None
    return ONE_HOUR if mark.get("ttl") == "1h" else FIVE_MINUTES
