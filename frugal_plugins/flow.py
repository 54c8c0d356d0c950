"""A technique is a generator: it yields the calls it wants made and is sent the replies. It does no I/O itself.

The same technique therefore serves sync and async code, streams, a proxy's split hooks and batch jobs; only the driver
differs (`drivers.py`). The idea is httpx's `Auth.auth_flow`, applied to whole LLM requests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from frugal_plugins.errors import NotAReply
from frugal_plugins.request import Reply, Request
from frugal_plugins.tasks import UNKNOWN, Task, find_task
from frugal_plugins.usage import Usage

Purpose = Literal["answer", "summarise", "judge", "embed"]
Mode = Literal["off", "shadow", "on"]
Group = Literal["treated", "control", "bypassed"]


@dataclass(frozen=True, slots=True)
class Call:
    """Something to ask a model.

    Attributes:
        purpose: `answer` for what the caller asked; anything else is a technique's own helper call.
        technique: who wants it, for helper calls.
        hold: do not show this answer to a streaming caller yet, it may be replaced.
        unsure: the same as long as this says of what has come of the answer that it may not be meant for the caller.
    """

    request: Request
    purpose: Purpose = "answer"
    technique: str | None = None
    hold: bool = False
    unsure: Callable[[Reply], bool] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a technique did to one request and why, in words a person can check.

    `tokens_before` and `tokens_after` are input tokens for techniques that rewrite, the output budget for `cap`.
    """

    technique: str
    action: str
    why: str
    mode: Mode = "on"
    tokens_before: int | None = None
    tokens_after: int | None = None


@dataclass(slots=True)
class Attempt:
    """One call that was made: what it was for, what came back, when, and whether its answer was thrown away."""

    call: Call
    reply: Reply | None = None
    error: str | None = None
    replaced_by: str | None = None
    began_ns: int | None = None
    ended_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a technique in shadow would have made of a request; `after` is None where it would have answered from a store."""

    technique: str
    before: Request
    after: Request | None


_RANDOM_BYTES: Final = 10
_DRAWN_AT_ONCE: Final = 256
_drawn: Final[list[str]] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)


def new_id() -> str:
    """32 hex digits: the time in milliseconds, then what nobody can guess.

    With the time in front a ledger writes new rows side by side. The rest is drawn many at a time,
    since asking the system takes longer than all else a Context needs.
    """
    while True:
        try:
            return f"{time.time_ns() // 1_000_000:012x}{_drawn.pop()}"
        except IndexError:
            drawn = os.urandom(_RANDOM_BYTES * _DRAWN_AT_ONCE).hex()
            _drawn.extend(drawn[place : place + 2 * _RANDOM_BYTES] for place in range(0, len(drawn), 2 * _RANDOM_BYTES))


@dataclass(slots=True)
class Context:
    """What is known about one request while it travels; techniques note their decisions here.

    Attributes:
        id: names the request in the ledger and in `x-frugal-id`.
        recipe: the recipe's name.
        group: `control` requests travel untouched so that savings can be measured.
        held_out: the one technique a treated request travels without, so that what it adds to the others can be measured.
        clock: seconds since 1970; a virtual clock in tests and the sandbox.
        declared_task: what the caller said this is, which always wins.
        baseline_usage: what the same request is known to cost untouched, where that was measured beside it.
        would_read_tokens: how much of the prompt the model that would have been asked had in its cache, where another was asked.
        reachable: which models this caller may be sent to, where the host restricts them.
        ahead: what an async host awaits before it starts the flow, so that nothing in it blocks the event loop.
        at_hand: what `ahead` found, for the technique that looked; the flow then asks nobody for it again.
        one_answer: the host shows the first answer as it comes and cannot ask again.
        own_limit: the output limit a model was configured with by its owner, where the host knows one; it counts as the caller's own.
        began_ns, ended_ns, span_parent: when it began and ended and in which OpenTelemetry context, where somebody watches.
        settled: what it came to, and after how many attempts and decisions, where somebody has worked that out before the ledger.
        answer_key: by which name the answer store knows the stored answer that was served, so that it can be rejected later.
        rehearsed: what techniques in shadow would have done.
        later: calls to make once the caller has the answer, where the driver can do that; None where it cannot.
        when_over: what is left to do when those are over: the ledger's booking.
    """

    recipe: str = ""
    id: str = field(default_factory=new_id)
    group: Group = "treated"
    held_out: str | None = None
    clock: Callable[[], float] = time.time
    declared_task: str | None = None
    host: str = "core"
    mode: Mode = "on"
    reachable: Callable[[str], bool] | None = None
    own_limit: Callable[[str], int | None] | None = None
    one_answer: bool = False
    ahead: Callable[[Context], Awaitable[None]] | None = None
    at_hand: Any = None
    decisions: list[Decision] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    baseline_usage: Usage | None = None
    would_read_tokens: int = 0
    answer_key: str | None = None
    rehearsed: list[Rehearsal] = field(default_factory=list)
    later: list[Flow] | None = None
    when_over: Callable[[], None] | None = None
    began_ns: int | None = None
    ended_ns: int | None = None
    span_parent: Any = None
    settled: tuple[tuple[int, int, int], Any] | None = None
    _task: Task | None = None

    def note(self, technique: str, action: str, why: str, *, tokens_before: int | None = None, tokens_after: int | None = None) -> None:
        """Write down what was decided. Never put prompt text into `why`."""
        self.decisions.append(Decision(technique, action, why, self.mode, tokens_before, tokens_after))

    def close(self) -> None:
        """Book the request, if that was put off until now."""
        if self.when_over is not None:
            book, self.when_over = self.when_over, None
            book()

    def task(self, request: Request) -> Task:
        """Which kind of work this is: what the caller said, else what rules find. Found once per request."""
        if self._task is None:
            self._task = Task(self.declared_task, "declared") if self.declared_task else find_task(request) or UNKNOWN
        return self._task

    def replace_last(self, technique: str) -> None:
        """Say that the last answer was thrown away and asked again, so its cost is booked to `technique`."""
        if self.attempts and self.mode == "on":
            self.attempts[-1].replaced_by = technique


Flow = Generator[Call, Reply, Reply]
Next = Callable[[Request], Flow]


class Technique(Protocol):
    """One way to pay less.

    Edit the request and `return (yield from rest(request))`; or return a Reply without calling `rest`; or yield a helper
    `Call` of your own; or call `rest` twice. Note every decision with `ctx.note`. If your code raises, the guard sends the
    original request on, once, unchanged.
    """

    @property
    def name(self) -> str:
        """The word for this technique in ledgers, reports and headers."""

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Travel with one request."""


