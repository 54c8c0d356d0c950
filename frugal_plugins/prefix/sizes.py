"""How many tokens a conversation's prompt has, and would have after each rewrite that could be made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from frugal_plugins.prefix.cost import CachePlan, Rewrite
from frugal_plugins.prefix.reading import Reading, State
from frugal_plugins.text.turns import cuts, has_results
from frugal_plugins.text.view import to_be_seen
from frugal_plugins.tokens import part_tokens

SUMMARY_FRAME_TOKENS: Final = 24
LEAST_GAIN_TOKENS: Final = 32
_LEAST_SUMMARY_TOKENS: Final = 56
_SHORT_OF: Final = 1.01
_MOST_TRIED: Final = 8
_MOST_FILLED_TOKENS: Final = 80
_LEEWAY_TOKENS: Final = 8

SummedUp = Callable[[int, int], int]
"""Tokens of the summary of everything before a cut, when it may take so many."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a conversation is shortened.

    Attributes:
        when: `it_pays` by the rule above, `always` after a fixed number of turns.
        every_turns: user turns between two summaries, for `always`.
        keep_turns: user turns that stay word for word.
        summary_tokens: the most a summary may take; twice that where it stands for tool results, which are dense with ids.
        summary_share: and at most this share of what it stands for.
        keep_results: how many of the newest tool results are never cut down to stubs.
        patience: how many times the cost of a rewrite full history must have cost extra before it is made.
        as_long_again: and the rewrite must pay back within this share of the calls the conversation has had, since it may end at
            any time; within fewer or more where conversations before it have shown how long they last.
    """

    when: Literal["it_pays", "always"] = "it_pays"
    every_turns: int = 5
    keep_turns: int = 2
    summary_tokens: int = 400
    summary_share: float = 0.35
    keep_results: int = 8
    patience: float = 1.25
    as_long_again: float = 0.2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rewrite that could be made: where it cuts, up to where tool results become stubs, what its
    summary may take where that is not the usual, and its prompt.
    """

    cut: int
    stubbed: int
    summary_tokens: int | None
    rewrite: Rewrite


class Sizes:
    """How many tokens the prompt has now and would have after each possible rewrite."""

    def __init__(
        self, reading: Reading, state: State, shown: Sequence[int], terms: Terms, warm: bool, shown_from: Callable[[int], int] | None
    ) -> None:
        self.reading, self.state, self.shown, self.terms = reading, state, shown, terms
        self.shown_from = shown_from
        self.behind = [0, *accumulate(shown)]
        self.raw = [0, *accumulate(reading.tokens)]
        self.static = reading.params_tokens + self.raw[reading.head]
        self.seen = [0, *accumulate(part_tokens(to_be_seen([message])) for message in reading.messages)]
        self.summary = self._summary(state.cut) + self._seen(state.cut) if state.cut > reading.head else 0
        self.stay = self.static + self.summary + self._shown(max(state.cut, reading.head), len(shown))
        sent = self.static + self.summary + self._shown(max(state.cut, reading.head), state.seen) if state.seen else 0
        self.warm = sent if warm else 0

    def candidates(self, plan: CachePlan) -> list[Candidate]:
        """A cut after the kept turns, one further back that stays above the cache's minimum, and stubs."""
        found = []
        possible = self._cuts()
        if possible:
            found.append(self._cut(possible[-1]))
            if plan.caches and found[0].rewrite.after_tokens < plan.minimum_tokens * _SHORT_OF:
                larger = (self._cut(cut) for cut in reversed(possible[:-1]))
                found.extend([next((c for c in larger if c.rewrite.after_tokens >= plan.minimum_tokens * _SHORT_OF), found[0])])
        stubs = self._stubs()
        return [*found, stubs] if stubs else found

    def settled(self, chosen: Candidate, plan: CachePlan, summed_up: SummedUp | None) -> Candidate | None:
        """The chosen cut with its summary as it really is, a little longer or a little further back where that keeps it cached.

        A summary is often shorter than it may be, and a prompt a little below the cache's minimum is billed in full.
        """
        meant_below = not plan.caches or chosen.rewrite.after_tokens < plan.minimum_tokens
        if summed_up is None or meant_below or chosen.cut == self.state.cut:
            return chosen
        floor = math.ceil(plan.minimum_tokens * _SHORT_OF)
        cuts = self._cuts()
        place = cuts.index(chosen.cut)
        for cut in reversed(cuts[max(0, place + 1 - _MOST_TRIED) : place + 2]):
            short = floor - self._cut(cut).rewrite.after_tokens
            budget = self._summary(cut) - SUMMARY_FRAME_TOKENS + max(0, short)
            if short <= _MOST_FILLED_TOKENS:
                real = self._cut(cut, budget + _LEEWAY_TOKENS * (short > 0), summed_up)
                if real.rewrite.after_tokens >= floor:
                    return real
        return None

    def _cuts(self) -> list[int]:
        """Cuts beyond the present one that leave the kept turns whole."""
        places = cuts(self.reading.messages)
        last = places[-self.terms.keep_turns] if len(places) >= self.terms.keep_turns else -1
        return [place for place in places if max(self.state.cut, self.reading.head) < place <= last]

    def _cut(self, cut: int, budget: int | None = None, summed_up: SummedUp | None = None) -> Candidate:
        summary = self._summary(cut) if budget is None or summed_up is None else SUMMARY_FRAME_TOKENS + summed_up(cut, budget)
        before = self.static + summary + self._seen(cut)
        after = before + self._shown(cut, len(self.shown))
        if self.shown_from is not None and self.stay - after >= LEAST_GAIN_TOKENS:
            after = before + self.shown_from(cut)
        return Candidate(cut, max(cut, self.state.stubbed), budget, Rewrite(self.warm, self.stay, self.static, after))

    def _stubs(self) -> Candidate | None:
        """All but the newest tool results as stubs; what stands before the first of them stays warm."""
        start = max(self.state.mark, self.reading.head)
        places = [p for p in range(start, len(self.shown)) if self.shown[p] > 120 and has_results(self.reading.messages[p])]
        old = places[: -self.terms.keep_results] if self.terms.keep_results else places
        if not old:
            return None
        gain = sum(self.shown[place] - 60 for place in old)
        static = self.static + self.summary + self._shown(max(self.state.cut, self.reading.head), old[0])
        return Candidate(self.state.cut, old[-1] + 1, None, Rewrite(self.warm, self.stay, static, self.stay - gain))

    def _summary(self, cut: int) -> int:
        return SUMMARY_FRAME_TOKENS + summary_budget(self.reading, cut, self.terms)

    def _seen(self, cut: int) -> int:
        """Tokens of the pictures and files that are sent beside a summary."""
        return self.seen[cut] - self.seen[self.reading.head]

    def _shown(self, start: int, end: int) -> int:
        return self.behind[max(start, end)] - self.behind[start]


def summary_budget(reading: Reading, cut: int, terms: Terms) -> int:
    """How many tokens the summary of everything before `cut` may take."""
    archived = sum(reading.tokens[reading.head : cut])
    tools = any(map(has_results, reading.messages[reading.head : cut]))
    return min(terms.summary_tokens * (1 + tools), max(_LEAST_SUMMARY_TOKENS, int(archived * terms.summary_share)))
