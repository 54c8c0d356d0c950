"""What `frugal try` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from frugal_plugins.cli.failures import FAILED
from frugal_plugins.cli.screen import can_be_written, console, line, note, result, write_text
from frugal_plugins.cli.trial import Trial, run_trial
from frugal_plugins.errors import LedgerError, MissingExtra
from frugal_plugins.report.evidence import RequestRow
from frugal_plugins.report.figures import summary_figures
from frugal_plugins.report.text import decided, report, table
from frugal_plugins.report.words import exact, number, percent
from frugal_plugins.workload import load_month

DEFAULT_LEDGER: Final = Path("frugal-try.sqlite")


def try_recipe(recipe: str, html: Path | None, ledger: Path | None, most: int, *, as_json: bool) -> None:
    """Run the month twice, print the comparison, write the page; leave with 1 when something does not hold."""
    can_be_written(html)
    file = _fresh(ledger)
    items = load_month()[:most]
    with _progress() as progress:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=len(items))
            progress.update(tasks[name], completed=done)

        trial = run_trial(recipe, items, file, show)
    page = _page(trial, html)
    result(_figures(trial, file, page), lambda: _text(trial, file, page), as_json=as_json)
    if not trial.passed:
        note("frugal: the trial does not hold; see the lines above for the answers and calls to look at")
        raise typer.Exit(FAILED)


def _progress() -> Progress:
    screen = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=screen, disable=not screen.is_terminal)


def _fresh(ledger: Path | None) -> Path:
    """An empty ledger: the default one is replaced, one the user named is never overwritten."""
    if ledger is None:
        for name in ("", "-wal", "-shm"):
            DEFAULT_LEDGER.with_name(DEFAULT_LEDGER.name + name).unlink(missing_ok=True)
        return DEFAULT_LEDGER
    if ledger.exists():
        raise LedgerError(f"{ledger} exists, and a trial needs a ledger of its own; name a new file, or remove that one")
    if not ledger.parent.is_dir():
        raise LedgerError(f"there is no folder {ledger.parent}; make it, or name another file with --ledger")
    return ledger


def _page(trial: Trial, html: Path | None) -> Path | None:
    """Write the page; without plotly the trial still counts, and says what to install."""
    if html is None:
        return None
    from frugal_plugins.report.page import html_page

    try:
        write_text(html, html_page(trial.evidence))
    except MissingExtra as error:
        note(f"frugal: no page was written: {error}")
        return None
    return html


def _figures(trial: Trial, ledger: Path, page: Path | None) -> dict[str, Any]:
    evidence = trial.evidence
    checked = evidence.reconciliation
    assert checked is not None
    figures = summary_figures(evidence.summary)
    return {
        "requests": figures.pop("requests"),
        "baseline_usd": figures.pop("baseline_usd"),
        "actual_usd": figures.pop("actual_usd"),
        "saved_percent": figures.pop("saved_percent"),
        "techniques": figures.pop("techniques"),
        "ledger_minus_invoice_usd": number(checked.difference_usd),
        "wrong_answers": len(evidence.wrong_answers or ()),
        "stood_down": figures.pop("stood_down"),
        "tier_share": dict(trial.tier_share),
        "wrong_in_baseline": evidence.wrong_in_baseline,
        "wrong": [{"id": w.id, "task": w.task, "model": w.model, "why": w.why} for w in evidence.wrong_answers or ()],
        "baseline_estimated_usd": number(evidence.estimated_usd),
        "baseline_invoice_usd": number(trial.baseline_invoice.total_usd),
        "invoice_usd": number(checked.invoice_usd),
        "calls_unmatched": len(checked.only_ledger) + len(checked.only_invoice) + len(checked.differing),
        "failed": trial.errors,
        **figures,
        "ledger": str(ledger),
        "html": None if page is None else str(page),
    }


def _text(trial: Trial, ledger: Path, page: Path | None) -> RenderableType:
    checked = trial.evidence.reconciliation
    assert checked is not None
    shares = ((name, percent(value)) for name, value in trial.tier_share.items())
    bills = f"Invoice {exact(checked.invoice_usd)}, ledger {exact(checked.ledger_usd)}"
    parts: list[RenderableType] = [
        report(trial.evidence),
        table("Who answered, by tier", ("tier", "share of requests"), shares),
        decided(_examples(trial.evidence.rows), title="Three examples"),
        line(f"{bills}; without the recipe the invoice was {exact(trial.baseline_invoice.total_usd)}."),
    ]
    if page is not None:
        parts.append(line(f"The page with plots and every request: {page}"))
    parts.append(line(f"Next, the same figures from the ledger: frugal report --ledger {ledger} --requests"))
    parts.append(line("Then your own requests: frugal run support --input requests.jsonl --output answers.jsonl"))
    return Group(*parts)


def _examples(rows: Sequence[RequestRow]) -> list[RequestRow]:
    """Three requests that show different things: a stored answer, a cheaper model, one left alone."""
    answered = [row for row in rows if row.outcome == "answered"]
    kinds = (
        [row for row in rows if row.outcome == "hit"],
        [row for row in answered if row.moved],
        [row for row in answered if any(said.startswith("route left") for said in row.decisions)],
    )
    return [kind[0] for kind in kinds if kind]
