"""Turns what pydantic found into words a person can act on, with the place of each key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from frugal_plugins.errors import RecipeError
from frugal_plugins.recipe.source import Loaded, dotted, nearest
from frugal_plugins.recipe.strict_yaml import KeyPath

_SHOWN_PROBLEMS: Final = 20

# What pydantic calls a value of the wrong kind, and what to write.
_KINDS: Final[Mapping[str, str]] = {
    "bool_type": "write true or false",
    "decimal_parsing": "write a number of US dollars, such as 0.15",
    "decimal_type": "write a number of US dollars, such as 0.15",
    "dict_type": "write 'key: value' lines under it, or {key: value}",
    "finite_number": "write a finite number",
    "mapping_type": "write 'key: value' lines under it, or {key: value}",
    "model_attributes_type": "write 'key: value' lines under it, or {key: value}",
    "model_type": "write 'key: value' lines under it, or {key: value}",
    "string_type": "write text, in quotes if it looks like a number or begins with { or [",
    "tuple_type": "write a list: [first, second]",
}
_NUMBERS: Final[Mapping[str, str]] = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "greater_than": "a number",
    "greater_than_equal": "a number",
    "less_than": "a number",
    "less_than_equal": "a number",
}
_LENGTHS: Final = {"too_short", "too_long", "string_too_short", "string_too_long"}
_NAMES: Final[Mapping[str, str]] = {
    r"^\S+$": "a model's name, without spaces",
    r"^[a-z][a-z0-9_]*$": "small letters, digits and _, beginning with a letter",
    r"^[a-z][a-z0-9_-]{0,40}$": "at most 41 small letters, digits, _ and -, beginning with a letter",
    r"^[A-Za-z][A-Za-z0-9_-]{0,63}$": "at most 64 letters, digits, _ and -, beginning with a letter",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, and what to do about it. `names_key`: the words already say which key."""

    path: KeyPath
    words: str
    names_key: bool = False


def found_by_pydantic(error: ValidationError, root: type[BaseModel], coming: Mapping[str, str]) -> list[Problem]:
    """Every problem in a validation error, in words.

    Args:
        root: the model that was validated; its fields are the known keys.
        coming: dotted keys that will exist one day, and what to do today.
    """
    return [problem for item in error.errors(include_url=False) for problem in _problems(dict(item), root, coming)]


def as_error(problems: list[Problem], loaded: Loaded) -> RecipeError:
    """One error for all problems, in the order of the file: the first in full, the others on lines of their own."""
    first, *others = sorted(problems, key=lambda problem: loaded.place(problem.path))
    lines = [_line(first)]
    for other in others[:_SHOWN_PROBLEMS]:
        place = loaded.where(other.path)
        lines.append(f"  also {place + ': ' if place else ''}{_line(other)}")
    if len(others) > _SHOWN_PROBLEMS:
        lines.append(f"  and {len(others) - _SHOWN_PROBLEMS} more; correct these first")
    return RecipeError("\n".join(lines), where=loaded.where(first.path), key=dotted(first.path))


def _line(problem: Problem) -> str:
    return problem.words if problem.names_key or not problem.path else f"{dotted(problem.path)[:200]}: {problem.words}"


def _problems(item: dict[str, Any], root: type[BaseModel], coming: Mapping[str, str]) -> Iterator[Problem]:
    path: KeyPath = tuple(item["loc"])
    is_key = bool(path) and path[-1] == "[key]"
    path = path[:-1] if is_key else path
    kind: str = item["type"]
    context: Mapping[str, Any] = item.get("ctx", {})
    if kind == "recipe_problems":
        yield from (Problem((*path, *problem.path), problem.words) for problem in context["problems"])
    elif kind == "recipe_rule":
        yield Problem(path, context["words"])
    elif kind == "extra_forbidden":
        yield Problem(path, coming.get(dotted(path)) or _unknown(path, root), names_key=True)
    elif kind == "missing":
        yield Problem(path, f"is missing; write '{path[-1]}:' here")
    elif not _is_echo(kind, item.get("input"), context):
        yield Problem(path, _wrong_value(kind, item.get("input"), context, path, root))


def _is_echo(kind: str, value: Any, context: Mapping[str, Any]) -> bool:
    """Whether a list is only "too short" because its wrong items, which have problems of their own, were not counted."""
    return kind == "too_short" and isinstance(value, list) and len(value) >= context["min_length"]


def _unknown(path: KeyPath, root: type[BaseModel]) -> str:
    key, model = str(path[-1]), _model_at(path[:-1], root)
    inside = f" in {dotted(path[:-1])[:200]}" if len(path) > 1 else ""
    guess = nearest(key, model.model_fields) or ";"
    return f"unknown key '{key[:80]}'{inside}{guess} the keys here are {', '.join(model.model_fields)}"


def _wrong_value(kind: str, value: Any, context: Mapping[str, Any], path: KeyPath, root: type[BaseModel]) -> str:
    is_ = "is empty" if value is None else f"is {_shown(value)}"
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        guess = nearest(value, known) if isinstance(value, str) else ""
        return f"{is_}{guess or ';'} write one of {', '.join(known)}"
    if kind in _NUMBERS:
        return f"{is_}; write {_NUMBERS[kind]}{_range_of(path, root) or _bound(context)}"
    if kind == "string_pattern_mismatch":
        return f"{is_}; write {_NAMES.get(context['pattern'], 'text that matches ' + context['pattern'])}"
    if kind in _LENGTHS:
        least, most = context.get("min_length"), context.get("max_length")
        return f"is empty; give at least {least}" if least else f"is too long; give at most {most}"
    return f"{is_}; {_KINDS.get(kind, 'correct it: ' + kind.replace('_', ' '))}"


def _shown(value: Any) -> str:
    """A value in a message: what kind of thing it is when it is not short."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value[:60]}'" if isinstance(value, str) else str(value)[:60]


def _range_of(path: KeyPath, root: type[BaseModel]) -> str:
    """` from 0 to 50`, read from the field's own bounds."""
    field = _model_at(path[:-1], root).model_fields.get(str(path[-1]))
    bounds = field.metadata if field else []
    least, above, most = (next((getattr(b, name) for b in bounds if hasattr(b, name)), None) for name in ("ge", "gt", "le"))
    if above is not None:
        return f" above {above}" + (f", at most {most}" if most is not None else "")
    if most is None:
        return f", {least} or more" if least is not None else ""
    return f" from {least} to {most}"


def _bound(context: Mapping[str, Any]) -> str:
    """The bound that was crossed, where it belongs to the kind of value and not to the field."""
    said = {"ge": ", {} or more", "gt": " above {}", "le": ", {} or less", "lt": " below {}"}
    return next((words.format(context[name]) for name, words in said.items() if name in context), "")


def _model_at(path: KeyPath, root: type[BaseModel]) -> type[BaseModel]:
    """The model that describes the keys at this place: names in mappings and positions in lists are stepped over."""
    model, field = root, None
    for step in path:
        if field is not None and _is_container(field):
            field = None
            continue
        field = model.model_fields.get(str(step))
        model = (_model_in(field.annotation) if field else None) or model
    return model


def _is_container(field: FieldInfo) -> bool:
    return isinstance(origin := get_origin(field.annotation), type) and issubclass(origin, Mapping | tuple)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `X | None`, `Mapping[str, X]` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
