"""The cost calculator: against the sandbox's bill, against what happens, beside LiteLLM's own cost functions, and on many rows.

    python -m tests.benchmarks.estimate --json

The month and the price sheet ship with the package, so `--data` is not read. `--quick` leaves out the 20,000,000 rows.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins.estimate.intake import database, load_rows
from frugal_plugins.estimate.price_table import PriceTable
from frugal_plugins.estimate.row import Row, counted
from frugal_plugins.estimate.spend import prepare, today
from frugal_plugins.prices import PriceBook
from frugal_plugins.sandbox.price_sheet import Lane, ModelCard
from frugal_plugins.usage import Usage
from tests.benchmarks.common import arguments, print_result
from tests.estimate.half_months import prediction
from tests.estimate.test_spend import AT, MIXES, sold, some_usage

RECIPES = ("support", "rag", "nightly", "extract", "agent", "cautious")
MILLION_ROWS, TWENTY_MILLION_ROWS = 1_000_000, 20_000_000
HEADER = (
    "request_id,call_type,spend,startTime,model,custom_llm_provider,prompt_tokens,completion_tokens,metadata,cache_hit,"
    "team_id,session_id,status\n"
)
MODELS = (("gpt-4o", "openai"), ("gpt-4o-mini", "openai"), ("claude-sonnet-4-5", "anthropic"), ("o3-mini", "openai"))
DIFFERENCES = {
    "batch": "LiteLLM prices a one-hour cache write in a batch as a five-minute one",
    "flex": "none",
    "standard": "LiteLLM has the short price for long context of claude-sonnet-4-5, other prices for claude-opus-4, "
    "claude-opus-4-1 and o1-mini, and no price for the retired claude-3 models",
}

TOKENCOST = {
    "batch": "tokencost knows no batch price and charges the full one",
    "flex": "tokencost knows no flex price and charges the full one",
    "standard": "tokencost's list ends in summer 2025 (later models are unpriced); it charges cache writes as plain input and has no "
    "long-context prices",
}

Mix = list[tuple[ModelCard, Lane, Usage]]


def mixes() -> list[Mix]:
    """Random mixes of models, cached tokens, lanes and long context, at both providers."""
    alike, _ = sold()
    dice = random.Random(19)
    return [
        [(card, lane, some_usage(dice, card, lane)) for card, lane in dice.choices(alike, k=dice.randrange(1, 12))] for _ in range(MIXES)
    ]


def against_the_bill(made: list[Mix]) -> Decimal:
    """The largest difference between a mix's spend and the sandbox's bill for it."""
    rows = [
        counted(Row(AT.timestamp(), card.id, lane, task=f"mix{number}"), usage)
        for number, mix in enumerate(made)
        for card, lane, usage in mix
    ]
    with database() as (db, folder):
        load_rows(rows, db, folder)
        table = PriceTable(PriceBook(), AT.timestamp())
        prepare(db, table)
        found = today(db, table).by_task
    bills = [sum((card.usd(usage, lane) for card, lane, usage in mix), Decimal(0)) for mix in made]
    return max(abs(found[f"mix{number}"][1] - bill) for number, bill in enumerate(bills))


def litellm_beside(made: list[Mix]) -> dict[str, Any]:
    """LiteLLM's cost functions on the same calls, by lane."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    calls = [call for mix in made for call in mix]
    lanes: dict[str, dict[str, Any]] = {}
    for card, lane, usage in calls:
        lane_found = lanes.setdefault(
            lane, {"calls": 0, "equal": 0, "unpriced": 0, "bill_usd": 0.0, "litellm_usd": 0.0, "why": DIFFERENCES[lane]}
        )
        bill, theirs = float(card.usd(usage, lane)), litellm_usd(card, lane, usage)
        lane_found["calls"] += 1
        if theirs is None:
            lane_found["unpriced"] += 1
            continue
        lane_found["equal"] += abs(bill - theirs) < 1e-9
        lane_found["bill_usd"] += bill
        lane_found["litellm_usd"] += theirs
    return lanes


def litellm_usd(card: ModelCard, lane: Lane, usage: Usage) -> float | None:
    """What LiteLLM says one call costs, or None where it has no price."""
    import litellm
    from litellm.cost_calculator import batch_cost_calculator
    from litellm.exceptions import ModelNotMappedError

    write, hour = usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    details: dict[str, Any] = {"cached_tokens": usage.cache_read_tokens}
    if write or hour:
        details |= {
            "cache_creation_tokens": write + hour,
            "cache_creation_token_details": {"ephemeral_5m_input_tokens": write, "ephemeral_1h_input_tokens": hour},
        }
    theirs = litellm.Usage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        prompt_tokens_details=details,
        cache_read_input_tokens=usage.cache_read_tokens,
        cache_creation_input_tokens=write + hour,
    )
    try:
        if lane == "batch":
            return float(sum(batch_cost_calculator(theirs, card.id, card.provider)))
        tier = "flex" if lane == "flex" else None
        return float(sum(litellm.cost_per_token(model=card.id, custom_llm_provider=card.provider, usage_object=theirs, service_tier=tier)))
    except (ValueError, ModelNotMappedError):
        return None


