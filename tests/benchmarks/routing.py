"""The router's measures: `python -m tests.benchmarks.routing --data DIR --json`.

Everything that is fitted or chosen is fitted and chosen on training rows; figures are of rows left out. The pool and pair
figures are whole requests sent through the route technique behind its guard, answered from the record. Prices are the list
prices of 2024 (dollars per million tokens, in routing_data.PRICES_2024), tokens are characters / 4, and o1-mini's hidden
reasoning is counted as 1 and as 4 times its visible answer. A right answer whose text is not in the record counts with the
usual length of its model. The pair is gpt-4o-mini with the strong model, gemini-1.5-flash as the second cheap answer.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from frugal_plugins.calibrate.fit import CONFIDENCE, fit_ladder
from frugal_plugins.calibrate.report import calibrate
from frugal_plugins.learned.artifact import write_ladder
from frugal_plugins.learned.asking import Asking
from frugal_plugins.learned.embedding import NUMBERS
from frugal_plugins.request import Request
from tests.benchmarks.common import arguments, print_result
from tests.benchmarks.routing_data import POOL, PRICES_2024, Labelled, labelled, pool_outcomes, read, recorded
from tests.benchmarks.routing_gain import (
    ARTIFACT,
    at_labels,
    cold_start,
    decision_ms,
    features_of,
    guard_margin,
    learned,
    left_out_groups,
    peers,
    without,
)
from tests.benchmarks.routing_litellm import through_litellm
from tests.benchmarks.routing_pool import measure
from tests.tools.fit_tasks import left_out, read_prompts

FEWEST = 400
CHEAP = ("gemini-1.5-flash", "gpt-4o-mini")
STRONG = ("gpt-4o", "o1-mini")
NO_CHAT = "MT-Bench: its judgements are in none of the files, so that chat without labels beats length is not measured"
QUICK_LEAVES_OUT = (
    "more than one seed", "MMLU from RouteLLM", "pool 4x to gpt-4o and 1x to o1-mini", "pair to o1-mini", "LiteLLM itself", "5,000 rows"
)  # fmt: skip


def main() -> None:
    """Measure and print."""
    asked = arguments(__doc__ or "")
    started = time.perf_counter()
    result = measured(asked.data, quick=asked.quick)
    result["seconds"] = round(time.perf_counter() - started, 1)
    print_result(result, asked.json)


def measured(folder: Path, *, quick: bool) -> dict[str, Any]:
    """All keys; what was left out is None and named."""
    found = recorded(folder)
    verdicts = read(folder, "outcomes")
    margins: dict[str, Any] = {}
    result: dict[str, Any] = {
        "data": str(folder),
        "quick": quick,
        "left_out": [NO_CHAT, *(QUICK_LEAVES_OUT if quick else ())],
        "prices_usd_per_mtok": {model: list(price) for model, price in PRICES_2024.items()},
        "rows": {"recorded": len(found), "outcomes": len(verdicts)},
    }
    mixed = labelled([*found, *(r for r in verdicts if "o1-mini" in r["right"])], "gpt-4o-mini", "o1-mini", "mixed")
    result |= prompt_only(mixed, margins)
    result |= cascades(found, margins, quick)
    tasks = left_out(read_prompts(folder))
    result["task_accuracy_left_out"] = tasks["tier_accuracy"]
    result["tasks"] = tasks
    mmlu = labelled(
        [r for r in verdicts if r["set"] == "routellm_mmlu" and not r.get("contaminated")], "mixtral-8x7b", "gpt-4-1106", "mmlu"
    )
    enough = [data for data in (mixed, mmlu) if len(data.texts) >= FEWEST]
    result["routellm_mmlu"] = None if quick or len(mmlu.texts) < FEWEST else routellm(mmlu, margins)
    result["cold_start"] = None if quick else {data.name: cold_margin(data) for data in enough}
    result["through_litellm"] = None if quick else through_litellm(found, POOL, "gpt-4o")
    result["margin_over_best_single"] = margins
    result |= costs(found, quick)
    return result


def cascades(found: list[dict[str, Any]], margins: dict[str, Any], quick: bool) -> dict[str, Any]:
    """The pool of six models and the pair, each beside always asking the strong one."""
    seeds = (0,) if quick else (0, 1, 2)
    wanted = [("1x", "gpt-4o"), ("4x", "o1-mini")] if quick else [(hidden, kept) for hidden in ("1x", "4x") for kept in STRONG]
    pool: dict[str, Any] = {"1x": {}, "4x": {}}
    for hidden, kept in wanted:
        pool[hidden][kept] = measure(found, POOL, kept, hidden, seeds)
        margins[f"pool {hidden} {kept}"] = pool[hidden][kept].pop("margin")
    pair = {kept: measure(found, (*CHEAP, kept), kept, "1x", seeds) for kept in (("gpt-4o",) if quick else STRONG)}
    for kept, figures in pair.items():
        margins[f"pair {kept}"] = figures.pop("margin")
    return {"pool": pool, "pair": pair}


def prompt_only(data: Labelled, margins: dict[str, Any]) -> dict[str, Any]:
    """APGR at 200 and 500 labels beside the peers."""
    score = learned(data, features_of(data))
    margins["prompt only"] = guard_margin(data, score)
    return {
        "prompt_only": {"apgr_200": at_labels(data, score, 200), "apgr_500": at_labels(data, score, 500), "rows": len(data.texts)},
        "peers": peers(data),
    }


def routellm(data: Labelled, margins: dict[str, Any]) -> dict[str, Any]:
    """RouteLLM's own MMLU file, with and without the subject in which the strong model's answers are an artifact."""
    features = features_of(data)
    score = learned(data, features)
    margins["routellm_mmlu"] = guard_margin(data, score)
    clean, rows = without(data, ARTIFACT)
    subjects = left_out_groups(data, score)
    return {
        "apgr_1500": at_labels(data, score, 1500, range(3)),
        "apgr_1500_without_artifact": at_labels(clean, learned(clean, features[rows]), 1500, range(3)),
        "apgr_leave_subjects_out": subjects["apgr"],
        "leave_subjects_out": subjects,
    }


def cold_margin(data: Labelled) -> dict[str, Any]:
    """The score without labels beside prompt length."""
    from tests.benchmarks.routing_data import apgr

    length = np.array([float(len(text)) for text in data.texts])
    return {
        "cold_start": round(apgr(cold_start(data.texts), data.weak, data.strong), 4),
        "length": round(apgr(length, data.weak, data.strong), 4),
    }


def costs(found: list[dict[str, Any]], quick: bool) -> dict[str, Any]:
    """What the router itself costs: decision time, artifact size, calibration time on 5,000 rows (rows drawn again)."""
    import tempfile

    data = pool_outcomes(found, POOL, "gpt-4o", 1.0)
    ladder = fit_ladder(data, confidence=CONFIDENCE)
    texts = [row["text"] for row in found]

    def decide(text: str) -> object:
        request = Request("bench", ({"role": "user", "content": text},))
        return Asking(ladder, request, 98.0, lambda _model: True).next()

    taken = decision_ms(texts, decide)
    with tempfile.TemporaryDirectory() as folder:
        size = write_ladder(ladder, Path(folder, "ladder.json")).stat().st_size
    seconds = None
    if not quick:
        start = time.perf_counter()
        calibrate(data.take(np.random.default_rng(0).integers(0, len(data), 5000)))
        seconds = round(time.perf_counter() - start, 1)
    return {
        "decision_ms_p50": taken["p50"],
        "decision_ms_p99": taken["p99"],
        "artifact_bytes": size,
        "shipped_bytes": sum(file.stat().st_size for file in NUMBERS.iterdir()),
        "calibrate_5000_rows_s": seconds,
    }


if __name__ == "__main__":
    main()
