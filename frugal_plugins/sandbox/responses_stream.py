"""A response in events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_plugins.sandbox.ask import Written
from frugal_plugins.sandbox.counting import count, spell, token_ids
from frugal_plugins.sandbox.provider import Event, sse


def response_events(response: Mapping[str, Any], answer: Written) -> list[Event]:
    """created, in_progress, every output item with its parts and deltas, then completed or incomplete."""
    stream = _Numbered()
    begun = {**response, "status": "in_progress", "completed_at": None, "incomplete_details": None, "output": [], "usage": None}
    stream.add("response.created", response=begun)
    stream.add("response.in_progress", response=begun)
    for place, item in enumerate(response["output"]):
        if item["type"] == "message":
            _message(stream, place, item, answer)
        elif item["type"] == "function_call":
            _function_call(stream, place, item, answer.model)
        else:
            stream.add("response.output_item.added", output_index=place, item=item)
            stream.add("response.output_item.done", output_index=place, item=item)
    stream.add(f"response.{response['status']}", closing=True, response=response)
    return stream.events


class _Numbered:
    """Events with the sequence numbers the clients expect."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, kind: str, tokens: int = 0, *, closing: bool = False, **fields: Any) -> None:
        data = sse({"type": kind, "sequence_number": len(self.events), **fields}, kind)
        self.events.append(Event(data, tokens, closing))


def _message(stream: _Numbered, place: int, item: Mapping[str, Any], answer: Written) -> None:
    at = {"item_id": item["id"], "output_index": place, "content_index": 0}
    part = item["content"][0]
    probs = part["logprobs"]
    stream.add("response.output_item.added", output_index=place, item={**item, "status": "in_progress", "content": []})
    stream.add("response.content_part.added", **at, part={**part, "text": "", "logprobs": []})
    for number, (piece, tokens) in enumerate(answer.pieces()):
        stream.add("response.output_text.delta", tokens, **at, delta=piece, logprobs=probs[number : number + 1])
    stream.add("response.output_text.done", **at, text=part["text"], logprobs=probs)
    stream.add("response.content_part.done", **at, part=part)
    stream.add("response.output_item.done", output_index=place, item=item)


def _function_call(stream: _Numbered, place: int, item: Mapping[str, Any], model: str) -> None:
    at = {"item_id": item["id"], "output_index": place}
    started = {**item, "status": "in_progress", "arguments": ""}
    stream.add("response.output_item.added", count(item["name"], model), output_index=place, item=started)
    for piece, tokens in spell(token_ids(item["arguments"], model), model):
        stream.add("response.function_call_arguments.delta", tokens, **at, delta=piece)
    stream.add("response.function_call_arguments.done", **at, name=item["name"], arguments=item["arguments"])
    stream.add("response.output_item.done", output_index=place, item=item)
