"""A request's end, however it comes: everyone who wants to know is told once."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from frugal_plugins.flow import Context, Flow, Next
from frugal_plugins.ledger.file import Ledger
from frugal_plugins.ledger.settle import Entry
from frugal_plugins.observe import Observer
from frugal_plugins.observe.spans import current_span
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Reply, Request


class Booking(Protocol):
    """What of a recipe is needed to book a request."""

    prices: PriceBook
    clock: Callable[[], float]
    observers: tuple[Observer, ...]

    @property
    def ledger(self) -> Ledger | None:
        """Where requests are booked."""

    def baseline_model(self, request: Request) -> str:
        """The model a request would have gone to."""


class _Ending:
    """What a flow came to."""

    __slots__ = ("error", "reply")

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self.error: str | None = None

    def __enter__(self) -> _Ending:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.error = kind.__name__ if kind else None


def booked(
    rest: Next, request: Request, ctx: Context, tell: tuple[Callable[[Entry], None], ...], recipe: Booking, prices: PriceBook | None
) -> Flow:
    """Run a flow and tell of its end."""
    ending = _Ending()
    if recipe.observers:
        ctx.began_ns, ctx.span_parent = time.time_ns(), current_span()
    try:
        with ending:
            ending.reply = yield from rest(request)
    finally:
        if recipe.observers:
            ctx.ended_ns = time.time_ns()
        ledger = recipe.ledger
        entry = Entry(
            request=request,
            ctx=ctx,
            reply=ending.reply,
            error=ending.error,
            baseline_model=recipe.baseline_model(request),
            prices=prices or recipe.prices,
            at=dt.datetime.fromtimestamp(recipe.clock(), tz=dt.UTC),
            usual_output=ledger.usual_output if ledger is not None else lambda _task: None,
        )
        if ctx.later and ending.reply is not None:  # booked together with the calls that are still to come
            ctx.when_over = partial(_tell, tell, entry)
        else:
            if ctx.later:
                ctx.later.clear()  # nobody would book it
            _tell(tell, entry)
    return ending.reply


def _tell(tell: tuple[Callable[[Entry], None], ...], entry: Entry) -> None:
    for told in tell:
        told(entry)
