"""Figures as people read them: dollars that never round to nothing, percents with one decimal, plain UTC times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from frugal_plugins.ledger import Summary
from frugal_plugins.prices import provider_of

_DIGITS: Final = 4
_CENTS_FROM: Final = 3
_UNKNOWN: Final = "unpriced"


def money(usd: Decimal | None) -> str:
    """Dollars with at least four significant digits: four places below $1,000, so that the lines of a table still add up.

    >>> money(Decimal("12.3456")), money(Decimal("0.000123456")), money(Decimal("0")), money(Decimal("-3.5")), money(Decimal("12345.678"))
    ('$12.3456', '$0.0001235', '$0.00', '-$3.5000', '$12,345.68')
    >>> money(None)
    'unpriced'
    """
    if usd is None:
        return _UNKNOWN
    if not usd:
        return "$0.00"
    size = usd.adjusted()
    places = 2 if size >= _CENTS_FROM else max(_DIGITS, _DIGITS - 1 - size)
    return f"{'-' if usd < 0 else ''}${abs(usd):,.{places}f}"


def did(technique: str, actions: Iterable[str]) -> str:
    """What a technique did, in words; `other` is the part of a saving that is nobody's."""
    return ", ".join(actions) or ("what no technique decided" if technique == "other" else "-")


def exact(usd: Decimal) -> str:
    """Dollars to the last digit, for the comparison with an invoice.

    >>> exact(Decimal("0.0012300")), exact(Decimal(0))
    ('$0.00123', '$0.00')
    """
    whole, _, fraction = f"{abs(usd):,f}".partition(".")
    return f"{'-' if usd < 0 else ''}${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def percent(value: float | None) -> str:
    """One decimal, or a dash where there is nothing to compare.

    >>> percent(41.26), percent(None)
    ('41.3 %', '-')
    """
    return "-" if value is None else f"{value:.1f} %"


def share(part: Decimal, whole: Decimal) -> float | None:
    """`part` in percent of `whole`; None where the whole is nothing."""
    return float(100 * part / whole) if whole else None


def number(usd: Decimal | None) -> float | None:
    """Dollars for JSON: a number without binary dust beyond the picodollar."""
    return None if usd is None else float(round(usd, 12))


def plain_model(model: str) -> str:
    """A model's name without the provider prefix that its own name implies anyway.

    >>> plain_model("openai/gpt-4o"), plain_model("azure/gpt-4o")
    ('gpt-4o', 'azure/gpt-4o')
    """
    prefix, _, rest = model.partition("/")
    return rest if rest and provider_of(rest) == prefix else model


def basis_words(summary: Summary) -> str:
    """How the baselines are known: measured beside the request, estimated from its own tokens, or untouched traffic's own cost."""
    untouched = sum(count for group, (count, _) in summary.by_group.items() if group != "treated" and not group.startswith("without "))
    counts = (
        (summary.measured, "measured"),
        (summary.requests - summary.measured - untouched - summary.errors, "estimated"),
        (untouched, "untouched, as control"),
        (summary.errors, "failed"),
    )
    return ", ".join(f"{count:,} {words}" for count, words in counts if count > 0) or "none"


def utc(at_seconds: float) -> str:
    """A moment as `2026-11-01 09:30`, UTC."""
    return dt.datetime.fromtimestamp(at_seconds, tz=dt.UTC).strftime("%Y-%m-%d %H:%M")
