"""The read face over SQLite and PostgreSQL: one set of queries, two kinds of connection."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

from frugal_plugins.errors import LedgerError
from frugal_plugins.ledger.reader import Acted, Alert, Booked, BookedCall, Dimension, Period, Reason, Spend, Step, Wanted
from frugal_plugins.ledger.rollups import GROUP, within
from frugal_plugins.ledger.rows import Row, usd
from frugal_plugins.ledger.sqlite import SqliteDb
from frugal_plugins.postgres import is_postgres
from frugal_plugins.prices import provider_of

_STEPS: Final[Mapping[Step, int]] = {"hour": 3600, "day": 86_400}
_DIMENSIONS: Final = ("task", "model", "asked_model", "technique", "shadow", "group", "outcome", "team", "feature", "recipe", "host")
_AMOUNTS: Final = (
    "baseline_picousd",
    "actual_picousd",
    "saved_picousd",
    "(CASE WHEN basis = 'measured' THEN saved_picousd ELSE 0 END)",
    "(CASE WHEN basis = 'estimated' THEN saved_picousd ELSE 0 END)",
    "spent_picousd",
)
"""Added up in two halves: nine million dollars would not fit into one of SQLite's whole numbers."""
_SUMS: Final = (
    "sum(requests), sum(priced), sum(hits), sum(errors), sum(input_tokens), sum(cache_read_tokens), sum(output_tokens), "
    + ", ".join(f"sum({amount} / 1000000), sum({amount} % 1000000)" for amount in _AMOUNTS)
)
_OF_RECIPE: Final = "(CAST(:recipe AS TEXT) IS NULL OR recipe = :recipe)"
_AT_ONCE: Final = 500
_END: Final = 2**50
_ROW: Final = (
    f"r.id, r.at_seconds, r.recipe, r.host, r.task, r.task_source, {GROUP}, r.outcome, r.finish_reason, r.model_baseline, "
    "coalesce(r.model_answered, ''), r.team, r.feature, r.user_hash, r.session_hash, r.answer_key, r.baseline_picousd, r.actual_picousd, "
    "r.basis, r.input_tokens, r.cache_read_tokens, r.output_tokens, "
    "(SELECT min(f.good) FROM feedback f WHERE f.request_id = r.id), r.text"
)
_FITTING: Final[Mapping[str, str]] = {
    "task": "r.task = :task",
    "model": "EXISTS (SELECT 1 FROM calls c WHERE c.request_id = r.id AND c.model IN (:model, :model_too))",
    "technique": "(EXISTS (SELECT 1 FROM decisions d WHERE d.request_id = r.id AND d.technique = :technique) "
    "OR EXISTS (SELECT 1 FROM savings s WHERE s.request_id = r.id AND s.technique = :technique))",
    "group": "r.grp = :group AND r.held_out IS NULL",
    "held_out": "r.held_out = :held_out",
    "outcome": "r.outcome = :outcome",
    "team": "coalesce(r.team, '') = :team",
    "feature": "coalesce(r.feature, '') = :feature",
    "since_seconds": "r.at_seconds >= :since_seconds",
    "until_seconds": "r.at_seconds < :until_seconds",
}


class Db(Protocol):
    """A connection to a ledger, whatever it is kept in."""

    @property
    def place(self) -> str:
        """Fit to be shown."""

    @property
    def hour(self) -> str:
        """How this database says the hour of a row."""

    def rows(self, sql: str, **values: Any) -> list[Row]:
        """The rows of a query with `:named` values."""

    def each(self, sql: str, **values: Any) -> Iterable[Row]:
        """The rows of a long query, one by one."""

    def change(self, statements: Iterable[str], **values: Any) -> int:
        """Run statements in one transaction; says how many rows the last one changed."""

    def scratch(self, statement: str, **values: Any) -> None:
        """Run a statement about tables of this connection only; writers of the ledger do not wait for it."""

    def compact(self) -> None:
        """Give free space back to the disk."""

    def close(self) -> None:
        """Let go."""


def open_db(place: str | os.PathLike[str]) -> Db:
    """Open a ledger that is there. Raises LedgerError when it is not, or not one of ours."""
    if is_postgres(place):
        from frugal_plugins.ledger.postgres import PostgresDb

        return PostgresDb(str(place))
    file = Path(place)
    if not file.is_file():
        raise LedgerError(f"there is no ledger at {file}. Run something through a recipe first, or name the file with --ledger.")
    return SqliteDb(file)


@contextmanager
def open_reader(place: str | os.PathLike[str]) -> Iterator[TableReader]:
    """A `LedgerReader` for a file or a `postgresql://` address, closed at the end of the block. Raises LedgerError when there is none."""
    db = open_db(place)
    try:
        yield TableReader(db)
    finally:
        db.close()


