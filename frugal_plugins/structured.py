"""Structured output: one schema, the field each provider has for it, and prompts that ask for JSON in words turned into that field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from frugal_plugins.models import capabilities
from frugal_plugins.request import Endpoint, Reply, Request, canonical
from frugal_plugins.text.schemas import minimised, notation
from frugal_plugins.tokens import count_text

_FENCE: Final = re.compile(r"```(?:json[c5]?|jsonschema)?\s*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)
_ASKS_JSON: Final = re.compile(
    r"\b(?:json|schema)\b.*\b(?:format|respond|response|reply|answer|output|return|object|structure|follow\w*|match\w*|conform\w*)\b|"
    r"\b(?:format|respond|reply|answer|output|return|produce|provide|conform\w*)\b.*\b(?:json|schema)\b",
    re.IGNORECASE | re.DOTALL,
)
_ABOUT_JSON: Final = re.compile(
    r"\b(?:json|schema|markdown|code (?:fence|block)s?|back ?ticks?|valid object|keys are present|types match|"
    r"any (?:other )?text (?:before|after)|"
    r"any (?:explanation|prose)|the object|exactly (?:this|these|the following))\b",
    re.IGNORECASE,
)
_SENTENCE: Final = re.compile(r"[^.!?\n]*(?:[.!?:](?=\s|$)|\n|$)")
_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class FormatInstruction:
    """A passage of a prompt that asks for JSON by a schema: where it stands and the schema."""

    start: int
    end: int
    schema: Mapping[str, Any]


def schema_of(model: Any) -> dict[str, Any]:
    """The JSON Schema of a pydantic model or a schema itself. Raises TypeError for anything else."""
    method = getattr(model, "model_json_schema", None)
    if callable(method):
        found: dict[str, Any] = method()
        return found
    if isinstance(model, Mapping):
        return dict(model)
    raise TypeError(f"{type(model).__name__} is no schema; give a pydantic model or a JSON Schema as a dict")


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as OpenAI's strict mode wants it: every object closed, every property required, optional ones may be null."""
    made: dict[str, Any] = _strict(minimised(schema))
    return made


