"""The rows behind a figure of a report, as a person types for them: `technique=cache outcome=hit`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from rich.text import Text

from frugal_plugins.errors import InputError
from frugal_plugins.ledger.reader import Booked, Wanted
from frugal_plugins.report.words import money, number, plain_model, utc

FILTERS: Final = ("technique", "task", "model", "outcome", "group", "team", "feature")


def wanted(said: Iterable[str], since_seconds: float | None = None) -> Wanted:
    """`technique=cache` and the like as what to look for; all of them must fit. Raises InputError for any other name."""
    chosen: dict[str, str] = {}
    for one in said:
        name, equals, value = one.partition("=")
        if not equals or name not in FILTERS:
            near = get_close_matches(name, FILTERS, 1)
            hint = f" Did you mean {near[0]}={value or '...'}?" if near else ""
            raise InputError(f"--rows {one!r} is not NAME=VALUE with a NAME of {', '.join(FILTERS)}.{hint}")
        chosen[name] = value
    return Wanted(
        task=chosen.get("task"),
        model=chosen.get("model"),
        technique=chosen.get("technique"),
        group=chosen.get("group"),
        outcome=chosen.get("outcome"),
        team=chosen.get("team"),
        feature=chosen.get("feature"),
        since_seconds=since_seconds,
    )


def rows_figures(rows: Sequence[Booked]) -> list[dict[str, Any]]:
    """Rows for JSON; no text of anybody."""
    return [
        {
            "id": row.id,
            "at_seconds": row.at_seconds,
            "task": row.task,
            "group": row.group,
            "outcome": row.outcome,
            "model_before": row.asked_model,
            "model_after": row.model,
            "team": row.team,
            "feature": row.feature,
            "baseline_usd": number(row.baseline_usd),
            "actual_usd": number(row.actual_usd),
            "basis": row.basis,
            "saved_by_usd": {technique: number(usd) for technique, usd in row.saved_by.items()},
            "why": [
                {"technique": one.technique, "action": one.action, "why": one.why, "shadow": one.shadow} for one in row.reasons
            ],
        }
        for row in rows
    ]  # fmt: skip


def rows_text(rows: Sequence[Booked], said: Sequence[str], most: int) -> Text:
    """Rows for a terminal, newest first, one line for each reason."""
    what = ", ".join(said) or "all"
    head = f"The latest {len(rows):,} rows with {what}; --most shows more." if len(rows) == most else f"{len(rows):,} rows with {what}."
    made = Text(f"{head}\n", style="bold")
    for row in rows:
        made.append(f"\n{utc(row.at_seconds)}  {row.task}  {_path(row)}  {row.outcome}  ", style="not bold")
        made.append(f"paid {money(row.actual_usd)}, saved {money(row.saved_usd)} ({row.basis})  {row.id}\n", style="not bold")
        for one in row.reasons:
            made.append(f"    {one.technique} {'would: ' if one.shadow else ''}{one.action}: {one.why}\n", style="not bold")
        parts = _parts(row.saved_by)
        if parts:
            made.append(f"    saved by {parts}\n", style="not bold")
    return made


def _path(row: Booked) -> str:
    before, after = plain_model(row.asked_model), plain_model(row.model)
    if row.outcome == "hit":
        return f"{before} → stored answer"
    return f"{before} → {after}" if after and after != before else before


def _parts(saved_by: Mapping[str, Any]) -> str:
    return ", ".join(f"{technique} {money(usd)}" for technique, usd in saved_by.items())
