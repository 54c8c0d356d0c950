"""`frugal report`."""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final, cast

from rich.console import Group, RenderableType

from frugal_plugins.cli.screen import can_be_written, line, result, write_text
from frugal_plugins.errors import InputError, LedgerError
from frugal_plugins.ledger.reader import Dimension, Period
from frugal_plugins.ledger.reading import TableReader, open_reader
from frugal_plugins.report.evidence import Evidence, read_evidence
from frugal_plugins.report.figures import evidence_figures
from frugal_plugins.report.rows import rows_figures, rows_text, wanted
from frugal_plugins.report.text import report

_SPAN: Final = re.compile(r"(\d{1,5})([mhdw])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def report_ledger(ledger: str | None, html: Path | None, since: str | None, *, requests: bool, as_json: bool) -> None:
    """Read a ledger and print, or write, what it says."""
    can_be_written(html)
    evidence = read_evidence(ledger_place(ledger), since_seconds=since_seconds(since))
    if html is not None:
        from frugal_plugins.report.page import html_page

        write_text(html, html_page(evidence))
    figures = evidence_figures(evidence, requests=requests) | {"html": None if html is None else str(html)}
    result(figures, lambda: _text(evidence, html, requests=requests), as_json=as_json)


def report_rows(ledger: str | None, said: Sequence[str], since: str | None, most: int, *, as_json: bool) -> None:
    """Print the rows behind a figure, newest first."""
    chosen = wanted(said, since_seconds(since))
    with open_reader(ledger_place(ledger)) as reader:
        found, place = reader.latest(most, chosen), reader.place
        meant = () if found else _meant(reader, said)
    payload = {"ledger": place, "rows": rows_figures(found), "cut_at": most if len(found) == most else None}
    result(payload, lambda: Group(rows_text(found, said, most), *(line(f"Did you mean {one}?") for one in meant)), as_json=as_json)


def _meant(reader: TableReader, said: Sequence[str]) -> list[str]:
    """For values that no row has, the nearest that some have."""
    found = []
    for name, _, value in (one.partition("=") for one in said):
        known = reader.split(cast("Dimension", name), Period())
        near = [] if value in known else get_close_matches(value, known, 1)
        found += [f"{name}={one}" for one in near]
    return found


def since_seconds(written: str | None, now_seconds: float | None = None) -> float | None:
    """`7d`, `12h` or a date as unix seconds. Raises InputError for anything else.

    >>> since_seconds("2h", now_seconds=10_000)
    2800.0
    """
    if written is None:
        return None
    span = _SPAN.fullmatch(written.strip())
    if span is not None:
        now = time.time() if now_seconds is None else now_seconds
        return float(now - int(span[1]) * _SECONDS[span[2]])
    try:
        moment = dt.datetime.fromisoformat(written.strip())
    except ValueError:
        raise InputError(f"--since {written!r} is neither a span nor a date; write 7d, 12h or 2026-11-01") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()


def ledger_place(given: str | None) -> str:
    """The ledger that is meant: the one given, the one FRUGAL_LEDGER names, or the file in this folder."""
    if given is not None:
        return given
    named = os.environ.get("FRUGAL_LEDGER")
    if named == "off":
        raise LedgerError("FRUGAL_LEDGER is off, so there is nothing to report; unset it, or name a file with --ledger")
    return named or "frugal-ledger.sqlite"


def _text(evidence: Evidence, html: Path | None, *, requests: bool) -> RenderableType:
    parts: list[RenderableType] = [report(evidence, requests=requests)]
    if not evidence.summary.requests:
        parts.append(line("No requests in this time. Widen --since, or run something through a recipe first."))
    if html is not None:
        parts.append(line(f"The page: {html}"))
    return Group(*parts)
