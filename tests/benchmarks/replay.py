"""Real recorded answers of six models, replayed through the sandbox and LiteLLM: all-strong, all-cheap, and the recipe.

    python -m tests.benchmarks.replay --data ../shared/data --json

For each strong model: what it costs and how often it is right to send everything there, to send everything to the cheap
model, and to let a recipe with rules only decide (the caller names no task). Dollars are the sandbox's invoice at its list
prices of today; `ledger_minus_invoice_usd` compares our ledger with it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.benchmarks.common import arguments, print_result, rows

CHEAP = "gpt-4o-mini-2024-07-18"
STRONG = ("gpt-4o-2024-08-06", "o1-mini-2024-09-12")
QUICK_QUESTIONS = 150


def recipe_for(strong: str) -> dict[str, Any]:
    """Two tiers, the mission's tasks, every technique this package has for single questions."""
    simple = ("yes_no", "classification", "extraction", "summary")
    return {
        "recipe": "replay",
        "baseline": "complex",
        "tiers": {"simple": {"models": [f"openai/{CHEAP}"]}, "complex": {"models": [f"openai/{strong}"]}},
        "tasks": {**{name: {"tier": "simple"} for name in simple}, "code": {"tier": "complex"}, "reasoning": {"tier": "complex"}},
        "cache": {},
        "route": {},
        "cap": {},
    }


def questions(folder: Path, most: int | None) -> list[dict[str, Any]]:
    """Every recorded question both models answered."""
    found = [row for file in sorted(folder.glob("routing/recorded_*.jsonl*")) for row in rows(file)]
    kept = [row for row in found if all(name in row["outputs"] for name in (CHEAP, *STRONG))]
    return kept if most is None else kept[:: max(1, len(kept) // most)]


@contextmanager
def provider(recorded: Iterable[dict[str, Any]]) -> Iterator[Any]:
    """A sandbox with these answers, and LiteLLM pointed at it."""
    from frugal_plugins.sandbox import Sandbox

    lines = [{"user": row["prompt"], "outputs": row["outputs"]} for row in recorded]
    names = {"OPENAI_API_KEY": "sk-replay", "OPENAI_API_BASE": "", "OPENAI_BASE_URL": ""}
    before = {name: os.environ.get(name) for name in names}
    with Sandbox(recorded=lines) as sandbox:
        os.environ.update({**names, "OPENAI_API_BASE": sandbox.openai_base_url, "OPENAI_BASE_URL": sandbox.openai_base_url})
        try:
            yield sandbox
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def run(recorded: list[dict[str, Any]], ask: Callable[[str], tuple[str, str]]) -> dict[str, Any]:
    """Ask every question; right is what the data says of the model that answered."""
    right, by_model = 0.0, dict.fromkeys((CHEAP, *STRONG), 0)
    with provider(recorded) as sandbox:
        for row in recorded:
            model, _ = ask(row["prompt"])
            by_model[model] += 1
            right += row["correct"][model]
        billed = sandbox.invoice().total_usd
    return {"accuracy": right / len(recorded), "usd": billed, "answered_by": {k: n for k, n in by_model.items() if n}}


def always(model: str) -> Callable[[str], tuple[str, str]]:
    """Everything to one model, through LiteLLM alone."""
    import litellm

    def ask(prompt: str) -> tuple[str, str]:
        answer = litellm.completion(model=f"openai/{model}", messages=[{"role": "user", "content": prompt}])
        return answer.model, answer.choices[0].message.content

    return ask


def compare(recorded: list[dict[str, Any]], strong: str, ledger: Path) -> dict[str, Any]:
    """All-strong, all-cheap and the recipe on the same questions."""
    from frugal_plugins import Recipe
    from frugal_plugins.ledger import summarize

    recipe = Recipe.load({**recipe_for(strong), "ledger": {"path": str(ledger)}})

    def through_the_recipe(prompt: str) -> tuple[str, str]:
        reply = recipe.complete(messages=[{"role": "user", "content": prompt}])
        return reply.model, reply.text

    result = {
        "all_strong": run(recorded, always(strong)),
        "all_cheap": run(recorded, always(CHEAP)),
        "recipe": run(recorded, through_the_recipe),
    }
    recipe.close()
    booked = summarize(ledger).spent_usd
    result["recipe"]["saved_percent"] = float(100 * (1 - result["recipe"]["usd"] / result["all_strong"]["usd"]))
    result["recipe"]["ledger_minus_invoice_usd"] = booked - result["recipe"]["usd"]
    return result


def main() -> None:
    """Run and print."""
    options = arguments(__doc__ or "")
    recorded = questions(options.data, QUICK_QUESTIONS if options.quick else None)
    result: dict[str, Any] = {"questions": len(recorded), "left_out": "a sample of the questions" if options.quick else None, "pairs": {}}
    with tempfile.TemporaryDirectory() as folder:
        for strong in STRONG:
            result["pairs"][f"{CHEAP} -> {strong}"] = compare(recorded, strong, Path(folder, f"{strong}.sqlite"))
    result["ledger_minus_invoice_usd"] = sum((pair["recipe"]["ledger_minus_invoice_usd"] for pair in result["pairs"].values()), Decimal(0))
    print_result(result, options.json)


if __name__ == "__main__":
    main()
