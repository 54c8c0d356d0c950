"""A recipe whose requests can be looked at while they travel, whichever door they came through."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from frugal_plugins.flow import Context, Flow
from frugal_plugins.ledger.settle import Entry, Settled, settle
from frugal_plugins.postgres import is_postgres
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.recipe.settings import parse
from frugal_plugins.recipe.source import read_recipe
from frugal_plugins.request import Reply, Request


@dataclass(slots=True)
class Watch:
    """One request seen from outside: hand in what is `known` of it, find what happened to it.

    Attributes:
        known: fields of its context (`id`, `baseline_usage`).
        at_seconds: when it came in, on the recipe's clock.
    """

    known: Mapping[str, Any] = field(default_factory=dict)
    request: Request | None = None
    ctx: Context | None = None
    reply: Reply | None = None
    at_seconds: float = 0.0

    def settled(self, recipe: Recipe) -> Settled | None:
        """What it came to, in dollars; None when it never reached the recipe."""
        if self.request is None or self.ctx is None:
            return None
        return settle(
            Entry(
                request=self.request,
                ctx=self.ctx,
                reply=self.reply,
                error=None if self.reply else "no reply",
                baseline_model=recipe.baseline_model(self.request),
                prices=recipe.prices,
                at=dt.datetime.fromtimestamp(self.at_seconds, tz=dt.UTC),
            )
        )


_NOW: Final[ContextVar[Watch | None]] = ContextVar("frugal_watch", default=None)


@contextmanager
def watching(watch: Watch) -> Iterator[Watch]:
    """Watch the request made inside the `with` block (of this thread or task)."""
    token = _NOW.set(watch)
    try:
        yield watch
    finally:
        _NOW.reset(token)


RecipeSource = str | os.PathLike[str] | Mapping[str, Any]


class WatchedRecipe(Recipe):
    """A recipe that tells the current `Watch` about each request it starts."""

    @classmethod
    def load(cls, source: RecipeSource, *, clock: Callable[[], float] = time.time) -> WatchedRecipe:
        """`Recipe.load`, for a recipe that is watched."""
        return cast("WatchedRecipe", super().load(source, clock=clock))

    @classmethod
    def rehearse(cls, source: RecipeSource, *, clock: Callable[[], float] = time.time) -> WatchedRecipe:
        """A recipe for made-up answers: its cache stays in memory and its ledger is a file of its own, NAME-sandbox.

        So nothing invented is ever served or reported as real. A ledger named by FRUGAL_LEDGER is used as it is.
        """
        loaded = read_recipe(source)
        settings = parse(loaded)
        cache, ledger = settings.cache, settings.ledger
        path = ledger.path
        if is_postgres(path):
            path = "frugal-ledger-sandbox.sqlite"
        elif path != "off":
            path = str(Path(path).with_name(f"{Path(path).stem}-sandbox{Path(path).suffix}"))
        changes: dict[str, Any] = {"ledger": ledger.model_copy(update={"path": path})}
        if cache is not None:
            changes["cache"] = cache.model_copy(update={"path": None})
        return cls(settings.model_copy(update=changes), path=loaded.path, clock=clock)

    def flow(self, request: Request, **known: Any) -> tuple[Flow, Context]:
        """Start a request on its way, with what the watch knows of it."""
        watch = _NOW.get()
        if watch is None:
            return super().flow(request, **known)
        flow, ctx = super().flow(request, **{**known, **watch.known})
        watch.request, watch.ctx, watch.at_seconds = request, ctx, self.clock()
        return _followed(flow, watch), ctx


def _followed(flow: Flow, watch: Watch) -> Flow:
    watch.reply = yield from flow
    return watch.reply
