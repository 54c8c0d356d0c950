"""Old tool results that are stubs: which are read whole again, and whether all of it has paid."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from frugal_plugins.prefix.cost import CachePlan
from frugal_plugins.prefix.reading import Reading, State
from frugal_plugins.request import Request, text_of
from frugal_plugins.text.stubs import asked_for, is_stub
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


def has_stubs(reading: Reading, state: State) -> bool:
    """Whether a state sends tool results as stubs."""
    return state.stubbed > max(state.cut, reading.head)


def is_sent_as_stub(reading: Reading, state: State, place: int) -> bool:
    """Whether a result is sent as a stub and was not read again already."""
    within = max(state.cut, reading.head) <= place < state.stubbed
    return within and is_stub(reading.messages, place) and place not in {fetched for fetched, _ in state.fetched}


def with_fetched(reading: Reading, state: State, places: Sequence[int]) -> State:
    """The state with results read again at the end of what is sent now."""
    return replace(state, fetched=(*state.fetched, *((place, len(reading.messages)) for place in places)))


def wish_met(reading: Reading, state: State) -> State:
    """The state with what the last answer asked for beside other things: it has reached the caller, so it is met now."""
    if not has_stubs(reading, state):
        return state
    said_last = next((text_of(said) for said in reversed(reading.messages) if said.get("role") == "assistant"), "")
    wanted = [place for place in asked_for(said_last) if is_sent_as_stub(reading, state, place)]
    return with_fetched(reading, state, wanted) if wanted else state


def hears(request: Request, *, one_answer: bool) -> bool:
    """Whether an answer that only asks to read something comes to us: else results are sent whole, even those that were stubs."""
    return not one_answer and (request.params.get("n") or 1) == 1


def can_ask(request: Request) -> bool:
    """Whether the model is free to answer with a word to us: no forced tool, no forced form."""
    choice, text = request.params.get("tool_choice"), request.params.get("text")
    form = text.get("format") if isinstance(text, dict) else request.params.get("response_format")
    forced = isinstance(choice, dict) or choice in _FORCED
    return not forced and not (isinstance(form, dict) and form.get("type") != "text")


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
