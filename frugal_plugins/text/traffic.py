"""A prefix linter: from a log of requests, which bytes keep prompts from being cached, and what that costs a month."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.prefix.cost import CachePlan, SimulatedCache, plan_for
from frugal_plugins.prices import MILLION, PriceBook
from frugal_plugins.request import Request, canonical, fingerprint
from frugal_plugins.text.layout import developer_text
from frugal_plugins.text.turns import digest, head_length, tokens_of
from frugal_plugins.text.volatile import numbered, passages, shape_of
from frugal_plugins.tokens import count_text

_MONTH_SECONDS: Final = 30 * 86_400
_FAMILY_CHARS: Final = 400
_SHOWN_CHARS: Final = 100
Piece = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Logged:
    """One request of a log and when it was made (unix seconds)."""

    request: Request
    at_seconds: float


@dataclass(frozen=True, slots=True)
class Breaks:
    """Something that changes between calls in the front of a family's prompts.

    Attributes:
        kind: `clock`, `uuid`, `id`, `number`, `other` (a line that changes), `tools_order` or `json_keys`.
        where: the line it stands in, with the changing value masked, or what is shuffled.
        position_percent: how far into the developer's prompt it stands; the nearer to 0, the more is lost.
        calls: how many calls differ there from the one before.
    """

    kind: str
    where: str
    position_percent: float
    calls: int


@dataclass(frozen=True, slots=True)
class Family:
    """The prompts of one template and model.

    Attributes:
        cached_percent: share of their input the provider could have read from its cache as they are.
        possible_percent: the same with everything that changes at the end.
        usd_per_month, possible_usd_per_month: input dollars at the log's pace; None for an unpriced model.
    """

    name: str
    model: str
    calls: int
    input_tokens: int
    cached_percent: float
    possible_percent: float
    usd_per_month: Decimal | None
    possible_usd_per_month: Decimal | None
    breaks: tuple[Breaks, ...]


@dataclass(frozen=True, slots=True)
class PrefixReport:
    """What a log says about prompts and their caches, the dearest family first."""

    families: tuple[Family, ...]
    calls: int
    days: float

    @property
    def lost_usd_per_month(self) -> Decimal:
        """Dollars a month a better order of the same bytes would save; unpriced models count nothing."""
        pairs = ((f.usd_per_month, f.possible_usd_per_month) for f in self.families)
        return sum((now - then for now, then in pairs if now is not None and then is not None), Decimal(0))


def read_traffic(lines: Iterable[str], file: str | None = None) -> list[Logged]:
    """Requests from JSON Lines: each a body (`model`, `messages`, ...), or `{"body": ..., "at_seconds": ...}`.

    A line without a time is taken as a minute after the one before. Raises InputError with the line for what is no request.
    """
    found: list[Logged] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"not JSON ({error}); write one request body a line", file=file, line=number) from error
        body = row.get("body", row) if isinstance(row, dict) else None
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not isinstance(body.get("model"), str):
            raise InputError("no request body; give an object with model and messages", file=file, line=number)
        at = next((row[name] for name in ("at_seconds", "created", "timestamp") if isinstance(row.get(name), (int, float))), None)
        at_seconds = float(at) if at is not None else (found[-1].at_seconds + 60.0 if found else 0.0)
        messages = tuple(message for message in body["messages"] if isinstance(message, dict))
        params = {name: value for name, value in body.items() if name not in ("model", "messages", "stream", "metadata")}
        session = row.get("session") if isinstance(row.get("session"), str) else None
        found.append(Logged(Request(body["model"], messages, params, session=session), at_seconds))
    return found


def lint(log: Sequence[Logged], prices: PriceBook | None = None) -> PrefixReport:
    """Find what breaks the cached prefix in a log, family by family."""
    groups: dict[str, list[Logged]] = {}
    for logged in sorted(log, key=lambda one: one.at_seconds):
        groups.setdefault(_family(logged.request), []).append(logged)
    span = max((one.at_seconds for one in log), default=0.0) - min((one.at_seconds for one in log), default=0.0)
    book = prices or PriceBook()
    families = [_linted(name, group, book, max(span, 60.0)) for name, group in groups.items()]
    families.sort(key=lambda family: (family.usd_per_month or Decimal(0), family.input_tokens), reverse=True)
    return PrefixReport(tuple(families), len(log), span / 86_400)


def _family(request: Request) -> str:
    tools = request.params.get("tools")
    names = sorted(canonical(tool.get("function", tool).get("name")) for tool in tools if isinstance(tool, Mapping)) if tools else ()
    return fingerprint([request.model, names, shape_of(developer_text(request), _FAMILY_CHARS)])


@dataclass(slots=True)
class _Lines:
    """What was seen of a family's prompts so far."""

    last: dict[str, str] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    at_percent: dict[str, float] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    plain: frozenset[str] | None = None
    tools: str | None = None

    def add(self, request: Request) -> None:
        text = developer_text(request)
        self._add_tools(request.params.get("tools"))
        for key, passage in numbered(text):
            value = passage.text.strip()
            self.kinds[key] = passage.kinds[0]
            self.at_percent.setdefault(key, 100 * text.index(passage.text) / max(1, len(text)))
            self.changes[key] += self.last.get(key, value) != value
            self.last[key] = value
        self._add_plain(text)

    def _add_plain(self, text: str) -> None:
        """Lines without a pattern that are not the same as in the call before: documents, names, anything."""
        lines = [(passage, place) for place, passage in enumerate(passages(text)) if not passage.kinds and passage.text.strip()]
        now = frozenset(passage.text.strip() for passage, _ in lines)
        new = [] if self.plain is None else [entry for entry in lines if entry[0].text.strip() not in self.plain]
        if new:
            self.changes["other"] += 1
            self.kinds["other"] = "other"
            self.at_percent.setdefault("other", 100 * new[0][1] / max(1, len(passages(text))))
        self.plain = now

    def _add_tools(self, tools: Any) -> None:
        written = json.dumps(tools, default=repr) if tools else None
        if written and self.tools and written != self.tools and isinstance(tools, list):
            before = json.loads(self.tools)
            same_set = sorted(map(canonical, before)) == sorted(map(canonical, tools))
            kind = "json_keys" if same_set and [*map(canonical, before)] == [*map(canonical, tools)] else "tools_order" if same_set else ""
            if kind:
                self.changes[kind] += 1
                self.kinds[kind], self.at_percent[kind] = kind, 0.0
        self.tools = written or self.tools

    def breaks(self) -> tuple[Breaks, ...]:
        found = [
            Breaks(self.kinds[shape], _shown(shape), round(self.at_percent.get(shape, 0.0), 1), count)
            for shape, count in self.changes.items()
            if count
        ]
        return tuple(sorted(found, key=lambda one: (one.position_percent, -one.calls)))

    def moving(self) -> frozenset[str]:
        return frozenset(shape for shape, count in self.changes.items() if count)


