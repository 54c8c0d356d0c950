"""The ledger beside what the provider reports: the same calls, tokens and dollars, or the rows that differ."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.ledger.invoices import InvoiceRow, Kind, ProviderReport, plain_model
from frugal_plugins.ledger.reading import Db
from frugal_plugins.ledger.tables import usd
from frugal_plugins.prices import provider_of

_CENT: Final = Decimal("0.01")
_COUNTS: Final = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens")
_HOUR_SECONDS: Final = 3600
Value = Decimal | int | None


@dataclass(frozen=True, slots=True)
class Differing:
    """One figure the two do not agree on; None on a side means it has no such row."""

    where: str
    what: str
    ledger: Value
    provider: Value


@dataclass(frozen=True, slots=True)
class Verified:
    """How one report compares.

    Attributes:
        compared: rows that both sides have.
        ledger, provider: the totals by what was counted: `usd` where the report has dollars, else tokens.
        rows: what differs.
    """

    file: str
    kind: Kind
    compared: int
    ledger: Mapping[str, Value]
    provider: Mapping[str, Value]
    rows: tuple[Differing, ...]
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """To the cent, and to the token."""
        return not self.rows


@dataclass(slots=True)
class _Cell:
    counts: Counter[str] = field(default_factory=Counter)
    usd: Decimal = Decimal(0)


_Key = tuple[str, str, str]
_CALLS: Final = """
SELECT {hour} AS hour, c.model, c.lane, {sums}, sum(c.picousd), count(*), count(c.picousd)
FROM calls c JOIN requests r ON r.id = c.request_id
WHERE r.at_seconds >= :since AND r.at_seconds < :until AND c.input_tokens + c.output_tokens > 0 GROUP BY 1, 2, 3
"""


def verify(db: Db, report: ProviderReport) -> Verified:
    """Compare. A report of single calls is matched by the provider's ids, buckets by their time, model and lane."""
    return _by_call(db, report) if report.kind == "calls" else _by_bucket(db, report)


def _by_call(db: Db, report: ProviderReport) -> Verified:
    found = db.rows(
        f"SELECT coalesce(c.provider_id, c.request_id || '/' || c.n), c.model, {', '.join('c.' + name for name in _COUNTS)}, c.picousd "
        "FROM calls c WHERE c.input_tokens + c.output_tokens > 0"
    )
    billed = {row.id or "": row for row in report.rows}
    waiting: dict[tuple[Any, ...], list[str]] = {}
    booked = {row[0]: row for row in found}
    for name, said in billed.items():
        if name not in booked:
            waiting.setdefault(_looks(said), []).append(name)
    rows: list[Differing] = []
    for name, row in booked.items():
        cost = usd(row[-1])
        line = billed.get(name) or _alike(billed, waiting, (plain_model(row[1]), *row[2:-1], cost))
        where = f"call {name} ({plain_model(row[1])})"
        if line is None:
            rows.append(Differing(where, "usd", cost, None))
        elif cost != line.usd:
            rows.append(Differing(where, "usd", cost, line.usd))
    left = [name for names in waiting.values() for name in names]
    rows += [Differing(f"call {name} ({billed[name].model})", "usd", None, billed[name].usd) for name in left]
    ledger = sum((usd(row[-1]) or Decimal(0) for row in found), Decimal(0))
    provider = sum((row.usd or Decimal(0) for row in report.rows), Decimal(0))
    missing = sum(row.ledger is None or row.provider is None for row in rows)
    return Verified(report.file, report.kind, max(0, len(booked) - missing), {"usd": ledger}, {"usd": provider}, tuple(rows))


def _looks(row: InvoiceRow) -> tuple[Any, ...]:
    return row.model, *(getattr(row.usage, name) for name in _COUNTS), row.usd


def _alike(billed: Mapping[str, InvoiceRow], waiting: dict[tuple[Any, ...], list[str]], looks: tuple[Any, ...]) -> InvoiceRow | None:
    """Some hosts hide the provider's id of an answer: such calls are matched by model, tokens and price, each line once."""
    names = waiting.get(looks)
    return billed[names.pop()] if names else None


