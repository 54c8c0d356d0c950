"""The same cascade through the whole pipeline: a recipe installed into LiteLLM, the sandbox answering from the record."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from frugal_plugins.calibrate.fit import fit_ladder
from frugal_plugins.learned.ladder import Ladder
from frugal_plugins.prices import bare_name
from frugal_plugins.techniques.route import Route, Tier
from tests.benchmarks.replay import provider
from tests.benchmarks.routing_data import bill, family, folds, pool_outcomes
from tests.benchmarks.routing_pool import replayed, routed

TARGET = 98.0


def through_litellm(found: Sequence[dict[str, Any]], models: Sequence[str], kept: str, sample: int = 300) -> dict[str, Any]:
    """A sample of left-out rows through LiteLLM, beside the same rows through the bare technique.

    `differing` counts requests for which LiteLLM was made to ask other models, or in another order.
    """
    part = folds(len(found), 5, 0)
    ladder = fit_ladder(pool_outcomes(found, models, kept, 1.0).take(np.flatnonzero(part != 0)), targets_percent=(TARGET,))
    rows = [found[int(i)] for i in np.flatnonzero(part == 0)][:sample]
    right, usd = replayed(rows, routed(ladder, models, kept, TARGET), 1.0)
    ways = [_asked(row, ladder, models, kept) for row in rows]
    with provider([{"prompt": row["prompt"], "outputs": row["answers"]} for row in rows]) as sandbox:
        sent = _sent(rows, ladder, models, kept, sandbox)
    return {
        "requests": len(rows),
        "differing": sum(way != other for way, (other, _) in zip(ways, sent, strict=True)),
        "quality": round(float(np.mean([row["right"][answered] for row, (_, answered) in zip(rows, sent, strict=True)])), 4),
        "bare_quality": round(float(right.mean()), 4),
        "usd": round(sum(bill(row, model, 1.0) for row, (way, _) in zip(rows, sent, strict=True) for model in way), 6),
        "bare_usd": round(float(usd.sum()), 6),
    }


def _asked(row: Mapping[str, Any], ladder: Ladder, models: Sequence[str], kept: str) -> list[str]:
    from frugal_plugins.drivers import drive
    from frugal_plugins.flow import Context, compose
    from frugal_plugins.request import Request
    from tests.benchmarks.routing_pool import Record

    record, ctx = Record(row, 1.0), Context()
    request = Request("bench", ({"role": "user", "content": row["prompt"]},))
    drive(compose([(routed(ladder, models, kept, TARGET), "on")], ctx)(request), ctx, record)
    return record.asked


def _sent(rows: Sequence[Mapping[str, Any]], ladder: Ladder, models: Sequence[str], kept: str, sandbox: Any) -> list[tuple[list[str], str]]:
    """Which models LiteLLM was made to ask for each row, in order, and which one's answer came back."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    from frugal_plugins import Recipe
    from frugal_plugins.litellm import install, uninstall

    names = tuple(dict.fromkeys((*models, kept)))
    recipe = Recipe.load(
        {
            "recipe": "bench",
            "tiers": {f"t{number}": {"models": [f"openai/{name}"]} for number, name in enumerate(names)},
            "route": {"sticky": "none"},
            "ledger": {"path": "off"},
        }
    )
    there = replace(ladder, models=tuple(replace(model, name=f"openai/{model.name}") for model in ladder.models))
    tiers = tuple(Tier(tier.name, tier.models) for tier in recipe.tiers)
    route = Route(tiers, {}, tiers[-1].name, recipe.own_names, recipe.prices, "none", ladder=there, keep_percent=TARGET)
    recipe.steps = ((route, "on"),)
    install(recipe)
    try:
        found = []
        for row in rows:
            before = len(sandbox.requests())
            response = litellm.completion(model="bench", messages=[{"role": "user", "content": row["prompt"]}])
            asked = [bare_name(str(request.body["model"])) for request in sandbox.requests()[before:]]
            found.append((asked, family(bare_name(str(response.model)))))
    finally:
        uninstall()
        recipe.close()
    return found
