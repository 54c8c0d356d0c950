"""A response we hold in one piece, as the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from litellm.types.llms import openai as shapes
from litellm.types.llms.openai import ResponsesAPIResponse

from frugal_plugins.litellm.convert import plain

_SHAPES: Final = {
    "response.created": shapes.ResponseCreatedEvent,
    "response.in_progress": shapes.ResponseInProgressEvent,
    "response.output_item.added": shapes.OutputItemAddedEvent,
    "response.content_part.added": shapes.ContentPartAddedEvent,
    "response.output_text.delta": shapes.OutputTextDeltaEvent,
    "response.output_text.done": shapes.OutputTextDoneEvent,
    "response.content_part.done": shapes.ContentPartDoneEvent,
    "response.output_item.done": shapes.OutputItemDoneEvent,
    "response.completed": shapes.ResponseCompletedEvent,
    "response.incomplete": shapes.ResponseIncompleteEvent,
}


def events_of(response: ResponsesAPIResponse) -> Iterator[Any]:
    """created, in_progress, every item with its parts and one delta for each, then completed or incomplete."""
    begun = response.model_copy(deep=True, update={"status": "in_progress", "output": [], "usage": None})
    numbered = enumerate(_events(response, begun))
    for number, (kind, fields) in numbered:
        yield _SHAPES[kind](type=kind, sequence_number=number, **fields)


def _events(response: ResponsesAPIResponse, begun: ResponsesAPIResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for place, whole in enumerate(response.output):
        item = plain(whole)
        started = {**item, "status": "in_progress", **({"content": []} if item.get("type") == "message" else {})}
        yield "response.output_item.added", {"output_index": place, "item": started}
        for index, part in enumerate(item.get("content") or () if item.get("type") == "message" else ()):
            yield from _part(part, {"item_id": item.get("id", ""), "output_index": place, "content_index": index})
        yield "response.output_item.done", {"output_index": place, "item": item}
    yield ("response.incomplete" if response.status == "incomplete" else "response.completed"), {"response": response}


def _part(part: dict[str, Any], at: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if part.get("type") != "output_text":
        return
    text = str(part.get("text") or "")
    whole = {"annotations": [], "logprobs": None, **part}
    yield "response.content_part.added", {**at, "part": {**whole, "text": ""}}
    yield "response.output_text.delta", {**at, "delta": text}
    yield "response.output_text.done", {**at, "text": text}
    yield "response.content_part.done", {**at, "part": whole}
