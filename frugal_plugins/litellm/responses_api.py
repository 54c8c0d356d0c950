"""OpenAI's Responses API, as LiteLLM speaks it: answers are objects with output items, streams are typed events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from litellm.types.llms.openai import ResponsesAPIResponse

from frugal_plugins.litellm.convert import billed_as, hidden_params, lane_of, plain
from frugal_plugins.litellm.ids import provider_name
from frugal_plugins.litellm.response_events import events_of
from frugal_plugins.litellm.streams import OPENED, counted
from frugal_plugins.request import Message, Reply, Request
from frugal_plugins.usage import Usage, from_openai, part_of

_LAST_EVENTS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_DELTAS: Final = frozenset(
    {"response.output_text.delta", "response.function_call_arguments.delta", "response.refusal.delta", "response.reasoning_text.delta"}
)
_OWN_ITEMS: Final = frozenset({"message", "reasoning"})
"""Items that need nothing done by the caller."""

_ECHOED: Final = ("instructions", "max_output_tokens", "metadata", "reasoning", "temperature", "text", "top_p", "truncation", "user")
"""What a response repeats of its request."""


def reply_of(response: Any, *, asked_model: str) -> Reply:
    """A response in our words. Shapes we do not know become an empty reply that carries the response along."""
    output = part_of(response, "output")
    if not isinstance(output, list):
        return Reply({"role": "assistant", "content": None}, asked_model, finish="", raw=response)
    items = [plain(item) for item in output]
    hidden = hidden_params(response)
    model = part_of(response, "model")
    return Reply(
        message=_message(items, part_of(response, "id")),
        model=model if isinstance(model, str) and model else asked_model,
        usage=Usage() if hidden.get("cache_hit") is True else from_openai(part_of(response, "usage")),
        finish=_finish(response, items),
        raw=response,
        billed_as=billed_as(hidden, model),
        id=provider_name(part_of(response, "id")),
        lane=lane_of(response, part_of(response, "usage")),
    )


def _finish(response: Any, items: list[dict[str, Any]]) -> str:
    status = part_of(response, "status")
    if status == "incomplete":
        reason = part_of(part_of(response, "incomplete_details"), "reason")
        return "length" if reason == "max_output_tokens" else str(reason or "")
    if status not in ("completed", None):
        return str(status)
    return "stop" if all(item.get("type") in _OWN_ITEMS for item in items) else "tool_calls"


def _message(items: list[dict[str, Any]], response_id: Any) -> Message:
    """The assistant message: the parts of its texts, and the output items and the id they can be handed out by again."""
    parts = [part for item in items if item.get("type") == "message" for part in item.get("content") or ()]
    calls = [
        {"id": item.get("call_id"), "type": "function", "function": {"name": item.get("name"), "arguments": item.get("arguments")}}
        for item in items
        if item.get("type") not in _OWN_ITEMS
    ]
    refusals = [part.get("refusal") for part in parts if part.get("type") == "refusal"]
    return {
        "role": "assistant",
        "content": parts,
        "output": items,
        "response_id": response_id,
        **({"tool_calls": calls} if calls else {}),
        **({"refusal": refusals[0]} if refusals else {}),
    }


class ResponsesReading:
    """One open stream of events: passed on as they come, and read on the way."""

    def __init__(self, source: Any, request: Request) -> None:
        self.source = source
        self._request = request
        self._begun: Any = None
        self._whole: Reply | None = None
        self._pieces: list[str] = []
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        yield OPENED
        try:
            for event in self.source:
                self._read(event)
                yield event
            self._ended = True
        finally:
            connection: Any = getattr(self.source, "response", None)
            if not self._ended and hasattr(connection, "close"):
                connection.close()  # LiteLLM's iterator has no close of its own

    async def __aiter__(self) -> AsyncIterator[Any]:
        yield OPENED
        try:
            async for event in self.source:
                self._read(event)
                yield event
            self._ended = True
        finally:
            connection: Any = getattr(self.source, "response", None)
            if not self._ended and hasattr(connection, "aclose"):
                await connection.aclose()

    @property
    def model(self) -> str:
        """The model that was asked."""
        return self._request.model

    def reply(self) -> Reply:
        """The answer as far as it was read."""
        hidden = hidden_params(self.source)
        whole = self._whole
        if whole is not None:
            named = billed_as(hidden, None) or whole.billed_as
            return whole.with_(raw=self.source, billed_as=named, **({} if self._ended else {"finish": "closed"}))
        text = "".join(self._pieces)
        return Reply(
            message={"role": "assistant", "content": text or None},
            model=part_of(self._begun, "model") or self._request.model,
            usage=counted(self._request, text),
            finish="" if self._ended else "closed",
            raw=self.source,
            billed_as=billed_as(hidden, None),
            id=provider_name(part_of(self._begun, "id")),
        )

    def _read(self, event: Any) -> None:
        kind = part_of(event, "type")
        named = str(getattr(kind, "value", kind))
        if named in _DELTAS:
            self._pieces.append(str(part_of(event, "delta") or ""))
        elif named == "response.created":
            self._begun = part_of(event, "response")
        elif named in _LAST_EVENTS:
            # read at once: a proxy puts another id on the same object on its way out
            self._whole = reply_of(part_of(event, "response"), asked_model=self._request.model)


def stored(request: Request, reply: Reply, call_id: str) -> dict[str, Any]:
    """A stored answer in the form LiteLLM keeps responses in its caches, without usage.

    It bears the id of the response it repeats, which the provider still knows, so that a conversation can go on from it
    (`previous_response_id`).
    """
    message, params = reply.message, request.params
    items = message.get("output") or [_text_item(str(message.get("content") or ""), call_id)]
    return {
        "id": message.get("response_id") or f"resp_{call_id}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": reply.model,
        "output": items,
        "parallel_tool_calls": params.get("parallel_tool_calls") is not False,
        "previous_response_id": params.get("previous_response_id"),
        "tool_choice": params.get("tool_choice") or "auto",
        "tools": params.get("tools") or [],
        **{name: params[name] for name in _ECHOED if params.get(name) is not None},
        "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
    }


def pieces_of(request: Request, reply: Reply, call_id: str, with_usage: bool = True) -> Iterator[Any]:  # noqa: ARG001 (it always comes along)
    """An answer that was waited for, as the events of a stream."""
    whole = reply.raw if isinstance(reply.raw, ResponsesAPIResponse) else ResponsesAPIResponse(**stored(request, reply, call_id))
    return events_of(whole)


def _text_item(text: str, call_id: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": f"msg_{call_id}", "role": "assistant", "status": "completed", "content": [part]}
