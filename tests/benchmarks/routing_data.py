"""Reads the routing files of a data folder, whatever their names, and says what each answer cost."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from frugal_plugins.calibrate.fit import Outcomes
from frugal_plugins.learned.agreement import stated
from frugal_plugins.learned.features import prompt_features
from frugal_plugins.learned.ladder import Bought, Model
from tests.benchmarks.common import rows

# List prices of 2024 in dollars per million tokens (input, output); tokens are characters / 4.
PRICES_2024: Mapping[str, tuple[float, float]] = {
    "gemini-1.5-flash": (0.075, 0.3),
    "gpt-4o-mini": (0.15, 0.6),
    "claude-3-haiku": (0.25, 1.25),
    "gpt-4o": (2.5, 10.0),
    "claude-3-5-sonnet": (3.0, 15.0),
    "o1-mini": (3.0, 12.0),
}
POOL = tuple(PRICES_2024)
HIDDEN = {"1x": 1.0, "4x": 4.0}
NOT_RECORDED = "(the text of this answer is not in the record, and nothing can be compared with it)"


def family(model: str) -> str:
    """A model's name without its date."""
    return re.sub(r"-\d{4}-?\d{2}-?\d{2}$", "", model)


def read(folder: Path, kind: str) -> list[dict[str, Any]]:
    """All rows of the files `routing/KIND_*.jsonl[.gz]`, in order of file name, with the file's own part as `set`."""
    found: list[dict[str, Any]] = []
    for path in sorted((folder / "routing").glob(f"{kind}_*.jsonl*")):
        name = path.name.split(".")[0].removeprefix(f"{kind}_")
        for row in rows(path):
            text = row.get("question") or row.get("prompt")
            right = row.get("correct") or row.get("scores")
            if isinstance(text, str) and text and isinstance(right, dict):
                found.append({**row, "set": name, "text": text, "right": {family(m): float(v or 0) for m, v in right.items()}})
    return found


def recorded(folder: Path) -> list[dict[str, Any]]:
    """Rows with the answers of all six models. A right answer whose text was lost stands as one of usual length."""
    found = [row for row in read(folder, "recorded") if all(m in row["right"] for m in POOL)]
    for row in found:
        row["answers"] = {family(m): str(text or "") for m, text in row.get("outputs", {}).items()}
        row["chars"] = {m: len(row["answers"].get(m, "")) for m in POOL}
    for name in {row["set"] for row in found}:
        for model in POOL:
            own = [row for row in found if row["set"] == name]
            usual = [row["chars"][model] for row in own if row["chars"][model]]
            for row in own:
                if not row["chars"][model] and row["right"][model] and usual:
                    row["chars"][model] = int(median(usual))
                    row["answers"][model] = NOT_RECORDED
    features = prompt_features([row["prompt"] for row in found])
    for row, seen in zip(found, features, strict=True):
        row["features"] = seen
        row["bought"] = {m: Bought(row["chars"][m], stated(row["answers"].get(m, ""))) for m in POOL}
    return found


def pool_outcomes(found: Sequence[Mapping[str, Any]], models: Sequence[str], kept: str, hidden: float) -> Outcomes:
    """Recorded rows as outcomes; `hidden` multiplies the answer tokens of o1-mini, whose reasoning is billed but not shown."""
    ladder = tuple(Model(m, PRICES_2024[m][0] / 1e6, PRICES_2024[m][1] / 1e6 * (hidden if m == "o1-mini" else 1)) for m in models)
    tokens = np.array([len(row["prompt"]) / 4 for row in found])
    right = {m: np.array([row["right"][m] for row in found]) for m in {*models, kept}}
    usd = {m: np.array([bill(row, m, hidden) for row in found]) for m in {*models, kept}}
    return Outcomes(
        models=ladder,
        features=np.array([row["features"] for row in found]),
        input_tokens=tokens,
        right=np.stack([right[m] for m in models], axis=1),
        chars=np.array([[row["chars"][m] for m in models] for row in found], dtype=float),
        usd=np.stack([usd[m] for m in models], axis=1),
        kept_right=right[kept],
        kept_usd=usd[kept],
        answers=tuple(tuple(row["bought"][m] for m in models) for row in found),
    )


def bill(row: Mapping[str, Any], model: str, hidden: float) -> float:
    """Dollars for one recorded answer."""
    paid_in, paid_out = PRICES_2024[model]
    return float(len(row["prompt"]) / 4 * paid_in + row["chars"][model] / 4 * paid_out * (hidden if model == "o1-mini" else 1)) / 1e6


@dataclass(frozen=True)
class Labelled:
    """Prompts with the correctness of a weak and a strong model."""

    name: str
    texts: list[str]
    weak: np.ndarray
    strong: np.ndarray
    groups: list[str]


def labelled(found: Sequence[Mapping[str, Any]], weak: str, strong: str, name: str) -> Labelled:
    """The rows in which both models were judged."""
    both = [row for row in found if weak in row["right"] and strong in row["right"]]
    return Labelled(
        name,
        [row["text"] for row in both],
        np.array([row["right"][weak] for row in both]),
        np.array([row["right"][strong] for row in both]),
        [str(row.get("group", "")) for row in both],
    )


def apgr(score: np.ndarray, weak: np.ndarray, strong: np.ndarray) -> float:
    """RouteLLM's area under the share of the gap that is recovered, over ten equal counts of strong calls."""
    noise = np.array([random.Random(i).random() for i in range(len(score))])
    order = np.lexsort((noise, -np.asarray(score, dtype=float)))
    reached = (weak.sum() + np.concatenate([[0.0], np.cumsum((strong - weak)[order])])) / len(weak)
    gap = strong.mean() - weak.mean()
    if gap == 0:
        return float("nan")
    at = np.linspace(0, 1, 11)
    return float(np.trapezoid((np.interp(at, np.arange(len(weak) + 1) / len(weak), reached) - weak.mean()) / gap, at))


def apgr_interval(score: np.ndarray, weak: np.ndarray, strong: np.ndarray, draws: int = 200) -> list[float]:
    """The middle 95 % of the same over resampled rows."""
    rng = np.random.default_rng(0)
    values = [apgr(score[i], weak[i], strong[i]) for i in (rng.integers(0, len(weak), len(weak)) for _ in range(draws))]
    return [round(float(v), 4) for v in np.percentile(values, [2.5, 97.5])]


def folds(count: int, parts: int, seed: int) -> np.ndarray:
    """A part for each row, the same for the same seed."""
    return np.random.default_rng(seed).permutation(count) % parts
