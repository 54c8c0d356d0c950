"""The provider's own bill: one line per call it was paid for, exact to the last digit."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from frugal_plugins.sandbox.price_sheet import Lane, ModelCard
from frugal_plugins.usage import Usage


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One billed call.

    Attributes:
        id: the id the provider gave the response (for embeddings, which have none, the request id).
        key: a short hash of the API key, never the key.
        model: as the caller named it.
        endpoint: `chat`, `responses`, `messages` or `embeddings`.
        usage: what was counted; for a stream left early, only what had been sent.
        lane: `standard`, `flex` or `batch`.
        usd: the exact price.
        at_unix_seconds: on the sandbox's clock.
        closed: whether the answer ended before it was complete (the caller hung up, or a fault cut it).
    """

    id: str
    key: str
    model: str
    endpoint: str
    usage: Usage
    lane: Lane
    usd: Decimal
    at_unix_seconds: float
    closed: bool = False

    def as_json(self) -> dict[str, Any]:
        """A plain dict for JSON; money as a string, so that nothing is rounded."""
        names = Usage.__dataclass_fields__
        usage = {name: getattr(self.usage, name) for name in names}
        line = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**line, "usage": usage, "usd": str(self.usd)}


@dataclass(frozen=True, slots=True)
class Invoice:
    """Lines in the order they were billed."""

    lines: tuple[InvoiceLine, ...] = ()

    @property
    def total_usd(self) -> Decimal:
        """The sum of all lines."""
        return sum((line.usd for line in self.lines), Decimal(0))

    @property
    def usage(self) -> Usage:
        """The tokens of all lines together."""
        return sum((line.usage for line in self.lines), Usage())

    def by_model(self) -> dict[str, Decimal]:
        """USD per model, as the callers named the models."""
        totals: dict[str, Decimal] = {}
        for line in self.lines:
            totals[line.model] = totals.get(line.model, Decimal(0)) + line.usd
        return totals

    def for_key(self, api_key: str) -> Invoice:
        """The lines of one API key; takes the key itself or the hash a line shows."""
        wanted = (api_key, key_hash(api_key))
        return Invoice(tuple(line for line in self.lines if line.key in wanted))


class Journal:
    """Where lines are booked, from any thread."""

    def __init__(self) -> None:
        self._lines: list[InvoiceLine] = []
        self._lock = threading.Lock()

    def bill(
        self,
        *,
        response_id: str,
        key: str,
        model: str,
        card: ModelCard,
        endpoint: str,
        usage: Usage,
        lane: Lane,
        at_unix_seconds: float,
        closed: bool,
    ) -> InvoiceLine:
        """Price a call and book it."""
        usd = card.usd(usage, lane)
        line = InvoiceLine(response_id, key, model, endpoint, usage, lane, usd, at_unix_seconds, closed)
        with self._lock:
            self._lines.append(line)
        return line

    def invoice(self) -> Invoice:
        """Everything billed so far."""
        with self._lock:
            return Invoice(tuple(self._lines))

    def clear(self) -> None:
        """Forget every line."""
        with self._lock:
            self._lines.clear()


def key_hash(api_key: str) -> str:
    """Twelve hex digits that stand for an API key."""
    return hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
