"""A report in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from frugal_plugins.ledger import Summary
from frugal_plugins.ledger.measured import Measured
from frugal_plugins.report.control import control_rows
from frugal_plugins.report.evidence import Evidence, RequestRow, WrongAnswer
from frugal_plugins.report.words import basis_words, did, exact, money, percent, share, utc

_FIGURE_CHARS: Final = 14
"""What is no longer than this and not in a column of words is a figure: half of one on the next line would be read as another."""


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]], *, words: int = 1) -> Table:
    """A plain table: the first `words` columns are names, the others figures. Every cell is taken literally, without markup."""
    columns, cells = tuple(columns), [[str(cell) for cell in row] for row in rows]
    made = Table(show_header=any(columns), title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        figure = index >= words and all(len(row[index]) <= max(len(column), _FIGURE_CHARS) for row in cells if index < len(row))
        made.add_column(column, justify="left" if index < words else "right", overflow="fold", no_wrap=figure and " " not in column)
    for row in cells:
        made.add_row(*(Text(cell) for cell in row))
    return made


def overview(evidence: Evidence) -> Table:
    """The figures a reader looks for first."""
    summary = evidence.summary
    rows = [
        ("requests", f"{summary.requests:,}"),
        ("baseline, without the recipe", money(summary.baseline_usd)),
        ("actual, with the recipe", money(summary.actual_usd)),
        ("saved", f"{money(summary.saved_usd)} ({percent(summary.saved_percent)})"),
        *_checked(evidence),
        ("baselines", basis_words(summary)),
        ("techniques stood down", f"{summary.stood_down:,}"),
    ]
    return table(evidence.title, ("", ""), [*rows, *_remarks(summary)])


def _checked(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if (checked := evidence.reconciliation) is not None:
        agrees = "they agree" if checked.agrees else "they differ"
        yield "ledger minus invoice", f"{exact(checked.difference_usd)} over {checked.invoice_lines:,} billed calls: {agrees}"
    if evidence.wrong_answers is not None:
        yield "wrong answers (right without the recipe)", f"{len(evidence.wrong_answers):,}"
    if evidence.wrong_in_baseline is not None:
        yield "wrong already without the recipe", f"{evidence.wrong_in_baseline:,}"
    if evidence.estimated_usd is not None:
        off = share(evidence.estimated_usd - evidence.summary.baseline_usd, evidence.summary.baseline_usd)
        sign = "" if off is None else f" ({off:+.1f} %)"
        yield "baseline the ledger would estimate alone", f"{money(evidence.estimated_usd)}{sign}"


def _remarks(summary: Summary) -> Iterator[tuple[str, str]]:
    if summary.unpriced:
        yield "left out, no known price", f"{summary.unpriced:,} ({', '.join(summary.unpriced_models)}): name it under prices in the recipe"
    if summary.errors:
        yield "requests that failed", f"{summary.errors:,}"
    if summary.lost:
        yield "rows the ledger lost", f"{summary.lost:,}: the dollars above are too low by these"


def techniques(summary: Summary) -> Table:
    """What each technique saved and did."""
    rows = (
        (
            line.technique,
            did(line.technique, (f"{action} {count:,}" for action, count in sorted(line.actions.items(), key=lambda item: -item[1]))),
            f"{line.decisions:,}",
            money(line.saved_usd),
            percent(share(line.saved_usd, summary.baseline_usd)),
        )
        for line in summary.techniques
    )
    return table("By technique", ("technique", "what it did", "decisions", "saved", "of baseline"), rows, words=2)


def rehearsed(summary: Summary) -> Table:
    """What techniques in shadow would have saved; not added to anything, not even to each other."""
    rows = ((line.technique, f"{line.would:,}", money(line.would_usd)) for line in summary.techniques if line.would)
    return table("In shadow: what each would have saved alone (estimated)", ("technique", "would have acted", "would have saved"), rows)


def models(evidence: Evidence) -> Table:
    """Spend by model, before and after."""
    after = evidence.models_after
    names = dict.fromkeys([*evidence.models_before, *after])
    nothing = (0, Decimal(0))
    rows = []
    for name in names:
        (asked, before_usd), (calls, after_usd) = evidence.models_before.get(name, nothing), after.get(name, nothing)
        rows.append((name, f"{asked:,}", money(before_usd), f"{calls:,}", money(after_usd)))
    return table("By model", ("model", "requests before", "before", "calls after", "after"), rows)


def split(title: str, word: str, found: Mapping[str, tuple[int, Decimal, Decimal]]) -> Table:
    """Dollars by task or by day."""
    rows = (
        (name, f"{count:,}", money(before), money(after), percent(share(before - after, before)))
        for name, (count, before, after) in found.items()
    )
    return table(title, (word, "requests", "before", "after", "saved"), rows)


def wrong(answers: Iterable[WrongAnswer]) -> Table:
    """Which answers got worse, and why we say so."""
    rows = ((answer.id, answer.task, answer.model, answer.why) for answer in answers)
    return table("Wrong answers", ("request", "task", "model", "why"), rows, words=4)


def decided(rows: Iterable[RequestRow], *, title: str = "Requests") -> Text:
    """Requests and the reasons for what happened to them, one line for each reason."""
    said = Text(f"{title}\n", style="bold")
    for row in rows:
        said.append(f"\n{utc(row.at_seconds)}  {row.task}  {row.path}  ", style="not bold")
        said.append(f"saved {money(row.saved_usd)}\n", style="bold" if row.saved_usd else "not bold")
        for why in row.decisions:
            said.append(f"    {why}\n", style="not bold")
    return said


def control(found: Measured) -> Table:
    """Measured with the control group: beside the estimates above, never added to them."""
    return table("Measured against the control group", ("", "", "95 % range"), control_rows(found), words=1)


def report(evidence: Evidence, *, requests: bool = False) -> RenderableType:
    """The whole report for a terminal."""
    summary = evidence.summary
    parts: list[RenderableType] = [overview(evidence), techniques(summary), models(evidence), split("By task", "task", summary.by_task)]
    if len(summary.by_day) > 1:
        parts.append(split("By day", "day", summary.by_day))
    if any(line.would for line in summary.techniques):
        parts.append(rehearsed(summary))
    if evidence.measured is not None and evidence.measured.treated_requests:
        parts.append(control(evidence.measured))
    if evidence.wrong_answers:
        parts.append(wrong(evidence.wrong_answers))
    if requests:
        parts.append(decided(evidence.rows))
    return Group(*parts)
