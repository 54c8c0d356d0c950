"""A row's flow, run from its original request and fed from the journal: no technique knows that a day has passed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from frugal_plugins.batch.rows import Journaled, StoredRow
from frugal_plugins.drivers import Run
from frugal_plugins.errors import FrugalError
from frugal_plugins.flow import Attempt, Call, Context
from frugal_plugins.ledger.file import Ledger
from frugal_plugins.ledger.settle import Entry
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import NO_USAGE, Reply, Request
from frugal_plugins.told import Told


class CallFailed(FrugalError):
    """A call of a row came to nothing: the provider refused it, or it was asked as often as it may be."""


class Unbooked(Recipe):
    """A recipe whose flows are not booked when they end, because a row's flow is run once for every wave of its job.

    Shares the cache, prices and sessions of the recipe it is made from.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.__dict__.update(vars(recipe))

    @property
    def ledger(self) -> Ledger | None:
        """None: the executor books a row when it is over."""
        return None


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far a row got: it wants `call`, or it is over with `reply` or `error`; `judged` is what came of asking a judge about it."""

    ctx: Context
    request: Request
    call: Call | None = None
    reply: Reply | None = None
    error: str | None = None
    judged: Journaled | None = None


def replay(
    recipe: Unbooked, row: StoredRow, journal: Sequence[Journaled], reachable: Callable[[str], bool] | None, refused: str | None = None
) -> Replayed:
    """Run a row's flow as far as the journal goes; not at all where it is `refused` from the beginning.

    A row that already has a journal has passed the cache without a hit; it is not looked up again, or the answer another row
    has stored since would send the replay another way than the one that was paid for.
    """
    told = row.told
    if journal:
        told = Told(told.off, told.task, told.session, {**told.tags, "no_cache": "yes"})
    flow, ctx = recipe.flow(row.request, told=told, host="batch", reachable=reachable, id=f"{row.job}-{row.n}")
    asked = row.request.with_(tags={**row.request.tags, **row.told.tags}, session=row.told.session or row.request.session)
    if refused is not None:
        flow.close()
        return Replayed(ctx, asked, error=refused)
    try:
        run = Run(flow, ctx)
        left = list(journal)
        while left and run.call is not None:
            _feed(run, ctx, left.pop(0))
    except CallFailed as error:
        return Replayed(ctx, asked, error=str(error))
    if run.call is None:
        return Replayed(ctx, asked, reply=run.result(), judged=left[0] if left else None)
    call = run.call
    flow.close()
    return Replayed(ctx, asked, call=call)


def _feed(run: Run, ctx: Context, entry: Journaled) -> None:
    """Tell the flow what came of its call, and book it under the model that was really asked."""
    assert run.call is not None
    sent = replace(run.call, request=run.call.request.with_(model=entry.model))
    for usage in entry.lost:
        ctx.attempts.append(Attempt(sent, Reply({}, entry.model, usage, "lost", billed_as=entry.model, lane="batch"), "LineLost", "batch"))
    if entry.marked_tokens:
        ctx.note("prompt_cache", "marked", f"the front of {entry.marked_tokens} tokens that rows of this job share, in the batch")
    place = len(ctx.attempts)
    if entry.reply is None:
        with run:
            raise CallFailed(entry.error or "the call came to nothing")
    else:
        reply = entry.reply
        if entry.shared_with is not None:
            ctx.note("batch", "hit", f"row {entry.shared_with} of this job asks the same and was asked once for both")
            reply = reply.with_(usage=NO_USAGE, saved=reply.usage, id=None)
        with run:
            run.answer(reply)
    ctx.attempts[place].call = sent


def entry_of(recipe: Recipe, over: Replayed) -> Entry:
    """A row that is over as the ledger takes it. Its id is the row's own, so a second time changes nothing."""
    ledger = recipe.ledger
    return Entry(
        request=over.request,
        ctx=over.ctx,
        reply=over.reply,
        error=None if over.reply is not None else "CallFailed",
        baseline_model=recipe.baseline_model(over.request),
        prices=recipe.prices,
        at=dt.datetime.fromtimestamp(recipe.clock(), tz=dt.UTC),
        usual_output=(lambda _task: None) if ledger is None else ledger.usual_output,
    )