def tokencost_beside(made: list[Mix]) -> dict[str, Any]:
    """tokencost on the same calls, by lane, with the kinds of token it knows: input, cached input, output."""
    from unittest import mock

    with mock.patch("aiohttp.ClientSession", side_effect=OSError("a benchmark asks nobody")):
        import tokencost
    calls = [call for mix in made for call in mix]
    lanes: dict[str, dict[str, Any]] = {}
    for card, lane, usage in calls:
        found = lanes.setdefault(lane, {"calls": 0, "equal": 0, "unpriced": 0, "bill_usd": 0.0, "tokencost_usd": 0.0})
        found["calls"] += 1
        try:
            theirs = tokencost.calculate_cost_by_tokens(usage.input_tokens - usage.cache_read_tokens, card.id, "input")
            theirs += tokencost.calculate_cost_by_tokens(usage.output_tokens, card.id, "output")
            if usage.cache_read_tokens:
                theirs += tokencost.calculate_cost_by_tokens(usage.cache_read_tokens, card.id, "cached")
        except KeyError:
            found["unpriced"] += 1
            continue
        bill = card.usd(usage, lane)
        found["equal"] += abs(bill - theirs) < Decimal("1e-9")
        found["bill_usd"] += float(bill)
        found["tokencost_usd"] += float(theirs)
    return {lane: {**found, "why": TOKENCOST[lane]} for lane, found in lanes.items()}


def spend_logs(rows: int, path: Path) -> None:
    """A LiteLLM spend log of that many calls."""
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER)
        for part in _parts(rows):
            file.write(part)


def _parts(rows: int) -> Iterator[str]:
    dice = random.Random(20)
    usage = '"{""usage_object"": {""prompt_tokens_details"": {""cached_tokens"": %d}}}"'
    kinds = []
    for _ in range(5_000):
        (model, provider), asked, said = dice.choice(MODELS), dice.randrange(50, 4_000), dice.randrange(1, 500)
        cached = usage % (asked // 2) if dice.random() < 0.3 else "{}"
        kinds.append(f"{model},{provider},{asked},{said},{cached},False,team{dice.randrange(20)},")
    for start in range(0, rows, 10_000):
        at = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(1_790_812_800 + start * 2_500_000 // rows))
        lines = (
            f"r{n},acompletion,0.01,{at}:{n % 60:02d}Z,{kinds[n * 7919 % 5000]}s{n // 6},success\n"
            for n in range(start, min(rows, start + 10_000))
        )
        yield "".join(lines)


def timed(rows: int, folder: Path) -> tuple[float, float]:
    """Seconds and megabytes of `frugal estimate` on that many rows, in a process of its own."""
    path = folder / f"{rows}.csv"
    spend_logs(rows, path)
    command = [sys.executable, "-m", "frugal_plugins.cli", "estimate", str(path), "--json", "--spill", str(folder)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Run and print."""
    options = arguments(__doc__ or "")
    made = mixes()
    result: dict[str, Any] = {"mixes": len(made), "max_error_usd": against_the_bill(made)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        predictions = {}
        for recipe in RECIPES:
            (folder / recipe).mkdir()
            predictions[recipe] = prediction(recipe, folder / recipe)
        result["predicted_inside"] = _inside(predictions)
        result["predictions"] = predictions
        result["s_1m_rows"], result["rss_mb_1m_rows"] = timed(MILLION_ROWS, folder)
        result["s_20m_rows"], result["rss_mb_20m_rows"] = (None, None) if options.quick else timed(TWENTY_MILLION_ROWS, folder)
    result["peers"] = {"litellm": litellm_beside(made), "tokencost": tokencost_beside(made)}
    result["left_out"] = "20,000,000 rows" if options.quick else None
    print_result(result, options.json)


def _inside(predictions: dict[str, dict[str, dict[str, Any]]]) -> dict[str, bool | None]:
    """Whether the measured saving lies in the range, with every recipe that has the technique; null without one."""
    names = next(iter(predictions.values()))
    found: dict[str, list[bool | None]] = {name: [each[name]["inside"] for each in predictions.values()] for name in names}
    measured = {name: [one for one in inside if one is not None] for name, inside in found.items()}
    return {name: all(inside) if inside else None for name, inside in measured.items()}


if __name__ == "__main__":
    main()