def _strict(value: Any) -> Any:
    if isinstance(value, list):
        return [_strict(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    changed = {
        name: {key: _strict(part) for key, part in inner.items()}
        if name in ("properties", "$defs", "definitions") and isinstance(inner, Mapping)
        else inner
        if name in ("enum", "const", "default", "required")
        else _strict(inner)
        for name, inner in value.items()
        if name != "default"
    }
    if "properties" in changed:
        required = set(value.get("required") or ())
        changed["properties"] = {name: part if name in required else _or_null(part) for name, part in changed["properties"].items()}
        changed |= {"required": list(changed["properties"]), "additionalProperties": False}
    return changed


def _or_null(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    kind = schema.get("type")
    if isinstance(kind, str) and "enum" not in schema and "const" not in schema:
        return {**schema, "type": kind if kind == "null" else [kind, "null"]}
    if isinstance(schema.get("anyOf"), list):
        options = schema["anyOf"]
        return schema if {"type": "null"} in options else {**schema, "anyOf": [*options, {"type": "null"}]}
    return {"anyOf": [dict(schema), {"type": "null"}]}


def response_format(model: Any, *, name: str = "answer", endpoint: Endpoint = "chat", strict_mode: bool = False) -> dict[str, Any]:
    """The params that make a provider answer by a schema.

    `chat` gives `response_format` (OpenAI, and LiteLLM for everyone), `responses` gives `text`, `messages` (Anthropic) gives
    `output_config`. Merge them into the request: `request.with_params(**response_format(Invoice))`.
    """
    schema = strict(schema_of(model)) if strict_mode else minimised(schema_of(model))
    title = _NAME.sub("_", str(getattr(model, "__name__", None) or name))[:_LONGEST_NAME] or "answer"
    if endpoint == "messages":
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    form = {"name": title, "schema": schema, "strict": strict_mode}
    if endpoint == "responses":
        return {"text": {"format": {"type": "json_schema", **form}}}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def find_instruction(text: str) -> FormatInstruction | None:
    """Where a prompt says "answer as JSON like this" with a JSON Schema; None where it does not, or not clearly."""
    if "properties" not in text:
        return None
    for start, end, raw in _objects(text):
        schema = _schema(raw)
        if schema is None:
            continue
        front = _instruction_start(text, start)
        if front is None:
            return None
        return FormatInstruction(front, _instruction_end(text, end), schema)
    return None


def _objects(text: str) -> list[tuple[int, int, str]]:
    """Fenced blocks, and bare objects that start a line."""
    fenced = [(match.start(), match.end(), match.group(1)) for match in _FENCE.finditer(text)]
    decoder = json.JSONDecoder()
    for match in re.finditer(r"^[ \t]*\{", text, re.MULTILINE):
        start = match.end() - 1
        if any(left <= start < right for left, right, _ in fenced):
            continue
        try:
            _, size = decoder.raw_decode(text[start:])
        except ValueError:
            continue
        fenced.append((start, start + size, text[start : start + size]))
    return sorted(fenced)


def _schema(raw: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    looks = isinstance(value, Mapping) and isinstance(value.get("properties"), Mapping) and value.get("type", "object") == "object"
    return value if looks else None


def _instruction_start(text: str, start: int) -> int | None:
    """The first of the sentences before a schema that speak of the JSON to give; None where none asks for it."""
    spans = [match.span() for match in _SENTENCE.finditer(text, 0, start) if match.group().strip()]
    front, asked = start, False
    for left, right in reversed(spans):
        sentence = text[left:right]
        if not _ABOUT_JSON.search(sentence):
            break
        asked = asked or bool(_ASKS_JSON.search(sentence))
        front = left + len(sentence) - len(sentence.lstrip())
    return front if asked else None


def _instruction_end(text: str, end: int) -> int:
    """Sentences behind the schema that only speak of the form go with it."""
    for match in _SENTENCE.finditer(text, end):
        if match.group().strip() and not _ABOUT_JSON.search(match.group()):
            break
        end = match.end()
    return end


def with_response_format(request: Request, text: str) -> tuple[str, dict[str, Any]] | None:
    """A prompt without its JSON instruction, and the params that take its place; None where that is not certain to do.

    Models without structured output, requests with tools or a format of their own, and prompts without a clear instruction
    are left as they are.
    """
    text_of_its_own = request.params.get("text") or {}
    if any(request.params.get(name) for name in ("response_format", "tools", "functions", "output_config")) or "format" in text_of_its_own:
        return None
    if capabilities(request.model).schema is not True:
        return None
    found = find_instruction(text)
    if found is None:
        return None
    left = f"{text[: found.start].rstrip()}\n{text[found.end :].lstrip()}".strip()
    form = response_format(found.schema, endpoint=request.endpoint)
    return (left or "Answer as JSON."), {"text": {**text_of_its_own, **form["text"]}} if "text" in form else form


def compact_instruction(text: str) -> str:
    """The same prompt with the schema of its JSON instruction in short notation, for models without structured output."""
    found = find_instruction(text)
    if found is None:
        return text
    left, right = text[: found.start].rstrip(), text[found.end :].lstrip()
    middle = f"Answer only with JSON of this type:\n{notation(found.schema)}"
    return "\n".join(part for part in (left, middle, right) if part)


def least_output_tokens(schema: Any, model: str = "gpt-4o") -> int:
    """The fewest tokens an answer by this schema takes: its braces, keys and shortest values. A cap below it always cuts."""
    return count_text(canonical(_smallest(minimised(schema_of(schema)), 0)), model)


def _smallest(schema: Any, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > 20:
        return 0
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return min(schema["enum"], key=lambda value: len(canonical(value)))
    for name in ("anyOf", "oneOf"):
        if schema.get(name):
            return min((_smallest(part, depth + 1) for part in schema[name]), key=lambda value: len(canonical(value)))
    kind = schema.get("type")
    kind = "null" if isinstance(kind, list) and "null" in kind else kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or "properties" in schema:
        needed = schema.get("required") or ()
        return {name: _smallest(schema.get("properties", {}).get(name), depth + 1) for name in needed}
    if kind == "array":
        return [_smallest(schema.get("items"), depth + 1)] * int(schema.get("minItems") or 0)
    return {"string": "x" * int(schema.get("minLength") or 0), "boolean": True, "null": None}.get(str(kind), 0)


def asked_schema(request: Request) -> Mapping[str, Any] | None:
    """The JSON Schema a request wants its answer by, whichever API it is written for; None without one."""
    params = request.params
    wanted = params.get("response_format")
    if wanted is None and params.get("output_config") is None and params.get("text") is None:
        return None
    form = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    if form is None and isinstance(params.get("output_config"), Mapping):
        form = params["output_config"].get("format")
    if form is None and isinstance(params.get("text"), Mapping):
        form = params["text"].get("format")
    schema = form.get("schema") if isinstance(form, Mapping) else None
    if schema is None and hasattr(wanted, "model_json_schema"):
        schema = schema_of(wanted)
    return schema if isinstance(schema, Mapping) else None


_least: dict[str, int] = {}


def schema_budget_tokens(request: Request) -> int:
    """The fewest output tokens in which the answer a request wants could end: 0 without a schema, else its shortest instance."""
    schema = asked_schema(request)
    if schema is None:
        return 0
    key = canonical(schema)
    if key not in _least:
        if len(_least) > 256:
            _least.clear()
        _least[key] = least_output_tokens(schema, request.model)
    return _least[key]


def parsed(reply: Reply, model: Any) -> Any:
    """A structured answer as a pydantic object (or as plain data, for a JSON Schema).

    Raises TruncatedOutput when it ended at the token limit, ValueError when it is no JSON, pydantic's ValidationError when it does not fit.
    """
    data = reply.json()
    validate = getattr(model, "model_validate", None)
    return validate(data) if callable(validate) else data


def was_truncated(reply: Reply) -> bool:
    """Whether a structured answer ended before its JSON did."""
    try:
        json.loads(reply.text)
    except ValueError:
        return reply.finish in ("length", "closed")
    return False
