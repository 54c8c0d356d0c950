"""When a conversation is worth summing up, priced with the provider's prompt cache.

The rule is the ski-renter's: add up what the full history costs extra call by call, and rewrite once that reaches what the
rewriting costs. It needs no forecast of how long a conversation will last. When the prefix has gone cold anyway, rewriting
is free; a prompt is not shrunk below the cache's minimum unless it still wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate
from typing import Any, Final, Literal

from frugal_plugins.prefix.cost import CachePlan, Rewrite, static_params_tokens
from frugal_plugins.request import Message, Request
from frugal_plugins.text.turns import chained, cuts, digest, has_results, head_length, is_user_turn, tokens_of

SUMMARY_FRAME_TOKENS: Final = 24
_LEAST_SUMMARY_TOKENS: Final = 56
_LEAST_GAIN_TOKENS: Final = 32
_SHORT_OF: Final = 1.03
_LEAST_SHARE: Final = 0.12


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a conversation between its calls.

    Attributes:
        cut: messages before this one are replaced by the summary (the developer's at the top are not).
        stubbed: tool results before this message are stubs.
        digest: names the messages the summary and the stubs stand for.
        carry: what full history has cost extra since the last rewrite, in units.
        seen: how many messages the last call had, `seen_digest` names them.
        at_seconds: when the last call was sent.
        cold_reads: how often in a row the provider read nothing from its cache although it should have.
        asked: how many messages there were when a model was last asked for a summary.
        pending: a summary a model wrote for later, with its cut and digest.
    """

    cut: int = 0
    stubbed: int = 0
    digest: str = ""
    summary: str = ""
    carry: float = 0.0
    seen: int = 0
    seen_digest: str = ""
    at_seconds: float = 0.0
    cold_reads: int = 0
    asked: int = 0
    pending: tuple[int, str, str] | None = None

    @property
    def mark(self) -> int:
        """How many messages must be unchanged for this to hold."""
        return max(self.cut, self.stubbed)

    def as_json(self) -> dict[str, Any]:
        """For the session store."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "", 0, 0.0)}


def read_state(data: Mapping[str, Any]) -> State:
    """A state from the session store. Fields it does not know are left out."""
    names = {f.name for f in fields(State)}
    known = {name: value for name, value in data.items() if name in names}
    if known.get("pending") is not None:
        cut, name, text = known["pending"]
        known["pending"] = (int(cut), str(name), str(text))
    return State(**known)


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
        as_long_again: and the rewrite must pay back within this share of the calls the conversation has had: what has
            lasted is expected to last as long again, and a short conversation may be over.
    """

    when: Literal["it_pays", "always"] = "it_pays"
    every_turns: int = 5
    keep_turns: int = 2
    summary_tokens: int = 400
    summary_share: float = 0.35
    keep_results: int = 8
    patience: float = 1.5
    as_long_again: float = 0.5


@dataclass(slots=True)
class Reading:
    """A conversation, read once: digests, tokens, where it may be cut."""

    messages: Sequence[Message]
    digests: list[bytes]
    tokens: list[int]
    head: int
    params_tokens: int

    @classmethod
    def of(cls, request: Request) -> Reading:
        """Read a request."""
        digests = [digest(message) for message in request.messages]
        tokens = [tokens_of(message, request.model, name) for message, name in zip(request.messages, digests, strict=True)]
        return cls(request.messages, digests, tokens, head_length(request.messages), _params_tokens(request))

    def upto(self, count: int) -> str:
        """The name of the first `count` messages, the developer's left out: a clock there must not end a conversation."""
        return chained(self.digests[self.head : count])

    def holds(self, state: State) -> bool:
        """Whether this is the conversation a state was made from: its summed-up beginning is unchanged."""
        return state.mark <= len(self.messages) and (not state.mark or self.upto(state.mark) == state.digest)

    def continues(self, state: State) -> bool:
        """Whether it goes on where the last call ended."""
        return 0 < state.seen <= len(self.messages) and self.upto(state.seen) == state.seen_digest


_params: dict[bytes, int] = {}


