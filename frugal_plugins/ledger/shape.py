"""Whether an answer has the form that was asked for, so that quality can be compared without reading anybody's text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from frugal_plugins.request import Reply, Request

_DEEPEST: Final = 20
_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def answer_fits(request: Request, reply: Reply | None) -> int | None:
    """1 when JSON was asked for and came as asked, 0 when it did not, None when no form was asked for or nothing came."""
    wanted = _wanted(request.params)
    if wanted is None or reply is None or reply.message.get("tool_calls"):
        return None
    try:
        value = json.loads(reply.text)
    except (ValueError, RecursionError):
        return 0
    return int(fits(wanted, value))


def _wanted(params: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that was asked for, in the chat or the Responses form; an empty one for plain JSON."""
    text = params.get("text")
    form = params.get("response_format") or (text.get("format") if isinstance(text, Mapping) else None)
    if not isinstance(form, Mapping):
        return None
    if form.get("type") == "json_object":
        return {"type": "object"}
    if form.get("type") != "json_schema":
        return None
    inner = form.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else form.get("schema")
    return schema if isinstance(schema, Mapping) else {}


def fits(schema: Any, value: Any, depth: int = 0) -> bool:
    """Types, required keys and allowed words, all the way down. What else a schema says is not judged.

    >>> fits({"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}, {"total": "5"})
    False
    """
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return True
    if isinstance(schema.get("anyOf"), list):
        return any(fits(one, value, depth + 1) for one in schema["anyOf"])
    kinds = schema.get("type")
    named = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
    if named and not any(_is(kind, value) for kind in named):
        return False
    if isinstance(schema.get("enum"), list) and value not in schema["enum"]:
        return False
    if isinstance(value, dict):
        parts = schema.get("properties")
        parts = parts if isinstance(parts, Mapping) else {}
        required = schema.get("required")
        if isinstance(required, list) and any(name not in value for name in required):
            return False
        return all(fits(parts[name], inner, depth + 1) for name, inner in value.items() if name in parts)
    if isinstance(value, list):
        return all(fits(schema.get("items"), inner, depth + 1) for inner in value)
    return True


def _is(kind: Any, value: Any) -> bool:
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        return True
    return isinstance(value, known) and (kind == "boolean" or not isinstance(value, bool))
