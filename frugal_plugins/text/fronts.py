"""The front of a prompt, the part that could be the same in every call: tools, the developer's prompt, a templated first question.

What stays and what changes is read off the calls of one template, line by line. Something that changes breaks the prefix when it
stands in front of what stays.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from frugal_plugins.request import Request, canonical, text_of
from frugal_plugins.text.turns import digest, has_marks, head_length, is_marked, tokens_of
from frugal_plugins.text.volatile import Passage, passages
from frugal_plugins.tokens import count_text

_STEADY_SHARE: Final = 0.8
_LEAST_LOST_TOKENS: Final = 16
_DOCUMENT_TOKENS: Final = 80
_SHOWN_CHARS: Final = 160
_REQUEST_ID: Final = re.compile(r"\b(?:request|trace|correlation|span|call)[ _-]?id\b", re.IGNORECASE)
_MASKED: Final = re.compile("\0(\\w+)\0")
Piece = tuple[Hashable, int]

WHAT_TO_DO: Final[Mapping[str, str]] = {
    "clock": "send the date alone, or put the clock at the end of the last user message; `prompt_cache: {}` does that by itself",
    "uuid": "move it to the end, or into metadata, which is not billed; `prompt_cache: {}` moves it by itself",
    "request_id": "put request ids into metadata, which is neither sent to the model nor billed",
    "id": "move it to the end of the last user message, or into metadata; `prompt_cache: {}` moves it by itself",
    "number": "move the line with the changing number to the end; `prompt_cache: {}` moves it by itself",
    "documents": "put retrieved documents behind the instructions and the conversation, right before the question",
    "other": "move what differs from call to call (names, settings of one user) behind what all calls share",
    "lines_order": "send the same lines in the same order: sort them, or keep the order of the first call",
    "json_keys": "serialise with sorted keys (json.dumps(..., sort_keys=True)); `prompt_cache: {}` does it for tools",
    "tools_order": "send tools in one order, sorted by name; `prompt_cache: {}` does that by itself",
    "no_marks": "set cache_control on the system prompt and the last message; `prompt_cache: {}` sets them where they pay",
    "history": "only append to a conversation; `history: {}` shortens it when the rewrite pays, and keeps its bytes in between",
}
"""What helps against each kind."""


@dataclass(frozen=True, slots=True)
class Breaks:
    """Something that changes between calls in front of what stays.

    Attributes:
        kind: `clock`, `uuid`, `request_id`, `id`, `number`, `documents`, `other` (a line that changes), `lines_order`, `json_keys`,
            `tools_order`, `no_marks` (nobody marked the prompt where the provider wants marks), `history` (earlier turns rewritten).
        message: the message it stands in, counted from 0; -1 for tools. `part` says it in words.
        offset: characters from the beginning of that message, in the request of `line`.
        line: a line of the log where it can be seen.
        calls: how many calls differ there from the one before.
        position_percent: how far into the front it stands; the nearer to 0, the more is lost.
        shape: the line with the changing value masked; it is prompt text, so show it only when asked.
        usd_per_month: what leaving it costs when everything else is mended; None for an unpriced model or where nobody can say.
    """

    kind: str
    key: str
    message: int
    part: str
    offset: int
    line: int
    calls: int
    position_percent: float
    shape: str
    usd_per_month: Decimal | None = None

    @property
    def what_to_do(self) -> str:
        """What helps."""
        return WHAT_TO_DO[self.kind]


@dataclass(frozen=True, slots=True)
class Place:
    """A passage of the front and where it stands."""

    passage: Passage
    message: int
    offset: int


@dataclass(frozen=True, slots=True)
class Front:
    """The front of one request: its tools as they were written, and the passages of its developer's prompt and first question."""

    tools: tuple[str, ...]
    tool_names: str
    places: tuple[Place, ...]
    fixed_messages: int
    sorted_tools: tuple[str, ...] = field(default=())

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The passages alone."""
        return tuple(place.passage for place in self.places)


def front_of(request: Request) -> Front:
    """Read the front of a request."""
    given = request.params.get("tools")
    tools = tuple(tool for tool in given if isinstance(tool, Mapping)) if isinstance(given, (list, tuple)) else ()
    names = sorted(str((tool["function"] if isinstance(tool.get("function"), Mapping) else tool).get("name")) for tool in tools)
    head = head_length(request.messages)
    texts: list[tuple[int, str]] = []
    if request.params.get("system"):
        texts.append((-1, text_of({"content": request.params["system"]})))
    texts += [(place, text_of(message)) for place, message in enumerate(request.messages[:head])]
    fixed = head
    if head < len(request.messages) and request.messages[head].get("role") == "user":
        texts.append((head, text_of(request.messages[head])))
        fixed = head + 1
    written = tuple(json.dumps(tool, default=repr) for tool in tools)
    return Front(written, canonical(names), tuple(_places(texts)), fixed, tuple(sorted(map(canonical, tools))))


def _places(texts: Sequence[tuple[int, str]]) -> Iterator[Place]:
    for message, text in texts:
        offset = 0
        for passage in passages(text):
            yield Place(passage, message, offset)
            offset += len(passage.text)


def has_any_marks(request: Request) -> bool:
    """Whether anything in a request is marked for caching."""
    params = request.params
    own = params.get("cache_control") or params.get("cache_control_injection_points")
    return bool(own) or any(map(is_marked, request.messages)) or has_marks(params.get("system")) or has_marks(params.get("tools"))


def steady_lines(fronts: Sequence[Front]) -> frozenset[str]:
    """The lines that stand in nearly every call of a template."""
    count: Counter[str] = Counter()
    for front in fronts:
        count.update({place.passage.text.strip() for place in front.places} - {""})
    least = max(2.0, _STEADY_SHARE * len(fronts))
    return frozenset(line for line, times in count.items() if times >= least)


def what_breaks(first_tools: Sequence[str], calls: Sequence[tuple[int, Front]], steady: frozenset[str]) -> list[Breaks]:
    """What changes in front of something steady, the first one first."""
    seen = _Seen(steady)
    tools = tuple(first_tools)
    for line, front in calls:
        seen.tools(tools, front, line)
        tools = front.tools
        seen.lines(front, line)
    return seen.breaks()


def pieces(request: Request, front: Front, steady: frozenset[str], repaired: frozenset[str]) -> list[Piece]:
    """A prompt as a cache compares it, with some breaks repaired: shuffled tools and lines in one order, what changes at the end."""
    tools = front.sorted_tools if {"tools_order", "json_keys"} & repaired else front.tools
    found: list[Piece] = [(tool, count_text(tool)) for tool in tools]
    moved: list[Piece] = []
    lines: list[Piece] = []
    for run in _runs(front, steady):
        key = run.key
        target = moved if key is not None and key in repaired else lines
        target.extend((place.passage.text, count_text(place.passage.text)) for place in run.places)
    if "lines_order" in repaired:
        lines.sort(key=lambda piece: str(piece[0]))
    rest = request.messages[front.fixed_messages :]
    return [*found, *lines, *((digest(message), tokens_of(message, request.model)) for message in rest), *moved]


@dataclass(frozen=True, slots=True)
class _Run:
    """Passages in a row that are all steady, or one thing that changes."""

    places: tuple[Place, ...]
    key: str | None
    kind: str = ""


def _runs(front: Front, steady: frozenset[str]) -> Iterator[_Run]:
    """The front in steady runs and changing ones. A line with a clock or an id is a run of its own; other lines join up."""
    held: list[Place] = []
    anchor, number = "", 0

    def joined() -> _Run:
        tokens = sum(count_text(place.passage.text) for place in held)
        return _Run(tuple(held), f"after|{anchor}", "documents" if tokens >= _DOCUMENT_TOKENS else "other")

    for place in front.places:
        text = place.passage.text.strip()
        if text and text not in steady and not place.passage.kinds:
            held.append(place)
            continue
        if not text and held:
            held.append(place)
            continue
        if held:
            yield joined()
            held = []
        if not text or text in steady:
            anchor, number = text or anchor, 0
            yield _Run((place,), None)
            continue
        number += 1
        yield _Run((place,), f"{number}|{place.passage.shape.strip()}", _kind(place.passage))
    if held:
        yield joined()


def _kind(passage: Passage) -> str:
    if _REQUEST_ID.search(passage.text):
        return "request_id"
    return passage.kinds[0]


@dataclass(slots=True)
class _Seen:
    """What was seen changing so far, by key."""

    steady: frozenset[str]
    values: dict[str, str] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    first: dict[str, Breaks] = field(default_factory=dict)
    order: tuple[str, ...] = ()

    def tools(self, before: Sequence[str], front: Front, line: int) -> None:
        if not before or tuple(before) == front.tools or sorted(map(_sorted_keys, before)) != list(front.sorted_tools):
            return
        kind = "json_keys" if [*map(_sorted_keys, before)] == [*map(_sorted_keys, front.tools)] else "tools_order"
        self.changes[kind] += 1
        self.lost[kind] = _LEAST_LOST_TOKENS
        self.first.setdefault(kind, Breaks(kind, kind, -1, "tools", 0, line, 0, 0.0, ""))

    def lines(self, front: Front, line: int) -> None:
        runs = list(_runs(front, self.steady))
        behind = [sum(count_text(place.passage.text) for place in run.places) if run.key is None else 0 for run in runs]
        left, total = sum(behind), max(1, sum(behind))
        for run, tokens in zip(runs, behind, strict=True):
            left -= tokens
            if run.key is None:
                continue
            value = "".join(place.passage.text for place in run.places).strip()
            self.changes[run.key] += self.values.setdefault(run.key, value) != value
            self.values[run.key] = value
            self.lost[run.key] = max(self.lost[run.key], left)
            if run.key not in self.first:
                self.first[run.key] = _found(run, line, 100 * (1 - left / total))
        self._order(front, line)

    def _order(self, front: Front, line: int) -> None:
        now = tuple(text for place in front.places if (text := place.passage.text.strip()) in self.steady)
        if self.order and now != self.order and sorted(now) == sorted(self.order):
            self.changes["lines_order"] += 1
            self.lost["lines_order"] = _LEAST_LOST_TOKENS
            if "lines_order" not in self.first:
                place = next(a for a, text in zip(_steady(front, self.steady), self.order, strict=True) if a.passage.text.strip() != text)
                self.first["lines_order"] = Breaks(
                    "lines_order", "lines_order", place.message, _part(place.message), place.offset, line, 0, 0.0, ""
                )
        self.order = now

    def breaks(self) -> list[Breaks]:
        found = [
            Breaks(b.kind, key, b.message, b.part, b.offset, b.line, self.changes[key], b.position_percent, b.shape)
            for key, b in self.first.items()
            if self.changes[key] and self.lost[key] >= _LEAST_LOST_TOKENS
        ]
        return sorted(found, key=lambda one: (one.position_percent, -one.calls))


def _steady(front: Front, steady: frozenset[str]) -> list[Place]:
    return [place for place in front.places if place.passage.text.strip() in steady]


def _found(run: _Run, line: int, position: float) -> Breaks:
    place = run.places[0]
    shape = _MASKED.sub(r"<\1>", place.passage.shape.strip())[:_SHOWN_CHARS]
    return Breaks(run.kind, run.key or "", place.message, _part(place.message), place.offset, line, 0, round(position, 1), shape)


def _part(message: int) -> str:
    return "system" if message < 0 else f"messages[{message}]"


def _sorted_keys(tool: str) -> str:
    return canonical(json.loads(tool))
