"""What a ledger adds up to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from frugal_plugins.ledger.reader import Acted, Period, Spend
from frugal_plugins.ledger.reading import TableReader, open_reader


@dataclass(frozen=True, slots=True)
class TechniqueLine:
    """One technique's part: what it saved (negative where it cost) and how often it acted.

    `would`, `would_usd`: in shadow, how often it would have acted and what it would have saved alone; part of no other figure.
    """

    technique: str
    saved_usd: Decimal
    decisions: int
    actions: Mapping[str, int]
    would: int
    would_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Summary:
    """A ledger in figures.

    Attributes:
        baseline_usd, actual_usd: over the requests with a price on both sides; `saved_usd` is their difference.
        unpriced: requests left out of the dollars because a model has no known price.
        measured: requests whose baseline was measured beside them; the others are estimated from their own tokens.
        lost: requests the ledger could not write.
    """

    requests: int
    baseline_usd: Decimal
    actual_usd: Decimal
    spent_usd: Decimal
    techniques: tuple[TechniqueLine, ...]
    by_outcome: Mapping[str, int]
    by_model: Mapping[str, tuple[int, Decimal]]
    by_task: Mapping[str, tuple[int, Decimal, Decimal]]
    by_group: Mapping[str, tuple[int, Decimal]]
    by_day: Mapping[str, tuple[int, Decimal, Decimal]]
    unpriced: int
    unpriced_models: tuple[str, ...]
    measured: int
    stood_down: int
    errors: int
    lost: int
    first_at: str | None
    last_at: str | None

    @property
    def saved_usd(self) -> Decimal:
        """What was not paid; negative when the recipe cost more than it saved."""
        return self.baseline_usd - self.actual_usd

    @property
    def saved_percent(self) -> float | None:
        """Of the baseline; None when there is nothing to compare."""
        return float(100 * self.saved_usd / self.baseline_usd) if self.baseline_usd else None


def summarize(path: str | Path, *, since_seconds: float | None = None) -> Summary:
    """Add a ledger up, from the hour that holds `since_seconds`. Raises LedgerError when there is no such ledger."""
    with open_reader(path) as reader:
        return summary_of(reader, Period(since_seconds))


def summary_of(reader: TableReader, period: Period) -> Summary:
    """A period of a ledger in figures."""
    total, models = reader.total(period), reader.split("model", period)
    acted, outcomes = reader.acted(period), reader.split("outcome", period)
    first, last = reader.span(period)
    return Summary(
        requests=total.requests,
        baseline_usd=total.baseline_usd,
        actual_usd=total.actual_usd,
        spent_usd=sum((spend.spent_usd for spend in models.values()), Decimal(0)),
        techniques=_techniques(reader.split("technique", period), reader.split("shadow", period), acted),
        by_outcome=dict(sorted(((name, one.requests) for name, one in outcomes.items()), key=lambda o: -o[1])),
        by_model={model: (spend.requests, spend.spent_usd) for model, spend in models.items()},
        by_task=_pairs(reader.split("task", period)),
        by_group={group: (spend.requests, spend.spent_usd) for group, spend in reader.split("group", period).items()},
        by_day=_pairs({_day(start): spends[""] for start, spends in reader.series(None, "day", period).items()}),
        unpriced=total.requests - total.priced,
        unpriced_models=tuple(model for model, spend in models.items() if spend.requests > spend.priced),
        measured=reader.measured(period),
        stood_down=sum(one.times for one in acted if one.action == "stood_down"),
        errors=total.errors,
        lost=reader.lost(period),
        first_at=first,
        last_at=last,
    )


def _techniques(saved: Mapping[str, Spend], rehearsed: Mapping[str, Spend], acted: tuple[Acted, ...]) -> tuple[TechniqueLine, ...]:
    actions: dict[str, dict[str, int]] = {}
    would: dict[str, int] = {}
    for one in acted:
        of = actions.setdefault(one.technique, {})
        action = f"would {one.action}" if one.shadow else one.action
        of[action] = of.get(action, 0) + one.times
        would[one.technique] = would.get(one.technique, 0) + (one.times if one.shadow and one.changes else 0)
    dollars = {name: spend.saved_usd for name, spend in saved.items()}
    names = sorted({*dollars, *actions}, key=lambda name: -dollars.get(name, Decimal(0)))

    def line(name: str) -> TechniqueLine:
        did = actions.get(name, {})
        would_usd = rehearsed[name].saved_usd if name in rehearsed else Decimal(0)
        return TechniqueLine(name, dollars.get(name, Decimal(0)), sum(did.values()), did, would.get(name, 0), would_usd)

    return tuple(map(line, names))


def _pairs(found: Mapping[str, Spend]) -> dict[str, tuple[int, Decimal, Decimal]]:
    return {name: (spend.priced, spend.baseline_usd, spend.actual_usd) for name, spend in found.items() if spend.priced}


def _day(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).date().isoformat()
