"""A report as one HTML file that asks nobody for anything: plots, tables, reasons, and what the provider billed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from html import escape

from frugal_plugins.ledger.measured import Measured
from frugal_plugins.report.charts import charts
from frugal_plugins.report.control import control_rows
from frugal_plugins.report.evidence import MOST_ROWS, Evidence, Reconciliation, RequestRow, WrongAnswer
from frugal_plugins.report.shell import box, found, number_class, page, plot, table
from frugal_plugins.report.words import basis_words, exact, money, percent, share, utc


def html_page(evidence: Evidence) -> str:
    """The page. Raises MissingExtra when plotly is not installed."""
    made = charts(evidence)
    plots = (plot(chart, find=bool(evidence.rows)) for chart in made)
    main = [_figures(evidence), _boxes(evidence), _control(evidence.measured), *plots, _requests(evidence)]
    return page(evidence.title, _header(evidence), main, _footer(evidence), {chart.id: chart.figure for chart in made})


def _header(evidence: Evidence) -> str:
    summary = evidence.summary
    span = f"{summary.first_at} to {summary.last_at} UTC" if summary.first_at else "no requests yet"
    return f'<header><h1>{escape(evidence.title)}</h1><p class="quiet">{summary.requests:,} requests, {escape(span)}</p></header>'


def _figures(evidence: Evidence) -> str:
    summary = evidence.summary
    figures = [
        ("without the recipe", money(summary.baseline_usd), ""),
        ("with the recipe", money(summary.actual_usd), ""),
        ("saved", money(summary.saved_usd), "good" if summary.saved_usd > 0 else ""),
        ("saved, of the baseline", percent(summary.saved_percent), "good" if summary.saved_usd > 0 else ""),
    ]
    cells = "".join(
        f'<div class="{kind}"><dt>{name}</dt><dd>{found("", value) if evidence.rows else escape(value)}</dd></div>'
        for name, value, kind in figures
    )
    return f'<dl class="figures">{cells}</dl>'


def _boxes(evidence: Evidence) -> str:
    boxes = [_basis_box(evidence)]
    if any(line.would for line in evidence.summary.techniques):
        boxes.append(_shadow_box(evidence))
    if evidence.reconciliation is not None:
        boxes.append(_invoice_box(evidence.reconciliation))
    if evidence.wrong_answers is not None:
        boxes.append(_wrong_box(evidence.wrong_answers, evidence.wrong_in_baseline))
    return f'<div class="boxes">{"".join(boxes)}</div>'


def _shadow_box(evidence: Evidence) -> str:
    lines = [
        f"{line.technique}: would have acted {line.would:,} times and saved {money(line.would_usd)} alone."
        for line in evidence.summary.techniques
        if line.would
    ]
    return box("In shadow", [*lines, "Estimated, each alone; these are part of no other figure."], bad=False)


def _control(found: Measured | None) -> str:
    """What was measured, apart from everything that was worked out."""
    if found is None:
        return ""
    made = table("Nothing in this table is estimated.", ("what", "with the recipe", "95 % range"), control_rows(found), ())
    return f'<section><h2>Measured against the control group</h2><div class="scroll">{made}</div></section>'


def _invoice_box(checked: Reconciliation) -> str:
    odd = [*checked.only_ledger, *checked.only_invoice, *checked.differing]
    lines = [
        f"Ledger {exact(checked.ledger_usd)}, invoice {exact(checked.invoice_usd)}, difference {exact(checked.difference_usd)}.",
        f"{checked.ledger_calls:,} booked calls, {checked.invoice_lines:,} billed calls, compared one by one.",
    ]
    if odd:
        lines.append(f"These calls do not match: {', '.join(odd[:20])}.")
    title = "The ledger agrees with the invoice" if checked.agrees else "The ledger and the invoice differ"
    return box(title, lines, bad=not checked.agrees)


def _wrong_box(wrong: Iterable[WrongAnswer], already: int | None) -> str:
    answers = list(wrong)
    lines = [f"{answer.id} ({answer.task}, {answer.model}): {answer.why}" for answer in answers[:50]]
    if not answers:
        lines = ["Every answer that was right without the recipe is right with it."]
    if already:
        lines.append(f"{already:,} answers were wrong already without the recipe.")
    return box(f"{len(answers):,} wrong answers", lines, bad=bool(answers))


def _basis_box(evidence: Evidence) -> str:
    summary = evidence.summary
    lines = [f"Baselines: {basis_words(summary)}."]
    if (estimated := evidence.estimated_usd) is not None:
        off = share(estimated - summary.baseline_usd, summary.baseline_usd)
        sign = "" if off is None else f", {off:+.1f} % beside the measured one"
        lines.append(f"Alone, the ledger would have estimated {money(estimated)}{sign}.")
    if summary.unpriced:
        lines.append(f"{summary.unpriced:,} requests have no known price and are left out: {', '.join(summary.unpriced_models)}.")
    if summary.lost:
        lines.append(f"The ledger lost {summary.lost:,} rows; the dollars are too low by these.")
    lines.append(f"Techniques stood down {summary.stood_down:,} times; {summary.errors:,} requests failed.")
    return box("How this was counted", lines, bad=bool(summary.lost))


def _requests(evidence: Evidence) -> str:
    listed, total = len(evidence.rows), evidence.summary.requests
    if not listed:
        return ""
    note = f"The latest {listed:,} of {total:,} requests." if total > listed else f"All {total:,} requests."
    columns = ("when (UTC)", "task", "model, before and after", "why", "cost", "saved")
    head = "".join(
        f'<th role="columnheader" scope="col"{number_class(index > 3)}>{escape(column)}</th>' for index, column in enumerate(columns)
    )
    rows = "".join(map(_request, evidence.rows))
    return (
        '<section><h2>Why each request went where it went</h2><div class="search"><label for="search">Search</label>'
        f'<input id="search" type="search" autocomplete="off" placeholder="a model, a task, a reason">'
        f'<span id="found" class="quiet" role="status" aria-live="polite">{listed:,} shown</span></div>'
        '<p class="print-note" hidden>On paper: the first 30 only.</p>'
        f'<table class="requests" role="table"><caption>{note} At most {MOST_ROWS:,} are listed; the figures above cover all.</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table></section>'
    )


def _request(row: RequestRow) -> str:
    why = "".join(f"<li>{escape(decision)}</li>" for decision in row.decisions)
    asked = "" if row.text is None else f'<p class="asked">{escape(row.text[:400])}</p>'
    failed = " (failed)" if row.outcome == "error" else ""
    words = "".join(
        f'<td role="cell" class="{label}" data-label="{label}">{escape(value)}</td>'
        for label, value in (("task", f"{row.task}{failed}"), ("model", row.path))
    )
    dollars = "".join(
        f'<td role="cell" class="number" data-label="{label}">{money(usd)}</td>'
        for label, usd in (("cost", row.actual_usd), ("saved", row.saved_usd))
    )
    return (
        f'<tr role="row"><th role="rowheader" scope="row" class="when">{utc(row.at_seconds)}</th>{words}'
        f'<td role="cell" data-label="why">{asked}<ul>{why}</ul></td>{dollars}</tr>\n'
    )


def _footer(evidence: Evidence) -> str:
    now = dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Made by frugal-plugins on {now} from {escape(evidence.source)}. Nothing on this page is loaded from the network."
