"""The ones who do the talking: each takes a flow, makes the calls it yields, and feeds the replies back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextvars import copy_context
from threading import Thread
from typing import Final, Generic, Protocol, TypeVar

from frugal_plugins.flow import Attempt, Call, Context, Flow
from frugal_plugins.request import Reply

Chunk = TypeVar("Chunk", covariant=True)
AnyChunk = TypeVar("AnyChunk")
Piece = TypeVar("Piece")
_log: Final = logging.getLogger("frugal_plugins")


class Run:
    """A flow under way: `call` is what it wants asked next; every attempt is written into the context.

    Used as a context manager around one call: an exception of the provider is thrown into the flow, which may answer it
    (another call) or let it pass, in which case the same object reaches the caller.
    """

    __slots__ = ("_began_ns", "_result", "call", "chunks", "ctx", "flow")

    def __init__(self, flow: Flow, ctx: Context) -> None:
        self.flow = flow
        self.ctx = ctx
        self.call: Call | None = None
        self.chunks: HasReply | None = None
        self._result: Reply | None = None
        self._began_ns: int | None = None
        self._step(lambda: next(flow))

    def answer(self, reply: Reply) -> None:
        """Tell the flow what came back."""
        self._wrote(reply, None)
        self._step(lambda: self.flow.send(reply))

    def leave(self, partial: Reply) -> None:
        """The reader has gone: book what was streamed so far and make no further call."""
        self.answer(partial)
        self.flow.close()
        self.call = None
        self.ctx.close()

    def result(self) -> Reply:
        """What the flow came to, once `call` is None."""
        assert self._result is not None
        return self._result

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None or self.call is None:
            return False
        self._wrote(self.chunks.reply() if self.chunks is not None else None, type(error).__name__)
        if isinstance(error, Exception):
            self._step(lambda: self.flow.throw(error))
            return True
        self.flow.close()
        return False

    def _wrote(self, reply: Reply | None, error: str | None) -> None:
        self.chunks = None
        if self.call is not None:
            self.ctx.attempts.append(Attempt(self.call, reply, error, began_ns=self._began_ns, ended_ns=time.time_ns()))

    def _step(self, move: Callable[[], Call]) -> None:
        self.call = None
        try:
            self.call = move()
            self._began_ns = time.time_ns()
        except StopIteration as stop:
            self._result = stop.value


class HasReply(Protocol):
    """An open stream: `reply()` is the whole answer after the last chunk, or what came so far (`finish="closed"`)."""

    def reply(self) -> Reply:
        """The answer as far as it was read."""


def drive(flow: Flow, ctx: Context, send: Callable[[Call], Reply]) -> Reply:
    """Run a flow to its end with blocking calls. What may be done later is done on a thread."""
    ctx.later = []
    reply = _drive(Run(flow, ctx), send)
    go_on(ctx, send)
    return reply


def _drive(run: Run, send: Callable[[Call], Reply]) -> Reply:
    while (call := run.call) is not None:
        with run:
            reply = send(call)
            run.answer(reply)
    return run.result()


async def adrive(flow: Flow, ctx: Context, send: Callable[[Call], Awaitable[Reply]]) -> Reply:
    """Run a flow to its end, awaiting each call. What may be done later is done in a task."""
    ctx.later = []
    await prepared(ctx)
    reply = await _adrive(Run(flow, ctx), send)
    ago_on(ctx, send)
    return reply


async def _adrive(run: Run, send: Callable[[Call], Awaitable[Reply]]) -> Reply:
    while (call := run.call) is not None:
        with run:
            reply = await send(call)
            run.answer(reply)
    return run.result()


def go_on(ctx: Context, send: Callable[[Call], Reply]) -> None:
    """Do what was put off until the caller has the answer, on a thread of its own; then book the request."""
    if not ctx.later:
        ctx.close()
        return

    def work() -> None:
        try:
            for flow in ctx.later or ():
                _drive(Run(flow, ctx), send)
        finally:
            ctx.close()

    # Not a daemon: a program that ends waits for it, so that the ledger loses nothing.
    Thread(target=copy_context().run, args=(work,), name="frugal-later").start()


def ago_on(ctx: Context, send: Callable[[Call], Awaitable[Reply]]) -> None:
    """`go_on` in a task of the running loop; where the loop ends first, the work is left and the request still booked."""
    if not ctx.later:
        ctx.close()
        return

    async def work() -> None:
        try:
            for flow in ctx.later or ():
                await _adrive(Run(flow, ctx), send)
        finally:
            ctx.close()

    task = asyncio.get_running_loop().create_task(work(), name="frugal-later")
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


_TASKS: Final[set[asyncio.Task[None]]] = set()
"""The loop keeps weak references only; a task nobody holds may vanish in the middle."""


async def prepared(ctx: Context) -> None:
    """What an async host awaits before it makes a `Run`: a question's vector, the same request that is under way."""
    if ctx.ahead is not None:
        with _Spared():
            await ctx.ahead(ctx)


