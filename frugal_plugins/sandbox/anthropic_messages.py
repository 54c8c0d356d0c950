"""POST /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

import json
from typing import Any

from frugal_plugins.sandbox.anthropic_checks import check_context, check_messages_call
from frugal_plugins.sandbox.anthropic_prompt import PRIMING_TOKENS, ask_of, blocks_of
from frugal_plugins.sandbox.anthropic_stream import message_events
from frugal_plugins.sandbox.ask import Written
from frugal_plugins.sandbox.codec import loads
from frugal_plugins.sandbox.dice import seed_of
from frugal_plugins.sandbox.prompt_cache import CacheCount
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider, StreamReply, new_id
from frugal_plugins.usage import Usage

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "stop_sequence": "stop_sequence"}


def messages(provider: Provider, call: Call) -> JsonReply | StreamReply:
    """Answer one message."""
    body = call.body
    card = check_messages_call(provider, call)
    model: str = body["model"]
    blocks = blocks_of(body)
    prompt_tokens = PRIMING_TOKENS + sum(block.tokens for block in blocks)
    check_context(prompt_tokens, body, call, card)
    counted = provider.breakpoint_cache.use(("anthropic", call.key, card.id), blocks, card.cache_minimum_tokens)
    answer = provider.answer(ask_of(body, card))
    usage = Usage(
        input_tokens=prompt_tokens,
        cache_read_tokens=counted.read_tokens,
        cache_write_5m_tokens=counted.write_5m_tokens,
        cache_write_1h_tokens=counted.write_1h_tokens,
        output_tokens=answer.output_tokens,
    )
    shown = usage_json(prompt_tokens, counted, answer.output_tokens, batch=call.batch)
    message = {
        "id": new_id("msg_01", 22),
        "type": "message",
        "role": "assistant",
        "model": card.served_as(model),
        "content": content_of(answer),
        "stop_reason": STOP_REASONS[answer.finish],
        "stop_sequence": answer.stop_sequence,
        "usage": shown,
    }

    def settle(tokens_sent: int, closed: bool) -> None:
        spent = usage.with_(output_tokens=max(1, tokens_sent)) if closed else usage
        provider.bill(call, response_id=str(message["id"]), model=model, card=card, usage=spent, closed=closed)

    if body.get("stream"):
        return StreamReply(message_events(message, answer), settle)
    settle(0, False)
    return JsonReply(message)


def count_tokens(provider: Provider, call: Call) -> JsonReply:
    """Count a prompt without sending it to a model. Free."""
    check_messages_call(provider, call, counting=True)
    return JsonReply({"input_tokens": PRIMING_TOKENS + sum(block.tokens for block in blocks_of(call.body))})


def usage_json(prompt_tokens: int, counted: CacheCount, output_tokens: int, *, batch: bool) -> dict[str, Any]:
    """`usage` of a message: `input_tokens` leaves out what was read from or written to the cache."""
    written = counted.write_5m_tokens + counted.write_1h_tokens
    return {
        "input_tokens": prompt_tokens - counted.read_tokens - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": counted.read_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": counted.write_5m_tokens, "ephemeral_1h_input_tokens": counted.write_1h_tokens},
        "output_tokens": output_tokens,
        "server_tool_use": None,
        "service_tier": "batch" if batch else "standard",
    }


def content_of(answer: Written) -> list[dict[str, Any]]:
    """The content blocks: thinking, text, tool calls. A block with nothing in it is left out."""
    blocks: list[dict[str, Any]] = []
    if answer.thinking:
        blocks.append({"type": "thinking", "thinking": answer.thinking, "signature": signature(answer.thinking)})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    names = [(call.name, _parsed(call.arguments)) for call in answer.tool_calls]
    blocks += [{"type": "tool_use", "id": new_id("toolu_01", 22), "name": name, "input": value} for name, value in names]
    return blocks


def signature(thinking: str) -> str:
    """What the provider signs a thinking block with; always the same for the same text."""
    return f"{seed_of(thinking):016x}" * 4


def _parsed(arguments: str) -> Any:
    """The arguments of a call; one that was cut short has none."""
    try:
        return loads(arguments)
    except json.JSONDecodeError:
        return {}
