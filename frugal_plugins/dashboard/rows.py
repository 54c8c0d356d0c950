"""The rows behind a figure, one request with everything that is booked of it, and stored answers to review."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from typing import Final

from frugal_plugins.dashboard.asked import FILTERS, Asked
from frugal_plugins.dashboard.door import Visit
from frugal_plugins.dashboard.parts import amounts, by_plain_name, cards, facts, hour, moment, page, path_of, said, section, spans, table
from frugal_plugins.ledger.reader import Booked, Dimension, Period, Spend
from frugal_plugins.ledger.reading import TableReader
from frugal_plugins.report.words import money, plain_model

PER_PAGE: Final = 50
_TO_REVIEW: Final = 25
_CHOICES_SECONDS: Final = 7 * 86_400
"""The names one can choose from are those of the last week: a long time has thousands of hours to add up."""

_NO_TEXT: Final = (
    "Prompts and answers are not shown: the ledger keeps them with <code>ledger.keep_text</code>, and the page shows them with --show-text."
)
_SPLIT: Final[dict[str, Dimension]] = {
    "task": "task", "model": "model", "technique": "technique", "outcome": "outcome", "group": "group", "team": "team", "feature": "feature"
}  # fmt: skip


def rows_page(reader: TableReader, asked: Asked) -> str:
    """The requests that fit, newest first, with what they add up to where the sums are known."""
    period = asked.period(time.time())
    wanted = replace(asked.wanted, since_seconds=period.since_seconds, until_seconds=period.until_seconds)
    found = reader.latest(PER_PAGE, wanted)
    listed = (
        cards(found, asked, anchor="rows", label="Requests, newest first") if found else '<p class="note">No such request in this time.</p>'
    )
    main = [spans(asked, "rows"), _filters(reader, asked), _sum(reader, asked), listed, _older(found, asked)]
    return page("Requests", asked, "rows", main, place=reader.place)


def _filters(reader: TableReader, asked: Asked) -> str:
    period = asked.period(time.time())
    now = time.time()
    recent = Period(max(period.since_seconds or 0.0, now - _CHOICES_SECONDS)) if asked.to_seconds is None else period
    fields = "".join(_choice(name, list(_split(reader, name, recent)), asked.chosen.get(name)) for name in FILTERS)
    kept = f'<input type="hidden" name="span" value="{asked.span}">'
    clear = f'<a href="{escape(Asked(asked.span).href())}">Clear</a>' if asked.chosen or asked.from_seconds is not None else ""
    hours = ""
    if asked.from_seconds is not None and asked.to_seconds is not None:
        edges = {"from": asked.from_seconds, "to": asked.to_seconds}
        kept += "".join(f'<input type="hidden" name="{name}" value="{edge:.0f}">' for name, edge in edges.items())
        off = escape(asked.without("time").href())
        hours = f'<p>From {hour(asked.from_seconds)} to {hour(asked.to_seconds)}. <a href="{off}">All hours</a></p>'
    inside = f"{kept}{fields}<button>Show</button> {clear}"
    return f'<form class="filters" method="get" action="rows" aria-label="Which requests">{inside}</form>{hours}'


def _split(reader: TableReader, name: str, period: Period) -> Mapping[str, Spend]:
    found = reader.split(_SPLIT[name], period)
    return by_plain_name(found) if name == "model" else found


def _choice(name: str, values: list[str], chosen: str | None) -> str:
    if chosen and chosen not in values:
        values.append(chosen)
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(value)}</option>'
        for value in sorted(values)
        if value
    )
    return f'<label>{name}<select name="{name}"><option value="">any</option>{options}</select></label>'


def _sum(reader: TableReader, asked: Asked) -> str:
    period = asked.period(time.time())
    if not asked.chosen:
        return _spent(reader.total(period))
    if len(asked.chosen) > 1:
        return ""
    ((name, value),) = asked.chosen.items()
    return _spent(
        _split(reader, name, period).get(plain_model(value) if name == "model" else value, Spend()),
        calls=name == "model",
        only_saved=name == "technique",
    )


def _spent(spend: Spend, *, calls: bool = False, only_saved: bool = False) -> str:
    words = [f"{spend.requests:,} {'calls' if calls else 'requests'}"]
    if not only_saved:
        words += [f"{money(spend.spent_usd)} paid"]
    if not calls:
        words += [] if only_saved else [f"{money(spend.baseline_usd)} without the recipe"]
        words += [f"{money(spend.measured_usd)} saved (measured), {money(spend.estimated_usd)} saved (estimated)"]
        words += [f"{money(spend.untouched_usd)} saved (untouched)"] if spend.untouched_usd and not only_saved else []
    return f'<p class="sum">All of them together: {"; ".join(words)}.</p>'


def _older(found: tuple[Booked, ...], asked: Asked) -> str:
    if len(found) < PER_PAGE:
        return ""
    last = found[-1]
    return f'<p><a class="button" href="{escape(asked.href(at=repr(last.at_seconds), after=last.id))}">Older requests</a></p>'


def request_page(reader: TableReader, asked: Asked, name: str, *, show_text: bool) -> str | None:
    """Everything booked of one request; None where there is no such request."""
    row = reader.request(name)
    if row is None:
        return None
    calls = (
        (one.model, one.purpose, one.technique or "-", one.lane, one.error or one.finish or "-", f"{one.input_tokens:,}",
         f"{one.cache_read_tokens:,}", f"{one.output_tokens:,}", money(one.usd))
        for one in reader.calls(name)
    )  # fmt: skip
    columns = ("model", "purpose", "for", "lane", "ended", "input", "of it cached", "output", "paid")
    main = [
        facts(_facts(row, asked)),
        section("why", "Why it went there", said(row.reasons)),
        section("calls", "What was called", table("The calls made for this request", columns, calls, words=5)),
        section("saved", "What that saved", table("Saved by technique", ("technique", "saved"), amounts(row.saved_by))),
        _text_of(row) if show_text else f'<p class="quiet">{_NO_TEXT}</p>',
    ]
    return page(f"Request {name}", asked, "request", main, place=reader.place)


def _facts(row: Booked, asked: Asked) -> Iterator[tuple[str, str | tuple[str, str]]]:
    yield "when", hour(row.at_seconds)
    yield "task", (f"{row.task} ({row.task_source})", asked.href(task=row.task))
    yield "went", path_of(row)
    yield "outcome", (f"{row.outcome}{'' if row.finish is None else f', {row.finish}'}", asked.href(outcome=row.outcome))
    yield "group", (row.group, asked.href(group=row.group))
    yield "recipe", f"{row.recipe}, through {row.host}"
    if row.team:
        yield "team", (row.team, asked.href(team=row.team))
    if row.feature:
        yield "feature", (row.feature, asked.href(feature=row.feature))
    for name, value in (("user", row.user_hash), ("session", row.session_hash)):
        if value:
            yield name, f"{value} (hashed)"
    yield "tokens", f"{row.input_tokens:,} in, {row.cache_read_tokens:,} of them cached, {row.output_tokens:,} out"
    yield "paid", money(row.actual_usd)
    yield "without the recipe", f"{money(row.baseline_usd)} ({row.basis})"
    yield "saved", money(row.saved_usd)
    yield "judged", {None: "by nobody yet", True: "good", False: "bad"}[row.good]


def _text_of(row: Booked) -> str:
    try:
        kept = json.dumps(json.loads(row.text), indent=2, ensure_ascii=False) if row.text else ""
    except ValueError:
        kept = row.text or ""
    if not kept:
        return '<p class="quiet">The ledger kept no text of this request.</p>'
    return section("text", "What was asked and answered", f'<pre class="text" tabindex="0">{escape(kept)}</pre>')


def review_page(reader: TableReader, asked: Asked, visit: Visit, *, may: bool, show_text: bool, told: str) -> str:
    """Stored answers that were served and nobody has judged."""
    found = reader.hits_to_review(_TO_REVIEW)
    can = may and visit.may_judge
    notes = [] if not told else [f'<p class="note" role="status">{escape(told)}</p>']
    if not can:
        why = (
            "Your key may look but not judge."
            if may
            else "Name the recipe (--recipe) to judge them here: rejecting drops the stored answer."
        )
        notes.append(f'<p class="quiet">{why}</p>')
    if not show_text:
        notes.append(f'<p class="quiet">{_NO_TEXT}</p>')
    items = "".join(_hit(row, asked, visit if can else None, show_text=show_text) for row in found)
    listed = f'<ol class="cards" aria-label="Stored answers to review">{items}</ol>' if items else '<p class="note">Nothing to review.</p>'
    return page("Stored answers to review", asked, "review", [*notes, listed], place=reader.place)


def _hit(row: Booked, asked: Asked, visit: Visit | None, *, show_text: bool) -> str:
    buttons = ""
    if visit is not None:
        hidden = f'<input type="hidden" name="nonce" value="{visit.nonce}"><input type="hidden" name="id" value="{escape(row.id)}">'
        of = escape(f"the answer served at {hour(row.at_seconds)}, {row.task}, request {row.id}")
        buttons = (
            f'<form class="row" method="post" action="judge">{hidden}'
            f'<button name="verdict" value="good" aria-label="Right: {of}">Right</button>'
            f'<button name="verdict" value="bad" class="danger" aria-label="Wrong, drop it: {of}">Wrong: drop it</button></form>'
        )
    text = _text_of(row) if show_text else ""
    return (
        f'<li class="card"><div class="line"><a href="{escape(asked.href("request", id=row.id))}">{moment(row.at_seconds)}</a>'
        f"<span>{escape(row.task)}</span><span>{escape(path_of(row))}</span><span>saved {money(row.saved_usd)}</span></div>"
        f"{said(row.reasons)}{text}{buttons}</li>"
    )