def _shown(shape: str) -> str:
    words = {"other": "a line of the prompt", "tools_order": "the order of the tools", "json_keys": "the order of keys inside the tools"}
    plain = shape.partition("|")[2] or shape
    for kind in ("clock", "uuid", "id", "number"):
        plain = plain.replace(f"\0{kind}\0", f"<{kind}>")
    return words.get(shape, plain[:_SHOWN_CHARS])


def _linted(name: str, group: Sequence[Logged], prices: PriceBook, span_seconds: float) -> Family:
    lines = _Lines()
    for logged in group:
        lines.add(logged.request)
    model = group[0].request.model
    plan = plan_for(model, prices) or CachePlan(read=0.5)
    as_sent, in_order = SimulatedCache(plan, remember=32), SimulatedCache(plan, remember=32)
    total = read = possible = 0
    for logged in group:
        front, moved, rest = _pieces(logged.request, lines.moving())
        bill = as_sent.call([*_pieces(logged.request, frozenset())[0], *rest], logged.at_seconds)
        better = in_order.call([*front, *rest, *moved], logged.at_seconds)
        total, read, possible = total + bill.read_tokens + bill.new_tokens, read + bill.read_tokens, possible + better.read_tokens
    rates = prices.rates(model)
    month = None if rates is None else rates.input_usd * Decimal(str(_MONTH_SECONDS / span_seconds)) / MILLION
    return Family(
        name=name[:12],
        model=model,
        calls=len(group),
        input_tokens=total,
        cached_percent=round(100 * read / max(1, total), 1),
        possible_percent=round(100 * possible / max(1, total), 1),
        usd_per_month=None if month is None else month * Decimal(str(as_sent.units)),
        possible_usd_per_month=None if month is None else month * Decimal(str(min(in_order.units, as_sent.units))),
        breaks=lines.breaks(),
    )


def _pieces(request: Request, moving: frozenset[str]) -> tuple[list[Piece], list[Piece], list[Piece]]:
    """A prompt in pieces: tools and steady lines, lines that move to the end, messages."""
    tools = request.params.get("tools")
    ordered = (
        sorted(map(canonical, tools))
        if tools and {"tools_order", "json_keys"} & moving
        else [json.dumps(tool, default=repr) for tool in tools or ()]
    )
    front: list[Piece] = [(tool, count_text(tool)) for tool in ordered]
    moved: list[Piece] = []
    text = developer_text(request)
    moves = {id(passage) for key, passage in numbered(text) if key in moving and passage.may_move}
    for passage in passages(text):
        piece = (passage.text, count_text(passage.text))
        (moved if id(passage) in moves else front).append(piece)
    head = head_length(request.messages)
    rest = [(digest(message).hex(), tokens_of(message, request.model)) for message in request.messages[head:]]
    return front, moved, rest
