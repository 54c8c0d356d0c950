"""Whether cutting old tool results down to stubs has paid: what they saved, and what reading results again has cost."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from frugal_plugins.prefix.cost import CachePlan
from frugal_plugins.prefix.reading import Reading, State
from frugal_plugins.request import Request
from frugal_plugins.usage import Usage

_MOST_ACCOUNTS: Final = 1024
_OUTPUT_PER_INPUT: Final = 5.0
_WITHOUT_STUBS: Final = 0.75
"""What compacted results have of their tokens: stubs save what is left of them, not what they were."""
_FORCED: Final = frozenset({"required", "any"})


@dataclass(slots=True)
class Account:
    """Units by model and owner; below zero no further results are cut down, until the stubs there are have earned it back."""

    _units: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def book(self, key: tuple[str, str], units: float) -> None:
        """Add what was saved, or what was paid (below zero)."""
        with self._lock:
            self._units[key] = self._units.get(key, 0.0) + units
            self._units.move_to_end(key)
            while len(self._units) > _MOST_ACCOUNTS:
                self._units.popitem(last=False)

    def holds(self, key: tuple[str, str]) -> bool:
        """Whether stubs have not cost more than they saved."""
        return self._units.get(key, 0.0) >= 0.0


def can_ask(request: Request) -> bool:
    """Whether the model is free to answer with a word to us: one choice, no forced tool, no forced form."""
    choice, form = request.params.get("tool_choice"), request.params.get("response_format")
    forced = isinstance(choice, dict) or choice in _FORCED
    one = (request.params.get("n") or 1) == 1
    return one and not forced and not (isinstance(form, dict) and form.get("type") != "text")


def saved_units(reading: Reading, state: State, sizes: Sequence[int], plan: CachePlan, *, warm: bool) -> float:
    """What a call's stubs save against results in table notation."""
    places = range(max(state.cut, reading.head), max(state.cut, state.stubbed))
    tokens = sum(
        max(0.0, reading.tokens[place] * _WITHOUT_STUBS - sizes[place]) for place in places if sizes[place] < reading.tokens[place]
    )
    return tokens * (plan.read if warm and plan.caches else plan.write)


def paid_units(usage: Usage, plan: CachePlan) -> float:
    """What an answer cost that only asked to read something again."""
    fresh = usage.input_tokens - usage.cache_read_tokens
    return usage.cache_read_tokens * plan.read + fresh * plan.write + usage.output_tokens * _OUTPUT_PER_INPUT
