"""Routers whose models are LangChain's own integrations, talking to the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.sandbox import Sandbox, VirtualClock

TIERS: Mapping[str, Any] = {
    "simple": {"models": ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"]},
    "standard": {"models": ["anthropic/claude-sonnet-4-5", "openai/gpt-4o"]},
}
TASKS: Mapping[str, Any] = {
    "yes_no": {"tier": "simple", "output_tokens": 5},
    "extraction": {"tier": "simple", "output_tokens": 50},
    "support_reply": {"tier": "standard", "output_tokens": 200},
}


@pytest.fixture
def models(sandbox: Sandbox) -> dict[str, BaseChatModel | str]:
    """One chat model for each model of the recipe."""
    openai: dict[str, Any] = {"base_url": sandbox.openai_base_url, "api_key": "k", "max_retries": 0}
    anthropic: dict[str, Any] = {"base_url": sandbox.anthropic_base_url, "api_key": "k", "max_retries": 0}
    return {
        "openai/gpt-4o-mini": ChatOpenAI(model="gpt-4o-mini", **openai),
        "openai/gpt-4o": ChatOpenAI(model="gpt-4o", **openai),
        "anthropic/claude-haiku-4-5": ChatAnthropic(model_name="claude-haiku-4-5", **anthropic),
        "anthropic/claude-sonnet-4-5": ChatAnthropic(model_name="claude-sonnet-4-5", **anthropic),
    }


@pytest.fixture
def recipe_of(tmp_path: Path, clock: VirtualClock) -> Callable[..., Recipe]:
    """Makes a recipe with a ledger of its own; keyword arguments are sections."""

    def make(**sections: Any) -> Recipe:
        base = {"recipe": "desk", "tiers": TIERS, "tasks": TASKS, "ledger": {"path": str(tmp_path / "ledger.sqlite")}}
        return Recipe.load({**base, **sections}, clock=clock.now)

    return make


@pytest.fixture
def router_of(recipe_of: Callable[..., Recipe], models: dict[str, BaseChatModel | str]) -> Callable[..., FrugalRouter]:
    """Makes a router for a recipe with these sections."""

    def make(model: str = "", **sections: Any) -> FrugalRouter:
        return FrugalRouter.from_recipe(recipe_of(**sections), models=models, model=model)

    return make


def bodies(sandbox: Sandbox) -> list[Mapping[str, Any]]:
    """What reached the provider."""
    return [request.body for request in sandbox.requests()]
