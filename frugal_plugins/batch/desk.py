"""What every step of a job works with, and the questions all of them ask: prices, lanes, deadlines."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from frugal_plugins.batch.bodies import Wording
from frugal_plugins.batch.http import Line, account
from frugal_plugins.batch.lanes import Lane
from frugal_plugins.batch.lanes_anthropic import AnthropicLane
from frugal_plugins.batch.lanes_mistral import MistralLane
from frugal_plugins.batch.lanes_openai import GroqLane, OpenAILane
from frugal_plugins.batch.pace import Pace
from frugal_plugins.batch.places import BATCHED, ENDPOINTS, PATHS
from frugal_plugins.batch.reading import held_pico, spent_pico
from frugal_plugins.batch.replay import Unbooked
from frugal_plugins.batch.settings import BatchSettings
from frugal_plugins.batch.store import JobStore
from frugal_plugins.errors import NotReachable
from frugal_plugins.ledger.rows import pico
from frugal_plugins.ledger.settle import Entry
from frugal_plugins.models import capabilities
from frugal_plugins.prices import provider_of
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Endpoint, Request
from frugal_plugins.request import Lane as PriceLane
from frugal_plugins.tokens import count_messages, count_text
from frugal_plugins.usage import Usage

_LONGEST_ANSWER_TOKENS: Final = 16_384
_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_UNSURE_COUNT: Final = Decimal("1.3")
"""Token counts are exact for OpenAI and an estimate elsewhere, so the worst case is taken this much higher there."""


@dataclass(slots=True)
class Desk:
    """One job at work.

    Attributes:
        persisted: called after each step that is on disk, with the step's name; a test may end the process there.
        heard: called with each row that is over, as the ledger books it.
    """

    store: JobStore
    recipe: Recipe
    job: str
    settings: BatchSettings
    created: float
    wording: Wording
    clock: Callable[[], float]
    persisted: Callable[[str], None] = lambda _step: None
    heard: Callable[[Entry], None] | None = None
    _lines: dict[str, Line] = field(default_factory=dict)
    _unbooked: Unbooked | None = None
    _reach: dict[str, Callable[[str], bool]] = field(default_factory=dict)
    _counted: dict[str, int] = field(default_factory=dict)

    @property
    def unbooked(self) -> Unbooked:
        """The recipe for replaying."""
        if self._unbooked is None:
            self._unbooked = Unbooked(self.recipe)
        return self._unbooked

    @property
    def pace(self) -> Pace:
        """How long things have taken in this store."""
        return Pace(self.store, self.settings)

    def line(self, provider: str) -> Line:
        """The connection to a provider. Raises NotReachable when its key is missing."""
        if provider not in self._lines:
            self._lines[provider] = Line(account(provider))
        return self._lines[provider]

    def lane(self, provider: str, endpoint: Endpoint = "chat") -> Lane:
        """A provider's batch lane."""
        http = self.line(provider)
        if provider == "anthropic":
            return AnthropicLane(http)
        if provider == "mistral":
            return MistralLane(http, PATHS[endpoint])
        return (GroqLane if provider == "groq" else OpenAILane)(http, PATHS[endpoint])

    def reachable_for(self, endpoint: Endpoint) -> Callable[[str], bool]:
        """Which models the recipe may choose here for a request of this kind."""
        if endpoint not in self._reach:
            known: dict[str, bool] = {}

            def reachable(model: str) -> bool:
                if model not in known:
                    known[model] = self._reachable(model, endpoint)
                return known[model]

            self._reach[endpoint] = reachable
        return self._reach[endpoint]

    def _reachable(self, model: str, endpoint: Endpoint) -> bool:
        provider = provider_of(model)
        if provider not in BATCHED:
            return self.settings.no_lane == "realtime"
        if endpoint not in ENDPOINTS[provider]:
            return False
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
        fill = left * self.pace.call_seconds() / self.settings.concurrency
        return self.deadline() - self.settings.cancel_seconds - min(fill, self.settings.window_hours * 1800) - self.settings.poll_seconds

    def late(self) -> bool:
        """Whether the time of batches is over."""
        return self.clock() >= self.switch_at()

    def stopping(self) -> bool:
        """Whether somebody, here or in another process, has asked for the job to be stopped."""
        return bool(self.store.count("SELECT count(*) FROM jobs WHERE id = ? AND state = 'cancelling'", self.job))

    def judging_rows(self, rows: Iterable[int]) -> frozenset[int]:
        """Which of these rows are delivered and wait for a judge only."""
        if self.recipe.sample_judge is None:
            return frozenset()
        wanted = sorted(set(rows))
        marks = ",".join("?" * len(wanted))
        found = self.store.all(f"SELECT n FROM rows WHERE job = ? AND state = 'judging' AND n IN ({marks})", self.job, *wanted)
        return frozenset(row["n"] for row in found)

    def usd(self, model: str, usage: Usage, lane: PriceLane) -> Decimal | None:
        """What a call costs; None for a model without a price in that lane."""
        at = dt.datetime.fromtimestamp(self.recipe.clock(), tz=dt.UTC)
        return self.recipe.prices.cost(model, usage, at=at, lane=lane)

    def worst(self, request: Request, tokens: int, body: Mapping[str, Any], lane: PriceLane) -> int | None:
        """The most a call can cost, in picodollars; None where no price is known."""
        longest = 0 if request.endpoint == "embeddings" else capabilities(request.model).max_output_tokens or _LONGEST_ANSWER_TOKENS
        limit = next((value for name in _LIMITS if isinstance(value := body.get(name), int)), longest)
        choices = body.get("n") if isinstance(body.get("n"), int) else 1
        usd = self.usd(request.model, Usage(input_tokens=tokens, output_tokens=limit * max(1, choices or 1)), lane)
        return None if usd is None else pico(usd * (1 if provider_of(request.model) == "openai" else _UNSURE_COUNT))

    def tokens(self, request: Request) -> int:
        """How long a prompt is."""
        if request.endpoint != "embeddings":
            return count_messages(request.messages, request.model, params=request.params)
        return sum(count_text(text, request.model) if isinstance(text, str) else len(text) for text in _texts(request))

    def inputs(self, request: Request) -> int:
        """How many texts a row embeds; 1 for everything else."""
        return len(_texts(request)) if request.endpoint == "embeddings" else 1

    def counted(self, mark: str, text: str, model: str) -> int:
        """Tokens of a text that many rows share, counted once."""
        if mark not in self._counted:
            self._counted[mark] = count_text(text, model)
        return self._counted[mark]

    def purse(self) -> Purse:
        """What may still be promised under the job's dollar limit."""
        if self.settings.max_usd is None:
            return Purse(None)
        return Purse((pico(self.settings.max_usd) or 0) - spent_pico(self.store, self.job) - held_pico(self.store, self.job))


@dataclass(slots=True)
class Purse:
    """Picodollars that may still be promised; None is no limit."""

    left_pico: int | None

    def takes(self, worst_pico: int | None) -> bool:
        """Set this much aside, if it is there. An unpriced call never fits under a limit."""
        if self.left_pico is None:
            return True
        if worst_pico is None or worst_pico > self.left_pico:
            return False
        self.left_pico -= worst_pico
        return True


def _texts(request: Request) -> list[Any]:
    given = request.params.get("input")
    return given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
