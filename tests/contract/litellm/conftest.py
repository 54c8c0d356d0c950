"""A recipe, LiteLLM's real functions, and the sandbox in the provider's place."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from frugal_plugins import Recipe

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox
    from tests.contract.litellm.proxies import RunningProxy

MakeRecipe = Callable[..., Recipe]

BASE: dict[str, Any] = {
    "recipe": "support",
    "tiers": {
        "simple": {"models": ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"]},
        "standard": {"models": ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"]},
    },
    "tasks": {"yes_no": {"tier": "simple", "output_tokens": 5}, "extraction": {"tier": "simple", "output_tokens": 3}},
}


@pytest.fixture(autouse=True)
def _as_if_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No recipe from the environment, and LiteLLM as it was found afterwards."""
    import litellm

    from frugal_plugins.litellm import uninstall

    for name in ("FRUGAL_RECIPE", "FRUGAL_MODE", "FRUGAL_LEDGER", "FRUGAL_OFF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    callbacks, cache = list(litellm.callbacks), litellm.cache
    yield
    uninstall()
    litellm.callbacks, litellm.cache = callbacks, cache


@pytest.fixture
def make_recipe(tmp_path: Path) -> Iterator[MakeRecipe]:
    """A recipe of the three techniques, with some sections changed; its ledger is in the test's folder."""
    made: list[Recipe] = []

    def make(**sections: Any) -> Recipe:
        ledger = {"path": str(tmp_path / "ledger.sqlite")}
        recipe = Recipe.load({**BASE, "cache": {}, "route": {}, "cap": {}, "ledger": ledger, **sections})
        made.append(recipe)
        return recipe

    yield make
    for recipe in made:
        recipe.close()


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    """The callback listed twice, and the SDK's door open in the same process: each request still travels once."""
    from tests.contract.litellm.proxies import running

    folder = tmp_path_factory.mktemp("proxy")
    recipe = folder / "support.json.yaml"
    sections = {"cache": {}, "route": {}, "cap": {}, "prompt_cache": {}, "ledger": {"path": str(folder / "ledger.sqlite")}}
    tasks = {**BASE["tasks"], "outline": {"tier": "simple", "output_tokens": 3}}
    recipe.write_text(json.dumps({**BASE, **sections, "tasks": tasks}))
    twice = ["frugal_plugins.litellm.proxy", "frugal_plugins.litellm.proxy", "tests.contract.litellm.door_of_the_proxy.opened"]
    with running(folder, str(recipe), callbacks=twice) as up:
        yield up


@pytest.fixture
def openai(sandbox: Sandbox) -> dict[str, Any]:
    """The arguments that lead to the sandbox's OpenAI."""
    return {"api_base": sandbox.openai_base_url, "api_key": "sk-test", "max_retries": 0}


@pytest.fixture
def anthropic(sandbox: Sandbox) -> dict[str, Any]:
    """The arguments that lead to the sandbox's Anthropic."""
    return {"api_base": sandbox.anthropic_base_url, "api_key": "sk-ant-test", "max_retries": 0}


@pytest.fixture
def both_keys(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and addresses of both providers where LiteLLM looks for them, and none in the calls."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_API_BASE", sandbox.openai_base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_API_BASE", sandbox.anthropic_base_url)


def user(text: str) -> list[dict[str, str]]:
    """A conversation of one question."""
    return [{"role": "user", "content": text}]


def rows(recipe: Recipe, sql: str = "SELECT * FROM requests ORDER BY at_seconds") -> list[sqlite3.Row]:
    """What the ledger has written."""
    ledger = recipe.ledger
    assert ledger is not None
    assert ledger.flush()
    with closing(ledger.open()) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(sql).fetchall()


def booked_picousd(recipe: Recipe) -> int:
    """What the ledger says was paid."""
    total: int | None = rows(recipe, "SELECT sum(picousd) FROM calls")[0][0]
    return total or 0


def invoiced_picousd(sandbox: Sandbox) -> int:
    """What the provider says it is owed."""
    return int(sandbox.invoice().total_usd * 10**12)
