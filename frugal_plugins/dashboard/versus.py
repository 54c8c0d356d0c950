"""Control against treated: the requests that went through untouched beside those the recipe worked on."""

from __future__ import annotations

from typing import Final

from frugal_plugins.dashboard.asked import Asked
from frugal_plugins.dashboard.parts import Cell, section, table
from frugal_plugins.ledger.reader import Period, Spend
from frugal_plugins.ledger.reading import TableReader
from frugal_plugins.report.words import money, percent

_GROUPS: Final = (("control", "control, untouched"), ("treated", "treated by the recipe"), ("bypassed", "bypassed on request"))


def versus(reader: TableReader, asked: Asked, period: Period) -> str:
    """The two groups side by side, by request."""
    found = reader.split("group", period)
    rows: list[tuple[Cell, ...]] = [_row(found[name], words, asked.href(group=name)) for name, words in _GROUPS if name in found]
    columns = ("group", "requests", "paid", "paid by request", "output tokens by request", "failed")
    note = (
        ""
        if "control" in found
        else '<p class="quiet">No control group: set <code>control_percent</code> in the recipe, and a share of the traffic goes through '
        "untouched to measure against.</p>"
    )
    return section("versus", "Control against treated", note, table("What the groups cost, by request", columns, rows))


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
