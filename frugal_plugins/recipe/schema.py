"""The JSON Schema of a recipe, which gives editors completion, help and red underlines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from frugal_plugins.recipe.settings import RecipeSettings
from frugal_plugins.tasks import TASKS

SCHEMA_FILE: Final = "recipe.schema.json"
_MODES: Final = ["on", "off", "shadow"]


def recipe_schema() -> dict[str, Any]:
    """The schema of a recipe file, JSON Schema 2020-12, made from the models that check it.

    What no schema can say (that a task's tier exists, that a template is well formed) is checked when the recipe is loaded.
    """
    schema: dict[str, Any] = _tidy(RecipeSettings.model_json_schema())
    properties: dict[str, Any] = schema["properties"]
    for name in ("cache", "route", "cap"):
        properties[name] = _with_short_form(properties[name], _MODES)
    properties["ledger"] = _with_short_form(properties["ledger"], ["off"])
    properties["tasks"]["properties"] = {name: {"$ref": "#/$defs/TaskSettings"} for name in TASKS}
    _allow_a_text_as_prompt(schema["$defs"]["PipelineSettings"]["properties"])
    for name in ("pipeline", "judge"):
        properties[name] = _without_null(properties[name])
    message: dict[str, Any] = schema["$defs"]["PromptMessage"]
    message["properties"] = {role: _without_null(text) for role, text in message["properties"].items()}
    message |= {"minProperties": 1, "maxProperties": 1}
    schema["required"] = ["tiers"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A frugal-plugins recipe"}


def write_schema(path: str | os.PathLike[str]) -> None:
    """Write the schema to a file; the same version always writes the same bytes."""
    Path(path).write_bytes(schema_bytes())


def schema_bytes() -> bytes:
    """The schema as it is shipped: UTF-8 JSON, indented, with a line end."""
    return (json.dumps(recipe_schema(), indent=2, ensure_ascii=False) + "\n").encode()


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A key that may be left out but not left empty."""
    parts = [part for part in field.get("anyOf", []) if part != {"type": "null"}]
    return {"description": field["description"], **parts[0]} if parts else field


def _with_short_form(field: dict[str, Any], words: list[str]) -> dict[str, Any]:
    """A section, or one of these words in its place."""
    section = {"$ref": _without_null(field)["$ref"]}
    return {"description": field["description"], "anyOf": [section, {"enum": words}]}


def _allow_a_text_as_prompt(properties: dict[str, Any]) -> None:
    prompt = properties["prompt"]
    description = prompt.pop("description")
    properties["prompt"] = {"description": description, "anyOf": [{"type": "string", "minLength": 1}, prompt]}


def _tidy(node: Any, *, names: bool = False) -> Any:
    """Leave out made-up titles and empty defaults, and close mappings whose names must follow a pattern.

    `names`: the keys of this node are a recipe's own (`properties`, `$defs`), not JSON Schema's words.
    """
    if isinstance(node, list):
        return [_tidy(part) for part in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _tidy(value, names=key in ("properties", "$defs", "patternProperties") and not names) for key, value in node.items()}
    if names:
        return kept
    kept.pop("title", None)
    if kept.get("default", ...) is None:
        del kept["default"]
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    return kept
