"""Budgets: how much a recipe, team, feature or kind of work may cost in an hour, a day or a month, and what happens then.

They are checked on the ledger's writer thread against the hourly sums, so what several proxies spend together counts, and a
caller waits for nothing. Between two checks (a second) traffic goes on, so a budget can be passed by what a second costs.
"""

from __future__ import annotations

import datetime as dt
import logging
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from frugal_plugins.errors import BudgetReached, FrugalError
from frugal_plugins.ledger.reader import Dimension, Period
from frugal_plugins.ledger.reading import TableReader, open_reader
from frugal_plugins.ledger.rows import plain
from frugal_plugins.ledger.tables import pico
from frugal_plugins.request import Request

_log = logging.getLogger("frugal_plugins.budgets")

Per = Literal["hour", "day", "month"]
Action = Literal["log", "webhook", "stop"]
_ALERT: Final = (
    "INSERT INTO alerts (name, what, period_seconds, at_seconds, picousd, limit_picousd) "
    "VALUES (:name, :what, :period, :at, :spent, :limit) ON CONFLICT DO NOTHING"
)
_WEBHOOK_SECONDS: Final = 5.0
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit. Without a team, feature or task it covers the whole recipe.

    Attributes:
        action: `log` warns in the log; `webhook` also posts the figures to `url`; `stop` also refuses further requests until
            the hour, day or month (UTC) is over.
    """

    name: str
    usd: Decimal
    per: Per = "month"
    team: str | None = None
    feature: str | None = None
    task: str | None = None
    action: Action = "log"
    url: str | None = None

    @property
    def scope(self) -> Mapping[str, str]:
        """What it covers, where that is less than the recipe."""
        return {name: value for name in ("team", "feature", "task") if (value := getattr(self, name)) is not None}

    def starts(self, now: dt.datetime) -> dt.datetime:
        """When the current hour, day or month began."""
        hour = now.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
        return hour if self.per == "hour" else hour.replace(hour=0) if self.per == "day" else hour.replace(day=1, hour=0)

    def ends(self, now: dt.datetime) -> dt.datetime:
        """When it will be over."""
        start = self.starts(now)
        if self.per == "month":
            return (start + dt.timedelta(days=32)).replace(day=1)
        return start + (dt.timedelta(hours=1) if self.per == "hour" else dt.timedelta(days=1))


@dataclass(slots=True)
class Budgets:
    """The budgets of one recipe, and which of them are spent.

    Args:
        place: the ledger they are counted in.
        every_seconds: how often they are checked at most.
    """

    recipe: str
    place: str
    budgets: Sequence[Budget]
    every_seconds: float = 1.0
    _next: float = 0.0
    _spent: dict[str, tuple[float, Decimal]] = field(default_factory=dict)
    _unreadable: bool = False

    def refuse(self, request: Request, task: str | None, now_seconds: float) -> None:
        """Raise BudgetReached when a budget that covers this request and says `stop` is spent. Looks at memory only."""
        for budget in self.budgets:
            until, spent = self._spent.get(budget.name, (0.0, Decimal(0)))
            if budget.action != "stop" or now_seconds >= until:
                continue
            told = {**request.tags, **({"task": task} if task else {})}
            if all(told.get(name) == value for name, value in budget.scope.items()):
                raise BudgetReached(budget.name, spent, budget.usd, dt.datetime.fromtimestamp(until, tz=dt.UTC))

    def check(self) -> None:
        """Count, and do what is to be done for budgets that have just been reached."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.every_seconds
        try:
            with open_reader(self.place) as reader:
                for budget in self.budgets:
                    self._check(budget, reader)
            self._unreadable = False
        except (FrugalError, sqlite3.Error, OSError) as error:
            if not self._unreadable:
                self._unreadable = True
                _log.warning("Budgets of recipe %s cannot be checked for now: %s", self.recipe, error)

    def _check(self, budget: Budget, reader: TableReader) -> None:
        now = dt.datetime.now(tz=dt.UTC)
        start, end = budget.starts(now), budget.ends(now)
        spent = _spent(budget, self.recipe, reader, start)
        if spent < budget.usd:
            self._spent.pop(budget.name, None)
            return
        self._spent[budget.name] = (end.timestamp(), spent)
        told_first = reader.db.change(
            [_ALERT],
            name=f"{self.recipe}/{budget.name}",
            what=_what(budget),
            period=int(start.timestamp()),
            at=now.timestamp(),
            spent=pico(spent),
            limit=pico(budget.usd),
        )
        if told_first:  # of all programs that write into this ledger, one says it, once in a period
            self._tell(budget, spent, start, end)

    def _tell(self, budget: Budget, spent: Decimal, start: dt.datetime, end: dt.datetime) -> None:
        figures = {
            "budget": budget.name,
            "recipe": self.recipe,
            "covers": dict(budget.scope),
            "per": budget.per,
            "since": start.isoformat(),
            "until": end.isoformat(),
            "spent_usd": f"{spent:f}",
            "limit_usd": f"{budget.usd:f}",
            "action": budget.action,
        }
        _log.warning(
            "Budget %s of recipe %s is reached: $%.2f of $%.2f per %s, %s.%s",
            budget.name, self.recipe, spent, budget.usd, budget.per, _what(budget),
            f" Requests are refused until {end:%Y-%m-%d %H:%M} UTC." if budget.action == "stop" else "",
            extra={f"frugal_{name}": value for name, value in figures.items()},
        )  # fmt: skip
        if budget.url is not None:
            threading.Thread(target=post, args=(budget.url, figures), name="frugal-webhook", daemon=True).start()


def _spent(budget: Budget, recipe: str, reader: TableReader, start: dt.datetime) -> Decimal:
    period = Period(start.timestamp(), recipe=recipe)
    if not budget.scope:
        return reader.total(period).spent_usd
    dimension, value = next(iter(budget.scope.items()))
    of: dict[str, Dimension] = {"team": "team", "feature": "feature", "task": "task"}
    found = reader.split(of[dimension], period).get(plain(value))
    return Decimal(0) if found is None else found.spent_usd


def _what(budget: Budget) -> str:
    return ", ".join(f"{name} {plain(value)}" for name, value in budget.scope.items()) or "the whole recipe"


def post(url: str, figures: Mapping[str, Any]) -> bool:
    """Send figures, never text of prompts, to the one URL the recipe names; no redirect is followed. Says whether it arrived."""
    import httpx

    for attempt in range(_TRIES):
        try:
            with httpx.Client(timeout=_WEBHOOK_SECONDS, follow_redirects=False, trust_env=False) as client:
                answer = client.post(url, json=dict(figures))
            if answer.is_success:
                return True
            why = f"it answered {answer.status_code}"
        except httpx.HTTPError as error:
            why = type(error).__name__
        if attempt + 1 < _TRIES:
            time.sleep(2.0**attempt)
    _log.warning("The webhook of budget %s at %s could not be told: %s.", figures.get("budget"), httpx.URL(url).host, why)
    return False
