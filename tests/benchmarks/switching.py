"""What routing costs once caches are warm: a simple turn of a long conversation at the small model, which has to read it all.

    python -m tests.benchmarks.switching --json

Conversations of eight turns, some simple and some not, with pauses from seconds to longer than the cache lives, at a provider
that keeps each prompt five minutes and bills by the price list. `ratio` is the bill through the route over the bill untouched;
`always_ratio` that of a router which sends every simple turn to the small model. Needs no data.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import Any
from unittest.mock import patch

from frugal_plugins.prefix.rereading import Rereading
from frugal_plugins.techniques.route import Route, Tier
from tests.benchmarks.common import arguments, print_result
from tests.caching import CLAUDE, OPENAI, Caching, route, talk

GPT5 = (Tier("simple", ("openai/gpt-5-mini",)), Tier("standard", ("openai/gpt-5",)))
PAIRS = {"claude": CLAUDE, "gpt-4o": OPENAI, "gpt-5": GPT5}
WORDS = {60: 50, 2_500: 2_000, 7_500: 6_000, 20_000: 16_000}
"""Tokens of the developer's prompt, and words of it."""
PAUSES_SECONDS = {"brisk": (5.0, 20.0, 60.0), "mixed": (5.0, 60.0, 200.0, 400.0), "slow": (200.0, 400.0, 900.0)}


def conversations(count: int, simple: float, pauses: tuple[float, ...], seed: int) -> Iterator[list[tuple[str, float]]]:
    """Turns of each: what it is, and how many seconds after the last."""
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        yield [("yes_no" if chance.random() < simple else "other", chance.choice(pauses)) for _ in range(8)]


def billed(by: Route | None, talks: list[list[tuple[str, float]]], model: str, words: int) -> float:
    """Dollars for all conversations, an hour apart."""
    provider = Caching()
    for turns in talks:
        talk(by, provider, turns, model=model, words=words)
        provider.now += 3_600
    return float(provider.spent)


def measured(*, quick: bool) -> dict[str, Any]:
    """Ratios for each pair of models, length of prompt, share of simple turns and kind of pauses."""
    cells = []
    for (name, tiers), (tokens, words), simple, (kind, pauses) in product(
        PAIRS.items(), WORDS.items(), (0.2, 0.5, 0.8), PAUSES_SECONDS.items()
    ):
        talks = list(conversations(5 if quick else 20, simple, pauses, 7))
        model = tiers[1].models[0]
        alone, ours = billed(None, talks, model, words), billed(route(tiers), talks, model, words)
        with patch.object(Rereading, "pays", lambda *_: True):
            always = billed(route(tiers), talks, model, words)
        cells.append(
            {"pair": name, "prompt_tokens": tokens, "simple_share": simple, "pauses": kind, "ratio": ours / alone, "always": always / alone}
        )
    return {
        "quick": quick,
        "left_out": ["three conversations of four"] if quick else [],
        "worst_ratio": round(max(cell["ratio"] for cell in cells), 4),
        "worst_always_ratio": round(max(cell["always"] for cell in cells), 4),
        "mean_ratio": {name: _mean(cells, name, "ratio") for name in PAIRS},
        "mean_always_ratio": {name: _mean(cells, name, "always") for name in PAIRS},
        "above_one": [cell for cell in cells if cell["ratio"] > 1],
        "cells": cells,
    }


def _mean(cells: list[dict[str, Any]], pair: str, key: str) -> float:
    found = [cell[key] for cell in cells if cell["pair"] == pair]
    return round(sum(found) / len(found), 4)


if __name__ == "__main__":
    given = arguments("What routing costs once caches are warm")
    print_result(measured(quick=given.quick), given.json)
