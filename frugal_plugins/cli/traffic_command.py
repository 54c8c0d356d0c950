"""`frugal check --traffic`: which bytes keep prompts from being read from the provider's cache, and what that costs."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType

from frugal_plugins.cli.lines import STDIN
from frugal_plugins.cli.provider import environment
from frugal_plugins.cli.screen import line, note, result
from frugal_plugins.errors import InputError
from frugal_plugins.prices import PriceBook
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.report.text import table
from frugal_plugins.report.words import money, number, percent
from frugal_plugins.text.fronts import Breaks
from frugal_plugins.text.traffic import Family, PrefixReport, lint, read_traffic

_MOST_SHOWN = 10


def check_traffic(source: str, recipes: Sequence[str], *, show_text: bool, as_json: bool) -> None:
    """Lint a log and print what was found. Prices of a recipe named beside it win over the list's."""
    name = "stdin" if source == STDIN else source
    with _opened(source, name) as lines:
        log = read_traffic(lines, name)
    if not log:
        raise InputError("holds no requests; give one request body a line", file=name)
    if len(log) > 20_000:
        note(f"frugal: {len(log):,} requests; this takes a minute or two")
    report = lint(log, _prices(recipes))
    result(_figures(report, show_text), lambda: _text(report, show_text), as_json=as_json)


@contextmanager
def _opened(source: str, name: str) -> Iterator[io.TextIOBase]:
    if source == STDIN:
        yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig")
        return
    path = Path(source)
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open(encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text (byte {error.start}); give JSON Lines", file=name) from error
    except (OSError, EOFError) as error:
        raise InputError(f"cannot be read ({error}); check the path and its permissions", file=name) from error


def _prices(recipes: Sequence[str]) -> PriceBook:
    if len(recipes) > 1:
        raise InputError("with --traffic one recipe at most, for its prices")
    if not recipes:
        return PriceBook()
    with environment({"FRUGAL_LEDGER": "off"}):
        return Recipe.load(recipes[0]).prices


def _figures(report: PrefixReport, show_text: bool) -> dict[str, Any]:
    return {
        "requests": report.calls,
        "days": round(report.days, 3),
        "untimed": report.untimed,
        "lost_usd_per_month": number(report.lost_usd_per_month),
        "families": [_family(family, show_text) for family in report.families],
    }


def _family(family: Family, show_text: bool) -> dict[str, Any]:
    return {
        "name": family.name,
        "model": family.model,
        "first_line": family.first_line,
        "calls": family.calls,
        "input_tokens": family.input_tokens,
        "cached_percent": family.cached_percent,
        "possible_percent": family.possible_percent,
        "usd_per_month": number(family.usd_per_month),
        "possible_usd_per_month": number(family.possible_usd_per_month),
        "sampled": family.sampled or None,
        "breaks": [_break(found, show_text) for found in family.breaks],
    }


def _break(found: Breaks, show_text: bool) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "part": found.part,
        "message": None if found.message < 0 else found.message,
        "offset": found.offset,
        "line": found.line,
        "calls": found.calls,
        "position_percent": found.position_percent,
        "usd_per_month": number(found.usd_per_month),
        "what_to_do": found.what_to_do,
        **({"text": found.shape} if show_text else {}),
    }


def _text(report: PrefixReport, show_text: bool) -> RenderableType:
    lost = money(report.lost_usd_per_month)
    head = line(
        f"{report.calls:,} requests over {_span(report.days)}: {lost} a month could be read from the provider's cache and is not.",
        style="bold",
    )
    shown = report.families[:_MOST_SHOWN]
    guess = f"{report.untimed:,} of them have no time and are taken to come a minute apart, and so are the dollars a month."
    untimed = [line(f"{guess} Write 'created' or 'timestamp' beside the body.")] if report.untimed else []
    parts: list[RenderableType] = [head, *untimed, *(part for family in shown for part in _shown(family, show_text))]
    if len(report.families) > len(shown):
        parts.append(line(f"{len(report.families) - len(shown):,} further templates cost less; --json lists them."))
    return Group(*parts)


def _span(days: float) -> str:
    """How long a log is, in the unit one would say it in."""
    if days >= 1:
        return f"{days:.1f} days"
    return f"{days * 24:.1f} hours" if days * 24 >= 1 else f"{days * 1440:.0f} minutes"


def _shown(family: Family, show_text: bool) -> list[RenderableType]:
    title = f"Template {family.name} ({family.model}, {family.calls:,} calls, first in line {family.first_line})"
    rows = [
        ("read from the cache", f"{percent(family.cached_percent)} of {family.input_tokens:,} input tokens"),
        ("possible with the same bytes", percent(family.possible_percent)),
        ("input a month", f"{money(family.usd_per_month)} -> {money(family.possible_usd_per_month)}"),
    ]
    if family.sampled:
        rows.append(("worked out on", f"its first {family.sampled:,} calls"))
    overview = table(title, ("", ""), rows, words=2)
    if not family.breaks:
        return [overview, line("Nothing in front of what stays changes.")]
    found = [
        (
            one.kind,
            _place(one),
            f"{one.calls:,}",
            _usd(one.usd_per_month),
            one.what_to_do + (f"\n{one.shape}" if show_text and one.shape else ""),
        )
        for one in family.breaks
    ]
    return [overview, table("What breaks the prefix", ("what", "where", "calls", "a month", "what to do"), found, words=5)]


def _usd(usd: Decimal | None) -> str:
    return "unknown" if usd is None else money(usd)


def _place(found: Breaks) -> str:
    place = found.part if found.kind in ("tools_order", "json_keys", "no_marks") else f"{found.part}, character {found.offset:,}"
    return f"{place} (line {found.line})"
