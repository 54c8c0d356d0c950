"""How often prompts come back, learnt from the traffic itself: what decides whether marking them for the cache pays.

Prompts of one template are a family: the developer's prompt with clocks and ids masked, the tools, and who asks. For each
family we know how soon the next request followed, how often a conversation went on, and which lines were seen changing.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.prefix.cost import CachePlan
from frugal_plugins.prefix.sessions import session_key
from frugal_plugins.request import Request, canonical, fingerprint
from frugal_plugins.text.turns import digest, head_length
from frugal_plugins.text.volatile import Passage, numbered, shape_of

_MOST_FAMILIES: Final = 2048
_MOST_SESSIONS: Final = 20_000
_MOST_COUNTS: Final = 4096
_FAMILY_CHARS: Final = 600
_FIVE_MINUTES: Final = 300.0
_HALF_HOUR: Final = 1800.0
_HOUR: Final = 3600.0
_PRIOR_WEIGHT: Final = 3.0
_LIKELY, _UNLIKELY = 0.6, 0.1
_HALF_OF_CALLS: Final = 400
_SELDOM_CALLS: Final = 20


@dataclass(slots=True)
class _Gaps:
    """How many calls there were, and how many were followed within five minutes, half an hour and an hour."""

    calls: float = 0.0
    soon: float = 0.0
    half: float = 0.0
    later: float = 0.0

    def add(self, gap_seconds: float | None) -> None:
        """One more call; `gap_seconds` since the one it follows. Old calls count less and less."""
        if self.calls >= _HALF_OF_CALLS:
            self.calls, self.soon, self.half, self.later = self.calls / 2, self.soon / 2, self.half / 2, self.later / 2
        self.calls += 1
        if gap_seconds is not None:
            self.followed(gap_seconds)

    def followed(self, gap_seconds: float) -> None:
        """A call was followed by another so many seconds later."""
        self.soon += gap_seconds < _FIVE_MINUTES
        self.half += gap_seconds < _HALF_HOUR
        self.later += gap_seconds < _HOUR

    def share(self, prior: float, hits: float) -> float:
        """How likely a call is followed in time, starting from `prior`."""
        return (hits + prior * _PRIOR_WEIGHT) / (max(0.0, self.calls - 1) + _PRIOR_WEIGHT)


@dataclass(slots=True)
class _Family:
    last_seconds: float | None = None
    front: _Gaps = field(default_factory=_Gaps)
    first_calls: _Gaps = field(default_factory=_Gaps)
    later_calls: _Gaps = field(default_factory=_Gaps)
    lines: dict[str, str] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    changing: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Reuse:
    """What is known about how a request's parts come back.

    Attributes:
        family: names the family.
        front_soon, front_half, front_later: how likely another request with the same front follows within five minutes, half an
            hour, an hour.
        goes_on_soon, goes_on_half, goes_on_later: how likely this conversation goes on.
        comes_back: whether anything suggests that this front is sent again.
        changing: lines that were seen with different values, by shape and place.
    """

    family: str
    front_soon: float
    front_half: float
    front_later: float
    goes_on_soon: float
    goes_on_half: float
    goes_on_later: float
    comes_back: bool
    changing: frozenset[str]

    def moving(self, developer_text: str) -> list[Passage]:
        """The lines of a prompt that were seen changing and only state a value."""
        return [passage for key, passage in numbered(developer_text) if key in self.changing and passage.may_move]

    def static_lifetime(self, plan: CachePlan, *, hour: bool) -> str | None:
        """`5m`, `1h` or None: what marking the shared front is worth most."""
        return _lifetime(plan, self.front_soon, self.front_later, hour)

    def tail_lifetime(self, plan: CachePlan, *, hour: bool) -> str | None:
        """The same for the conversation so far."""
        return _lifetime(plan, self.goes_on_soon, self.goes_on_later, hour)

    @property
    def why(self) -> str:
        """The shares behind a decision, for the ledger."""
        return f"front {self.front_soon:.0%} in 5 min, {self.front_later:.0%} in 1 h; conversation {self.goes_on_soon:.0%}"


def _lifetime(plan: CachePlan, soon: float, later: float, hour: bool) -> str | None:
    five = plan.pays(soon)
    sixty = plan.pays(later, hour=True) if hour and plan.write_1h is not None else 0.0
    if max(five, sixty) <= 0:
        return None
    return "1h" if sixty > five else "5m"


@dataclass(slots=True)
class Traffic:
    """Remembers families of prompts, bounded, in this process. Holds prompt lines that look volatile, and tools; writes nothing down."""

    _families: OrderedDict[str, _Family] = field(default_factory=OrderedDict)
    _sessions: OrderedDict[str, tuple[float, bool]] = field(default_factory=OrderedDict)
    _tools: OrderedDict[frozenset[bytes], tuple[Mapping[str, Any], ...]] = field(default_factory=OrderedDict)
    _counts: OrderedDict[bytes, int] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def see(self, request: Request, developer_text: str, now_seconds: float) -> Reuse:
        """Learn from a request and say what is known about its kind."""
        name = family_of(request, developer_text)
        session = session_key(request, "prompt_cache") if len(request.messages) > 1 or request.session else None
        going_on = any(message.get("role") == "assistant" for message in request.messages[head_length(request.messages) :])
        with self._lock:
            family = self._families.setdefault(name, _Family())
            self._families.move_to_end(name)
            _drop(self._families, _MOST_FAMILIES)
            self._learn_times(family, session, now_seconds, going_on=going_on)
            _learn_lines(family, developer_text)
            return _known(name, family, going_on, bool(request.params.get("tools")))

    def _learn_times(self, family: _Family, session: str | None, now: float, *, going_on: bool) -> None:
        gap = None if family.last_seconds is None else now - family.last_seconds
        family.front.add(gap)
        family.last_seconds = now
        (family.later_calls if going_on else family.first_calls).add(None)
        before = self._sessions.get(session) if session else None
        if before is not None and going_on:
            at_seconds, was_going_on = before
            (family.later_calls if was_going_on else family.first_calls).followed(now - at_seconds)
        if session:
            self._sessions[session] = (now, going_on)
            self._sessions.move_to_end(session)
            _drop(self._sessions, _MOST_SESSIONS)

    def first_tools(self, tools: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...] | None:
        """The same set of tools as it was first sent, or None when it is new."""
        key = frozenset(digest({"content": tool}) for tool in tools)
        with self._lock:
            found = self._tools.get(key)
            if found is None and len(key) == len(tools):
                self._tools[key] = tuple(tools)
                _drop(self._tools, _MOST_FAMILIES)
            return found

    def counted(self, key: bytes, count: Callable[[], int]) -> int:
        """A token count, made once for each key."""
        found = self._counts.get(key)
        if found is None:
            found = count()
            with self._lock:
                self._counts[key] = found
                _drop(self._counts, _MOST_COUNTS)
        return found


def family_of(request: Request, developer_text: str) -> str:
    """The name of a request's family: its scope, its tools, and the beginning of its prompt with volatile values masked."""
    tools = request.params.get("tools")
    given = tools if isinstance(tools, (list, tuple)) else ()
    names = sorted(canonical(_named(tool)) for tool in given if isinstance(tool, Mapping))
    return fingerprint([request.scope, request.model, names, shape_of(developer_text, _FAMILY_CHARS)])