class TableReader:
    """A `LedgerReader` over the ledger's tables."""

    def __init__(self, db: Db) -> None:
        self.db = db

    @property
    def place(self) -> str:
        """Which ledger, fit to be shown."""
        return self.db.place

    def total(self, period: Period) -> Spend:
        """Everything in a period."""
        return _spend(self._sums(_SUMS, "all", period)[0])

    def split(self, by: Dimension, period: Period) -> Mapping[str, Spend]:
        """A period by one dimension, the largest sums first."""
        found = self._sums(f"value, {_SUMS}", _known(by), period, "GROUP BY value")
        spends = {value: _spend(sums) for value, *sums in found}
        return dict(sorted(spends.items(), key=lambda one: (-_weight(one[1]), one[0])))

    def series(self, by: Dimension | None, step: Step, period: Period) -> Mapping[int, Mapping[str, Spend]]:
        """By step and dimension."""
        size = _STEPS[step]
        found = self._sums(
            f"hour_seconds / {size} * {size} AS step, value, {_SUMS}", "all" if by is None else _known(by), period,
            "GROUP BY 1, value ORDER BY 1, value", by_the_hour=step == "hour",
        )  # fmt: skip
        series: dict[int, dict[str, Spend]] = {}
        for start, value, *sums in found:
            series.setdefault(int(start), {})[value] = _spend(sums)
        return series

    def acted(self, period: Period) -> tuple[Acted, ...]:
        """What the techniques did, how often."""
        whole = edges(period)
        sums = within("decision_rollups", whole["since"], whole["until"], _OF_RECIPE)
        found = self.db.rows(
            f"SELECT technique, action, mode, sum(decisions) FROM {sums} GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 2, 3", recipe=period.recipe
        )
        return tuple(Acted(technique, action, mode == "shadow", int(times)) for technique, action, mode, times in found)

    def latest(self, count: int, wanted: Wanted = Wanted()) -> tuple[Booked, ...]:  # noqa: B008 - it is frozen
        """Requests with their reasons, newest first."""
        asked = {name: value for name in _FITTING if (value := getattr(wanted, name, None)) is not None}
        if str(asked.get("group", "")).startswith("without "):
            asked["held_out"] = asked.pop("group").removeprefix("without ")
        fitting = [_FITTING[name] for name in asked]
        if wanted.model is not None:
            asked["model_too"] = _also_called(wanted.model)
        return self._booked(count, fitting, wanted.before, **asked)

    def hits_to_review(self, count: int) -> tuple[Booked, ...]:
        """Stored answers that were served and no person judged yet, newest first."""
        unjudged = "NOT EXISTS (SELECT 1 FROM feedback f WHERE f.request_id = r.id AND f.source <> 'judge')"
        return self._booked(count, ["r.outcome = 'hit'", unjudged], None)

    def request(self, id: str) -> Booked | None:  # noqa: A002
        """One request."""
        found = self._booked(1, ["r.id = :id"], None, id=id)
        return found[0] if found else None

    def calls(self, id: str) -> tuple[BookedCall, ...]:  # noqa: A002
        """The calls made for a request, in order."""
        found = self.db.rows(
            "SELECT purpose, technique, replaced_by, model, lane, finish_reason, error, input_tokens, cache_read_tokens, output_tokens, "
            "picousd FROM calls WHERE request_id = :id ORDER BY n",
            id=id,
        )
        return tuple(BookedCall(*(*row[:-1], usd(row[-1]))) for row in found)

    def alerts(self, count: int) -> tuple[Alert, ...]:
        """Budgets that were reached, newest first."""
        found = self.db.rows(
            "SELECT at_seconds, name, what, picousd, limit_picousd FROM alerts ORDER BY at_seconds DESC, name LIMIT :count", count=count
        )
        return tuple(Alert(at, name, what, usd(spent) or Decimal(0), usd(limit) or Decimal(0)) for at, name, what, spent, limit in found)

    def lost(self, period: Period) -> int:
        """Requests the ledger could not write."""
        whole = edges(period)
        found = self.db.rows(
            "SELECT coalesce(sum(rows), 0) FROM losses WHERE at_seconds >= :since AND at_seconds < :until",
            since=whole["since"],
            until=whole["until"],
        )
        return int(found[0][0])

    def measured(self, period: Period) -> int:
        """Requests whose baseline was counted beside them."""
        return int(self._sums("coalesce(sum(CASE WHEN basis = 'measured' THEN requests ELSE 0 END), 0)", "all", period)[0][0])

    def span(self, period: Period) -> tuple[str | None, str | None]:
        """The first and the last moment there is something of, UTC; hours only where the rows were pruned."""
        whole = edges(period)
        of = {"since": whole["since"], "until": whole["until"]}
        first, last = self.db.rows(
            "SELECT min(at_seconds), max(at_seconds) FROM requests WHERE at_seconds >= :since AND at_seconds < :until", **of
        )[0]
        hour = self._sums("min(hour_seconds)", "all", period, by_the_hour=True)[0][0]
        if hour is not None and (first is None or hour < first // 3600 * 3600):
            first = hour
        return _moment(first), _moment(hour if last is None else last)

    def close(self) -> None:
        """Let go of the file or the server."""
        self.db.close()

    def _sums(self, selected: str, by: str, period: Period, then: str = "", *, by_the_hour: bool = False) -> list[Row]:
        """Something of the sums of a period by one dimension: from the sums by day as far as they reach, unless hours are wanted."""
        whole = edges(period)
        since, until, where = whole["since"], whole["until"], f"dimension = :by AND {_OF_RECIPE}"
        hours = f"rollups WHERE hour_seconds >= {since} AND hour_seconds < {until} AND {where}"
        source = hours if by_the_hour else within("rollups", since, until, where)
        return self.db.rows(f"SELECT {selected} FROM {source} {then}", by=by, recipe=period.recipe)

    def _booked(self, count: int, fitting: list[str], before: tuple[float, str] | None, **values: Any) -> tuple[Booked, ...]:
        if before is not None:
            fitting = [*fitting, "(r.at_seconds < :at OR (r.at_seconds = :at AND r.id > :last))"]
            values |= {"at": before[0], "last": before[1]}
        where = " AND ".join(fitting) or "1 = 1"
        found = self.db.rows(
            f"SELECT {_ROW} FROM requests r WHERE {where} ORDER BY r.at_seconds DESC, r.id LIMIT :count", count=count, **values
        )
        return self._with_reasons([_booked(row) for row in found])

    def _with_reasons(self, booked: list[Booked]) -> tuple[Booked, ...]:
        return tuple(one for start in range(0, len(booked), _AT_ONCE) for one in self._explained(booked[start : start + _AT_ONCE]))

    def _explained(self, booked: list[Booked]) -> tuple[Booked, ...]:
        names = {f"id{n}": one.id for n, one in enumerate(booked)}
        listed = ", ".join(f":{name}" for name in names)
        reasons: dict[str, list[Reason]] = {}
        for name, technique, action, why, mode, before, after in self.db.rows(
            f"SELECT request_id, technique, action, why, mode, tokens_before, tokens_after FROM decisions WHERE request_id IN ({listed}) "
            "ORDER BY request_id, n",
            **names,
        ):
            reasons.setdefault(name, []).append(Reason(technique, action, why, mode == "shadow", before, after))
        saved: dict[str, dict[str, Decimal]] = {}
        for name, technique, cost in self.db.rows(
            f"SELECT request_id, technique, picousd FROM savings WHERE request_id IN ({listed}) "
            "AND basis <> 'shadow' ORDER BY request_id, technique",
            **names,
        ):
            saved.setdefault(name, {})[technique] = usd(cost) or Decimal(0)
        return tuple(replace(one, reasons=tuple(reasons.get(one.id, ())), saved_by=saved.get(one.id, {})) for one in booked)


def edges(period: Period) -> dict[str, Any]:
    """A period as values of a query."""
    since = int((period.since_seconds or 0) // 3600 * 3600)
    until = _END if period.until_seconds is None else int(period.until_seconds // 3600 * 3600)
    return {"since": since, "until": until, "recipe": period.recipe}


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _known(by: str) -> str:
    if by not in _DIMENSIONS:
        raise LedgerError(f"{by!r} is nothing sums can be split by; take one of {', '.join(_DIMENSIONS)}")
    return by


def _also_called(model: str) -> str:
    """The same model with or without the provider in front: hosts and callers write it either way."""
    prefix, slash, rest = model.partition("/")
    provider = provider_of(rest if slash else model)
    if slash:
        return rest if provider == prefix else model
    return f"{provider}/{model}" if provider else model


def _spend(sums: Iterable[Any]) -> Spend:
    requests, priced, hits, errors, read, cached, written, *halves = (int(number or 0) for number in sums)
    amounts = (usd(1_000_000 * millions + rest) or Decimal(0) for millions, rest in zip(halves[::2], halves[1::2], strict=True))
    return Spend(requests, priced, hits, errors, read, cached, written, *amounts)


def _weight(spend: Spend) -> Decimal:
    return max(spend.baseline_usd, spend.spent_usd, abs(spend.saved_usd))


def _booked(row: Row) -> Booked:
    baseline, actual, basis, read, cached, written, good, text = row[16:]
    said = None if good is None else bool(good)
    return Booked(*(*row[:16], usd(baseline), usd(actual), basis, read, cached, written, said, (), {}, text))
