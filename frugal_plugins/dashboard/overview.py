"""The first page: what was spent and saved, by what, what was decided just now, and what wants looking at."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from typing import Final

from frugal_plugins.dashboard.asked import Asked
from frugal_plugins.dashboard.parts import Cell, by_plain_name, cards, figure, hour, moment, page, section, spans, table
from frugal_plugins.dashboard.plot import Bar, bars
from frugal_plugins.dashboard.versus import versus
from frugal_plugins.ledger.reader import Dimension, Period, Spend, Wanted
from frugal_plugins.ledger.reading import TableReader
from frugal_plugins.report.words import did, money, percent

SHOWN: Final = 6
"""Decisions on the first page."""

_MOST_VALUES: Final = 25
SAVED: Final = ("saved, measured", "saved, estimated", "saved, untouched")
"""By where the baseline comes from; together they are what is without the recipe less what was paid."""

_OF_MODELS: Final[tuple[Dimension, ...]] = ("asked_model", "model")
_SPLITS: Final[tuple[tuple[Dimension, str, str], ...]] = (
    ("task", "By task", "task"),
    ("team", "By team", "team"),
    ("feature", "By feature", "feature"),
)


def overview(reader: TableReader, asked: Asked) -> str:
    """The whole first page."""
    asked = Asked(asked.span)
    period = asked.period(time.time())
    total = reader.total(period)
    main = [
        spans(asked, "./"),
        live_part(reader, asked, total, period),
        _over_time(reader, asked, period),
        _by_technique(reader, asked, period),
        _by_model(reader, asked, period),
        *(_split(reader, asked, period, *split) for split in _SPLITS),
        versus(reader, asked, period),
    ]
    return page("What the LLM calls cost", asked, "", main, place=reader.place)


def live_part(reader: TableReader, asked: Asked, total: Spend, period: Period) -> str:
    """What the script fetches again every few seconds."""
    rows = reader.latest(SHOWN, Wanted(since_seconds=period.since_seconds))
    nothing = "" if total.requests else _nothing(reader)
    listed = cards(rows, asked, anchor="live-list", label="The latest decisions") if rows else ""
    pause = (
        '<p class="row"><button type="button" id="pause" aria-pressed="false" hidden>Pause</button>'
        f'<span class="quiet" id="fresh">As of {moment(time.time())}.</span></p>'
    )
    return (
        f'<div id="live">{_alerts(reader)}{nothing}<dl class="figures">{"".join(_figures(reader, asked, total, period))}</dl>'
        f"{_proved(reader, asked, period)}{section('now', 'Just decided, and why', pause, listed)}</div>"
    )


def _proved(reader: TableReader, asked: Asked, period: Period) -> str:
    """Where the saving is measured and not only worked out, if it is."""
    if not any(name == "control" or name.startswith("without ") for name in reader.split("group", period)):
        return ""
    href = escape(asked.href("control"))
    return f'<p class="quiet"><a href="{href}">Measured against untouched traffic, with 95 % ranges</a></p>'


def _nothing(reader: TableReader) -> str:
    last = reader.latest(1)
    when = f"The latest request was at {moment(last[0].at_seconds)}." if last else "Run something through a recipe and it appears here."
    return f'<p class="note">No requests in this time. {when}</p>'


def _figures(reader: TableReader, asked: Asked, total: Spend, period: Period) -> Iterator[str]:
    rows = asked.href()
    yield figure("paid", money(total.spent_usd), rows)
    yield figure("without the recipe", money(total.baseline_usd), rows)
    saved = [(SAVED[0], total.measured_usd), (SAVED[1], total.estimated_usd), (SAVED[2], total.untouched_usd)]
    for name, usd in [(name, usd) for name, usd in saved if usd or name == SAVED[1]]:
        yield figure(name, money(usd), rows, kind="good" if usd > 0 else "cost" if usd < 0 else "")
    yield figure("of the baseline", percent(total.saved_percent), rows)
    yield figure("requests", f"{total.requests:,}", rows)
    yield figure("stored answers", f"{total.hits:,}", asked.href(outcome="hit"))
    yield figure("failed", f"{total.errors:,}", asked.href(outcome="error"), kind="cost" if total.errors else "")
    if total.requests > total.priced:
        yield figure("without a price", f"{total.requests - total.priced:,}", rows)
    if lost := reader.lost(period):
        yield figure("rows the ledger lost", f"{lost:,}", kind="cost")


def _alerts(reader: TableReader) -> str:
    found = reader.alerts(5)
    if not found:
        return ""
    lines = "".join(
        f"<li>{moment(one.at_seconds)} <b>{escape(one.name)}</b>: {escape(one.what)}, {money(one.usd)} of {money(one.limit_usd)}</li>"
        for one in found
    )
    head = '<h2 id="alerts-h">Budgets that were reached</h2>'
    return f'<section class="alerts" role="status" aria-labelledby="alerts-h">{head}<ul>{lines}</ul></section>'


def _over_time(reader: TableReader, asked: Asked, period: Period) -> str:
    step = asked.step()
    size = 3_600 if step == "hour" else 86_400
    found = reader.series(None, step, period)
    if not found:
        return ""
    steps, rows = [], []
    for start in range(min(found), max(found) + size, size):
        spend = found.get(start, {}).get("", Spend())
        href = replace(asked, from_seconds=float(start), to_seconds=float(start + size)).href()
        label = hour(start) if step == "hour" else hour(start)[:10]
        steps.append(Bar(label, spend.spent_usd, spend.baseline_usd, href))
        rows.append(((label, href), f"{spend.requests:,}", money(spend.baseline_usd), money(spend.spent_usd), money(spend.saved_usd)))
    title = f"Paid and without the recipe, by {step}"
    shown = table(title, (step, "requests", "without", "paid", "saved"), reversed(rows))
    legend = '<p class="legend"><span class="key before"></span>without the recipe <span class="key after"></span>paid</p>'
    inside = f"{legend}{bars(title, steps)}<details><summary>The same as a table</summary>{shown}</details>"
    return section("time", f"By {step}", inside)


def _by_technique(reader: TableReader, asked: Asked, period: Period) -> str:
    saved, actions, would = reader.split("technique", period), dict[str, list[str]](), dict[str, int]()
    for one in reader.acted(period):
        if one.shadow:
            would[one.technique] = would.get(one.technique, 0) + (one.times if one.changes else 0)
        else:
            actions.setdefault(one.technique, []).append(f"{one.action} {one.times:,}")
    nothing = Spend()
    rows: list[tuple[Cell, ...]] = [
        (
            (name, asked.href(technique=name)),
            did(name, actions.get(name, ())),
            money(saved.get(name, nothing).measured_usd),
            money(saved.get(name, nothing).estimated_usd),
            money(saved.get(name, nothing).untouched_usd),
            f"{would.get(name, 0):,}",
        )
        for name in dict.fromkeys([*saved, *actions, *would])
    ]
    columns = ("technique", "what it did", *SAVED, "would have (shadow)")
    return section(
        "technique",
        "By technique",
        table("What each technique saved, net of its own cost", columns, rows, words=2, unless_nothing=columns[2:]),
    )


def _by_model(reader: TableReader, asked: Asked, period: Period) -> str:
    before, after = (by_plain_name(reader.split(of, period)) for of in _OF_MODELS)
    nothing = Spend()
    rows: list[tuple[Cell, ...]] = [
        (
            (name, asked.href(model=name)),
            f"{before.get(name, nothing).requests:,}",
            money(before.get(name, nothing).baseline_usd),
            f"{after.get(name, nothing).requests:,}",
            money(after.get(name, nothing).spent_usd),
        )
        for name in list(dict.fromkeys([*after, *before]))[:_MOST_VALUES]
    ]
    columns = ("model", "requests without", "without", "calls", "paid")
    return section("model", "By model", table("What each model was paid, and would have been without the recipe", columns, rows))


def _split(reader: TableReader, asked: Asked, period: Period, by: Dimension, title: str, word: str) -> str:
    found = reader.split(by, period)
    if by != "task" and not any(found):
        return ""
    rows: list[tuple[Cell, ...]] = [
        (
            (name or f"no {word}", asked.href(**{by: name})),
            f"{spend.requests:,}",
            money(spend.baseline_usd),
            money(spend.spent_usd),
            money(spend.measured_usd),
            money(spend.estimated_usd),
            money(spend.untouched_usd),
            percent(spend.saved_percent),
        )
        for name, spend in list(found.items())[:_MOST_VALUES]
    ]
    left = f" The {_MOST_VALUES} largest of {len(found):,}." if len(found) > _MOST_VALUES else ""
    columns = (word, "requests", "without", "paid", *SAVED, "saved")
    return section(by, title, table(f"Spend by {word}.{left}", columns, rows, unless_nothing=(SAVED[0], SAVED[2])))
