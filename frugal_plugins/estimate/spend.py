"""What the calls cost today: dated prices, cached reads and writes, lanes and long context, by model, task and day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.estimate.price_table import PriceTable
from frugal_plugins.usage import Usage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Spent = Mapping[str, tuple[int, Decimal]]

DAYS_A_MONTH: Final = 30.4375
_DAY: Final = 86_400
_SUMS: Final = (
    "CAST(sum(fresh_tokens) AS BIGINT), CAST(sum(cache_read_tokens) AS BIGINT), CAST(sum(cache_write_5m_tokens) AS BIGINT), "
    "CAST(sum(cache_write_1h_tokens) AS BIGINT), CAST(sum(output_tokens) AS BIGINT)"
)


_NO_DATE: Final = "no date"


@dataclass(frozen=True, slots=True)
class Spend:
    """Today's bill.

    Attributes:
        by_model, by_task, by_day, by_lane: requests and dollars.
        parts: dollars by what they were paid for: input, cached reads, cache writes, output.
        unpriced: requests without a known price, by model; they are in no dollar figure.
        first_seconds, last_seconds: the observed span; None where no row has a time.
        future: rows dated after now; untimed: rows without a time.
        stored_answers: requests a cache answered already.
    """

    requests: int
    usd: Decimal
    by_model: Spent
    by_task: Spent
    by_day: Spent
    by_lane: Spent
    parts: Mapping[str, Decimal]
    tokens: Mapping[str, int]
    unpriced: Mapping[str, int]
    first_seconds: float | None
    last_seconds: float | None
    future: int = 0
    untimed: int = 0
    stored_answers: int = 0
    requests_known: bool = True
    price_sources: tuple[str, ...] = ()
    declared_month: Decimal | None = None
    daily: bool = field(default=False)

    @property
    def span_days(self) -> float | None:
        """How long was observed, at least an hour; reports by day count their last day whole."""
        if self.first_seconds is None or self.last_seconds is None:
            return None
        seconds = self.last_seconds - self.first_seconds + (_DAY if self.daily else 0)
        return max(seconds, 3_600.0) / _DAY

    @property
    def month_usd(self) -> Decimal | None:
        """The same pace for a month of 30.4 days, of the rows that have a time; None where the span is not known."""
        if self.declared_month is not None:
            return self.declared_month
        timed = self.usd - self.by_day.get(_NO_DATE, (0, Decimal(0)))[1]
        return None if self.span_days is None else timed * Decimal(DAYS_A_MONTH / self.span_days)

    @property
    def month_factor(self) -> float | None:
        """What turns the observed dollars into a month's."""
        month = self.month_usd
        return None if month is None or not self.usd else float(month / self.usd)


def prepare(db: DuckDBPyConnection, prices: PriceTable) -> None:
    """Make `prices` and the view `priced`: every row with the number of its rates, NULL where no price is known."""
    prices.fill(db)
    db.execute(
        "CREATE TEMP VIEW priced AS SELECT t.*, p.rates FROM timed t LEFT JOIN prices p ON t.model = p.model AND t.lane = p.lane "
        "AND t.price_hour = p.price_hour AND t.size_tokens > p.above AND t.size_tokens <= p.up_to"
    )


def today(db: DuckDBPyConnection, prices: PriceTable) -> Spend:
    """Add up what is in `logs`."""
    by = f"model, lane, task, CAST(floor(at_seconds / {_DAY}) AS BIGINT), rates"
    found = db.execute(
        f"SELECT {by}, CAST(sum(requests) AS BIGINT), {_SUMS}, CAST(sum(reasoning_tokens) AS BIGINT) FROM priced "
        f"WHERE NOT stored_answer GROUP BY {by}"
    ).fetchall()
    first, last, future, untimed, stored, uncounted, daily = db.execute(
        f"SELECT min(at_seconds), max(at_seconds), count(*) FILTER (at_seconds > {prices.now_seconds + _DAY}), "
        "count(*) FILTER (at_seconds IS NULL), count(*) FILTER (stored_answer), count(*) FILTER (requests = 0), "
        f"count(*) > 0 AND count(*) = count(*) FILTER (requests <> 1 AND at_seconds = floor(at_seconds / {_DAY}) * {_DAY}) FROM logs"
    ).fetchall()[0]
    added = _Added()
    for row in found:
        added.take(row, prices)
    return Spend(
        requests=sum(count for count, _ in added.by_model.values()) + sum(added.unpriced.values()) + stored,
        usd=sum((usd for _, usd in added.by_model.values()), Decimal(0)),
        by_model=_dearest(added.by_model),
        by_task=_dearest(added.by_task),
        by_day=dict(sorted(added.by_day.items())),
        by_lane=_dearest(added.by_lane),
        parts=added.parts,
        tokens=added.tokens,
        unpriced=added.unpriced,
        first_seconds=first,
        last_seconds=last,
        future=future,
        untimed=untimed,
        stored_answers=stored,
        requests_known=not uncounted,
        price_sources=tuple(sorted({rates.source for rates in prices.rates})),
        daily=daily,
    )


@dataclass(slots=True)
class _Added:
    """Sums under way."""

    by_model: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    by_task: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    by_day: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    by_lane: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    parts: dict[str, Decimal] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    unpriced: dict[str, int] = field(default_factory=dict)

    def take(self, row: tuple[Any, ...], prices: PriceTable) -> None:
        """One group of rows that share everything a price depends on."""
        model, lane, task, day, number, count, *sums, reasoning = row
        for name, tokens in zip(("fresh", "cache_read", "cache_write_5m", "cache_write_1h", "output"), sums, strict=True):
            self.tokens[name] = self.tokens.get(name, 0) + tokens
        self.tokens["reasoning"] = self.tokens.get("reasoning", 0) + reasoning
        if number is None:
            name = model if lane == "standard" else f"{model} ({lane})"
            self.unpriced[name] = self.unpriced.get(name, 0) + max(1, count)
            return
        rates = prices.rates[number]
        fresh, read, write, hour, out = sums
        usages = {
            "input": Usage(fresh),
            "cached reads": Usage(read, cache_read_tokens=read),
            "cache writes": Usage(write + hour, 0, write, hour),
            "output": Usage(output_tokens=out),
        }
        costs = {name: rates.cost(usage) for name, usage in usages.items()}
        usd = sum(costs.values(), Decimal(0))
        for name, cost in costs.items():
            self.parts[name] = self.parts.get(name, Decimal(0)) + cost
        groups = ((self.by_model, model), (self.by_task, task or "not visible"), (self.by_day, _date(day)), (self.by_lane, lane))
        for into, name in groups:
            before = into.get(name, (0, Decimal(0)))
            into[name] = (before[0] + count, before[1] + usd)


def _date(day: int | None) -> str:
    return _NO_DATE if day is None else (dt.date(1970, 1, 1) + dt.timedelta(days=day)).isoformat()


def _dearest(found: Mapping[str, tuple[int, Decimal]]) -> Spent:
    return dict(sorted(found.items(), key=lambda item: (-item[1][1], item[0])))
