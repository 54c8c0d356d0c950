"""OpenAI's rules for the schemas of structured outputs and strict tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from frugal_plugins.sandbox.api_errors import ApiError, bad_request, missing, wrong_type

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_response_schema(wrapper: Any, param: str) -> None:
    """The `json_schema` object of a response format (or the format itself in the Responses API): name, schema, strictness."""
    if not isinstance(wrapper, Mapping):
        raise missing(f"{param}.json_schema")
    name, schema = wrapper.get("name"), wrapper.get("schema")
    if not name:
        raise missing(f"{param}.json_schema.name")
    _check_name(str(name), f"{param}.json_schema.name")
    if schema is None:
        return
    if not isinstance(schema, Mapping):
        raise wrong_type(f"{param}.json_schema.schema", "an object", schema)
    if wrapper.get("strict"):
        if schema.get("type") != "object":
            found = f'type: "{schema.get("type")}"'
            raise _invalid(f"response_format '{name}'", (), f"schema must be a JSON Schema of 'type: \"object\"', got '{found}'", param)
        _check_strict(schema, f"response_format '{name}'", (), param)


def check_tool_schema(function: Mapping[str, Any], param: str) -> None:
    """A function's name and, where it is strict, its parameters."""
    name = function.get("name")
    if not name:
        raise missing(f"{param}.name")
    _check_name(str(name), f"{param}.name")
    schema = function.get("parameters")
    if schema is None:
        return
    if not isinstance(schema, Mapping):
        raise wrong_type(f"{param}.parameters", "an object", schema)
    if schema and schema.get("type", "object") != "object":
        found = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'"
        raise _invalid(f"function '{name}'", (), found, f"{param}.parameters", "invalid_function_parameters")
    if function.get("strict"):
        _check_strict(schema, f"function '{name}'", (), f"{param}.parameters")


def _check_name(name: str, param: str) -> None:
    if not _NAME.fullmatch(name):
        text = f"Invalid '{param}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        raise bad_request(text, param, "invalid_value")


def _check_strict(schema: Any, owner: str, place: tuple[str, ...], param: str) -> None:
    """Every object is closed and requires all its properties; that is what makes a strict schema strict."""
    if not isinstance(schema, Mapping):
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, Mapping):
        if schema.get("additionalProperties") is not False:
            raise _invalid(owner, place, "'additionalProperties' is required to be supplied and to be false", param)
        names = properties or {}
        left_out = [name for name in names if name not in (schema.get("required") or ())]
        if left_out:
            text = f"'required' is required to be supplied and to be an array including every key in properties. Missing '{left_out[0]}'"
            raise _invalid(owner, place, text, param)
    for group in ("properties", "$defs", "definitions"):
        for name, part in (schema.get(group) or {}).items():
            _check_strict(part, owner, (*place, group, name), param)
    if "items" in schema:
        _check_strict(schema["items"], owner, (*place, "items"), param)
    for number, part in enumerate(schema.get("anyOf") or ()):
        _check_strict(part, owner, (*place, "anyOf", str(number)), param)


def _invalid(owner: str, place: tuple[str, ...], text: str, param: str, code: str | None = None) -> ApiError:
    context = ", ".join(f"'{step}'" for step in place)
    return bad_request(f"Invalid schema for {owner}: In context=({context}), {text}.", param, code)
