"""Which recipe a proxy's request travels through, and recipes that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frugal_plugins import Recipe
from frugal_plugins.litellm.assigned import Assigned

TIERS = {"only": {"models": ["openai/gpt-4o-mini"]}}


@pytest.fixture
def assigned(tmp_path: Path) -> Assigned:
    for name in ("default", "careful"):
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"recipe": name, "tiers": TIERS, "ledger": {"path": "off"}}))
    (tmp_path / "broken.yaml").write_text("recipe: broken\ntiers: {a: {models: [openai/gpt-4o]}}\nbaseline: nowhere\n")
    return Assigned(Recipe.load(tmp_path / "default.yaml"))


def key(own: Any = None, team: Any = None) -> SimpleNamespace:
    named = {"frugal_recipe": own} if own else {}
    return SimpleNamespace(metadata=named, team_metadata={"frugal_recipe": team} if team else None)


def name(recipe: Recipe | None) -> str | None:
    return None if recipe is None else recipe.name


def test_recipe_by_key_team_model_and_default(assigned: Assigned, tmp_path: Path) -> None:
    info = {"frugal_recipe": str(tmp_path / "careful.yaml")}
    assert name(assigned.recipe_for(key(), None)) == "default"
    assert name(assigned.recipe_for(key(), info)) == "careful"
    assert name(assigned.recipe_for(key(team="agent"), info)) == "agent"
    assert name(assigned.recipe_for(key(own="careful", team="agent"), info)) == "careful"
    assert assigned.recipe_for(key(own="off"), info) is None
    assert assigned.recipe_for(key(own="careful"), None) is assigned.recipe_for(key(own="careful"), None)


@pytest.mark.parametrize("named", ["broken", "nobody", "../default", "/etc/passwd", "x" * 200])
def test_recipe_that_cannot_be_used_is_said_once(assigned: Assigned, named: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert assigned.recipe_for(key(own=named), None) is None
    assert len([line for line in caplog.messages if "untouched" in line]) == 1
