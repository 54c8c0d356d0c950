"""Routing from the prompt alone, one weak and one strong model: how much of the gap the first dear calls recover."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from frugal_plugins.learned.features import PROMPT_BLOCKS, prompt_features
from frugal_plugins.learned.kinds import kind_of
from frugal_plugins.learned.smoother import fit_smoother
from tests.benchmarks.routing_data import Labelled, apgr, apgr_interval, folds

ARTIFACT = "high_school_mathematics"
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def learned(data: Labelled, features: np.ndarray) -> Score:
    """Scores test rows by the gain learned on training rows."""
    targets = np.stack([data.weak, data.strong], axis=1)

    def score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        model, _ = fit_smoother(features[train], targets[train], PROMPT_BLOCKS)
        predicted = model(features[test])
        return predicted[:, 1] - predicted[:, 0]

    return score


def at_labels(data: Labelled, score: Score, labels: int, seeds: Sequence[int] = range(5)) -> float | None:
    """Mean APGR over splits with so many training labels, tested on all other rows."""
    count = len(data.texts)
    if count < labels + 100:
        return None
    found = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(count)
        train, test = order[:labels], order[labels:]
        found.append(apgr(score(train, test), data.weak[test], data.strong[test]))
    return round(statistics.fmean(found), 4)


def left_out_groups(data: Labelled, score: Score, parts: int = 5) -> dict[str, Any]:
    """APGR when whole subjects are left out."""
    names = sorted(set(data.groups))
    part_of = dict(zip(names, folds(len(names), parts, 0), strict=True))
    part = np.array([part_of[group] for group in data.groups])
    scores = np.zeros(len(part))
    for number in range(parts):
        train, test = np.flatnonzero(part != number), np.flatnonzero(part == number)
        scores[test] = score(train, test)
    return {"apgr": round(apgr(scores, data.weak, data.strong), 4), "interval": apgr_interval(scores, data.weak, data.strong)}


def without(data: Labelled, group: str) -> tuple[Labelled, np.ndarray]:
    """The rows of every other group, and which they are."""
    keep = np.array([g != group for g in data.groups])
    rows = np.flatnonzero(keep)
    return Labelled(data.name, [data.texts[i] for i in rows], data.weak[keep], data.strong[keep], [data.groups[i] for i in rows]), rows


def guard_margin(data: Labelled, score: Score, labels: int = 1000) -> dict[str, Any]:
    """Points above the best single model at equal cost, at the share of strong calls chosen on the training part, with the guard.

    A strong call costs ten times a weak one here. The share keeps 98 % of the strong model's correctness on left-out training
    rows; where the mixture does not beat the best affordable single model there with 95 % confidence, that model is used.
    """
    count = len(data.texts)
    ahead: list[np.ndarray] = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(count)
        cut = min(labels, count // 2)
        train, test = order[:cut], order[cut:]
        fit, choose = train[: cut // 2], train[cut // 2 :]
        share, deviate = _share(score(fit, choose), data.weak[choose], data.strong[choose])
        if not deviate:
            ahead.append(np.zeros(len(test)))
            continue
        values = score(train, test)
        dear = np.zeros(len(test), dtype=bool)
        dear[np.argsort(-values)[: round(share * len(test))]] = True
        cost = 1 + 9 * dear.mean()
        rivals = [data.weak[test]] + ([data.strong[test]] if cost >= 10 else [])
        best = max(rivals, key=lambda values: float(values.mean()))
        ahead.append(np.where(dear, data.strong[test], data.weak[test]) - best)
    joined = 100 * np.concatenate(ahead)
    rng = np.random.default_rng(3)
    spread = np.percentile([joined[rng.integers(0, len(joined), len(joined))].mean() for _ in range(300)], [2.5, 97.5])
    return {"points": round(float(joined.mean()), 3), "interval": [round(float(v), 3) for v in spread]}


def _share(score: np.ndarray, weak: np.ndarray, strong: np.ndarray) -> tuple[float, bool]:
    order = np.argsort(-score)
    gain = np.concatenate([[0.0], np.cumsum((strong - weak)[order])])
    enough = np.flatnonzero(weak.sum() + gain >= 0.98 * strong.sum())
    if not len(enough):
        return 1.0, bool(strong.mean() > weak.mean())
    count = int(enough[0])
    mixed = np.where(np.isin(np.arange(len(weak)), order[:count]), strong, weak)
    ahead = mixed - weak
    return count / len(weak), bool(ahead.mean() > 1.645 * ahead.std() / np.sqrt(len(ahead)))


def cold_start(texts: Sequence[str]) -> np.ndarray:
    """A score with no labels at all: how likely the work is reasoning or code."""
    from frugal_plugins.learned.cues import KINDS
    from frugal_plugins.learned.kinds import kind_features, shipped_kinds

    shares = shipped_kinds()(np.array([kind_features(text) for text in texts]))
    return shares[:, KINDS.index("reason")] + shares[:, KINDS.index("code")]


def peers(data: Labelled) -> dict[str, Any]:
    """APGR of routers that need no labels and no network, on all rows; None for one that is not installed."""
    scores: dict[str, np.ndarray | None] = {
        "prompt_length": np.array([float(len(text)) for text in data.texts]),
        "random": np.random.default_rng(0).random(len(data.texts)),
        "own_cold_start": cold_start(data.texts),
        **litellm_scores(data.texts),
    }
    return {name: {"apgr_500": None if score is None else round(apgr(score, data.weak, data.strong), 4)} for name, score in scores.items()}


def litellm_scores(texts: Sequence[str]) -> dict[str, np.ndarray | None]:
    """LiteLLM's complexity router, its first version and the one with learned success rates."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        from litellm.router_strategy.adaptive_router.classifier import classify_prompt
        from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter
        from litellm.router_strategy.complexity_router.tier_predictor import TierSuccessPredictor, resolve_tier_artifact
    except ImportError:
        return {"litellm_complexity_v1": None, "litellm_heuristic_v2": None}
    first = ComplexityRouter(model_name="bench", litellm_router_instance=object())  # type: ignore[arg-type]
    second = TierSuccessPredictor(resolve_tier_artifact("ultrafeedback"))
    return {
        "litellm_complexity_v1": np.array([float(first.classify(text)[1]) for text in texts]),
        "litellm_heuristic_v2": np.array([1 - float(second.predict(text, classify_prompt(text)).probabilities[1]) for text in texts]),
    }


def decision_ms(texts: Sequence[str], decide: Callable[[str], object]) -> Mapping[str, float]:
    """Processor milliseconds of one decision at about 500 characters: embedding, surface, task and ladder; the middle and the 99th.

    No text is read twice, so nothing comes from the readings kept; the warm-up reads others."""
    own = [text for text in texts if 400 <= len(text) <= 600][:200] or [text[:500] for text in texts[:200]]
    for text in own[:20]:
        kind_of(f"{text} ")
        decide(f"{text} ")
    spent = []
    for text in own:
        start = time.process_time()
        kind_of(text)
        decide(text)
        spent.append((time.process_time() - start) * 1000)
    spent.sort()
    return {"p50": round(statistics.median(spent), 3), "p99": round(spent[int(len(spent) * 0.99) - 1], 3)}


def features_of(data: Labelled) -> np.ndarray:
    """What the learned parts see of the prompts."""
    return prompt_features(data.texts)
