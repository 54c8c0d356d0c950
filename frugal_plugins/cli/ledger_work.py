"""What `frugal ledger` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import typer
from rich.console import Group, RenderableType

from frugal_plugins.cli.report_command import ledger_place, since_seconds
from frugal_plugins.cli.screen import line, note, result
from frugal_plugins.errors import InputError
from frugal_plugins.ledger.invoices import read_report
from frugal_plugins.ledger.keeping import Table, export, make_sums_again, prune
from frugal_plugins.ledger.reader import Period
from frugal_plugins.ledger.reading import Db, open_db
from frugal_plugins.ledger.verify import Differing, Verified, verify
from frugal_plugins.report.text import table

_MOST_LISTED = 50
_SAID_EVERY = 50_000


def verify_files(ledger: str | None, invoices: Sequence[Path], *, as_json: bool) -> None:
    """Compare each report; leave with 1 when something differs."""
    reports = [read_report(path) for path in invoices]
    with _opened(ledger) as db:
        found = [verify(db, report) for report in reports]
        place = db.place
    agrees = all(one.agrees for one in found)
    result({"ledger": place, "agrees": agrees, "reports": [_figures(one) for one in found]}, lambda: _verified(found), as_json=as_json)
    if not agrees:
        raise typer.Exit(1)


def export_table(
    ledger: str | None, rows: str, output: Path, span: tuple[str | None, str | None], *, with_text: bool, as_json: bool
) -> None:
    """Write a table to a file."""
    with _opened(ledger) as db:
        period = Period(since_seconds(span[0]), since_seconds(span[1]))
        count = export(db, cast("Table", rows), period, output, with_text=with_text)
    result({"file": str(output), "table": rows, "rows": count}, lambda: line(f"{count:,} rows of {rows} in {output}"), as_json=as_json)


def prune_rows(ledger: str | None, before: str, *, compact: bool, as_json: bool) -> None:
    """Let old rows go."""
    edge = since_seconds(before)
    if edge is None:
        raise InputError("--before is empty; write 90d or 2026-11-01")
    with _opened(ledger) as db:
        gone = prune(db, edge, _saying())
        if compact:
            db.compact()
    result({"requests_gone": gone, "compacted": compact}, lambda: line(f"{gone:,} requests went; their hourly sums stay"), as_json=as_json)


def make_sums(ledger: str | None, *, as_json: bool) -> None:
    """Make the hourly sums again."""
    with _opened(ledger) as db:
        same = make_sums_again(db)
    words = "The hourly sums were right." if same else "The hourly sums were not what the rows say; they are now."
    result({"were_right": same}, lambda: line(words), as_json=as_json)


@contextmanager
def _opened(ledger: str | None) -> Iterator[Db]:
    db = open_db(ledger_place(ledger))
    try:
        yield db
    finally:
        db.close()


def _saying() -> Any:
    said = 0

    def seen(gone: int) -> None:
        nonlocal said
        if gone - said >= _SAID_EVERY:
            said = gone
            note(f"frugal: {gone:,} requests gone so far")

    return seen


def _figures(found: Verified) -> dict[str, Any]:
    return {
        "file": found.file,
        "kind": found.kind,
        "agrees": found.agrees,
        "rows_compared": found.compared,
        "ledger": {name: _number(value) for name, value in found.ledger.items()},
        "provider": {name: _number(value) for name, value in found.provider.items()},
        "differing": [
            {"where": row.where, "what": row.what, "ledger": _number(row.ledger), "provider": _number(row.provider)} for row in found.rows
        ],
        "notes": list(found.notes),
    }


def _number(value: Decimal | int | None) -> Any:
    return str(value) if isinstance(value, Decimal) else value


def _verified(found: Sequence[Verified]) -> RenderableType:
    parts: list[RenderableType] = []
    for one in found:
        totals = [(name, _said(one.ledger[name]), _said(one.provider[name])) for name in one.ledger]
        parts.append(table(f"{one.file}: {'they agree' if one.agrees else 'they differ'}", ("total", "ledger", "provider"), totals))
        if one.rows:
            parts.append(table("What differs", ("where", "what", "ledger", "provider"), map(_row, one.rows[:_MOST_LISTED]), words=2))
        if len(one.rows) > _MOST_LISTED:
            parts.append(line(f"... and {len(one.rows) - _MOST_LISTED:,} more; --json lists all"))
        parts += [line(words) for words in one.notes]
    return Group(*parts)


def _row(row: Differing) -> tuple[str, str, str, str]:
    return row.where, row.what, _said(row.ledger), _said(row.provider)


def _said(value: Decimal | int | None) -> str:
    return "nothing" if value is None else f"${value:f}" if isinstance(value, Decimal) else f"{value:,}"
