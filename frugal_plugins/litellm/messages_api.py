"""/v1/messages, as LiteLLM passes it on: answers are dicts, streams are the provider's own server-sent events in bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

from frugal_plugins.litellm.ids import provider_name
from frugal_plugins.litellm.streams import OPENED, counted
from frugal_plugins.request import Lane, Message, Reply, Request
from frugal_plugins.usage import Usage, from_anthropic

FINISH: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_EVENTS: Final = "litellm_cached_anthropic_sse_events"
"""Under which name LiteLLM keeps the events of a stream in its caches."""

_LANES: Final[Mapping[str, Lane]] = {"batch": "batch", "priority": "priority"}
_TEXTS: Final[Mapping[str, str]] = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def reply_of(response: Any, *, asked_model: str) -> Reply:
    """A message of Anthropic's API in our words. Shapes we do not know become an empty reply that carries the response along."""
    content = response.get("content") if isinstance(response, Mapping) else None
    if not isinstance(content, list):
        return Reply({"role": "assistant", "content": None}, asked_model, finish="", raw=response)
    usage = response.get("usage")
    hit = (response.get("_hidden_params") or {}).get("cache_hit") is True
    return Reply(
        message=_message([dict(block) for block in content if isinstance(block, Mapping)]),
        model=response.get("model") or asked_model,
        usage=Usage() if hit else from_anthropic(usage),
        finish=_finish(response.get("stop_reason")),
        raw=response,
        id=provider_name(response.get("id")),
        lane=_LANES.get((usage or {}).get("service_tier") or "", "standard"),
    )


def _finish(stop_reason: Any) -> str:
    return FINISH.get(stop_reason, stop_reason) if isinstance(stop_reason, str) else ""


def _message(content: list[dict[str, Any]]) -> Message:
    """The assistant message: its blocks as they are, and the tool calls where the techniques look for them."""
    calls = [
        {"id": block.get("id"), "type": "function", "function": {"name": block.get("name"), "arguments": json.dumps(block.get("input"))}}
        for block in content
        if block.get("type") == "tool_use"
    ]
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


class MessagesReading:
    """One open stream: its bytes are passed on untouched, and read on the way."""

    def __init__(self, source: Any, request: Request) -> None:
        self.source = source
        self._request = request
        self._rest = b""
        self._start: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._stop_reason: str | None = None
        self._error = False
        self._ended = False

    async def __aiter__(self) -> AsyncIterator[Any]:
        yield OPENED
        try:
            async for chunk in self.source:
                self._take(chunk)
                yield chunk
            self._ended = True
        finally:
            if not self._ended and hasattr(self.source, "aclose"):
                await self.source.aclose()

    def reply(self) -> Reply:
        """The answer as far as it was read."""
        content = [_closed(self._blocks[index]) for index in sorted(self._blocks)]
        finish = "error" if self._error else _finish(self._stop_reason)
        model = self._start.get("model")
        return Reply(
            message=_message(content),
            model=model if isinstance(model, str) and model else self._request.model,
            usage=self._counted(content),
            finish=finish if self._ended else "closed",
            raw=self.source,
            id=provider_name(self._start.get("id")),
            lane=_LANES.get(self._usage.get("service_tier") or "", "standard"),
        )

    def _counted(self, content: list[dict[str, Any]]) -> Usage:
        """What the provider counted; what it did not get to say is counted here."""
        usage = from_anthropic(self._usage)
        if self._stop_reason is not None and usage.input_tokens:
            return usage
        said = "".join(str(block.get(name, "")) for block in content for name in ("thinking", "text", "name", "input") if block.get(name))
        ours = counted(self._request, said, input_tokens=usage.input_tokens)
        return usage.with_(input_tokens=ours.input_tokens, output_tokens=ours.output_tokens)

    def _take(self, chunk: Any) -> None:
        """Read a chunk: bytes that may hold many events or part of one, or an event as a dict."""
        if isinstance(chunk, Mapping):
            self._read(chunk)
            return
        if not isinstance(chunk, (bytes, str)):
            return
        *whole, self._rest = (self._rest + (chunk.encode() if isinstance(chunk, str) else chunk)).split(b"\n\n")
        for frame in whole:
            for line in frame.split(b"\n"):
                if line.startswith(b"data:"):
                    self._read_line(line[5:])

    def _read_line(self, data: bytes) -> None:
        try:
            event = json.loads(data)
        except ValueError:
            return  # [DONE], or what only the client can make sense of
        if isinstance(event, Mapping):
            self._read(event)

    def _read(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if kind == "content_block_delta":
            self._add(self._blocks.setdefault(event.get("index") or 0, {"type": "text"}), event.get("delta") or {})
        elif kind == "content_block_start":
            self._blocks[event.get("index") or 0] = dict(event.get("content_block") or {})
        elif kind == "message_start":
            self._start = dict(event.get("message") or {})
            self._usage = dict(self._start.get("usage") or {})
        elif kind == "message_delta":
            self._stop_reason = (event.get("delta") or {}).get("stop_reason") or self._stop_reason
            self._usage.update({name: value for name, value in (event.get("usage") or {}).items() if value is not None})
        elif kind == "error":
            self._error = True

    def _add(self, block: dict[str, Any], delta: Mapping[str, Any]) -> None:
        kind = delta.get("type")
        name = _TEXTS.get(str(kind))
        if name is not None:
            block.setdefault("_pieces", {}).setdefault(name, []).append(str(delta.get(name) or ""))
        elif kind == "input_json_delta":
            block.setdefault("_pieces", {}).setdefault("input", []).append(str(delta.get("partial_json") or ""))
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]


def _closed(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block with its pieces put together."""
    found = {name: value for name, value in block.items() if name != "_pieces"}
    for name, pieces in block.get("_pieces", {}).items():
        text = "".join(pieces)
        found[name] = _parsed(text) if name == "input" else str(found.get(name) or "") + text
    return found


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments) if arguments else {}
    except ValueError:
        return {}  # the stream was left in the middle of it


def stored(request: Request, reply: Reply, call_id: str) -> dict[str, Any]:
    """A stored answer in the form LiteLLM keeps messages in its caches: a new id, no usage."""
    message = {
        "id": f"msg_{call_id}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": list(_blocks(reply)),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0},
    }
    return {_EVENTS: [frame.decode() for frame in frames_of(message)]} if request.stream else message


def pieces_of(request: Request, reply: Reply, call_id: str, with_usage: bool = True) -> Iterator[bytes]:  # noqa: ARG001 (it always comes along)
    """An answer that was waited for, as a stream."""
    whole = reply.raw if isinstance(reply.raw, Mapping) else stored(request.with_(stream=False), reply, call_id)
    return frames_of(whole)


def frames_of(message: Mapping[str, Any]) -> Iterator[bytes]:
    """A whole message as the server-sent events of a stream."""
    for event in _events(message):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _blocks(reply: Reply) -> list[dict[str, Any]]:
    content = reply.message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else [dict(block) for block in content or ()]


def _events(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    told = {name: value for name, value in message.items() if not name.startswith("_")}
    yield {"type": "message_start", "message": {**told, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        texts = [(kind, name) for kind, name in _TEXTS.items() if isinstance(block.get(name), str)]
        given: dict[str, Any] = {"input": {}} if isinstance(block.get("input"), Mapping) else {}
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **{name: "" for _, name in texts}, **given}}
        for kind, name in texts:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: block[name]}}
        if given:
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": message.get("stop_reason"), "stop_sequence": message.get("stop_sequence")}
    usage = message.get("usage") or {}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": usage.get("output_tokens") or 0}}
    yield {"type": "message_stop"}
