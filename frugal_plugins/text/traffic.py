"""A prefix linter: from a log of requests, which bytes keep prompts from being cached, where they stand, and what that costs a month."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.prefix.cost import CachePlan, SimulatedCache, plan_for
from frugal_plugins.prefix.sessions import session_key
from frugal_plugins.prices import MILLION, PriceBook
from frugal_plugins.request import Endpoint, Request, fingerprint
from frugal_plugins.text.fronts import Breaks, Front, front_of, has_any_marks, pieces, steady_lines, what_breaks
from frugal_plugins.text.turns import digest

_MONTH_SECONDS: Final = 30 * 86_400
_SAME_FAMILY: Final = 0.5
_MOST_BREAKS: Final = 12
_MOST_SIMULATED: Final = 3_000
_REMEMBERED_PROMPTS: Final = 16
_TIMES: Final = ("at_seconds", "created", "timestamp", "time", "created_at", "start_time", "startTime")


@dataclass(frozen=True, slots=True)
class Logged:
    """One request of a log: when it was made (unix seconds), in which line it stands, and whether the log said when."""

    request: Request
    at_seconds: float
    line: int = 0
    timed: bool = True


@dataclass(frozen=True, slots=True)
class Family:
    """The prompts of one template and model.

    Attributes:
        cached_percent: share of their input the provider could have read from its cache as they are.
        possible_percent: the same with everything that changes at the end.
        usd_per_month, possible_usd_per_month: input dollars at the log's pace; None for an unpriced model.
        breaks: what changes in front of what stays, the dearest first.
        sampled: how many of the calls, the first ones, the dollars were worked out on, where there are very many.
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
    first_line: int = 0
    sampled: int = 0


@dataclass(frozen=True, slots=True)
class PrefixReport:
    """What a log says about prompts and their caches, the dearest family first; `untimed` of the calls had no time of their own."""

    families: tuple[Family, ...]
    calls: int
    days: float
    untimed: int = 0

    @property
    def lost_usd_per_month(self) -> Decimal:
        """Dollars a month a better order of the same bytes would save; unpriced models count nothing."""
        pairs = ((f.usd_per_month, f.possible_usd_per_month) for f in self.families)
        return sum((now - then for now, then in pairs if now is not None and then is not None), Decimal(0))


def read_traffic(lines: Iterable[str], file: str | None = None) -> list[Logged]:
    """Requests from JSON Lines: each a body (`model`, `messages`, ...), or an object with one under `body` or `request`.

    The time is read from `at_seconds`, `created`, `timestamp`, `start_time` and the like, as unix seconds, milliseconds or ISO 8601; a
    line without one is taken as a minute after the one before. Raises InputError with the line for what is no request.
    """
    found: list[Logged] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"not JSON ({error}); write one request body a line", file=file, line=number) from error
        body = _body(row)
        if body is None:
            raise InputError("no request body; give an object with model and messages", file=file, line=number)
        at = next((seconds for name in _TIMES if (seconds := _seconds(row.get(name))) is not None), None)
        placed = at if at is not None else found[-1].at_seconds + 60.0 if found else 0.0
        found.append(Logged(_request(row, body), placed, number, timed=at is not None))
    return found


def _body(row: Any) -> Mapping[str, Any] | None:
    if not isinstance(row, dict):
        return None
    outer = (row.get("body"), row.get("request"), row.get("request_body"), row)
    for body in (one.get("body", one) if isinstance(one, dict) else one for one in outer):
        if isinstance(body, dict) and isinstance(body.get("messages"), list) and isinstance(body.get("model"), str):
            return body
    return None


def _request(row: Mapping[str, Any], body: Mapping[str, Any]) -> Request:
    said = next((one for one in (row.get("frugal"), row, body.get("metadata")) if isinstance(one, dict)), {})
    named = next((one.get("session") for one in (said, row) if isinstance(one.get("session"), str)), None)
    messages = tuple(message for message in body["messages"] if isinstance(message, dict))
    params = {name: value for name, value in body.items() if name not in ("model", "messages", "stream", "metadata")}
    endpoint: Endpoint = "messages" if "system" in body else "chat"
    return Request(body["model"], messages, params, session=named, endpoint=endpoint)


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value) / (1000.0 if value > 1e11 else 1.0)
    try:
        at = dt.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).timestamp()


def lint(log: Sequence[Logged], prices: PriceBook | None = None) -> PrefixReport:
    """Find what breaks the cached prefix in a log, family by family."""
    span = max((one.at_seconds for one in log), default=0.0) - min((one.at_seconds for one in log), default=0.0)
    book = prices or PriceBook()
    groups = _families(sorted(log, key=lambda one: one.at_seconds))
    families = [_linted(group, book, max(span, 60.0)) for group in groups]
    families.sort(key=lambda family: (family.usd_per_month or Decimal(0), family.input_tokens), reverse=True)
    return PrefixReport(tuple(families), len(log), span / 86_400, sum(not one.timed for one in log))


