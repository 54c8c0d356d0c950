"""The least a conversation could have been billed: with every pause known beforehand, and with only how often pauses come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from frugal_plugins.prefix.cost import CachePlan
from frugal_plugins.prefix.reading import Reading
from frugal_plugins.prefix.sizes import LEAST_GAIN_TOKENS, Terms, summary_budget
from frugal_plugins.request import Request
from frugal_plugins.text.summary import summarise
from frugal_plugins.text.turns import cuts, tokens_of
from frugal_plugins.text.view import said, said_shortly, summary_message
from tests.benchmarks.history_data import Talk

MODEL = "openai/bench-model"
WHOLE = 1
"""The cut of a conversation that is sent as it is."""


@dataclass(frozen=True)
class Moves:
    """Every rewrite that can be made in one conversation: at any call, at any earlier user turn, also back to all of it.

    A rewrite has the summary the technique would write there: the same moves and the same loss.
    """

    talk: Talk
    plan: CachePlan
    terms: Terms
    behind: Sequence[int]
    places: Sequence[int]
    summaries: dict[int, int]

    @classmethod
    def of(cls, talk: Talk, plan: CachePlan, terms: Terms) -> Moves:
        reading = Reading.of(Request(MODEL, talk.messages))
        places = cuts(talk.messages)
        summaries = {WHOLE: 0} | {cut: _summary_tokens(talk, reading, cut, terms) for cut in places if cut > WHOLE}
        return cls(talk, plan, terms, [0, *accumulate(reading.tokens)], places, summaries)

    def at(self, place: int) -> list[int]:
        """The cuts a call at a place may choose anew."""
        possible = [cut for cut in self.places if cut <= place][: -(self.terms.keep_turns - 1) or None]
        static = self.behind[1]
        return [WHOLE, *(c for c in possible if c > WHOLE and self.summaries[c] + LEAST_GAIN_TOKENS <= self.behind[c] - static)]

    def rewrite(self, place: int, cut: int, *, warm: bool) -> float:
        """What a call costs with a new cut, in units."""
        static = self.behind[1]
        return self.plan.units(static * warm, static + self.summaries[cut] + self.behind[place] - self.behind[cut])

    def stay(self, place: int, before: int, cut: int, *, warm: bool) -> float:
        """What it costs going on from the call before."""
        front = self.behind[1] + self.summaries[cut] - self.behind[cut]
        return self.plan.units((front + self.behind[before]) * warm, front + self.behind[place])


def with_foreknowledge(moves: Moves, warm: Sequence[bool]) -> float:
    """The least bill when it is known which calls come after a pause."""
    calls = moves.talk.calls
    best: dict[int, float] = {WHOLE: 0.0}
    for number, place in enumerate(calls):
        cheapest = min(best.values())
        new = {cut: cheapest + moves.rewrite(place, cut, warm=warm[number]) for cut in moves.at(place)}
        for cut, spent in best.items():
            stay = spent + moves.stay(place, calls[number - 1] if number else 0, cut, warm=warm[number])
            new[cut] = min(new.get(cut, stay), stay)
        best = new
    return min(best.values())


def without_foreknowledge(moves: Moves, warm: Sequence[bool], cold_share: float) -> float:
    """The bill of the best policy that knows the whole conversation and how likely a pause is, but not when one comes."""
    calls = moves.talk.calls
    value: tuple[dict[int, float], dict[int, float]] = ({}, {})
    plans: list[tuple[dict[int, int], dict[int, int]]] = []
    for number in range(len(calls) - 1, -1, -1):
        now = _looking_ahead(moves, number, value, cold_share)
        value = (now[0][0], now[1][0])
        plans.append((now[0][1], now[1][1]))
    cut, spent = WHOLE, 0.0
    for number, chosen in enumerate(reversed(plans)):
        to = chosen[warm[number]][cut]
        before = calls[number - 1] if number else 0
        stay = moves.stay(calls[number], before, cut, warm=warm[number])
        spent += stay if to == cut else moves.rewrite(calls[number], to, warm=warm[number])
        cut = to
    return spent


def _looking_ahead(
    moves: Moves, number: int, later: tuple[dict[int, float], dict[int, float]], cold_share: float
) -> list[tuple[dict[int, float], dict[int, int]]]:
    """For a cold and a warm call: the expected cost from here on by the cut in force, and which cut to choose."""
    calls = moves.talk.calls
    place, before = calls[number], calls[number - 1] if number else 0
    ahead = {cut: cold_share * cold + (1 - cold_share) * later[1][cut] for cut, cold in later[0].items()}
    known = [WHOLE] if number == 0 else [WHOLE, *(cut for cut in moves.places if WHOLE < cut <= before)]
    found = []
    for warm in (False, True):
        anew = min((moves.rewrite(place, cut, warm=warm) + ahead.get(cut, 0.0), cut) for cut in moves.at(place))
        best: dict[int, float] = {}
        choice: dict[int, int] = {}
        for cut in known:
            stay = moves.stay(place, before, cut, warm=warm) + ahead.get(cut, 0.0)
            best[cut], choice[cut] = min((stay, cut), anew)
        found.append((best, choice))
    return found


def _summary_tokens(talk: Talk, reading: Reading, cut: int, terms: Terms) -> int:
    """Tokens of the message that stands for everything before a cut, made at the first call that keeps enough turns."""
    turns = [place for place in cuts(talk.messages) if place >= cut]
    end = next(
        (place for place in talk.calls if len(turns) >= terms.keep_turns and place > turns[terms.keep_turns - 1]), len(talk.messages)
    )
    known = "\n".join(turn.text for turn in said(talk.messages[cut:end]))
    text = summarise(said_shortly(talk.messages[1:cut]), summary_budget(reading, cut, terms), known=known)
    return tokens_of(summary_message(text, 2, cut), MODEL)
