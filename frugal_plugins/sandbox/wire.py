"""One HTTP exchange: reading the request, sending JSON or a stream, and noticing that the caller has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from frugal_plugins.sandbox.faults import Fault
from frugal_plugins.sandbox.provider import Event, StreamReply

_JSON = (b"content-type", b"application/json")
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]

_EVENTS_A_WRITE = 8
"""With no pause between pieces, several go out in one write: the reader sees the same events for less work."""


class Wire:
    """The connection of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send

    async def read(self) -> bytes:
        """The whole request body."""
        message = await self._receive()
        body: bytes = message.get("body", b"")
        parts = [body]
        while message.get("more_body"):
            message = await self._receive()
            parts.append(message.get("body", b""))
        return b"".join(parts) if len(parts) > 1 else body

    async def json(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """An answer in one piece."""
        head = [_JSON, (b"content-length", str(len(body)).encode()), *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, reply: StreamReply, fault: Fault | None, headers: list[tuple[bytes, bytes]], chunk_seconds: float) -> None:
        """Send the events, and settle the bill: for all of them before the last, or for what went out when the stream ends early."""
        gone = asyncio.ensure_future(self._until_gone())
        await self._send({"type": "http.response.start", "status": 200, "headers": [*_EVENTS, *headers]})
        events = reply.events if fault is None else _first_pieces(reply.events, fault)
        sent = _Sent(reply, complete=len(events) == len(reply.events))
        try:
            size = 1 if chunk_seconds or fault is not None else _EVENTS_A_WRITE
            for start in range(0, len(events), size):
                batch = events[start : start + size]
                if gone.done():
                    return
                sent.add(batch, last=start + size >= len(events))
                data = b"".join([event.data for event in batch])
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
                await asyncio.sleep(chunk_seconds)
        finally:
            gone.cancel()
            sent.settle()
        if fault is not None and fault.kind == "disconnect":
            await self.drop()
        else:
            await self._send({"type": "http.response.body", "body": b""})

    async def hold(self, seconds: float, stopping: Callable[[], bool]) -> None:
        """Say nothing until the caller leaves, the sandbox stops or `seconds` have passed."""
        gone = asyncio.ensure_future(self._until_gone())
        end = asyncio.get_running_loop().time() + seconds
        while not gone.done() and not stopping() and asyncio.get_running_loop().time() < end:
            await asyncio.wait([gone], timeout=0.05)
        gone.cancel()

    async def drop(self) -> None:
        """Break the connection."""
        transport = self._scope.get("sandbox.transport")
        if transport is not None:
            transport.abort()
            await self._until_gone()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Sent:
    """How much of a stream went out. Books it once."""

    def __init__(self, reply: StreamReply, *, complete: bool) -> None:
        self._reply = reply
        self._complete = complete
        self._tokens = 0
        self._settled = False

    def add(self, events: list[Event], *, last: bool) -> None:
        """Count events that are about to go out; before the last of a whole stream the bill is settled, so that a reader finds it."""
        self._tokens += sum(event.tokens for event in events)
        if last and self._complete:
            self._settled = True
            self._reply.settle(self._tokens, False)

    def settle(self) -> None:
        if not self._settled:
            self._settled = True
            self._reply.settle(self._tokens, True)


def _first_pieces(events: list[Event], fault: Fault) -> list[Event]:
    """The events up to `after_chunks` pieces of content, and never the regular end."""
    if fault.kind == "malformed_body":
        return _broken(events)
    kept: list[Event] = []
    pieces = 0
    for event in events:
        if event.closing or (event.tokens and pieces >= fault.after_chunks):
            break
        pieces += event.tokens > 0
        kept.append(event)
    return kept


def _broken(events: list[Event]) -> list[Event]:
    """The stream with its first piece of content cut in the middle of the JSON."""
    spoiled = list(events)
    for place, event in enumerate(spoiled):
        if event.tokens:
            spoiled[place] = Event(event.data[: len(event.data) // 2] + b"\n\n", event.tokens, event.closing)
            break
    return spoiled
