"""What a ledger adds up to."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins.errors import LedgerError
from frugal_plugins.ledger.file import open_ledger
from frugal_plugins.ledger.rows import usd


@dataclass(frozen=True, slots=True)
class TechniqueLine:
    """One technique's part: what it saved (negative where it cost) and how often it acted."""

    technique: str
    saved_usd: Decimal
    decisions: int
    actions: Mapping[str, int]
    would: int


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
    """Add a ledger file up. Raises LedgerError when there is no such file."""
    file = Path(path)
    if not file.is_file():
        raise LedgerError(f"there is no ledger at {file}. Run something through a recipe first, or name the file with --ledger.")
    connection = open_ledger(file)
    try:
        return _summary(connection, since_seconds or 0.0)
    finally:
        connection.close()


_SINCE = "r.at_seconds >= :since"
_PRICED = f"r.actual_picousd IS NOT NULL AND r.baseline_picousd IS NOT NULL AND {_SINCE}"
_CALLS = f"FROM calls c JOIN requests r ON r.id = c.request_id WHERE {_SINCE}"
_DECISIONS = f"FROM decisions d JOIN requests r ON r.id = d.request_id WHERE {_SINCE}"
_PAIR = "sum(r.baseline_picousd), sum(r.actual_picousd)"


def _summary(db: sqlite3.Connection, since: float) -> Summary:
    def rows(sql: str) -> list[tuple[Any, ...]]:
        return db.execute(sql, {"since": since}).fetchall()

    dates = "datetime(min(at_seconds), 'unixepoch'), datetime(max(at_seconds), 'unixepoch')"
    count, first, last, measured = rows(f"SELECT count(*), {dates}, coalesce(sum(basis = 'measured'), 0) FROM requests r WHERE {_SINCE}")[0]
    baseline, actual = rows(f"SELECT {_PAIR} FROM requests r WHERE {_PRICED}")[0]
    unpriced = rows(f"SELECT c.model, count(DISTINCT c.request_id) {_CALLS} AND c.picousd IS NULL GROUP BY 1")
    return Summary(
        requests=count,
        baseline_usd=_usd(baseline),
        actual_usd=_usd(actual),
        spent_usd=_usd(rows(f"SELECT sum(c.picousd) {_CALLS}")[0][0]),
        techniques=_techniques(rows),
        by_outcome=dict(rows(f"SELECT outcome, count(*) FROM requests r WHERE {_SINCE} GROUP BY 1 ORDER BY 2 DESC")),
        by_model=_singles(rows(f"SELECT c.model, count(*), sum(c.picousd) {_CALLS} GROUP BY 1 ORDER BY 3 DESC")),
        by_task=_pairs(rows(f"SELECT task, count(*), {_PAIR} FROM requests r WHERE {_PRICED} GROUP BY 1 ORDER BY 3 DESC")),
        by_group=_singles(rows(f"SELECT grp, count(*), sum(actual_picousd) FROM requests r WHERE {_SINCE} GROUP BY 1")),
        by_day=_pairs(
            rows(f"SELECT date(at_seconds, 'unixepoch'), count(*), {_PAIR} FROM requests r WHERE {_PRICED} GROUP BY 1 ORDER BY 1")
        ),
        unpriced=sum(n for _, n in unpriced),
        unpriced_models=tuple(model for model, _ in unpriced),
        measured=measured,
        stood_down=rows(f"SELECT count(*) {_DECISIONS} AND action = 'stood_down'")[0][0],
        errors=rows(f"SELECT count(*) FROM requests r WHERE outcome = 'error' AND {_SINCE}")[0][0],
        lost=rows("SELECT coalesce(sum(rows), 0) FROM losses WHERE at_seconds >= :since")[0][0],
        first_at=first,
        last_at=last,
    )


def _techniques(rows: Any) -> tuple[TechniqueLine, ...]:
    saved = dict(
        rows(f"SELECT s.technique, sum(s.picousd) FROM savings s JOIN requests r ON r.id = s.request_id WHERE {_SINCE} GROUP BY 1")
    )
    actions: dict[str, dict[str, int]] = {}
    would: dict[str, int] = {}
    for technique, action, mode, n in rows(f"SELECT d.technique, d.action, d.mode, count(*) {_DECISIONS} GROUP BY 1, 2, 3"):
        of = actions.setdefault(technique, {})
        of[action] = of.get(action, 0) + n
        would[technique] = would.get(technique, 0) + (n if mode == "shadow" else 0)
    names = sorted({*saved, *actions}, key=lambda name: -saved.get(name, 0))
    return tuple(TechniqueLine(n, _usd(saved.get(n)), sum(actions.get(n, {}).values()), actions.get(n, {}), would.get(n, 0)) for n in names)


def _singles(rows: list[tuple[Any, ...]]) -> dict[str, tuple[int, Decimal]]:
    return {name: (n, _usd(cost)) for name, n, cost in rows}


def _pairs(rows: list[tuple[Any, ...]]) -> dict[str, tuple[int, Decimal, Decimal]]:
    return {name: (n, _usd(baseline), _usd(actual)) for name, n, baseline, actual in rows}


def _usd(picousd: int | None) -> Decimal:
    return usd(picousd or 0) or Decimal(0)
