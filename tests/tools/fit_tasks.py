"""Reproduce the task classifier that ships: `python -m tests.tools.fit_tasks --data DIR` fits, reports and writes `tasks.npz`.

With `--table MODEL_DIR` (the folder of all-MiniLM-L6-v2) the static embedding is made anew first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frugal_plugins.learned.cues import KINDS
from frugal_plugins.learned.embedding import NUMBERS
from frugal_plugins.learned.kinds import KindModel, fit_kinds, kind_features
from tests.benchmarks.common import rows
from tests.tools.static_table import make_table
from tests.tools.task_templates import written

TIERS = {"clf": 1, "extract": 1, "qa": 1, "summarize": 2, "draft": 2, "reason": 3, "code": 3}
_PARTS = 6
_PER_TEMPLATE = 12


@dataclass(frozen=True)
class Prompts:
    """Prompts with the kind of work and where they come from; our own templates are the source `own`."""

    features: np.ndarray
    kinds: np.ndarray
    sources: np.ndarray

    def weight(self) -> np.ndarray:
        """Every kind counts the same, and within a kind a source by the square root of its size."""
        counts = Counter(zip(self.kinds.tolist(), self.sources.tolist(), strict=True))
        weight = np.array([counts[pair] ** -0.5 for pair in zip(self.kinds.tolist(), self.sources.tolist(), strict=True)])
        for kind in set(self.kinds.tolist()):
            weight[self.kinds == kind] /= weight[self.kinds == kind].sum()
        return weight

    def take(self, keep: np.ndarray) -> Prompts:
        """Some of them."""
        return Prompts(self.features[keep], self.kinds[keep], self.sources[keep])

    def fitted(self) -> KindModel:
        """A classifier fitted on all of these."""
        return fit_kinds(self.features, self.kinds, self.weight())


def read_prompts(folder: Path) -> Prompts:
    """The labelled prompts of `routing/task_prompts*.jsonl[.gz]` and our own templates."""
    labelled = [
        (row["label"], row["dataset"], row["prompt"])
        for path in sorted((folder / "routing").glob("task_prompts*.jsonl*"))
        for row in rows(path)
    ]
    labelled += [(kind, "own", text) for kind, text in written(_PER_TEMPLATE)]
    return Prompts(
        np.array([kind_features(text) for _, _, text in labelled]),
        np.array([KINDS.index(kind) for kind, _, _ in labelled]),
        np.array([source for _, source, _ in labelled]),
    )


def left_out(prompts: Prompts) -> dict[str, Any]:
    """Leave whole data sets out, in six parts by the hash of their names; our own templates are always trained on."""
    part = np.array([-1 if s == "own" else int(hashlib.md5(s.encode()).hexdigest(), 16) % _PARTS for s in prompts.sources.tolist()])
    tiers = np.array([TIERS[kind] for kind in KINDS])
    shares = np.zeros((len(part), len(KINDS)))
    for number in sorted(set(part.tolist()) - {-1}):
        shares[part == number] = prompts.take(part != number).fitted()(prompts.features[part == number])
    real = part >= 0
    wanted = tiers[prompts.kinds[real]]
    by_tier = np.stack([shares[real][:, tiers == tier].sum(axis=1) for tier in (1, 2, 3)], axis=1)
    found = by_tier.argmax(axis=1) + 1
    sure = by_tier.max(axis=1) >= 0.8
    names = prompts.sources[real]
    return {
        "rows": int(real.sum()),
        "tier_accuracy": round(float((found == wanted).mean()), 4),
        "kind_accuracy": round(float((shares[real].argmax(axis=1) == prompts.kinds[real]).mean()), 4),
        "sure_share": round(float(sure.mean()), 4),
        "sure_accuracy": round(float((found == wanted)[sure].mean()), 4) if sure.any() else None,
        "too_cheap_when_sure": round(float((found < wanted)[sure].mean()), 4) if sure.any() else None,
        "by_set": {name: round(float((found == wanted)[names == name].mean()), 3) for name in sorted(set(names.tolist()))},
        "template_only_tier_accuracy": template_only(prompts),
    }


def template_only(prompts: Prompts) -> float:
    """Tier accuracy on all the real prompts of a classifier that saw our own templates only."""
    tiers = np.array([TIERS[kind] for kind in KINDS])
    own = prompts.sources == "own"
    shares = prompts.take(own).fitted()(prompts.features[~own])
    by_tier = np.stack([shares[:, tiers == tier].sum(axis=1) for tier in (1, 2, 3)], axis=1)
    return round(float((by_tier.argmax(axis=1) + 1 == tiers[prompts.kinds[~own]]).mean()), 4)


def main() -> None:
    """Fit on everything and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--table", type=Path, help="folder of all-MiniLM-L6-v2, to make the static embedding anew")
    asked = parser.parse_args()
    if asked.table:
        make_table(asked.table, NUMBERS / "static_minilm.npz")
    prompts = read_prompts(asked.data)
    print(json.dumps(left_out(prompts), indent=2))
    model = prompts.fitted()
    np.savez_compressed(
        NUMBERS / "tasks.npz",
        centre=model.centre.astype(np.float32),
        scale=model.scale.astype(np.float32),
        weights=model.weights.astype(np.float32),
        sharpness=np.float32(model.sharpness),
    )


if __name__ == "__main__":
    main()
