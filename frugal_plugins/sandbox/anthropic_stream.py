"""A message in events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_plugins.sandbox.ask import Written
from frugal_plugins.sandbox.counting import count, spell, token_ids
from frugal_plugins.sandbox.provider import Event, sse

PIECES_A_DELTA = 4
"""Anthropic sends several tokens at a time."""


def message_events(message: Mapping[str, Any], answer: Written) -> list[Event]:
    """message_start, every content block piece by piece, the stop reason with the final usage, message_stop."""
    usage: Mapping[str, Any] = message["usage"]
    start = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    events = [_event("message_start", message=start)]
    for place, block in enumerate(message["content"]):
        arguments = answer.tool_calls[place - len(message["content"])].arguments if block["type"] == "tool_use" else ""
        events.extend(_block(place, block, arguments, answer.model))
        if place == 0:
            events.insert(2, _event("ping"))
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    final = {name: usage[name] for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")}
    return [*events, _event("message_delta", closing=True, delta=delta, usage=final), _event("message_stop", closing=True)]


def _block(place: int, block: Mapping[str, Any], arguments: str, model: str) -> list[Event]:
    """One content block: its start, its deltas, its stop."""
    kind = block["type"]
    head_tokens = 0
    empty: dict[str, Any]
    if kind == "text":
        empty = {"type": "text", "text": ""}
        deltas = _deltas("text_delta", "text", block["text"], model)
    elif kind == "thinking":
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        signed = {"type": "signature_delta", "signature": block["signature"]}
        deltas = [*_deltas("thinking_delta", "thinking", block["thinking"], model), (signed, 0)]
    else:
        empty = {**block, "input": {}}
        deltas = _deltas("input_json_delta", "partial_json", arguments, model)
        head_tokens = count(block["name"], model)
    start = _event("content_block_start", head_tokens, index=place, content_block=empty)
    middle = [_event("content_block_delta", tokens, index=place, delta=delta) for delta, tokens in deltas]
    return [start, *middle, _event("content_block_stop", index=place)]


def _deltas(kind: str, name: str, text: str, model: str) -> list[tuple[dict[str, Any], int]]:
    pieces = spell(token_ids(text, model), model)
    groups = [pieces[start : start + PIECES_A_DELTA] for start in range(0, len(pieces), PIECES_A_DELTA)]
    return [({"type": kind, name: "".join(piece for piece, _ in group)}, sum(tokens for _, tokens in group)) for group in groups]


def _event(kind: str, tokens: int = 0, *, closing: bool = False, **fields: Any) -> Event:
    return Event(sse({"type": kind, **fields}, kind), tokens, closing)
