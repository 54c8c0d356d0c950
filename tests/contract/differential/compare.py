"""What came out of one call, in a form that is equal for equal calls: ids are numbered, times are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from frugal_plugins.sandbox import Fault, Sandbox
from tests.contract.differential.corpus import Item

_IDS = re.compile(
    r"\b(?:chatcmpl|call|msg|resp|rs|fc|toolu|req|run)[-_]+[A-Za-z0-9_=+/-]{6,}|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"
)
_TIMES = frozenset({"created", "created_at", "completed_at"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call: what the caller got or the error he caught, and what arrived at the provider."""

    got: Any
    error: str
    sent: tuple[tuple[str, bytes], ...]


Ask = Callable[[Item], Any]
"""Asks for one item and returns the response, or the list of the chunks."""


def outcome(ask: Ask, item: Item, sandbox: Sandbox) -> Outcome:
    """Ask from a fresh start: nothing cached, the item's fault laid out."""
    sandbox.reset()
    if item.fault is not None:
        sandbox.faults.add(*(Fault(item.fault, retry_after_seconds=0) for _ in range(8)))
    got: Any = None
    error = ""
    try:
        got = ask(item)
    except Exception as caught:  # noqa: BLE001 - whatever the host raises is to be compared
        error = numbered(f"{type(caught).__module__}.{type(caught).__name__} {getattr(caught, 'status_code', '')} {caught}")
    sandbox.settle()
    sent = tuple((request.path, request.raw) for request in sandbox.requests())
    return Outcome(numbered(json.dumps(plain(got), sort_keys=True, default=repr)), error, sent)


def difference(alone: Outcome, through: Outcome) -> str | None:
    """What differs between two outcomes, in a few words, or None."""
    for name in ("error", "got", "sent"):
        one, other = getattr(alone, name), getattr(through, name)
        if one != other:
            return f"{name}: {str(one)[:2000]} | {str(other)[:2000]}"
    return None


def plain(value: Any) -> Any:
    """A response, a chunk or a list of them as JSON values with the type's name, without times."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items() if key not in _TIMES}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if hasattr(value, "model_dump"):
        return {"type of": type(value).__name__, **plain(value.model_dump())}
    return value


def numbered(text: str) -> str:
    """A text with every id replaced by the order in which it first came."""
    seen: dict[str, str] = {}
    return _IDS.sub(lambda found: seen.setdefault(found.group(), f"id-{len(seen)}"), text)


def differences(alone: Ask, through: Ask, items: Iterable[Item], sandbox: Sandbox) -> list[str]:
    """The items that came out otherwise than without us."""
    found = []
    for item in items:
        said = difference(outcome(alone, item, sandbox), outcome(through, item, sandbox))
        if said is not None:
            found.append(f"{item.name}: {said}")
    return found
