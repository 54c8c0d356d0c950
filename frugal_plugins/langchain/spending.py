"""What runs, threads and users have spent, and whether a budget of the recipe is used up."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from frugal_plugins.errors import FrugalError
from frugal_plugins.ledger.settle import Settled
from frugal_plugins.prefix.sessions import MemorySessions, Session, SessionFile, SessionStore
from frugal_plugins.recipe.budget_settings import BudgetSettings
from frugal_plugins.request import fingerprint

_log = logging.getLogger("frugal_plugins")

_HOUR_SECONDS: Final = 3600
_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class Spent:
    """Dollars and tokens; `unpriced` counts calls whose price nobody knows."""

    usd: Decimal = Decimal(0)
    tokens: int = 0
    unpriced: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.usd + other.usd, self.tokens + other.tokens, self.unpriced + other.unpriced)

    def as_json(self) -> dict[str, Any]:
        """For an agent's state or a session store: plain values, dollars as text so that no cent is rounded."""
        return {"usd": str(self.usd), "tokens": self.tokens, "unpriced": self.unpriced}


def read_spent(data: Mapping[str, Any] | None) -> Spent:
    """What `as_json` wrote."""
    if not data:
        return Spent()
    return Spent(Decimal(str(data.get("usd", "0"))), int(data.get("tokens", 0)), int(data.get("unpriced", 0)))


def spent_by(settled: Settled) -> Spent:
    """What one request cost, its helper calls and repeated calls included."""
    tokens = sum(paid.usage.input_tokens + paid.usage.output_tokens for paid in settled.paid)
    return Spent(settled.actual_usd or Decimal(0), tokens, int(settled.actual_usd is None))


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that is used up. `words` say so to whoever reads the agent's answer."""

    limit: str
    words: str


def reached(settings: BudgetSettings, spent: Mapping[str, Spent], next_call: Spent) -> Reached | None:
    """The first limit that is used up, or that the next call would certainly go past.

    Args:
        spent: by `run`, `thread` and `user`.
        next_call: the least the next call takes.
    """
    for scope, so_far in spent.items():
        usd: Decimal | None = getattr(settings, f"{scope}_usd")
        tokens: int | None = getattr(settings, f"{scope}_tokens")
        if usd is not None and (so_far.usd >= usd or so_far.usd + next_call.usd > usd):
            return Reached(f"{scope}_usd", f"{_whose(scope, settings)} has spent ${_money(so_far.usd)} of its ${_money(usd)}")
        if tokens is not None and (so_far.tokens >= tokens or so_far.tokens + next_call.tokens > tokens):
            used = f"has used {so_far.tokens:,} of its {tokens:,} tokens"
            return Reached(f"{scope}_tokens", f"{_whose(scope, settings)} {used}")
    return None


class UserSpending:
    """What each user has spent in the last hours, in this process or in a file several processes share."""

    def __init__(self, settings: BudgetSettings, recipe: str) -> None:
        self._hours = float(settings.user_hours)
        self._recipe = recipe
        self._store: SessionStore = SessionFile(settings.path) if settings.path else MemorySessions()

    def so_far(self, user: str, tenant: str, now_seconds: float) -> Spent:
        """Dollars and tokens of the last `user_hours`."""
        try:
            found = self._store.get(self._key(user, tenant), now_seconds)
        except (FrugalError, sqlite3.Error) as error:
            _log.warning("What users have spent cannot be read (%s); their budget does not hold until it can.", error)
            return Spent()
        return Spent() if found is None else sum(map(read_spent, self._recent(found.data, now_seconds).values()), Spent())

    def add(self, user: str, tenant: str, spent: Spent, now_seconds: float) -> None:
        """Count a call. Other workers may do so at the same time."""
        key, hour = self._key(user, tenant), str(int(now_seconds // _HOUR_SECONDS))
        try:
            for _ in range(_TRIES):
                found = self._store.get(key, now_seconds) or Session(key, {}, owner=fingerprint(tenant))
                hours = self._recent(found.data, now_seconds)
                hours[hour] = (read_spent(hours.get(hour)) + spent).as_json()
                until = now_seconds + (self._hours + 1) * _HOUR_SECONDS
                if self._store.put(Session(key, {"hours": hours}, found.version, until, found.owner)):
                    return
        except (FrugalError, sqlite3.Error) as error:
            _log.warning("What a user spent cannot be written (%s); it is not counted.", error)

    def _recent(self, data: Mapping[str, Any], now_seconds: float) -> dict[str, Any]:
        since = (now_seconds - self._hours * _HOUR_SECONDS) // _HOUR_SECONDS
        return {hour: spent for hour, spent in data.get("hours", {}).items() if int(hour) > since}

    def _key(self, user: str, tenant: str) -> str:
        return fingerprint(["budget", self._recipe, tenant, user])


def _whose(scope: str, settings: BudgetSettings) -> str:
    return {
        "run": "this run",
        "thread": "this conversation",
        "user": f"this user, in the last {float(settings.user_hours):g} hours,",
    }[scope]


def _money(usd: Decimal) -> str:
    """Dollars with as many places as they need, at least two."""
    places = 2 if usd >= 1 else 6
    text = f"{usd:.{places}f}".rstrip("0")
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents.ljust(2, '0')}"