def _params_tokens(request: Request) -> int:
    """Tokens of tools, schema and an Anthropic system prompt; the same ones are counted once."""
    parts = {name: request.params[name] for name in ("tools", "functions", "response_format", "system") if request.params.get(name)}
    if not parts:
        return 0
    key = digest({"content": parts, "role": request.model})
    found = _params.get(key)
    if found is None:
        if len(_params) > 1024:
            _params.clear()
        found = _params[key] = static_params_tokens(parts, request.model) - 3
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do with this call, and what it was weighed by (units)."""

    state: State
    rewrite: Rewrite | None
    why: str
    saves: float = 0.0


@dataclass(frozen=True, slots=True)
class _Candidate:
    cut: int
    stubbed: int
    rewrite: Rewrite


def choose(
    reading: Reading,
    state: State,
    shown: Sequence[int],
    terms: Terms,
    plan: CachePlan,
    *,
    warm: bool,
    shown_from: Callable[[int], int] | None = None,
) -> Choice:
    """Whether to rewrite now.

    Args:
        shown: tokens of every message as the present view sends it; 0 for those the summary stands for.
        shown_from: tokens of the messages from a cut on, as a view with that cut would send them (a tool result that refers
            to one before the cut has to be written out again). Without it, the sum of `shown`.
        warm: whether the provider should still have what was sent last time.
    """
    sizes = _Sizes(reading, state, shown, terms, warm, shown_from)
    found = [candidate for candidate in sizes.candidates(plan) if _worth(candidate.rewrite)]
    if terms.when == "always":
        return _fixed(reading, state, found, terms)
    best = max(found, key=lambda candidate: candidate.rewrite.saves(plan), default=None)
    if best is None:
        return Choice(state, None, "nothing to gain yet")
    saves, cost = best.rewrite.saves(plan), best.rewrite.cost(plan)
    if saves <= 0:
        return Choice(state, None, "a shorter prompt would fall below the cache's minimum and cost more")
    carry = state.carry + saves
    if cost > 0 and saves < _LEAST_SHARE * best.rewrite.stays(plan):
        return Choice(
            replace(state, carry=carry), None, f"a rewrite would save {saves:.0f} units a call, too little to risk its cost", saves
        )
    calls = sum(message.get("role") == "assistant" for message in reading.messages) + 1
    if cost > 0 and (carry < cost * terms.patience or saves * calls * terms.as_long_again < cost):
        return Choice(replace(state, carry=carry), None, f"not yet: rewriting costs {cost:.0f} units, waiting has cost {carry:.0f}", saves)
    why = (
        "the prefix is cold, so rewriting is free"
        if cost <= 0
        else f"full history has cost {carry:.0f} units extra, rewriting costs {cost:.0f}"
    )
    return Choice(_moved(reading, state, best), best.rewrite, why, saves)


def _worth(rewrite: Rewrite) -> bool:
    gain = rewrite.stay_tokens - rewrite.after_tokens
    return gain >= _LEAST_GAIN_TOKENS and rewrite.stay_tokens >= rewrite.after_tokens * 1.02


def _fixed(reading: Reading, state: State, found: Sequence[_Candidate], terms: Terms) -> Choice:
    turns = sum(is_user_turn(message) for message in reading.messages[max(state.cut, reading.head) :])
    cut = [candidate for candidate in found if candidate.cut > state.cut]
    if cut and turns >= terms.every_turns + terms.keep_turns:
        return Choice(_moved(reading, state, cut[0]), cut[0].rewrite, f"{turns} user turns since the last summary")
    results = sum(has_results(message) for message in reading.messages[state.mark :])
    stubs = [candidate for candidate in found if candidate.stubbed > state.stubbed and candidate.cut == state.cut]
    if stubs and results >= terms.every_turns + terms.keep_results:
        return Choice(_moved(reading, state, stubs[0]), stubs[0].rewrite, f"{results} tool results since the last rewrite")
    return Choice(state, None, f"{turns} user turns since the last summary; due at {terms.every_turns + terms.keep_turns}")


def _moved(reading: Reading, state: State, candidate: _Candidate) -> State:
    mark = max(candidate.cut, candidate.stubbed)
    return replace(state, cut=candidate.cut, stubbed=candidate.stubbed, digest=reading.upto(mark), carry=0.0)


class _Sizes:
    """How many tokens the prompt has now and would have after each possible rewrite."""

    def __init__(
        self, reading: Reading, state: State, shown: Sequence[int], terms: Terms, warm: bool, shown_from: Callable[[int], int] | None
    ) -> None:
        self.reading, self.state, self.shown, self.terms = reading, state, shown, terms
        self.shown_from = shown_from
        self.behind = [0, *accumulate(shown)]
        self.raw = [0, *accumulate(reading.tokens)]
        self.static = reading.params_tokens + self.raw[reading.head]
        self.summary = self._summary(state.cut) if state.cut > reading.head else 0
        self.stay = self.static + self.summary + self._shown(max(state.cut, reading.head), len(shown))
        sent = self.static + self.summary + self._shown(max(state.cut, reading.head), state.seen) if state.seen else 0
        self.warm = sent if warm else 0

    def candidates(self, plan: CachePlan) -> list[_Candidate]:
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

    def _cuts(self) -> list[int]:
        """Cuts beyond the present one that leave the kept turns whole."""
        places = cuts(self.reading.messages)
        last = places[-self.terms.keep_turns] if len(places) >= self.terms.keep_turns else -1
        return [place for place in places if max(self.state.cut, self.reading.head) < place <= last]

    def _cut(self, cut: int) -> _Candidate:
        before = self.static + self._summary(cut)
        after = before + self._shown(cut, len(self.shown))
        if self.shown_from is not None and self.stay - after >= _LEAST_GAIN_TOKENS:
            after = before + self.shown_from(cut)
        return _Candidate(cut, max(cut, self.state.stubbed), Rewrite(self.warm, self.stay, self.static, after))

    def _stubs(self) -> _Candidate | None:
        """All but the newest tool results as stubs; what stands before the first of them stays warm."""
        start = max(self.state.mark, self.reading.head)
        places = [p for p in range(start, len(self.shown)) if self.shown[p] > 120 and has_results(self.reading.messages[p])]
        old = places[: -self.terms.keep_results] if self.terms.keep_results else places
        if not old:
            return None
        gain = sum(self.shown[place] - 60 for place in old)
        static = self.static + self.summary + self._shown(max(self.state.cut, self.reading.head), old[0])
        return _Candidate(self.state.cut, old[-1] + 1, Rewrite(self.warm, self.stay, static, self.stay - gain))

    def _summary(self, cut: int) -> int:
        return SUMMARY_FRAME_TOKENS + summary_budget(self.reading, cut, self.terms)

    def _shown(self, start: int, end: int) -> int:
        return self.behind[max(start, end)] - self.behind[start]


def summary_budget(reading: Reading, cut: int, terms: Terms) -> int:
    """How many tokens the summary of everything before `cut` may take."""
    archived = sum(reading.tokens[reading.head : cut])
    tools = any(map(has_results, reading.messages[reading.head : cut]))
    return min(terms.summary_tokens * (1 + tools), max(_LEAST_SUMMARY_TOKENS, int(archived * terms.summary_share)))
