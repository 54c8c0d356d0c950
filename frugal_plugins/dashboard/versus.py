"""Control against treated: the requests that went through untouched beside those the recipe worked on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from html import escape
from typing import Final

from frugal_plugins.dashboard.asked import Asked
from frugal_plugins.dashboard.parts import Cell, facts, page, section, spans, table
from frugal_plugins.ledger.measured import Added, Difference, Measured, Saving, measure
from frugal_plugins.ledger.reader import Period, Spend
from frugal_plugins.ledger.reading import TableReader
from frugal_plugins.report.words import money, percent

_NAMES: Final = {
    "failed_percent": "failed, %",
    "cut_percent": "cut short, %",
    "refused_percent": "refused, %",
    "schema_valid_percent": "of the form that was asked for, %",
    "retries": "retries",
    "output_tokens": "output tokens",
    "good_percent": "called good by people, %",
    "judged_good_percent": "called good by a judge, %",
}
_GROUPS: Final = (("control", "control, untouched"), ("treated", "treated by the recipe"), ("bypassed", "bypassed on request"))


def versus(reader: TableReader, asked: Asked, period: Period) -> str:
    """The two groups side by side, by request."""
    found = reader.split("group", period)
    words = dict(_GROUPS) | {name: f"treated, {name}" for name in sorted(found) if name.startswith("without ")}
    rows: list[tuple[Cell, ...]] = [_row(found[name], said, asked.href(group=name)) for name, said in words.items() if name in found]
    columns = ("group", "requests", "paid", "paid by request", "output tokens by request", "failed")
    note = (
        ""
        if "control" in found
        else '<p class="quiet">No control group: set <code>control_percent</code> in the recipe, and a share of the traffic goes through '
        "untouched to measure against.</p>"
    )
    proof = escape(Asked(asked.span).href("control"))
    if "judge" in reader.split("technique", period):
        note += '<p class="quiet">What judging a sample cost is in these figures; where the groups are compared it is left out.</p>'
    more = f'<p><a href="{proof}">What that proves: saving and quality, with the range chance leaves</a></p>'
    return section("versus", "Control against treated", note, table("What the groups cost, by request", columns, rows), more)


def control_page(reader: TableReader, asked: Asked) -> str:
    """What was measured, with its 95 % ranges. It reads the rows, so it takes seconds where there are millions."""
    found = measure(reader.db, asked.period(time.time()))
    words = "".join(f'<p class="note">{escape(one)}.</p>' for one in found.words)
    main = [spans(Asked(asked.span), "control"), words, facts(_found(found, asked)), *_savings(found, asked), *_quality(found)]
    return page("Control against treated", asked, "control", main, place=reader.place)


def _found(found: Measured, asked: Asked) -> Iterator[tuple[str, Cell]]:
    yield "control requests", (f"{found.control_requests:,} in {found.control_conversations:,} conversations", asked.href(group="control"))
    yield "treated requests", (f"{found.treated_requests:,}", asked.href(group="treated"))
    if found.saving is not None:
        yield "saved, measured", _range(found.saving)
        yield "of what they would have cost", _percents(found.saving)
        yield "kinds of work covered", percent(found.covered_percent)
    if found.judged:
        yield "answers judged on a sample", (f"{found.judged:,}, for {money(_usd(found.judging_usd))}", asked.href(technique="judge"))
        if found.net_usd is not None:
            yield "saved, less the judging", money(_usd(found.net_usd))
    if found.not_judged:
        yield "drawn for the sample and not judged", (f"{found.not_judged:,}", asked.href(technique="judge"))


def _savings(found: Measured, asked: Asked) -> Iterator[str]:
    if found.added:
        lines: list[tuple[Cell, ...]] = [
            (
                (name, asked.href(group=f"without {name}")),
                f"{one.without_requests:,}",
                _range(one.saving),
                _percents(one.saving),
                _worse(one),
            )
            for name, one in found.added.items()
        ]
        columns = ("technique", "requests without it", "saved, 95 % range", "of the cost", "answers with it, beyond chance")
        note = (
            '<p class="quiet">Each beside traffic that went without it alone; what several save together is in each of them only once.</p>'
        )
        yield section("added", "What each technique adds to the others", note, table("Measured one by one", columns, lines))
    alone = {name: one for name, one in found.by_technique.items() if name not in found.added}
    if alone:
        rows = ((name, f"{one.requests:,}", _range(one), _percents(one)) for name, one in alone.items())
        made = table("Techniques that acted alone on a kind of work", ("technique", "requests", "saved, 95 % range", "of the cost"), rows)
        yield section("alone", "By technique", made)
    if found.together:
        names = escape(", ".join(found.together))
        hint = "set <code>control_each_percent</code> in the recipe to measure each"
        yield f'<p class="quiet">{names} never acted alone on a kind of work, so nobody can tell apart what each saved; {hint}.</p>'


def _worse(one: Added) -> str:
    """What can be said of the answers with a technique and without it."""
    sure = [f"{_NAMES.get(name, name)} {found.difference:+.2f}" for name, found in one.quality.items() if found.sure]
    return "; ".join(sure) or "no difference"


def _quality(found: Measured) -> Iterator[str]:
    if not found.quality:
        return
    rows = ((_NAMES.get(name, name.replace("_", " ")), *_compared(one)) for name, one in found.quality.items())
    columns = ("measure", "control", "treated", "difference, 95 % range", "beyond chance")
    yield section("quality", "How answers went", table("Per request, each kind of work compared with itself", columns, rows))


def _compared(one: Difference) -> tuple[str, ...]:
    known = one.low is not None and one.high is not None
    reach = f"{one.difference:+.2f} ({one.low:+.2f} to {one.high:+.2f})" if known else f"{one.difference:+.2f} (range not known)"
    return f"{one.control:.2f}", f"{one.treated:.2f}", reach, "yes" if one.sure else "no" if known else "not known"


def _range(one: Saving) -> str:
    if one.low_usd is None or one.high_usd is None:
        return "too little untouched traffic"
    return f"{money(_usd(one.usd))} ({money(_usd(one.low_usd))} to {money(_usd(one.high_usd))})"


def _percents(one: Saving) -> str:
    if one.low_percent is None or one.high_percent is None:
        return "-"
    return f"{percent(one.percent)} ({percent(one.low_percent)} to {percent(one.high_percent)})"


def _usd(value: float) -> Decimal:
    return Decimal(repr(round(value, 9)))


def _row(spend: Spend, words: str, href: str) -> tuple[Cell, ...]:
    each = max(1, spend.requests)
    return (
        (words, href),
        f"{spend.requests:,}",
        money(spend.spent_usd),
        money(spend.spent_usd / each),
        f"{spend.output_tokens / each:,.0f}",
        percent(100 * spend.errors / each),
    )
