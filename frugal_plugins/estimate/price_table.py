"""Which price holds for which rows: every model, lane, day and size of request gets a number for its rates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from frugal_plugins.prices import PriceBook, Rates
from frugal_plugins.request import Lane

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SIZES: Final = (32_000, 64_000, 128_000, 200_000, 256_000, 272_000, 512_000, 1_000_000)
"""Where providers' long-context prices begin; only asked of models that have one."""

_ENDLESS: Final = 1 << 62
_DAY: Final = 86_400


@dataclass(slots=True)
class PriceTable:
    """The rates the rows need, each once.

    Attributes:
        book: where prices come from.
        now_seconds: later days are priced as of now: a log cannot know the future.
        rates: by their number in the database.
    """

    book: PriceBook
    now_seconds: float
    rates: list[Rates] = field(default_factory=list)
    _numbers: dict[tuple[object, ...], int] = field(default_factory=dict)

    def number(self, rates: Rates) -> int:
        """Equal prices have one number, whatever day they are of."""
        key = (rates.input_usd, rates.output_usd, rates.cache_read_usd, rates.cache_write_5m_usd, rates.cache_write_1h_usd)
        if key not in self._numbers:
            self._numbers[key] = len(self.rates)
            self.rates.append(rates)
        return self._numbers[key]

    def fill(self, db: DuckDBPyConnection) -> None:
        """Make the table `prices(model, lane, hour, above, up_to, rates)` for everything in `logs`."""
        self._times(db)
        wanted = db.execute("SELECT DISTINCT model, lane, price_hour FROM timed WHERE NOT stored_answer").fetchall()
        db.execute("CREATE TEMP TABLE prices (model VARCHAR, lane VARCHAR, price_hour BIGINT, above BIGINT, up_to BIGINT, rates INTEGER)")
        rows = [(model, lane, hour, *size) for model, lane, hour in wanted for size in self._sizes(model, lane, hour)]
        for start in range(0, len(rows), 500):
            part = rows[start : start + 500]
            db.execute(
                f"INSERT INTO prices VALUES {', '.join('(?, ?, ?, ?, ?, ?)' for _ in part)}", [value for row in part for value in row]
            )

    def _times(self, db: DuckDBPyConnection) -> None:
        """The view `timed`: rows with the hour their price is of. Only models whose price moves within a day need the hour."""
        models = [model for (model,) in db.execute("SELECT DISTINCT model FROM logs").fetchall()]
        hourly = [model for model in models if self._moves_within_a_day(model)]
        db.execute("CREATE TEMP TABLE hourly (model VARCHAR)")
        for model in hourly:
            db.execute("INSERT INTO hourly VALUES (?)", [model])
        now = self.now_seconds
        at = f"least(coalesce(at_seconds, {now}), {now})"
        hour, noon = f"CAST(floor({at} / 3600) AS BIGINT)", f"CAST(floor({at} / {_DAY}) AS BIGINT) * 24 + 12"
        by_hour = "model IN (SELECT model FROM hourly)" if hourly else "false"
        db.execute(f"CREATE TEMP VIEW timed AS SELECT *, CASE WHEN {by_hour} THEN {hour} ELSE {noon} END AS price_hour FROM logs")

    def _moves_within_a_day(self, model: str) -> bool:
        day = int(self.now_seconds // _DAY * _DAY)
        found = {self._key(self.book.rates(model, at=_at(day + hour * 3600))) for hour in range(0, 24, 2)}
        return len(found) > 1

    def _key(self, rates: Rates | None) -> int | None:
        return None if rates is None else self.number(rates)

    def _sizes(self, model: str, lane: Lane, hour: int) -> Iterator[tuple[int, int, int]]:
        """(above, up to, rates) for each size of request; nothing for an unpriced model."""
        at = _at(hour * 3600)
        rates = self.book.rates(model, at=at, lane=lane)
        if rates is None:
            return
        above, limit = -1, rates.up_to_input_tokens
        for size in sorted({*_SIZES, limit}) if limit is not None else ():
            larger = self.book.rates(model, at=at, lane=lane, input_tokens=size + 1)
            if larger is not None and self.number(larger) != self.number(rates):
                yield above, size, self.number(rates)
                above, rates = size, larger
        yield above, _ENDLESS, self.number(rates)


def _at(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
