"""What a recipe's `batch:` section says."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal

from frugal_plugins.errors import RecipeError
from frugal_plugins.recipe.recipe import Recipe

DeadlineLane = Literal["realtime", "flex", "none"]


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How a job is run.

    Attributes:
        window_hours: when everything must be there, counted from the job's creation.
        deadline_lane: what fills in what the batches did not finish in time: `realtime` (flex where the model has it, else
            the full price), `flex` (nothing dearer than batch), or `none` (late rows end as errors).
        max_usd: stop before this job could cost more; None is no limit.
        max_attempts: how often one call is asked at most, when its line got lost or failed on the provider's side.
        ask_once: identical calls of one job are asked once, unless they set a temperature above 0.
        share_fronts: rows whose prompts begin alike are sent side by side, and marked for an hour's cache where that pays.
        no_lane: what to do with a model that has no batch lane: `refuse` the row, or answer it in `realtime`.
        poll_seconds: how often a batch is looked at.
        most_rows: rows in one provider batch at most; the provider's own limit when it is lower.
        most_bytes: the same for the size of the file.
        most_enqueued_tokens: input tokens in one batch at most; None leaves it to the provider, whose refusal halves the batch.
        cancel_seconds: how long a provider may take to stop a batch.
        absent_seconds: how long an unanswered submit is looked for in the provider's list before it counts as never arrived.
        late_output_seconds: how long a completed batch may take to name its files.
        concurrency: calls in flight outside of batches, which is also how many may be paid twice after a crash there.
        seconds_per_call: how long one such call takes, to know when to begin with them.
    """

    window_hours: float = 24
    deadline_lane: DeadlineLane = "realtime"
    max_usd: Decimal | None = None
    max_attempts: int = 3
    ask_once: bool = True
    share_fronts: bool = True
    no_lane: Literal["refuse", "realtime"] = "refuse"
    poll_seconds: float = 60
    most_rows: int = 50_000
    most_bytes: int = 190_000_000
    most_enqueued_tokens: int | None = None
    cancel_seconds: float = 600
    absent_seconds: float = 120
    late_output_seconds: float = 900
    concurrency: int = 16
    seconds_per_call: float = 5

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("window_hours", "max_attempts", "most_rows", "most_bytes", "concurrency", "poll_seconds"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"batch.{name} is {getattr(self, name)}; it must be above 0", key=f"batch.{name}")
        if self.deadline_lane not in ("realtime", "flex", "none"):
            raise RecipeError(f"batch.deadline_lane is {self.deadline_lane!r}; use realtime, flex or none", key="batch.deadline_lane")
        if self.max_usd is not None and self.max_usd <= 0:
            raise RecipeError("batch.max_usd must be above 0; leave it out for no limit", key="batch.max_usd")

    @classmethod
    def of(cls, recipe: Recipe) -> BatchSettings:
        """What the recipe's `batch:` section says; the defaults where it has none."""
        said = recipe.settings.batch
        if said is None:
            return cls()
        return cls(float(said.window_hours), said.deadline_lane, said.max_usd, no_lane=said.no_lane, share_fronts=said.share_fronts)

    def as_json(self) -> str:
        """For the job's row."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> BatchSettings:
        """Read what `as_json` wrote."""
        said: dict[str, Any] = json.loads(text)
        if said.get("max_usd") is not None:
            said["max_usd"] = Decimal(said["max_usd"])
        return cls(**said)
