"""What the pages are put together from. Everything that comes from a ledger or an address is escaped here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Final

from frugal_plugins.dashboard.asked import SPANS, Asked
from frugal_plugins.ledger.reader import Booked, Reason, Spend
from frugal_plugins.report.shell import stacked
from frugal_plugins.report.words import money, plain_model, utc

_TABS: Final = (("", "Overview"), ("rows", "Requests"), ("review", "Review"), ("control", "Control"))


def page(title: str, asked: Asked, here: str, main: Iterable[str], *, place: str) -> str:
    """A whole page: landmarks, a way past the menus, and our one style sheet and script."""
    tabs = "".join(
        f'<a href="{name or "./"}?span={asked.span}"{_current(name == here)}>{word}</a>'  # the span is one of ours
        for name, word in _TABS
    )
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">',
            f'<title>{escape(title)} - frugal</title>\n<link rel="icon" href="icon.svg">\n<link rel="stylesheet" href="style.css">',
            '<script src="script.js" defer></script>',
            '</head>\n<body>\n<a class="skip" href="#content">Skip to the content</a>',
            f'<header class="top"><nav class="tabs" aria-label="Pages"><span class="brand">frugal</span>{tabs}</nav></header>',
            f'<main id="content" tabindex="-1">\n<h1>{escape(title)}</h1>',
            *main,
            "</main>",
            f"<footer><p>From {escape(place)}. Times are UTC. Nothing on this page is loaded from elsewhere.</p></footer>",
            "</body>\n</html>\n",
        ]
    )


def _current(yes: bool) -> str:
    return ' aria-current="page"' if yes else ""


def spans(asked: Asked, page_name: str) -> str:
    """The choice of time."""
    links = []
    for span, word in SPANS.items():
        href = escape(Asked(span, asked.without("time").wanted).href(page_name))
        now = ' aria-current="true"' if span == asked.span and asked.from_seconds is None else ""
        links.append(f'<a href="{href}"{now}>{word}</a>')
    return f'<nav class="spans" aria-label="Time">{"".join(links)}</nav>'


def figure(name: str, value: str, href: str | None = None, *, kind: str = "", small: str = "") -> str:
    """One figure; a link to the rows behind it where there are any."""
    shown = escape(value) if href is None else f'<a href="{escape(href)}">{escape(value)}</a>'
    more = f'<span class="small">{escape(small)}</span>' if small else ""
    return f'<div class="{kind}"><dt>{escape(name)}</dt><dd>{shown}{more}</dd></div>'


def section(anchor: str, title: str, *inside: str) -> str:
    """A part of a page with its heading."""
    return f'<section aria-labelledby="{anchor}-h"><h2 id="{anchor}-h">{escape(title)}</h2>{"".join(inside)}</section>'


_NOTHING: Final = ("$0.00", "0")
Cell = str | tuple[str, str]
"""Text, or text and the address of the rows behind it."""


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, words: int = 1, unless_nothing: Sequence[str] = ()
) -> str:
    """A table; the first `words` columns are words, the others figures. Columns of `unless_nothing` are left out where all say 0."""
    cells = [list(row) for row in rows]
    kept = [at for at, name in enumerate(columns) if name not in unless_nothing or any(row[at] not in _NOTHING for row in cells)]
    columns, made = [columns[at] for at in kept], [[_cell(row[at]) for at in kept] for row in cells]
    if not made:
        return f'<p class="quiet">{escape(caption)}: nothing in this time.</p>'
    shown = stacked(caption, columns, made, range(words, len(columns)))
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">{shown}</div>'


def by_plain_name(found: Mapping[str, Spend]) -> dict[str, Spend]:
    """Sums of models, the same one under one name whether its provider was written in front or not."""
    merged: dict[str, Spend] = {}
    for model, spend in found.items():
        name = plain_model(model)
        merged[name] = merged[name] + spend if name in merged else spend
    return merged


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    text, href = cell
    return f'<a href="{escape(href)}">{escape(text)}</a>'


def facts(pairs: Iterable[tuple[str, Cell]]) -> str:
    """Names and values of one thing."""
    return f'<dl class="facts">{"".join(f"<div><dt>{escape(name)}</dt><dd>{_cell(value)}</dd></div>" for name, value in pairs)}</dl>'


def moment(at_seconds: float) -> str:
    """A time a screen reader and a script can read too."""
    exact = dt.datetime.fromtimestamp(at_seconds, tz=dt.UTC)
    return f'<time datetime="{exact.isoformat(timespec="seconds")}">{exact:%Y-%m-%d %H:%M:%S}</time>'


def path_of(row: Booked) -> str:
    """From which model to which, in words."""
    before, after = plain_model(row.asked_model), plain_model(row.model)
    if row.outcome == "hit":
        return f"{before} → stored answer"
    return f"{before} → {after}" if after and after != before else before


def said(reasons: Iterable[Reason]) -> str:
    """Why, one line for each decision."""
    lines = "".join(
        f"<li><b>{escape(one.technique)}</b> {'would: ' if one.shadow else ''}{escape(one.action)}: {escape(one.why)}</li>"
        for one in reasons
    )
    return f'<ul class="why">{lines}</ul>' if lines else '<p class="quiet">nothing was decided</p>'


def card(row: Booked, asked: Asked) -> str:
    """One request in a list: when, what, where it went, what that saved, and why."""
    failed = ' <span class="bad">failed</span>' if row.outcome == "error" else ""
    saved = "" if row.saved_usd is None else f"saved {money(row.saved_usd)} ({escape(row.basis)})"
    href = escape(asked.href("request", id=row.id))
    return (
        f'<li class="card"><div class="line"><a href="{href}">{moment(row.at_seconds)}</a><span>{escape(row.task)}{failed}</span>'
        f'<span>{escape(path_of(row))}</span><span class="cost">{money(row.actual_usd)}</span>'
        f'<span class="saved">{saved}</span></div>{said(row.reasons)}</li>'
    )


def cards(rows: Iterable[Booked], asked: Asked, *, anchor: str, label: str) -> str:
    """Requests, newest first."""
    inside = "".join(card(row, asked) for row in rows)
    return f'<ol class="cards" id="{anchor}" aria-label="{escape(label)}">{inside}</ol>'


def amounts(found: Mapping[str, Decimal]) -> list[tuple[str, str]]:
    """Dollars by name, the largest first."""
    return [(name, money(usd)) for name, usd in sorted(found.items(), key=lambda one: -abs(one[1]))]


def hour(at_seconds: float) -> str:
    """A whole hour as `2026-11-01 09:00`."""
    return utc(at_seconds)
