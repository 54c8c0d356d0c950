"""The same figures as JSON, for programs."""

from __future__ import annotations

import time
from typing import Any

from frugal_plugins.dashboard.asked import Asked
from frugal_plugins.ledger.reader import Dimension, Spend
from frugal_plugins.ledger.reading import TableReader
from frugal_plugins.report.words import number

_BY: tuple[Dimension, ...] = ("technique", "task", "model", "asked_model", "team", "feature", "group", "outcome")


def figures(reader: TableReader, asked: Asked) -> dict[str, Any]:
    """Sums of a time, by every dimension."""
    period = asked.period(time.time())
    return {
        "ledger": reader.place,
        "span": asked.span,
        "since_seconds": period.since_seconds,
        "total": spend_figures(reader.total(period)),
        **{f"by_{by}": {name: spend_figures(spend) for name, spend in reader.split(by, period).items()} for by in _BY},
        "actions": [
            {"technique": one.technique, "action": one.action, "shadow": one.shadow, "times": one.times} for one in reader.acted(period)
        ],
        "alerts": [
            {"at_seconds": one.at_seconds, "name": one.name, "what": one.what, "usd": number(one.usd), "limit_usd": number(one.limit_usd)}
            for one in reader.alerts(20)
        ],
        "lost": reader.lost(period),
    }


def spend_figures(spend: Spend) -> dict[str, Any]:
    """One sum; measured and estimated savings stay apart, and what untouched requests cost beside their answer."""
    return {
        "requests": spend.requests,
        "priced": spend.priced,
        "hits": spend.hits,
        "errors": spend.errors,
        "input_tokens": spend.input_tokens,
        "cache_read_tokens": spend.cache_read_tokens,
        "output_tokens": spend.output_tokens,
        "paid_usd": number(spend.spent_usd),
        "baseline_usd": number(spend.baseline_usd),
        "actual_usd": number(spend.actual_usd),
        "saved_measured_usd": number(spend.measured_usd),
        "saved_estimated_usd": number(spend.estimated_usd),
        "saved_untouched_usd": number(spend.untouched_usd),
    }
