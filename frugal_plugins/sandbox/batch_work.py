"""What both providers' batches share: rows that are worked off as time passes, and how a batch misbehaves on order."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from frugal_plugins.sandbox.api_errors import ApiError, bad_request, server_error
from frugal_plugins.sandbox.codec import dumps, loads
from frugal_plugins.sandbox.dice import Dice, seed_of
from frugal_plugins.sandbox.faults import Fault
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider, StreamReply

_Kind = TypeVar("_Kind")

DAY_SECONDS = 86_400
WORK_SECONDS = 600.0
"""How long a batch takes when nothing else was ordered."""
CANCEL_SECONDS = 300.0
"""How long a batch is `cancelling` or `canceling`; the providers say up to ten minutes."""
STEP_SECONDS = 5.0
"""How long validating and finalizing take."""

How = Literal["done", "refused", "failed", "expired", "cancelled"]

Answering = Callable[[Provider, Call], JsonReply | StreamReply]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a batch: its id and what it asks, as compact JSON: a batch of many rows lies here for a day."""

    custom_id: str
    written: bytes

    @property
    def body(self) -> Mapping[str, Any]:
        """What it asks."""
        found: Mapping[str, Any] = loads(self.written)
        return found


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row; `written` is the answer as compact JSON. `error` is set for rows that were refused or failed."""

    how: How
    written: bytes = b"null"
    error: ApiError | None = None
    request_id: str = ""

    @property
    def body(self) -> Any:
        """The answer."""
        return loads(self.written)


@dataclass(slots=True)
class Work:
    """The rows of one batch on the clock: one after another from `starts` to `ends`, the rest cut off at `stops`.

    Attributes:
        faults: what goes wrong in it (the `batch_...` kinds).
        stops: when nothing further is begun: the end of its window, or the moment it was cancelled.
    """

    rows: list[Row]
    call: Call
    answering: Answering
    starts: float
    ends: float
    stops: float
    why_stopped: How = "expired"
    faults: tuple[Fault, ...] = ()
    outcomes: list[Outcome] = field(default_factory=list)

    def fault(self, kind: str) -> Fault | None:
        """What was ordered of one kind, if anything."""
        return next((fault for fault in self.faults if fault.kind == kind), None)

    @property
    def over_at(self) -> float:
        """When the last row is answered or given up."""
        return self.stops if self.fault("batch_expires") is not None else min(self.ends, self.stops)

    def cancel(self, now: float) -> None:
        """Begin nothing further."""
        if now < self.over_at:
            self.stops, self.why_stopped = now, "cancelled"

    def proceed(self, provider: Provider, now: float) -> None:
        """Answer, and bill, every row that is due by now."""
        limit = len(self.rows)
        expires = self.fault("batch_expires")
        if expires is not None and self.why_stopped == "expired":
            limit = round(limit * (expires.probability or 0.0))
        span = max(self.ends - self.starts, 1e-9)
        until = min(now, self.stops)
        due = limit if until >= self.ends else min(limit, int(len(self.rows) * max(0.0, until - self.starts) / span))
        while len(self.outcomes) < due:
            self.outcomes.append(self._answer(provider, self.rows[len(self.outcomes)]))
        if now >= self.over_at:
            left = len(self.rows) - len(self.outcomes)
            self.outcomes.extend([Outcome(self.why_stopped)] * left)

    def _answer(self, provider: Provider, row: Row) -> Outcome:
        request_id = f"req_{len(self.outcomes):06d}{id(self) & 0xFFFFFF:06x}"
        anthropic = self.call.endpoint == "messages"
        if _hits(self.fault("batch_line_error"), row.custom_id):
            return Outcome("failed", error=server_error(anthropic=anthropic), request_id=request_id)
        if _hits(self.fault("batch_line_refused"), row.custom_id):
            return Outcome("refused", error=bad_request("Invalid value for 'messages'."), request_id=request_id)
        one = Call(self.call.endpoint, row.body, self.call.key, request_id, self.call.headers, batch=True)
        try:
            reply = self.answering(provider, one)
        except ApiError as error:
            return Outcome("refused", error=error, request_id=request_id)
        assert isinstance(reply, JsonReply)
        return Outcome("done", dumps(reply.body), request_id=request_id)


def spoil(work: Work, lines: list[tuple[str, bytes]]) -> bytes:
    """Result lines as the caller gets them: in no order, and with the losses, repeats and broken lines that were ordered."""
    sent: list[bytes] = []
    for custom_id, line in sorted(lines, key=lambda named: seed_of(named[0])):
        if _hits(work.fault("batch_lost_lines"), custom_id):
            continue
        sent.append(line[: len(line) * 2 // 3] if _hits(work.fault("batch_broken_lines"), custom_id) else line)
        if _hits(work.fault("batch_duplicate_lines"), custom_id):
            sent.append(line)
    return b"".join(line + b"\n" for line in sent)


def _hits(fault: Fault | None, custom_id: str) -> bool:
    """Whether a fault that takes a share of the lines takes this one; always the same for the same line."""
    if fault is None:
        return False
    share = 1.0 if fault.probability is None else fault.probability
    return Dice(seed_of(fault.kind, str(fault.seed), custom_id)).share() < share


@dataclass(slots=True)
class Shelf:
    """Files and batches of one provider, by API key and id."""

    files: dict[tuple[str, str], Any] = field(default_factory=dict)
    batches: dict[tuple[str, str], Any] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


_SHELVES: weakref.WeakKeyDictionary[Provider, Shelf] = weakref.WeakKeyDictionary()


def shelf_of(provider: Provider) -> Shelf:
    """Where a provider keeps its files and batches."""
    return _SHELVES.setdefault(provider, Shelf())


def newest_first(provider: Provider, key: str, kind: type[_Kind]) -> list[_Kind]:
    """A key's own batches of one API."""
    shelf = shelf_of(provider)
    with shelf.lock:
        return [one for (owner, _), one in shelf.batches.items() if owner == key and isinstance(one, kind)][::-1]


def bill_due(provider: Provider) -> None:
    """Answer, and bill, every row of every batch that is due by now, also of batches nobody looks at any more."""
    shelf, now = shelf_of(provider), provider.clock.now()
    with shelf.lock:
        for batch in shelf.batches.values():
            if not getattr(batch, "errors", None):
                batch.work.proceed(provider, now)
