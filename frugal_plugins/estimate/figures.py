"""An estimate as one JSON object."""

from __future__ import annotations

from typing import Any

from frugal_plugins.estimate.estimate import Estimate
from frugal_plugins.estimate.savings import Range, Saving
from frugal_plugins.estimate.spend import Spent
from frugal_plugins.report.words import number


def estimate_figures(found: Estimate) -> dict[str, Any]:
    """The figures `frugal estimate --json` promises; dollars are over the observed span unless the key says month."""
    spend, savings, factor = found.spend, found.savings, found.month_factor
    return {
        "requests": spend.requests,
        "requests_known": spend.requests_known,
        "spend_usd": number(spend.usd),
        "month_usd": number(spend.month_usd),
        "span_days": None if spend.span_days is None else round(spend.span_days, 3),
        "first_at_seconds": spend.first_seconds,
        "last_at_seconds": spend.last_seconds,
        "by_model": _spent(spend.by_model),
        "by_task": _spent(spend.by_task),
        "by_day": _spent(spend.by_day),
        "by_lane": _spent(spend.by_lane),
        "parts_usd": {name: number(usd) for name, usd in spend.parts.items()},
        "tokens": dict(spend.tokens),
        "unpriced": dict(spend.unpriced),
        "price_sources": list(spend.price_sources),
        "leaks": [{"name": leak.name, "requests": leak.requests, "usd": round(leak.usd, 9), "why": leak.words} for leak in found.leaks],
        "techniques": {saving.name: _saving(saving) for saving in savings.by_rank()},
        "after_usd": _range(savings.after),
        "saved_usd": _range(
            Range(savings.before - savings.after.high, savings.before - savings.after.likely, savings.before - savings.after.low)
        ),
        "month_factor": factor,
        "range_holds_chance": savings.sampled,
        "plan": {
            "source": found.plan.source,
            "tiers": {tier.name: list(tier.models) for tier in found.plan.tiers},
            "tasks": dict(found.plan.tasks),
            "output_tokens": dict(found.plan.budgets),
            "ttl_seconds": found.plan.ttl_seconds,
        },
        "formats": dict(found.intake.formats),
        "files": list(found.intake.files),
        "questions_near_by_meaning": found.intake.by_meaning,
        "unusable_lines": found.intake.unusable,
        "problems": list(found.intake.problems),
        "notes": [{"what": note.what, "means": note.means} for note in found.notes],
    }


def _spent(found: Spent) -> dict[str, Any]:
    return {name: {"requests": count, "usd": number(usd)} for name, (count, usd) in found.items()}


def _saving(saving: Saving) -> dict[str, Any]:
    return {
        "rank": saving.rank,
        "visible": saving.visible,
        "alone_usd": _range(saving.alone) if saving.visible else None,
        "combined_usd": _range(saving.combined) if saving.visible else None,
        "range_driver": saving.driver,
        "quality_risk": saving.risk,
        "in_recipes": saving.in_recipes,
    }


def _range(found: Range) -> dict[str, float]:
    return {"low": round(found.low, 9), "likely": round(found.likely, 9), "high": round(found.high, 9)}