def ask(request: Request) -> Flow:
    """The innermost step: ask the model what the request says by now."""
    return (yield Call(request))


def compose(steps: Sequence[tuple[Technique, Mode]], ctx: Context, innermost: Next = ask) -> Next:
    """Put techniques around the call, the first one outermost, each behind the guard and in its mode."""
    rest = innermost
    for technique, mode in reversed(steps):
        if mode == "on":
            rest = _guarded(technique, rest, ctx)
        elif mode == "shadow":
            rest = _shadowed(technique, rest, ctx)
    return rest


def afterwards(technique: str, work: Flow, ctx: Context) -> Flow:
    """A technique's own calls once the answer is out, behind the guard: whatever goes wrong is noted, and nobody waits for it."""
    return _guarded(_Afterwards(technique, work), _nothing, ctx)(Request("", ()))


@dataclass(frozen=True, slots=True)
class _Afterwards:
    name: str
    work: Flow

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        del request, rest, ctx  # the work knows what it needs
        return self.work


def _nothing(request: Request) -> Flow:
    return Reply({"role": "assistant", "content": None}, request.model)
    yield Call(request)  # never reached: a flow that asks nobody


class _Passing:
    """Remembers which exceptions and replies came through `rest`, so that the guard can tell them from a technique's own."""

    __slots__ = ("asked", "error", "reply", "rest")

    def __init__(self, rest: Next) -> None:
        self.rest = rest
        self.asked = False
        self.reply: Reply | None = None
        self.error: BaseException | None = None

    def __call__(self, request: Request) -> Flow:
        self.asked = True
        self.error = None
        with self:
            self.reply = yield from self.rest(request)
        return self.reply

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.error = error


def _guarded(technique: Technique, inner: Next, ctx: Context) -> Next:
    """Run a technique so that its own failure costs nothing: the untouched request goes on, and nothing is paid twice."""

    def run(request: Request) -> Flow:
        passing = _Passing(inner)
        try:
            reply = yield from technique(request, passing, ctx)
            if not isinstance(reply, Reply):
                raise NotAReply(f"{technique.name} returned {type(reply).__name__}; return the Reply that rest() gave.")
        except Exception as error:  # noqa: BLE001 - the one place: a technique may fail in any way, the request must not
            if passing.error is not None:
                if passing.reply is None:
                    raise passing.error from passing.error.__cause__
                ctx.note(technique.name, "stood_down", f"its further call failed ({type(error).__name__}); the answer it had is returned")
                return passing.reply
            ctx.note(technique.name, "stood_down", f"its own code raised {type(error).__name__}; the request went on without it")
            if passing.reply is not None:
                return passing.reply
            return (yield from inner(request))
        return reply

    return run


def _shadowed(technique: Technique, inner: Next, ctx: Context) -> Next:
    """Let a technique say what it would do while the request travels as it came. Its helper calls are not made."""

    def run(request: Request) -> Flow:
        once: list[Reply] = []

        def rest(changed: Request) -> Flow:
            if not once:
                ctx.rehearsed.append(Rehearsal(technique.name, request, changed))
                ctx.mode = before
                once.append((yield from inner(request)))
                ctx.mode = "shadow"
            return once[0]

        before, ctx.mode = ctx.mode, "shadow"
        try:
            said = yield from _guarded(_AnswersOnly(technique), rest, ctx)(request)
        finally:
            ctx.mode = before
        if not once and said.saved is not None:
            ctx.rehearsed.append(Rehearsal(technique.name, request, None))
        return once[0] if once else (yield from inner(request))

    return run


@dataclass(frozen=True, slots=True)
class _AnswersOnly:
    """A technique in shadow: the moment it wants a helper call of its own, it is done, since nobody should pay for a rehearsal."""

    technique: Technique

    @property
    def name(self) -> str:
        return self.technique.name

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        inside = False

        def watched(changed: Request) -> Flow:
            nonlocal inside
            inside = True
            reply = yield from rest(changed)
            inside = False
            return reply

        flow = self.technique(request, watched, ctx)
        answer: Reply | None = None
        try:
            while True:
                call = next(flow) if answer is None else flow.send(answer)
                if not inside:
                    ctx.note(self.name, "would_ask", f"a helper call ({call.purpose}) was left out in shadow mode")
                    flow.close()
                    return (yield from rest(request))
                answer = yield call
        except StopIteration as stop:
            reply: Reply = stop.value
            return reply
