"""Bars over time as an inline SVG: no script, no library, colours from the style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Final

from frugal_plugins.report.words import money

_WIDE: Final = 720
_HIGH: Final = 200
_LEFT: Final = 64
_BELOW: Final = 24
_ABOVE: Final = 10
_MOST_LABELS: Final = 8
_HALF_LABEL: Final = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of time: what was paid, what would have been, and the rows behind it."""

    label: str
    actual_usd: Decimal
    baseline_usd: Decimal
    href: str


def bars(title: str, steps: Sequence[Bar]) -> str:
    """The plot. Its figures stand in a table beside it, so it is one picture with a name for a screen reader."""
    top = max((max(step.actual_usd, step.baseline_usd) for step in steps), default=Decimal(0)) or Decimal(1)
    room = _WIDE - _LEFT
    each = room / max(1, len(steps))
    every = -(-len(steps) // _MOST_LABELS)
    parts = [_axis(top)]
    for at, step in enumerate(steps):
        left = _LEFT + at * each
        before, after = _height(step.baseline_usd, top), _height(step.actual_usd, top)
        hover = escape(f"{step.label}: {money(step.actual_usd)} paid, {money(step.baseline_usd)} without the recipe")
        parts.append(
            f'<a href="{escape(step.href)}" tabindex="-1"><title>{hover}</title>'
            f'<rect class="hold" x="{left:.1f}" y="{_ABOVE}" width="{each:.1f}" height="{_HIGH}"/>'
            f"{_rect('before', left, each, before, 0.70)}{_rect('after', left, each, after, 0.42)}</a>"
        )
        if at % every == 0:
            middle, below = left + each / 2, _ABOVE + _HIGH + 17
            anchor, x = ("middle", middle) if middle + _HALF_LABEL < _WIDE else ("end", float(_WIDE))
            parts.append(f'<text class="tick" x="{x:.1f}" y="{below}" text-anchor="{anchor}">{escape(step.label[-5:])}</text>')
    height = _ABOVE + _HIGH + _BELOW
    return f'<svg class="bars" viewBox="0 0 {_WIDE} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _axis(top: Decimal) -> str:
    lines = []
    for share in (Decimal(0), Decimal("0.5"), Decimal(1)):
        y = _ABOVE + _HIGH - float(share) * _HIGH
        lines.append(
            f'<line class="rule" x1="{_LEFT}" x2="{_WIDE}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(short(top * share))}</text>'
        )
    return "".join(lines)


def _height(usd: Decimal, top: Decimal) -> float:
    return max(0.0, float(usd / top)) * _HIGH


def _rect(kind: str, left: float, each: float, height: float, share: float) -> str:
    width = each * share
    place = f'x="{left + (each - width) / 2:.1f}" y="{_ABOVE + _HIGH - height:.1f}"'
    return f'<rect class="{kind}" {place} width="{width:.1f}" height="{height:.1f}"/>'


def short(usd: Decimal) -> str:
    """Dollars for an axis.

    >>> short(Decimal("0")), short(Decimal("0.0123")), short(Decimal("12.3")), short(Decimal("1234567"))
    ('$0', '$0.012', '$12.3', '$1,234,567')
    """
    if not usd:
        return "$0"
    if usd >= 100:
        return f"${usd:,.0f}"
    places = max(0, 1 - usd.adjusted()) if usd < 1 else 1
    return f"${usd:,.{places}f}"
