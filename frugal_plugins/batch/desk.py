"""What every step of a job works with, and the questions all of them ask: prices, lanes, deadlines."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from frugal_plugins.batch.bodies import Wording
from frugal_plugins.batch.http import Line, account
from frugal_plugins.batch.lanes import AnthropicLane, Lane, OpenAILane
from frugal_plugins.batch.replay import Unbooked
from frugal_plugins.batch.settings import BatchSettings
from frugal_plugins.batch.store import JobStore
from frugal_plugins.errors import NotReachable
from frugal_plugins.ledger.rows import pico
from frugal_plugins.models import capabilities
from frugal_plugins.prices import provider_of
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Lane as PriceLane
from frugal_plugins.request import Request
from frugal_plugins.tokens import count_messages
from frugal_plugins.usage import Usage

BATCHED: Final = ("openai", "anthropic")
_LONGEST_ANSWER_TOKENS: Final = 16_384
_UNSURE_COUNT: Final = Decimal("1.3")
"""Token counts are exact for OpenAI and an estimate elsewhere, so the worst case is taken this much higher there."""


@dataclass(slots=True)
class Desk:
    """One job at work.

    Attributes:
        persisted: called after each step that is on disk, with the step's name; a test may end the process there.
    """

    store: JobStore
    recipe: Recipe
    job: str
    settings: BatchSettings
    created: float
    wording: Wording
    clock: Callable[[], float]
    persisted: Callable[[str], None] = lambda _step: None
    _lines: dict[str, Line] = field(default_factory=dict)
    _unbooked: Unbooked | None = None

    @property
    def unbooked(self) -> Unbooked:
        """The recipe for replaying."""
        if self._unbooked is None:
            self._unbooked = Unbooked(self.recipe)
        return self._unbooked

    def line(self, provider: str) -> Line:
        """The connection to a provider. Raises NotReachable when its key is missing."""
        if provider not in self._lines:
            self._lines[provider] = Line(account(provider))
        return self._lines[provider]

    def lane(self, provider: str) -> Lane:
        """A provider's batch lane."""
        http = self.line(provider)
        return OpenAILane(http) if provider == "openai" else AnthropicLane(http)

    def reachable(self, model: str) -> bool:
        """Whether the recipe may choose this model here."""
        provider = provider_of(model)
        if provider not in BATCHED:
            return self.settings.no_lane == "realtime"
        try:
            account(provider)
        except NotReachable:
            return False
        return True

    def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    def deadline(self) -> float:
        """When everything must be there, unix seconds."""
        return self.created + self.settings.window_hours * 3600

    def switch_at(self) -> float:
        """When the batches are stopped, so that what they have not done can be filled in before the deadline."""
        left = self.store.count("SELECT count(*) FROM rows WHERE job = ? AND state IN ('new', 'waiting', 'ready')", self.job)
        fill = left * self.settings.seconds_per_call / self.settings.concurrency
        return self.deadline() - self.settings.cancel_seconds - min(fill, self.settings.window_hours * 1800) - self.settings.poll_seconds

    def late(self) -> bool:
        """Whether the time of batches is over."""
        return self.clock() >= self.switch_at()

    def usd(self, model: str, usage: Usage, lane: PriceLane) -> Decimal | None:
        """What a call costs; None for a model without a price in that lane."""
        at = dt.datetime.fromtimestamp(self.recipe.clock(), tz=dt.UTC)
        return self.recipe.prices.cost(model, usage, at=at, lane=lane)

    def worst(self, request: Request, tokens: int, body: Mapping[str, Any], lane: PriceLane) -> int | None:
        """The most a call can cost, in picodollars; None where no price is known."""
        longest = capabilities(request.model).max_output_tokens or _LONGEST_ANSWER_TOKENS
        limit = next((value for name in ("max_completion_tokens", "max_tokens") if isinstance(value := body.get(name), int)), longest)
        choices = body.get("n") if isinstance(body.get("n"), int) else 1
        usd = self.usd(request.model, Usage(input_tokens=tokens, output_tokens=limit * max(1, choices or 1)), lane)
        return None if usd is None else pico(usd * (1 if provider_of(request.model) == "openai" else _UNSURE_COUNT))

    def tokens(self, request: Request) -> int:
        """How long a prompt is."""
        return count_messages(request.messages, request.model, params=request.params)

    def spent_pico(self) -> int:
        """What the job has cost so far, lines that got lost included."""
        calls = self.store.count("SELECT sum(picousd) FROM calls WHERE job = ?", self.job)
        return calls + self.store.count("SELECT sum(picousd) FROM lost WHERE job = ?", self.job)

    def held_pico(self) -> int:
        """What the calls under way could still cost at worst."""
        return self.store.count("SELECT sum(worst_picousd) FROM calls WHERE job = ? AND state IN ('batched', 'sent')", self.job)

    def fits(self, more_pico: int | None, held_pico: int) -> bool:
        """Whether the job may promise this much more. An unpriced call never fits under a limit."""
        if self.settings.max_usd is None:
            return True
        most = pico(self.settings.max_usd)
        return more_pico is not None and most is not None and self.spent_pico() + held_pico + more_pico <= most