def _by_bucket(db: Db, report: ProviderReport) -> Verified:
    if report.start_seconds is None or report.end_seconds is None:
        raise InputError("its buckets have no start and end; save the provider's answer as it came", file=report.file)
    buckets = sorted({(row.start_seconds or 0.0, row.end_seconds or 0.0) for row in report.rows})
    if any(edge % _HOUR_SECONDS for bucket in buckets for edge in bucket):
        raise InputError("its buckets are not whole hours; ask for bucket_width=1h or 1d", file=report.file)
    said = _said(report)
    ours, unpriced = _booked(db, report, buckets)
    rows: list[Differing] = []
    for key in sorted({*said, *ours}):
        rows += _cell(report.kind, key, ours.get(key), said.get(key))
    notes = [f"{unpriced:,} calls of the ledger have no known price; name it under prices: in the recipe"] if unpriced else []
    return Verified(
        report.file, report.kind, len({*said} & {*ours}), _total(report.kind, ours), _total(report.kind, said), tuple(rows), tuple(notes)
    )


def _said(report: ProviderReport) -> dict[_Key, _Cell]:
    cells: dict[_Key, _Cell] = {}
    for row in report.rows:
        cell = cells.setdefault((_when(row.start_seconds or 0, row.end_seconds or 0), row.model, row.lane), _Cell())
        cell.usd += row.usd or 0
        cell.counts.update({name: getattr(row.usage, name) for name in _COUNTS} if row.usage else {})
    return cells


def _booked(db: Db, report: ProviderReport, buckets: list[tuple[float, float]]) -> tuple[dict[_Key, _Cell], int]:
    """The ledger in the report's own buckets, of the same provider only."""
    sums = ", ".join(f"sum(c.{name})" for name in _COUNTS)
    found = db.rows(_CALLS.format(hour=db.hour, sums=sums), since=report.start_seconds, until=report.end_seconds)
    providers = {row.provider for row in report.rows}
    lanes = any(row.lane for row in report.rows)
    width = (buckets[0][1] - buckets[0][0]) if buckets else 86_400.0
    cells: dict[_Key, _Cell] = {}
    unpriced = 0
    for hour, model, lane, *counts, cost, calls, priced in found:
        if provider_of(model) not in providers:
            continue
        start = next((one for one, end in buckets if one <= hour < end), None)
        start = (report.start_seconds or 0) + (hour - (report.start_seconds or 0)) // width * width if start is None else start
        cell = cells.setdefault((_when(start, start + width), plain_model(model), lane if lanes else ""), _Cell())
        cell.usd += usd(int(cost or 0)) or 0
        cell.counts.update(dict(zip(_COUNTS, map(int, counts), strict=True)))
        unpriced += calls - priced
    return cells, unpriced


def _cell(kind: Kind, key: _Key, ours: _Cell | None, said: _Cell | None) -> list[Differing]:
    where = ", ".join(part for part in key if part)
    if kind == "dollars":
        mine, theirs = (None if cell is None else cents(cell.usd) for cell in (ours, said))
        return [] if (mine or 0) == (theirs or 0) else [Differing(where, "usd", mine, theirs)]
    counts = {name: (None if ours is None else ours.counts[name], None if said is None else said.counts[name]) for name in _COUNTS}
    return [Differing(where, name, booked, used) for name, (booked, used) in counts.items() if (booked or 0) != (used or 0)]


def _total(kind: Kind, cells: Mapping[_Key, _Cell]) -> dict[str, Value]:
    if kind == "dollars":
        return {"usd": cents(sum((cell.usd for cell in cells.values()), Decimal(0)))}
    return {name: sum(cell.counts[name] for cell in cells.values()) for name in _COUNTS}


def cents(amount: Decimal) -> Decimal:
    """Rounded to the cent, as an invoice is."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


def _when(start: float, end: float) -> str:
    moment = dt.datetime.fromtimestamp(start, tz=dt.UTC)
    return moment.date().isoformat() if end - start >= 86_400 else moment.strftime("%Y-%m-%d %H:00")
