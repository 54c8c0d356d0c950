"""The JSON types a body's fields must have, written down as data and checked before anything is read.

A shape is the name of a JSON type, a list of one shape (an array of those), a dict (an object with fields of these shapes, other
fields free), or a tuple (any of these). A field that is null counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_plugins.sandbox.api_errors import ApiError, bad_request, wrong_type

Shape = str | list[Any] | dict[str, Any] | tuple[Any, ...]

SCHEMA: Shape = {
    "type": ("string", ["string"]),
    "properties": "schemas",
    "$defs": "schemas",
    "definitions": "schemas",
    "additionalProperties": "schema",
    "items": ("schema", ["schema"]),
    "prefixItems": ["schema"],
    "anyOf": ["schema"],
    "oneOf": ["schema"],
    "allOf": ["schema"],
    "required": ["string"],
    "enum": "array",
    "$ref": "string",
    "pattern": "string",
    "format": "string",
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), ("number", "boolean")),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength", "minProperties"), "integer"),
}

_FUNCTION: dict[str, Any] = {"name": "string", "description": "string", "parameters": "schema", "strict": "boolean"}

_CALL: Shape = {"id": "string", "type": "string", "function": {"name": "string", "arguments": "string"}}

_JSON_SCHEMA: Shape = {"type": "string", "name": "string", "schema": "schema", "strict": "boolean"}

_COMMON: dict[str, Any] = {
    "model": "string",
    "stream": "boolean",
    "stream_options": "object",
    "service_tier": "string",
    "prompt_cache_key": "string",
    "prompt_cache_retention": "string",
    "parallel_tool_calls": "boolean",
    "metadata": "object",
    "user": "string",
    "top_logprobs": "integer",
}

CHAT: Shape = {
    **_COMMON,
    "messages": [
        {
            "role": "string",
            "content": ("string", [{"type": "string", "text": "string", "image_url": "object"}]),
            "name": "string",
            "tool_call_id": "string",
            "tool_calls": [_CALL],
        }
    ],
    "tools": [{"type": "string", "function": _FUNCTION}],
    "tool_choice": ("string", {"type": "string", "function": {"name": "string"}}),
    "response_format": {"type": "string", "json_schema": _JSON_SCHEMA},
    "stop": ("string", ["string"]),
    "logprobs": "boolean",
    "seed": "integer",
    "reasoning_effort": "string",
}

RESPONSES: Shape = {
    **_COMMON,
    "input": (
        "string",
        [
            {
                "type": "string",
                "role": "string",
                "content": ("string", [{"type": "string", "text": "string"}]),
                "call_id": "string",
                "name": "string",
                "arguments": "string",
                "output": ("string", [{"type": "string", "text": "string"}]),
            }
        ],
    ),
    "instructions": "string",
    "previous_response_id": "string",
    "tools": [{"type": "string", **_FUNCTION}],
    "tool_choice": ("string", {"type": "string", "name": "string"}),
    "text": {"format": _JSON_SCHEMA, "verbosity": "string"},
    "reasoning": {"effort": "string", "summary": "string"},
    "include": ["string"],
    "store": "boolean",
    "truncation": "string",
}

EMBEDDINGS: Shape = {"model": "string", "dimensions": "integer", "encoding_format": "string", "user": "string"}

_MARK: dict[str, Any] = {"cache_control": {"type": "string", "ttl": "string"}}

_PART: dict[str, Any] = {"type": "string", "text": "string", **_MARK}

_FORMAT: Shape = {"type": "string", "schema": "schema"}

MESSAGES: Shape = {
    "model": "string",
    "messages": [
        {
            "role": "string",
            "content": (
                "string",
                [
                    {
                        **_PART,
                        "id": "string",
                        "name": "string",
                        "input": "object",
                        "tool_use_id": "string",
                        "content": ("string", [_PART]),
                        "source": ("object", "string"),
                        "thinking": "string",
                        "signature": "string",
                    }
                ],
            ),
        }
    ],
    "system": ("string", [_PART]),
    "tools": [{"type": "string", "name": "string", "description": "string", "input_schema": "schema", **_MARK}],
    "tool_choice": {"type": "string", "name": "string", "disable_parallel_tool_use": "boolean"},
    "thinking": {"type": "string", "budget_tokens": "integer"},
    "output_config": {"format": _FORMAT, "effort": "string"},
    "output_format": _FORMAT,
    "stop_sequences": ["string"],
    "stream": "boolean",
    "metadata": "object",
    **_MARK,
}

_WORDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "object": "an object",
    "array": "an array",
    "schema": "a JSON Schema",
    "schemas": "an object of JSON Schemas",
}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}

Wrong = tuple[tuple[str | int, ...], Shape, Any]
"""Where, what was expected, what was there."""


def check_openai(body: Mapping[str, Any], shape: Shape) -> None:
    """Refuse a body of the wrong shape in OpenAI's words."""
    wrong = mismatch(body, shape)
    if wrong:
        place, expected, value = wrong
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
        raise wrong_type(path, described(expected), value)


def check_anthropic(body: Mapping[str, Any], shape: Shape) -> None:
    """Refuse a body of the wrong shape in Anthropic's words."""
    wrong = mismatch(body, shape)
    if wrong:
        raise _anthropic_error(*wrong)


def _anthropic_error(place: tuple[str | int, ...], expected: Shape, value: Any) -> ApiError:
    if value is None:
        return bad_request(f"{'.'.join(map(str, place))}: Field required")
    return bad_request(f"{'.'.join(map(str, place))}: Input should be a valid {described(expected).split(' ', 1)[1]}")


def described(shape: Shape) -> str:
    """A shape in words."""
    if isinstance(shape, str):
        return _WORDS[shape]
    if isinstance(shape, tuple):
        return "one of " + " or ".join(described(one) for one in shape)
    return "an array" if isinstance(shape, list) else "an object"


def mismatch(value: Any, shape: Shape, place: tuple[str | int, ...] = ()) -> Wrong | None:
    """The first part of `value` that has not the shape it should have."""
    if isinstance(shape, str):
        return _named(value, shape, place)
    if isinstance(shape, tuple):
        return _any_of(value, shape, place)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return place, shape, value
        return _first(mismatch(item, shape[0], (*place, number)) for number, item in enumerate(value))
    if not isinstance(value, dict):
        return place, shape, value
    return _first(mismatch(value[name], part, (*place, name)) for name, part in shape.items() if value.get(name) is not None)


def _named(value: Any, name: str, place: tuple[str | int, ...]) -> Wrong | None:
    if name == "schema":
        return None if isinstance(value, bool) else mismatch(value, SCHEMA, place)
    if name == "schemas":
        if not isinstance(value, dict):
            return place, name, value
        return _first(mismatch(part, "schema", (*place, key)) for key, part in value.items())
    fits = isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
    return None if fits else (place, name, value)


def _any_of(value: Any, shapes: tuple[Any, ...], place: tuple[str | int, ...]) -> Wrong | None:
    """Wrong if every shape is; then the complaint of the one whose outer type fits says most."""
    complaints = [mismatch(value, shape, place) for shape in shapes]
    if None in complaints:
        return None
    deeper = [one for one in complaints if one and one[0] != place]
    return deeper[0] if deeper else (place, shapes, value)


def _first(found: Any) -> Wrong | None:
    return next((one for one in found if one), None)
