"""What prompts of a job have in common at the front: rows that share it are sent side by side, and marked where that pays.

A provider reads such a front once and bills the others a tenth, on top of the batch's half. Two fronts of each call are looked
at: everything before its last block (few-shot examples, a document), and what stands before the conversation (tools, system).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from frugal_plugins.prefix.cost import marks_needed
from frugal_plugins.request import fingerprint

_SHORTEST_CHARS: Final = 2000
"""No provider caches fewer than a thousand tokens, so nothing shorter is looked at."""

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Front:
    """The two fronts of a call, as fingerprints, and how many tokens they are; None where they are too short to matter."""

    whole: str | None = None
    whole_tokens: int | None = None
    head: str | None = None
    head_tokens: int | None = None


def front_of(body: Body, text: str, model: str, counted: Callable[[str, str, str], int]) -> Front:
    """The fronts of a provider's body, which is `text` as JSON. `counted` counts the tokens of a text once for each fingerprint.

    None where somebody set breakpoints already: the caller, or the recipe's prompt_cache.
    """
    if len(text) < _SHORTEST_CHARS or not isinstance(body.get("messages"), list) or '"cache_control"' in text:
        return Front()
    head = {name: body[name] for name in ("tools", "system") if body.get(name)}
    turns: list[Any] = body["messages"]
    leading = next((place for place, turn in enumerate(turns) if turn.get("role") not in ("system", "developer")), len(turns))
    before = turns[:leading]
    whole = [head, turns[:-1], _blocks(turns[-1])[:-1]] if turns else []
    found: dict[str, Any] = {}
    for name, value in (("whole", whole), ("head", [head, before])):
        text = json.dumps(value, ensure_ascii=False)
        if len(text) >= _SHORTEST_CHARS:
            mark = fingerprint(value)[:32]
            found |= {name: mark, f"{name}_tokens": counted(mark, text, model)}
    return Front(**found)


def can_be_marked(model: str) -> bool:
    """Whether this model caches only what a breakpoint marks."""
    return marks_needed(model)


def marked(body: Body, which: str, lifetime: str) -> dict[str, Any]:
    """Anthropic's body with one breakpoint at the end of its front (`whole` or `head`)."""
    made: dict[str, Any] = copy.deepcopy(dict(body))
    mark = {"type": "ephemeral", "ttl": lifetime}
    turns: list[dict[str, Any]] = made["messages"]
    last = _blocks(turns[-1])
    if which == "whole" and len(last) > 1:
        last[-2]["cache_control"] = mark
        turns[-1]["content"] = last
    elif which == "whole" and len(turns) > 1:
        blocks = _blocks(turns[-2])
        blocks[-1]["cache_control"] = mark
        turns[-2]["content"] = blocks
    elif made.get("system"):
        system = made["system"]
        made["system"] = [{"type": "text", "text": system}] if isinstance(system, str) else system
        made["system"][-1]["cache_control"] = mark
    elif made.get("tools"):
        made["tools"][-1]["cache_control"] = mark
    return made


def _blocks(turn: Mapping[str, Any]) -> list[Any]:
    content = turn.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
