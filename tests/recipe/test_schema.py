from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from frugal_plugins.errors import RecipeError
from frugal_plugins.recipe.schema import SCHEMA_FILE, recipe_schema, schema_bytes, write_schema
from frugal_plugins.recipe.settings import RecipeSettings, parse
from frugal_plugins.recipe.source import read_recipe, shipped_folder
from frugal_plugins.tasks import TASKS

TIERS = {"simple": {"models": ["a"]}}


def test_the_shipped_schema_is_the_one_the_models_make() -> None:
    shipped = (shipped_folder() / SCHEMA_FILE).read_bytes()
    assert shipped == schema_bytes(), "the models changed; run frugal_plugins.recipe.schema.write_schema('recipes/recipe.schema.json')"


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    write_schema(tmp_path / "one.json")
    write_schema(str(tmp_path / "two.json"))
    one = (tmp_path / "one.json").read_bytes()
    assert one == (tmp_path / "two.json").read_bytes()
    assert one.endswith(b"}\n")
    assert json.loads(one) == recipe_schema()


def test_it_is_a_schema_of_2020_12_without_an_address() -> None:
    schema = recipe_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "$id" not in schema
    assert schema["title"]


def _properties(node: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = []
    for part in [node, *node.get("$defs", {}).values()]:
        found += [(f"{path}/{name}", prop) for name, prop in part.get("properties", {}).items() if "$ref" not in prop]
    return found


def test_every_key_has_help_for_the_editor() -> None:
    keys = _properties(recipe_schema())
    assert len(keys) > 40
    assert [path for path, prop in keys if not prop.get("description")] == []


def test_every_key_of_the_models_is_in_it() -> None:
    assert set(recipe_schema()["properties"]) == set(RecipeSettings.model_fields)


def test_known_tasks_are_offered_for_completion() -> None:
    assert tuple(recipe_schema()["properties"]["tasks"]["properties"]) == TASKS


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"recipe": "own", "mode": "shadow", "control_percent": 2.5, "baseline": "simple"},
        {"control_each_percent": 1, "judge": {"percent": 1, "control_percent": 100, "tier": "simple", "usd_per_day": 0.5}},
        {"cache": "off", "route": "shadow", "cap": "on", "ledger": "off"},
        {"cache": {}, "route": {}, "cap": {}, "ledger": {}},
        {"cache": {"scope": ["tenant", "user"], "ttl_seconds": 60, "path": "x.sqlite", "match": "exact", "max_temperature": 0.5}},
        {"tasks": {"yes_no": {"tier": "simple", "output_tokens": 5}, "own_kind": {"tier": "simple"}}},
        {"prices": {"m/n": {"input_usd_per_mtok": 0.15, "output_usd_per_mtok": "0.6"}}},
        {"pipeline": {"prompt": "x {y}", "params": {"temperature": 0}}},
        {"pipeline": {"prompt": [{"system": "x"}, {"user": "y"}], "output": {"type": "object", "properties": {"a": {}}}, "lane": "flex"}},
    ],
)
def test_what_the_recipe_accepts_the_editor_accepts(more: dict[str, Any]) -> None:
    recipe = {"tiers": TIERS, **more}
    parse(read_recipe(recipe))
    assert [error.message for error in Draft202012Validator(recipe_schema()).iter_errors(recipe)] == []


@pytest.mark.parametrize(
    "more",
    [
        {"tiers": {}},
        {"tiers": {"Big": {"models": ["a"]}}},
        {"tiers": {"a": {"models": []}}},
        {"tier": {}},
        {"recipe": "My Recipe"},
        {"mode": "onn"},
        {"control_percent": 51},
        {"control_each_percent": 11},
        {"judge": None},
        {"judge": {"usd_per_day": 0}},
        {"cache": None},
        {"cap": None},
        {"cap": "maybe"},
        {"cap": {"retry_factor": 17}},
        {"cache": {"similarity": 1.5}},
        {"histry": {}},
        {"ledger": None},
        {"pipeline": None},
        {"tasks": {"Up": {"tier": "simple"}}},
        {"tasks": {"yes_no": {"tier": "simple", "output_tokens": 0}}},
        {"tasks": {"yes_no": {"tier": "simple", "tokens": 5}}},
        {"prices": {"m": {"input_usd_per_mtok": -1, "output_usd_per_mtok": 1}}},
        {"pipeline": {"prompt": [{"user": "x", "system": "y"}]}},
        {"pipeline": {"prompt": [{"user": None}]}},
        {"pipeline": {"prompt": []}},
        {"pipeline": {"prompt": "x", "memory": {}}},
    ],
)
def test_what_the_recipe_refuses_the_editor_underlines(more: dict[str, Any]) -> None:
    recipe = {"tiers": TIERS, **more}
    assert list(Draft202012Validator(recipe_schema()).iter_errors(recipe))
    with pytest.raises(RecipeError):
        parse(read_recipe(recipe))
