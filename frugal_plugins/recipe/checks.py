"""What a recipe's values must agree on: names that exist, prompts and output schemas that are well formed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any, Final

from pydantic_core import PydanticCustomError

from frugal_plugins.recipe.problems import Problem
from frugal_plugins.recipe.source import nearest
from frugal_plugins.recipe.strict_yaml import KeyPath

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED_PARAMS: Final[Mapping[str, str]] = {
    "model": "write pipeline.model instead",
    "messages": "write pipeline.prompt instead",
    "response_format": "write pipeline.output instead",
    "stream": "stream the pipeline where you call it instead",
    "service_tier": "write pipeline.lane instead",
    "api_key": "a recipe holds no secrets; set the provider's environment variable instead",
}


def rule(words: str) -> PydanticCustomError:
    """A refusal in the recipe's own words, to be raised inside a pydantic validator."""
    return PydanticCustomError("recipe_rule", "{words}", {"words": words})


def refuse(*problems: Problem) -> None:
    """Refuse with problems that know their own place below the model that found them; with none, do nothing."""
    if problems:
        raise PydanticCustomError("recipe_problems", "{words}", {"words": "; ".join(p.words for p in problems), "problems": problems})


def template_variables(text: str) -> tuple[str, ...]:
    """The {variables} of a template, in order. Only plain names: no attributes, indexes, conversions or formats.

    Raises ValueError when the template is not well formed.
    """
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise rule("has a brace without its partner; write {{ or }} for a brace that belongs to the text") from None
    found = [(name, form or "", conversion or "") for _, name, form, conversion in parts if name is not None]
    for name, form, conversion in found:
        if form or conversion or not _VARIABLE.match(name):
            shown = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            hint = "a variable is a plain name like {text}; write {{ and }} for braces that belong to the text"
            raise rule(f"has the placeholder {{{shown[:60]}}}; {hint}")
    return tuple(name for name, _, _ in found)


def missing_names(kind: str, wanted: Mapping[KeyPath, str], known: tuple[str, ...]) -> Iterator[Problem]:
    """Names that stand somewhere in the recipe and are declared nowhere."""
    choice = f"choose one of {', '.join(known)}" if known else f"add it under {kind}s"
    for path, name in wanted.items():
        if name not in known:
            yield Problem(path, f"no {kind} is called '{name[:60]}'{nearest(name, known) or ';'} {choice}")


def output_problems(schema: Mapping[str, Any] | None) -> Iterator[Problem]:
    """Why a provider could not fill this JSON Schema."""
    if schema is None:
        return
    properties, required = schema.get("properties"), schema.get("required", [])
    if schema.get("type") != "object":
        yield Problem(("output", "type"), "must be object, which is what providers fill; write 'type: object'")
    if not isinstance(properties, Mapping) or not properties:
        yield Problem(("output", "properties"), "must name the fields of the answer; write 'properties: {name: {type: string}}'")
    elif not isinstance(required, list):
        yield Problem(("output", "required"), "must be a list of field names; write [name, other_name]")
    else:
        for index, name in enumerate(required):
            if not isinstance(name, str) or name not in properties:
                guess = nearest(str(name), properties) or ";"
                yield Problem(("output", "required", index), f"'{str(name)[:60]}' is not a field{guess} add it under properties")


def param_problems(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Parameters that have a key of their own, or no place in a recipe."""
    for key in params:
        if key in _RESERVED_PARAMS:
            yield Problem(("params", key), f"is not a parameter of a pipeline; {_RESERVED_PARAMS[key]}")
