"""JSON in and out, with orjson where it is installed (LiteLLM brings it) and the standard library where it is not."""

from __future__ import annotations

import json
from typing import Any

try:
    import orjson
except ImportError:  # pragma: no cover - orjson comes with LiteLLM
    orjson = None  # type: ignore[assignment]


def loads(raw: bytes | str) -> Any:
    """Parse JSON; raises `ValueError` when it is not."""
    return orjson.loads(raw) if orjson is not None else json.loads(raw)


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON, keys in the order they have."""
    if orjson is not None:
        return orjson.dumps(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def dump_text(value: Any) -> str:
    """Compact JSON as a string."""
    return dumps(value).decode()


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set: how the longer lists of field names are written down."""
    return frozenset(text.split())
