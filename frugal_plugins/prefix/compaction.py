"""When a conversation is worth summing up, priced with the provider's prompt cache.

The rule is the ski-renter's: add up what the full history costs extra call by call, and rewrite once that reaches what the
rewriting costs. It needs no forecast of how long a conversation will last. When the prefix has gone cold, rewriting is free; so it
is while the whole conversation is too short to be cached, and once it is long enough it is sent whole again. A prompt that is
cached is not shrunk below the cache's minimum unless that still wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from frugal_plugins.prefix.cost import CachePlan, Rewrite
from frugal_plugins.prefix.reading import Reading, State
from frugal_plugins.prefix.sizes import LEAST_GAIN_TOKENS, Candidate, Sizes, SummedUp, Terms
from frugal_plugins.text.turns import answers_in, has_results, is_user_turn

_LEAST_SHARE: Final = 0.12


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do with this call, and what it was weighed by (units)."""

    state: State
    rewrite: Rewrite | None
    why: str
    saves: float = 0.0
    summary_tokens: int | None = None


def choose(
    reading: Reading,
    state: State,
    shown: Sequence[int],
    terms: Terms,
    plan: CachePlan,
    *,
    warm: bool,
    shown_from: Callable[[int], int] | None = None,
    summed_up: SummedUp | None = None,
    making: Callable[[int], float] | None = None,
    ahead: Callable[[float], float] | None = None,
) -> Choice:
    """Whether to rewrite now.

    Args:
        shown: tokens of every message as the present view sends it; 0 for those the summary stands for.
        shown_from: tokens of the messages from a cut on, as a view with that cut would send them (a tool result that refers
            to one before the cut has to be written out again). Without it, the sum of `shown`.
        warm: whether the provider should still have what was sent last time.
        summed_up: how long summaries really become; without it they are as long as they may be.
        making: what writing that summary costs, in units; without it, nothing.
        ahead: how many more calls are expected where so many are believed; without it, those.
    """
    sizes = Sizes(reading, state, shown, terms, warm, shown_from)
    if terms.when == "always":
        return _fixed(reading, state, [one for one in sizes.candidates(plan) if _worth(one.rewrite)], terms)
    whole = reading.params_tokens + sum(reading.tokens)
    if plan.caches and whole < plan.uncached_below and not state.reads_short:
        plan = plan.without_cache()
    later = plan.expecting(state.cold_share)
    if later.caches and state.mark and whole * later.read < sizes.stay < plan.minimum_tokens:
        return _whole_again(state, sizes, whole)
    found = [candidate for candidate in sizes.candidates(later) if _worth(candidate.rewrite)]
    best = max(found, key=lambda candidate: candidate.rewrite.saves(later), default=None)
    if best is None:
        return Choice(state, None, "nothing to gain yet")
    if best.rewrite.saves(later) <= 0:
        return Choice(state, None, "a shorter prompt would fall below the cache's minimum and cost more")
    saves = best.rewrite.saves(plan)
    cost = best.rewrite.cost(plan) + (making(best.cut) if making is not None and best.cut > state.cut else 0.0)
    waited = replace(state, carry=state.carry + max(0.0, saves))
    if reason := _too_early(waited, terms, saves, cost, best.rewrite.stays(plan), lambda: _calls_ahead(reading, waited, terms, ahead)):
        return Choice(waited, None, reason, saves)
    real = sizes.settled(best, later, summed_up)
    if real is None or not _worth(real.rewrite):
        return Choice(waited, None, "not yet: with its summary the prompt would fall below the cache's minimum", saves)
    paid = f"full history has cost {waited.carry:.0f} units extra, rewriting costs {cost:.0f}"
    why = "the prefix is not cached, so rewriting is free" if cost <= 0 else paid
    return Choice(_moved(reading, state, real), real.rewrite, why, saves, real.summary_tokens)


def _too_early(waited: State, terms: Terms, saves: float, cost: float, stays: float, ahead: Callable[[], float]) -> str | None:
    """Why a rewrite that costs something is not made yet; None where it is."""
    if cost <= 0:
        return None
    if saves < _LEAST_SHARE * stays:
        return f"a rewrite would save {saves:.0f} units a call, too little to risk its cost"
    if waited.carry < cost * terms.patience:
        return f"not yet: rewriting costs {cost:.0f} units, waiting has cost {waited.carry:.0f}"
    calls = ahead()
    if saves * calls < cost:
        return f"rewriting costs {cost:.0f} units, and {calls:.0f} more calls that save {saves:.0f} each do not pay it back"
    return None


def _calls_ahead(reading: Reading, state: State, terms: Terms, ahead: Callable[[float], float] | None) -> float:
    """How many calls a rewrite is expected to serve: until the conversation ends, or a pause makes the next rewrite free."""
    believed = (answers_in(reading.messages) + 1) * terms.as_long_again
    return float(min(believed if ahead is None else ahead(believed), 1 / max(state.cold_share, 1e-6)))


def _whole_again(state: State, sizes: Sizes, whole: int) -> Choice:
    """Below the cache's minimum nothing is cached, so summing up was free; now the whole conversation is long enough."""
    rewrite = Rewrite(sizes.warm, sizes.stay, sizes.static, whole)
    restored = replace(state, cut=0, stubbed=0, digest="", summary="", carry=0.0, fetched=())
    return Choice(restored, rewrite, "the conversation is long enough to be cached now, so it is sent whole again")


def _worth(rewrite: Rewrite) -> bool:
    gain = rewrite.stay_tokens - rewrite.after_tokens
    return gain >= LEAST_GAIN_TOKENS and rewrite.stay_tokens >= rewrite.after_tokens * 1.02


def _fixed(reading: Reading, state: State, found: Sequence[Candidate], terms: Terms) -> Choice:
    turns = sum(is_user_turn(message) for message in reading.messages[max(state.cut, reading.head) :])
    cut = [candidate for candidate in found if candidate.cut > state.cut]
    if cut and turns >= terms.every_turns + terms.keep_turns:
        return Choice(_moved(reading, state, cut[0]), cut[0].rewrite, f"{turns} user turns since the last summary")
    results = sum(has_results(message) for message in reading.messages[state.mark :])
    stubs = [candidate for candidate in found if candidate.stubbed > state.stubbed and candidate.cut == state.cut]
    if stubs and results >= terms.every_turns + terms.keep_results:
        return Choice(_moved(reading, state, stubs[0]), stubs[0].rewrite, f"{results} tool results since the last rewrite")
    return Choice(state, None, f"{turns} user turns since the last summary; due at {terms.every_turns + terms.keep_turns}")


def _moved(reading: Reading, state: State, candidate: Candidate) -> State:
    mark = max(candidate.cut, candidate.stubbed)
    later = tuple(one for one in state.fetched if one[1] > mark)
    return replace(state, cut=candidate.cut, stubbed=candidate.stubbed, digest=reading.upto(mark), carry=0.0, fetched=later)
