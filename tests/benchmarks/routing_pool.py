"""The cascade on recorded answers: whole requests through the route technique, answered from the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frugal_plugins.calibrate.fit import CONFIDENCE, fit_ladder
from frugal_plugins.drivers import drive
from frugal_plugins.flow import Call, Context, compose
from frugal_plugins.learned.ladder import Ladder
from frugal_plugins.prices import PriceBook, own_rates
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.route import Route, Tier
from frugal_plugins.usage import Usage
from tests.benchmarks.routing_data import HIDDEN, POOL, PRICES_2024, bill, folds, pool_outcomes

TARGETS = (98.0, 100.0)


@dataclass
class Record:
    """Answers calls from one recorded row and adds up what they cost."""

    row: Mapping[str, Any]
    hidden: float
    usd: float = 0.0
    asked: list[str] = field(default_factory=list)

    def __call__(self, call: Call) -> Reply:
        model = call.request.model
        self.usd += bill(self.row, model, self.hidden)
        self.asked.append(model)
        tokens = round(self.row["chars"][model] / 4 * (self.hidden if model == "o1-mini" else 1))
        usage = Usage(round(len(self.row["prompt"]) / 4), output_tokens=tokens)
        return Reply({"role": "assistant", "content": self.row["answers"][model]}, model, usage)


def routed(ladder: Ladder, models: Sequence[str], kept: str, keep_percent: float) -> Route:
    """The technique as a recipe would build it: one tier for each model, asked by its own name."""
    prices = {m: own_rates(m, {"input_usd": PRICES_2024[m][0], "output_usd": PRICES_2024[m][1]}, "2024") for m in POOL}
    tiers = tuple(Tier(m, (m,)) for m in dict.fromkeys((*models, kept)))
    return Route(tiers, {}, kept, frozenset({"bench"}), PriceBook(prices), sticky="none", ladder=ladder, keep_percent=keep_percent)


def replayed(found: Sequence[Mapping[str, Any]], route: Route, hidden: float) -> tuple[np.ndarray, np.ndarray]:
    """Correctness and dollars of each row, sent through the technique behind the guard."""
    right, usd = [], []
    for row in found:
        record, ctx = Record(row, hidden), Context()
        request = Request("bench", ({"role": "user", "content": row["prompt"]},))
        reply = drive(compose([(route, "on")], ctx)(request), ctx, record)
        if any(decision.action == "stood_down" for decision in ctx.decisions):
            raise SystemExit(f"the route stood down: {ctx.decisions[-1].why}")
        right.append(row["right"][reply.model])
        usd.append(record.usd)
    return np.array(right), np.array(usd)


def measure(found: Sequence[dict[str, Any]], models: Sequence[str], kept: str, hidden_name: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Five folds for each seed: fit on four, send the fifth through the technique. Saving and quality beside always `kept`."""
    hidden = HIDDEN[hidden_name]
    data = pool_outcomes(found, models, kept, hidden)
    ratio: dict[float, list[np.ndarray]] = {target: [] for target in TARGETS}
    for seed in seeds:
        part = folds(len(found), 5, seed)
        whole = {target: (np.zeros(len(found)), np.zeros(len(found))) for target in TARGETS}
        for number in range(5):
            train, test = np.flatnonzero(part != number), np.flatnonzero(part == number)
            ladder = fit_ladder(data.take(train), targets_percent=TARGETS, confidence=CONFIDENCE)
            for target in TARGETS:
                route = routed(ladder, models, kept, target)
                whole[target][0][test], whole[target][1][test] = replayed([found[int(i)] for i in test], route, hidden)
        for target in TARGETS:
            ratio[target].append(np.stack(whole[target]))
    return {**_figures(data, ratio), "margin": margin_over_single(data, ratio)}


def _figures(data: Any, ratio: Mapping[float, list[np.ndarray]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for target, runs in ratio.items():
        right, usd = np.mean([run[0] for run in runs], axis=0), np.mean([run[1] for run in runs], axis=0)
        out[f"saving_at_{target:.0f}"] = round(1 - usd.mean() / data.kept_usd.mean(), 4)
        out[f"quality_at_{target:.0f}"] = round(right.mean() / data.kept_right.mean(), 4)
        out[f"interval_at_{target:.0f}"] = interval(right, usd, data.kept_right, data.kept_usd)
    return out


def interval(right: np.ndarray, usd: np.ndarray, kept_right: np.ndarray, kept_usd: np.ndarray) -> dict[str, list[float]]:
    """The middle 95 % of saving and quality over resampled rows."""
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(right), len(right)) for _ in range(500)]
    saving = [1 - usd[i].mean() / kept_usd[i].mean() for i in draws]
    quality = [right[i].mean() / kept_right[i].mean() for i in draws]
    return {
        "saving": [round(float(v), 4) for v in np.percentile(saving, [2.5, 97.5])],
        "quality": [round(float(v), 4) for v in np.percentile(quality, [2.5, 97.5])],
    }


def margin_over_single(data: Any, ratio: Mapping[float, list[np.ndarray]]) -> dict[str, Any]:
    """Points of correctness above the best single model that costs no more, the worst of the targets, with its interval."""
    worst: dict[str, Any] | None = None
    rng = np.random.default_rng(1)
    for runs in ratio.values():
        right, usd = np.mean([run[0] for run in runs], axis=0), np.mean([run[1] for run in runs], axis=0)
        rivals = {m: (data.right[:, i], data.usd[:, i]) for i, m in enumerate(m.name for m in data.models)}
        rivals["kept"] = (data.kept_right, data.kept_usd)
        affordable = {name: pair[0] for name, pair in rivals.items() if pair[1].mean() <= usd.mean() * 1.001}
        if not affordable:
            continue
        best = max(affordable.values(), key=lambda values: float(values.mean()))
        ahead = 100 * (right - best)
        spread = np.percentile([ahead[rng.integers(0, len(ahead), len(ahead))].mean() for _ in range(500)], [2.5, 97.5])
        if worst is None or ahead.mean() < worst["points"]:
            worst = {"points": round(float(ahead.mean()), 3), "interval": [round(float(v), 3) for v in spread]}
    return worst or {"points": None, "interval": None}