def _families(log: Sequence[Logged]) -> list[list[tuple[Logged, Front]]]:
    """Requests by template: the same model and tools, and at least half of the front's lines in common."""
    groups: list[list[tuple[Logged, Front]]] = []
    known: dict[tuple[str, str], OrderedDict[int, set[str]]] = {}
    for logged in log:
        front = front_of(logged.request)
        shapes = {passage.shape for passage in front.passages if passage.text.strip()}
        kin = known.setdefault((logged.request.model, front.tool_names), OrderedDict())
        shares = ((len(shapes & lines) / len(shapes) if shapes else 0.0, place) for place, lines in kin.items())
        share, place = max(shares, default=(0.0, -1))
        if share < _SAME_FAMILY and not (not shapes and place >= 0):
            place = len(groups)
            groups.append([])
            kin[place] = set()
        kin[place] |= shapes if len(kin[place]) < 4 * len(shapes) + 64 else set()
        kin.move_to_end(place)
        while len(kin) > 64:
            kin.popitem(last=False)
        groups[place].append((logged, front))
    alone: dict[str, list[tuple[Logged, Front]]] = {}
    for group in groups:
        if len(group) == 1:
            alone.setdefault(group[0][0].request.model, []).extend(group)
    return [group for group in groups if len(group) > 1] + [sorted(group, key=lambda one: one[0].at_seconds) for group in alone.values()]


def _linted(group: Sequence[tuple[Logged, Front]], prices: PriceBook, span_seconds: float) -> Family:
    model = group[0][0].request.model
    plan = plan_for(model, prices) or CachePlan(read=0.5)
    kept = group[:_MOST_SIMULATED]  # a run, not a sample: what is warm depends on the pauses in between
    steady = steady_lines([front for _, front in group])
    breaks = [*what_breaks(group[0][1].tools, [(logged.line, front) for logged, front in group], steady)[:_MOST_BREAKS]]
    marked = not plan.explicit or any(has_any_marks(logged.request) for logged, _ in group)
    repaired = frozenset(found.key for found in breaks)
    bill = _bill(kept, plan if marked else plan.without_cache(), steady, frozenset())
    better = _bill(kept, plan, steady, repaired)
    rates = prices.rates(model)
    month = None
    if rates is not None:
        month = rates.input_usd * Decimal(str(_MONTH_SECONDS / span_seconds * len(group) / len(kept))) / MILLION
    costs = [
        replace(found, usd_per_month=None if month is None else month * Decimal(str(max(0.0, units))))
        for found in breaks
        for units in (_bill(kept, plan, steady, repaired - {found.key}).units - better.units,)
    ]
    if not marked and plan.caches:
        usd = (
            None
            if month is None
            else month * Decimal(str(max(0.0, _bill(kept, plan.without_cache(), steady, repaired).units - better.units)))
        )
        costs.append(Breaks("no_marks", "no_marks", 0, "system", 0, group[0][0].line, len(group), 0.0, "", usd))
    costs += _rewritten_histories([logged for logged, _ in group])
    total = bill.read + bill.new
    return Family(
        name=fingerprint([model, *sorted(steady)])[:12],
        model=model,
        calls=len(group),
        input_tokens=round(total * len(group) / len(kept)),
        cached_percent=round(100 * bill.read / max(1, total), 1),
        possible_percent=round(100 * max(better.read, bill.read) / max(1, total), 1),
        usd_per_month=None if month is None else month * Decimal(str(bill.units)),
        possible_usd_per_month=None if month is None else month * Decimal(str(min(better.units, bill.units))),
        breaks=tuple(sorted(costs, key=lambda one: (-(one.usd_per_month or 0), one.position_percent, -one.calls))),
        first_line=group[0][0].line,
        sampled=len(kept) if len(kept) < len(group) else 0,
    )


@dataclass(slots=True)
class _Bill:
    read: int = 0
    new: int = 0
    units: float = 0.0


def _bill(group: Sequence[tuple[Logged, Front]], plan: CachePlan, steady: frozenset[str], repaired: frozenset[str]) -> _Bill:
    """What the calls of a family cost with these breaks repaired, in units."""
    cache, found = SimulatedCache(plan, remember=_REMEMBERED_PROMPTS), _Bill()
    for logged, front in group:
        one = cache.call(pieces(logged.request, front, steady, repaired), logged.at_seconds)
        found.read, found.new = found.read + one.read_tokens, found.new + one.new_tokens
    found.units = cache.units
    return found


def _rewritten_histories(group: Sequence[Logged]) -> list[Breaks]:
    """Conversations whose earlier messages are no longer what they were: a window that slides, a summary made anew each turn."""
    last: dict[str, list[bytes]] = {}
    where: Counter[int] = Counter()
    line = 0
    for logged in group:
        request = logged.request
        if request.session is None:
            continue
        key = session_key(request, "lint")
        now = [digest(message) for message in request.messages if message.get("role") not in ("system", "developer")]
        before = last.get(key)
        if before and now[: len(before)] != before:
            same = next((place for place, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), min(len(before), len(now)))
            where[same] += 1
            line = line or logged.line
        last[key] = now
    if not where:
        return []
    place = where.most_common(1)[0][0]
    return [Breaks("history", "history", place, "conversation", 0, line, sum(where.values()), 0.0, "", None)]
