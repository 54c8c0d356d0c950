"""Plans and jobs of `frugal batch`, as tables and as JSON."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.progress import TimeElapsedColumn
from rich.table import Table

from frugal_plugins.batch import JobStatus
from frugal_plugins.batch.planning import Plan
from frugal_plugins.cli.progress import bar
from frugal_plugins.cli.screen import console, note
from frugal_plugins.report.text import table
from frugal_plugins.report.words import money, number, utc


def figures(status: JobStatus) -> dict[str, Any]:
    """A job as plain numbers for JSON."""
    said = asdict(status)
    said |= {name: number(said[name]) for name in ("spent_usd", "late_extra_usd", "lost_usd")}
    expected = None if status.expected_seconds is None else _moment(status.expected_seconds)
    return said | {"deadline": _moment(status.deadline_seconds), "expected": expected}


def status_table(status: JobStatus) -> Table:
    """A job for a person."""
    rows = [
        ("state", status.state),
        ("rows", f"{status.rows:,}"),
        ("answered", f"{status.done:,}"),
        ("failed, with the reason in the results", f"{status.failed:,}"),
        ("asked once for several rows", f"{status.asked_once:,}"),
        (
            "batches",
            ", ".join(f"{one['provider']} {one['status'] or one['state']} ({one['rows']:,})" for one in status.batches) or "none yet",
        ),
        ("spent", money(status.spent_usd)),
        ("of that, extra for rows filled in before the deadline", money(status.late_extra_usd)),
        ("of that, for answers that got lost at the provider", money(status.lost_usd)),
        ("deadline", _moment(status.deadline_seconds)),
    ]
    if status.planned:
        rows.insert(5, ("not handed in yet (waiting, or more than the dollar limit allows)", f"{status.planned:,}"))
    if status.judging:
        rows.insert(3, ("of these, a judge still looks at, on a sample", f"{status.judging:,}"))
    if status.late_rows:
        rows.append(("rows filled in before the deadline", ", ".join(f"{count:,} {lane}" for lane, count in status.late_rows.items())))
    if status.expected_seconds is not None:
        rows.append(("batches under way are expected to end", _moment(status.expected_seconds)))
    if status.usual_seconds is not None:
        rows.append(("such batches have taken", f"{status.usual_seconds / 60:.0f} minutes"))
    return table(f"job {status.job}", ("", ""), rows)


def plan_figures(plan: Plan) -> dict[str, Any]:
    """A plan as plain numbers for JSON."""
    models = {
        name: {
            "rows": share.rows,
            "batches": share.batches,
            "input_tokens": share.input_tokens,
            "at_most_usd": number(share.at_most_usd),
            "at_most_realtime_usd": number(share.at_most_realtime_usd),
        }
        for name, share in plan.models.items()
    }
    return {
        "rows": plan.rows,
        "answered_by_cache": plan.answered,
        "asked_once": plan.same,
        "refused": {str(row + 1): why for row, why in plan.refused.items()},
        "unpriced_models": sorted(plan.unpriced),
        "models": models,
        "batches": plan.batches,
        "at_most_usd": number(plan.at_most_usd),
        "at_most_realtime_usd": number(plan.at_most_realtime_usd),
        "deadline": _moment(plan.deadline_seconds),
    }


def plan_table(plan: Plan) -> Table:
    """A plan for a person."""
    columns = ("model", "rows", "batches", "input tokens", "at most, batch", "at most, realtime")
    rows = [
        (name, f"{s.rows:,}", f"{s.batches:,}", f"{s.input_tokens:,}", money(s.at_most_usd), money(s.at_most_realtime_usd))
        for name, s in plan.models.items()
    ]
    rows.append(("all", f"{plan.rows:,}", f"{plan.batches:,}", "", money(plan.at_most_usd), money(plan.at_most_realtime_usd)))
    rows += [
        (words, f"{count:,}", "", "", "", "")
        for words, count in (
            ("answered by the recipe's cache", plan.answered),
            ("asked once with another row", plan.same),
            ("cannot be sent", len(plan.refused)),
        )
        if count
    ]
    return table(f"plan; everything there by {_moment(plan.deadline_seconds)}", columns, rows)


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


@contextmanager
def batch_bar(total: int, already: int = 0) -> Iterator[Callable[[JobStatus], None]]:
    """A bar for a job, with its dollars and the states of its batches; where nobody watches, a line whenever those states change."""
    watched, said = console(stderr=True).is_terminal, ""
    with bar(total, TimeElapsedColumn()) as show:

        def show_job(now: JobStatus) -> None:
            nonlocal said
            states = ", ".join(sorted({f"{one['provider']} {one['status'] or one['state']}" for one in now.batches}))
            show(already + now.done + now.failed, f"{money(now.spent_usd)} spent; {states}")
            if not watched and states != said:
                done = already + now.done + now.failed
                note(f"{utc(time.time())} UTC  {done:,} of {total:,} rows, {money(now.spent_usd)} spent; {states}")
            said = states

        yield show_job
