"""Prices the host was told are the ones in the ledger."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import litellm
import pytest

from frugal_plugins import Recipe
from frugal_plugins.ledger import summarize
from frugal_plugins.litellm import install, uninstall
from frugal_plugins.litellm.own_prices import prices_of_deployments, rates_from
from frugal_plugins.prices import PriceBook, own_rates
from frugal_plugins.sandbox import Sandbox
from frugal_plugins.usage import Usage

OWN = {"input_cost_per_token": 0.000001, "output_cost_per_token": 0.000002}


def test_a_price_given_with_the_call_is_booked(sandbox: Sandbox, tmp_path: Path) -> None:
    tiers = {"only": {"models": ["openai/gpt-4o"]}}
    recipe = Recipe.load({"recipe": "own", "tiers": tiers, "ledger": {"path": str(tmp_path / "l.sqlite")}})
    install(recipe)
    try:
        answer = litellm.completion(
            model="openai/gpt-4o", messages=[{"role": "user", "content": "hi"}], api_base=sandbox.openai_base_url, api_key="k", **OWN
        )
    finally:
        uninstall()
    recipe.close()
    usage = answer.usage
    assert summarize(tmp_path / "l.sqlite").spent_usd == (usage.prompt_tokens + 2 * usage.completion_tokens) * Decimal("0.000001")


def test_a_deployments_price_is_known_by_its_name_and_its_model_and_the_recipes_own_wins() -> None:
    deployments = [{"model_name": "house", "litellm_params": {"model": "hosted_vllm/llama"}, "model_info": OWN}]
    book = prices_of_deployments(PriceBook(), deployments)
    assert book is not None
    for name in ("house", "hosted_vllm/llama"):
        assert book.cost(name, Usage(1_000_000)) == 1
    own = PriceBook({"house": own_rates("house", {"input_usd": 5, "output_usd": 5}, "recipe")})
    book = prices_of_deployments(own, deployments)
    assert book is not None
    assert book.cost("house", Usage(1_000_000)) == 5
    assert prices_of_deployments(PriceBook(), [{"model_name": "gpt-4o", "litellm_params": {"model": "gpt-4o"}}]) is None


@pytest.mark.parametrize(
    "source", [{}, {"input_cost_per_token": 1}, {**OWN, "input_cost_per_token": "dear"}, {**OWN, "output_cost_per_token": -1}]
)
def test_half_a_price_or_nonsense_is_no_price(source: dict[str, Any]) -> None:
    assert rates_from(source, "m", "test") is None
