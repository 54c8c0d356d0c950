"""Which of many tools a conversation needs, and a way for the model to get the others.

The choice depends on what was said alone, so every call of a conversation sends the same tools, and it only ever grows: what a turn
called for stays, a tool that was used stays. The others are named in one small tool; a model that calls it is asked again with all.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from frugal_plugins.request import Message, text_of
from frugal_plugins.text.facts import content_words
from frugal_plugins.text.turns import blocks_of, is_user_turn

MORE_TOOLS: Final = "more_tools"
_PER_LATER_TURN: Final = 3
_FEWEST_LEFT_OUT: Final = 4
_PARTS: Final = re.compile(r"[_.-]|(?<=[a-z])(?=[A-Z])")


def name_of(tool: Mapping[str, Any]) -> str | None:
    """A function's name; None for a provider's own tools, which are always sent."""
    inner = tool.get("function")
    named = inner if isinstance(inner, Mapping) else tool
    plain = tool.get("type", "function") in ("function", "custom") and isinstance(named.get("name"), str)
    return str(named["name"]) if plain else None


def chosen(tools: Sequence[Mapping[str, Any]], messages: Sequence[Message], most: int) -> list[Mapping[str, Any]] | None:
    """The tools this conversation needs, in their order, about `most` of them; None where nobody can tell or too few would go."""
    names = [name_of(tool) for tool in tools]
    known = [name for name in names if name is not None]
    if len(set(known)) != len(known) or MORE_TOOLS in known:
        return None
    words = [Counter(_words(tool)) for tool in tools]
    kept = {place for place, name in enumerate(names) if name is None} | _used(names, messages)
    for number, message in enumerate(message for message in messages if is_user_turn(message)):
        scores = _scores(words, text_of(message))
        if not scores and not number:
            return None
        best = sorted(scores, key=lambda place: (-scores[place], place))
        kept.update(best[: most if not number else _PER_LATER_TURN])
    if len(tools) - len(kept) < _FEWEST_LEFT_OUT or not kept:
        return None
    return [tool for place, tool in enumerate(tools) if place in kept]


def with_more(kept: Sequence[Mapping[str, Any]], all_tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The kept tools, and one that names the others."""
    here = {name_of(tool) for tool in kept}
    others = ", ".join(name for tool in all_tools if (name := name_of(tool)) is not None and name not in here)
    said = f"Call this when you need one of these tools, or none of the listed ones fits; you get them then: {others}"
    empty: dict[str, Any] = {"type": "object", "properties": {}}
    anthropic = any("input_schema" in tool for tool in all_tools)
    more: dict[str, Any] = (
        {"name": MORE_TOOLS, "description": said, "input_schema": empty}
        if anthropic
        else {"type": "function", "function": {"name": MORE_TOOLS, "description": said, "parameters": empty}}
    )
    return [*kept, more]


def asks_for_more(message: Message) -> bool:
    """Whether an answer calls for the other tools."""
    calls = message.get("tool_calls")
    named = (call.get("function") for call in calls if isinstance(call, Mapping)) if isinstance(calls, (list, tuple)) else ()
    if any(isinstance(function, Mapping) and function.get("name") == MORE_TOOLS for function in named):
        return True
    return any(block.get("type") == "tool_use" and block.get("name") == MORE_TOOLS for block in blocks_of(message))


def _used(names: Sequence[str | None], messages: Sequence[Message]) -> set[int]:
    called: set[str] = set()
    for message in messages:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, (list, tuple)) else ():
            function = call.get("function") if isinstance(call, Mapping) else None
            called.add(str(function.get("name")) if isinstance(function, Mapping) else "")
        called.update(str(block.get("name")) for block in blocks_of(message) if block.get("type") == "tool_use")
    return {place for place, name in enumerate(names) if name in called}


def _words(tool: Any) -> list[str]:
    """The stems of a tool's name, descriptions, parameters and choices; the name counts twice."""
    found: list[str] = []

    def read(value: Any, depth: int) -> None:
        if isinstance(value, str):
            found.extend(content_words(_PARTS.sub(" ", value)))
        elif isinstance(value, Mapping) and depth < 12:
            for key, part in value.items():
                if key == "properties" and isinstance(part, Mapping):
                    read(" ".join(map(str, part)), depth)
                if key not in ("type", "required", "$schema", "strict"):
                    read(part, depth + 1)
        elif isinstance(value, (list, tuple)):
            for part in value:
                read(part, depth + 1)

    read(tool, 0)
    read(name_of(tool) or "", 0)
    return found


def _scores(words: Sequence[Counter[str]], asked: str) -> dict[int, float]:
    wanted = set(content_words(asked))
    spread = Counter(word for one in words for word in one)
    found: dict[int, float] = {}
    for place, counts in enumerate(words):
        score = sum(math.log(1 + len(words) / spread[word]) * min(2, counts[word]) for word in wanted if word in counts)
        if score > 0:
            found[place] = score / math.sqrt(1 + math.log(1 + sum(counts.values())))
    return found