def _named(tool: Mapping[str, Any]) -> Any:
    inner = tool.get("function")
    return (inner if isinstance(inner, Mapping) else tool).get("name")


def _learn_lines(family: _Family, text: str) -> None:
    """A line of the same shape and place with another value was seen changing; from then on it counts as volatile.

    Not one that changes once in many calls, as a date does: at the end it would cost something in every call, in front once a day.
    """
    for key, passage in numbered(text):
        value = passage.text.strip()
        if family.lines.setdefault(key, value) != value:
            family.lines[key] = value
            family.changes[key] += 1
            if family.changes[key] * _SELDOM_CALLS >= family.front.calls:
                family.changing.add(key)


def _known(name: str, family: _Family, going_on: bool, tools: bool) -> Reuse:
    prior = _LIKELY if going_on or tools else _UNLIKELY
    turns = family.later_calls if going_on else family.first_calls
    return Reuse(
        family=name,
        front_soon=family.front.share(prior, family.front.soon),
        front_half=family.front.share(prior, family.front.half),
        front_later=family.front.share(prior, family.front.later),
        goes_on_soon=turns.share(prior, turns.soon),
        goes_on_half=turns.share(prior, turns.half),
        goes_on_later=turns.share(prior, turns.later),
        comes_back=going_on or tools or family.front.calls > 1,
        changing=frozenset(family.changing),
    )


def _drop(book: OrderedDict[Any, Any], most: int) -> None:
    while len(book) > most:
        book.popitem(last=False)
