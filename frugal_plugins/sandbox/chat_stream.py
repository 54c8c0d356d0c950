"""A chat completion in chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_plugins.sandbox.ask import ToolCall, Written
from frugal_plugins.sandbox.counting import count, spell, token_ids
from frugal_plugins.sandbox.dice import Dice, seed_of
from frugal_plugins.sandbox.logprobs import entry
from frugal_plugins.sandbox.provider import Event, new_id, sse

DONE = Event(b"data: [DONE]\n\n", closing=True)

_FINISH = {"stop_sequence": "stop"}


def chat_events(envelope: Mapping[str, Any], body: Mapping[str, Any], answers: list[Written], usage: Mapping[str, Any]) -> list[Event]:
    """The role first, then the text token by token, the tool calls, the finish; the usage only where it was asked for."""
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    head: dict[str, Any] = {**envelope, "object": "chat.completion.chunk"}
    tail: dict[str, Any] = {"usage": None} if with_usage else {}
    events: list[Event] = []
    for place, answer in enumerate(answers):
        for delta, tokens, probs in _deltas(answer, body):
            choice = {"index": place, "delta": delta, "logprobs": probs, "finish_reason": None}
            events.append(Event(sse({**head, "choices": [choice], **tail}), tokens))
    for place, answer in enumerate(answers):
        choice = {"index": place, "delta": {}, "logprobs": None, "finish_reason": finish_reason(answer, body)}
        events.append(Event(sse({**head, "choices": [choice], **tail}), closing=True))
    if with_usage:
        events.append(Event(sse({**head, "choices": [], "usage": usage}), closing=True))
    return [*events, DONE]


def finish_reason(answer: Written, body: Mapping[str, Any]) -> str:
    """OpenAI's word for why the answer ended. A call of the one tool the caller named ends with `stop`."""
    if answer.finish == "tool_calls" and isinstance(body.get("tool_choice"), dict):
        return "stop"
    return _FINISH.get(answer.finish, answer.finish)


def _deltas(answer: Written, body: Mapping[str, Any]) -> list[tuple[dict[str, Any], int, Any]]:
    """(delta, tokens, logprobs) of one choice."""
    if answer.text is None:
        deltas: list[tuple[dict[str, Any], int, Any]] = [({"role": "assistant", "content": None, "refusal": None}, 0, None)]
    else:
        deltas = [({"role": "assistant", "content": "", "refusal": None}, 0, None)]
        dice, wanted, top = Dice(seed_of(answer.text)), body.get("logprobs"), body.get("top_logprobs") or 0
        for piece, tokens in answer.pieces():
            probs = {"content": [entry(piece, top, dice)], "refusal": None} if wanted and piece else None
            deltas.append(({"content": piece}, tokens, probs))
    for number, call in enumerate(answer.tool_calls):
        deltas.extend((delta, tokens, None) for delta, tokens in _call_deltas(number, call, answer.model))
    return deltas


def _call_deltas(number: int, call: ToolCall, model: str) -> list[tuple[dict[str, Any], int]]:
    first = {"index": number, "id": new_id("call_"), "type": "function", "function": {"name": call.name, "arguments": ""}}
    rest = [
        ({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}, tokens)
        for piece, tokens in spell(token_ids(call.arguments, model), model)
    ]
    return [({"tool_calls": [first]}, count(call.name, model)), *rest]
