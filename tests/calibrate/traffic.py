"""Made-up traffic with a truth to find: sums a cheap model can do, proofs it cannot, and answers that agree when right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from frugal_plugins.calibrate.fit import Outcomes
from frugal_plugins.learned.agreement import Stated
from frugal_plugins.learned.features import prompt_features
from frugal_plugins.learned.ladder import Bought, Model

MODELS = (Model("cheap", 1e-7, 4e-7), Model("other", 2e-7, 8e-7), Model("strong", 3e-6, 1.2e-5))
EASY = ("What is {n} plus {m}? Give the number.", "Convert {n} minutes to hours and {m} minutes.")
HARD = (
    "Prove that every group of order {n} with {m} Sylow subgroups is solvable.",
    "Let $x^{n} - {m} = 0$. Determine its Galois group over $\\mathbb{{Q}}$.",
)


def traffic(count: int = 400, seed: int = 0, *, strong: float = 0.95, easy: float = 0.92, hard: float = 0.35) -> Outcomes:
    """Half easy, half hard; the two cheap models are right with these chances, and wrong answers rarely agree."""
    rng = np.random.default_rng(seed)
    is_hard = rng.random(count) < 0.5
    texts = [str(rng.choice(HARD if h else EASY)).format(n=rng.integers(3, 99), m=rng.integers(3, 99)) for h in is_hard]
    chance = np.where(is_hard, hard, easy)
    right = np.stack([rng.random(count) < chance, rng.random(count) < chance, rng.random(count) < strong], axis=1).astype(float)
    chars = rng.integers(200, 600, (count, 3)).astype(float)
    tokens = np.array([len(text) / 4 for text in texts])
    usd = np.stack([tokens * m.input_usd + chars[:, i] / 4 * m.output_usd for i, m in enumerate(MODELS)], axis=1)
    says = [[Stated("right") if ok else Stated(f"wrong {rng.integers(9)}") for ok in row] for row in right]
    answers = tuple(tuple(Bought(int(c), s) for c, s in zip(chars[i], says[i], strict=True)) for i in range(count))
    return Outcomes(MODELS, prompt_features(texts), tokens, right, chars, usd, right[:, 2], usd[:, 2], answers)


def without_signal(count: int = 400, seed: int = 0) -> Outcomes:
    """The strong model is no better than the cheap one, and nothing predicts who is right."""
    data = traffic(count, seed, strong=0.6, easy=0.6, hard=0.6)
    return replace(data, answers=())
