"""A report as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from frugal_plugins.ledger import Summary
from frugal_plugins.ledger.measured import Measured
from frugal_plugins.report.evidence import Evidence, RequestRow
from frugal_plugins.report.words import number


def summary_figures(summary: Summary) -> dict[str, Any]:
    """The figures of a ledger, dollars as numbers, under the keys `frugal report --json` promises."""
    return {
        "requests": summary.requests,
        "baseline_usd": number(summary.baseline_usd),
        "actual_usd": number(summary.actual_usd),
        "saved_usd": number(summary.saved_usd),
        "saved_percent": None if summary.saved_percent is None else round(summary.saved_percent, 2),
        "spent_usd": number(summary.spent_usd),
        "techniques": {
            line.technique: {
                "saved_usd": number(line.saved_usd),
                "decisions": line.decisions,
                "actions": dict(line.actions),
                "would": line.would,
                "would_usd": number(line.would_usd),
            }
            for line in summary.techniques
        },
        "by_model": {model: {"calls": count, "usd": number(cost)} for model, (count, cost) in summary.by_model.items()},
        "by_task": _pairs(summary.by_task),
        "by_day": _pairs(summary.by_day),
        "by_group": {group: {"requests": count, "usd": number(cost)} for group, (count, cost) in summary.by_group.items()},
        "by_outcome": dict(summary.by_outcome),
        "measured": summary.measured,
        "unpriced": summary.unpriced,
        "unpriced_models": list(summary.unpriced_models),
        "stood_down": summary.stood_down,
        "errors": summary.errors,
        "lost": summary.lost,
        "first_at": summary.first_at,
        "last_at": summary.last_at,
    }


def evidence_figures(evidence: Evidence, *, requests: bool = False) -> dict[str, Any]:
    """`summary_figures` with the models before and after under the same names, and on request every listed request."""
    figures = summary_figures(evidence.summary)
    before = {model: {"requests": count, "usd": number(cost)} for model, (count, cost) in evidence.models_before.items()}
    after = {model: {"calls": count, "usd": number(cost)} for model, (count, cost) in evidence.models_after.items()}
    figures |= {"ledger": evidence.source, "by_model": after, "by_model_before": before, "control": measured_figures(evidence.measured)}
    if requests:
        figures["request_rows"] = [_row(row) for row in evidence.rows]
    return figures


def measured_figures(found: Measured | None) -> dict[str, Any] | None:
    """What the control group shows, dollars as numbers; ranges are of 95 %, null where nothing can be said."""
    if found is None:
        return None
    return {**asdict(found), "net_usd": found.net_usd, "words": list(found.words), "together": list(found.together)}


def _pairs(found: Mapping[str, tuple[int, Decimal, Decimal]]) -> dict[str, Any]:
    return {
        name: {"requests": count, "baseline_usd": number(baseline), "actual_usd": number(actual)}
        for name, (count, baseline, actual) in found.items()
    }


def _row(row: RequestRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "at_seconds": row.at_seconds,
        "task": row.task,
        "task_source": row.task_source,
        "model_before": row.model_before,
        "model_after": row.model_after,
        "outcome": row.outcome,
        "baseline_usd": number(row.baseline_usd),
        "actual_usd": number(row.actual_usd),
        "why": list(row.decisions),
    }