class _Spared:
    """What goes wrong while preparing costs nobody the request: the flow then does without."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            _log.warning("A request was not prepared (%s); it goes on all the same.", kind and kind.__name__)
        return isinstance(error, Exception)


class OpenStream(HasReply, Protocol[Chunk]):
    """The chunks of one call."""

    def __iter__(self) -> Iterator[Chunk]:
        """Chunk by chunk."""


class AsyncOpenStream(HasReply, Protocol[Chunk]):
    """The chunks of one call, for `async for`."""

    def __aiter__(self) -> AsyncIterator[Chunk]:
        """Chunk by chunk."""


class Shown(Generic[Piece]):
    """What a reader has been shown: the pieces of an answer, each kept back while the answer may not be meant for him."""

    __slots__ = ("_chunks", "_kept", "_unsure", "anything")

    def __init__(self) -> None:
        self.anything = False
        self._unsure: Callable[[Reply], bool] | None = None
        self._chunks: HasReply | None = None
        self._kept: list[Piece] = []

    def begin(self, call: Call, chunks: HasReply) -> None:
        """Another answer is opened."""
        self.anything = False
        self._unsure, self._chunks, self._kept = call.unsure, chunks, []

    def with_(self, chunk: Piece) -> Sequence[Piece]:
        """The pieces to show now that one more has come."""
        if self.anything:
            return (chunk,)
        self._kept.append(chunk)
        return self.rest()

    def rest(self) -> Sequence[Piece]:
        """The pieces that were kept back and are to be shown after all."""
        if self.anything or self._chunks is None or (self._unsure is not None and self._unsure(self._chunks.reply())):
            return ()
        self.anything = True
        return self._kept


def stream(
    flow: Flow,
    ctx: Context,
    send: Callable[[Call], Reply],
    open_stream: Callable[[Call], OpenStream[AnyChunk]],
    replay: Callable[[Reply], Iterable[AnyChunk]],
) -> Iterator[AnyChunk]:
    """Run a flow and pass the chunks of its answer on as they come; a stored answer is replayed as chunks."""
    ctx.later = []
    run, shown = Run(flow, ctx), Shown[AnyChunk]()
    while (call := run.call) is not None:
        with run:
            if call.purpose != "answer" or call.hold or shown.anything:
                run.answer(send(call))
                continue
            chunks = run.chunks = open_stream(call)
            shown.begin(call, chunks)
            try:
                for chunk in chunks:
                    yield from shown.with_(chunk)
                yield from shown.rest()
            except GeneratorExit:
                run.leave(chunks.reply())
                raise
            run.answer(chunks.reply())
    go_on(ctx, send)
    if not shown.anything:
        yield from replay(run.result())


async def astream(
    flow: Flow,
    ctx: Context,
    send: Callable[[Call], Awaitable[Reply]],
    open_stream: Callable[[Call], Awaitable[AsyncOpenStream[AnyChunk]]],
    replay: Callable[[Reply], Iterable[AnyChunk]],
) -> AsyncIterator[AnyChunk]:
    """`stream` for async hosts."""
    ctx.later = []
    await prepared(ctx)
    run, shown = Run(flow, ctx), Shown[AnyChunk]()
    while (call := run.call) is not None:
        with run:
            if call.purpose != "answer" or call.hold or shown.anything:
                run.answer(await send(call))
                continue
            chunks = run.chunks = await open_stream(call)
            shown.begin(call, chunks)
            try:
                async for chunk in chunks:
                    for ready in shown.with_(chunk):
                        yield ready
                for ready in shown.rest():
                    yield ready
            except GeneratorExit:
                run.leave(chunks.reply())
                raise
            run.answer(chunks.reply())
    ago_on(ctx, send)
    if not shown.anything:
        for chunk in replay(run.result()):
            yield chunk
