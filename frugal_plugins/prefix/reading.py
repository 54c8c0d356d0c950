"""A conversation as the cost model reads it, and what is remembered of it between its calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from frugal_plugins.prefix.cost import CachePlan, static_params_tokens
from frugal_plugins.request import Message, Request
from frugal_plugins.text.turns import chained, digest, head_length, tokens_of
from frugal_plugins.usage import Usage

_GAPS_ASSUMED_WARM: Final = 4
_MISCOUNTED: Final = 0.02


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
        gaps, colds: how many calls followed another, and how many of them after the cache had gone cold.
        cold_reads: how often in a row the provider read nothing from its cache although it should have.
        reads_short: whether the provider has read from its cache in a prompt it was thought to be too short for.
        real_tokens: how many tokens the provider counts for each that is counted here.
        asked: how many messages there were when a model was last asked for a summary.
        pending: a summary a model wrote for later, with its cut and digest.
        fetched: results that are stubs and were read again whole, each with how many messages there were then.
    """

    cut: int = 0
    stubbed: int = 0
    digest: str = ""
    summary: str = ""
    carry: float = 0.0
    seen: int = 0
    seen_digest: str = ""
    at_seconds: float = 0.0
    gaps: int = 0
    colds: int = 0
    cold_reads: int = 0
    reads_short: bool = False
    real_tokens: float = 1.0
    asked: int = 0
    pending: tuple[int, str, str] | None = None
    fetched: tuple[tuple[int, int], ...] = ()

    @property
    def mark(self) -> int:
        """How many messages must be unchanged for this to hold."""
        return max(self.cut, self.stubbed)

    @property
    def cold_share(self) -> float:
        """How likely the next call finds nothing in the cache, from the pauses so far."""
        return self.colds / (self.gaps + _GAPS_ASSUMED_WARM)

    def followed_after(self, pause_seconds: float, ttl_seconds: float) -> State:
        """The state with one more call in it, so long after the last."""
        return replace(self, gaps=self.gaps + 1, colds=self.colds + (pause_seconds >= ttl_seconds))

    def learnt(self, usage: Usage, sent_tokens: int, expected_read: int, plan: CachePlan) -> State:
        """The state after the provider said what it counted and read.

        One that reads nothing where its cache should be warm does not cache this conversation.
        """
        if not usage.input_tokens or not sent_tokens:
            return self
        ratio = min(2.0, max(0.5, usage.input_tokens / sent_tokens))
        known = replace(self, real_tokens=ratio) if abs(ratio - self.real_tokens) > _MISCOUNTED else self
        if usage.cache_read_tokens and sent_tokens < plan.uncached_below:
            known = replace(known, reads_short=True)
        if expected_read < plan.minimum_tokens:
            return known
        return replace(known, cold_reads=0 if usage.cache_read_tokens else min(2, self.cold_reads + 1))

    def as_json(self) -> dict[str, Any]:
        """For the session store."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "", 0, 0.0, ())}


def read_state(data: Mapping[str, Any]) -> State:
    """A state from the session store. Fields it does not know are left out."""
    names = {f.name for f in fields(State)}
    known = {name: value for name, value in data.items() if name in names}
    if known.get("pending") is not None:
        cut, name, text = known["pending"]
        known["pending"] = (int(cut), str(name), str(text))
    known["fetched"] = tuple((int(place), int(at)) for place, at in known.get("fetched", ()))
    return State(**known)


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
    parts = {
        name: request.params[name]
        for name in ("tools", "functions", "response_format", "system", "instructions")
        if request.params.get(name)
    }
    if not parts:
        return 0
    key = digest({"content": parts, "role": request.model})
    found = _params.get(key)
    if found is None:
        if len(_params) > 1024:
            _params.clear()
        found = _params[key] = static_params_tokens(parts, request.model) - 3
    return found
