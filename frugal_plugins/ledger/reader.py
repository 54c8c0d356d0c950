"""What a page or a report may ask of a ledger, in its own words, whatever the ledger is kept in.

Sums come from the roll-ups (hours), so they cost the same over a thousand rows and over ten million; a period is therefore
whole hours. Rows come from the rows, newest first, a bounded number at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final, Literal, Protocol

Dimension = Literal["task", "model", "asked_model", "technique", "shadow", "group", "outcome", "team", "feature", "recipe", "host"]
"""What sums may be split by.

`model`: who was paid, by call. `asked_model`: who would have answered without the recipe. `shadow`: what techniques in shadow
would have saved, each alone.
"""

Step = Literal["hour", "day"]


@dataclass(frozen=True, slots=True)
class Period:
    """From `since_seconds` (whole hours, rounded down) up to, not including, `until_seconds`; None leaves an end open."""

    since_seconds: float | None = None
    until_seconds: float | None = None
    recipe: str | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """What a number of requests came to.

    Attributes:
        requests: how many (for `model`: calls; for `technique`: requests it changed the price of).
        priced: those with a known price on both sides; only they are in baseline, actual and saved.
        measured, estimated: parts of `saved_usd` by where the baseline comes from: counted beside the request, or worked out
            from its own tokens. They are kept apart and never added up into one claim.
        spent_usd: everything that was paid, helper calls included, also for requests without a baseline.
    """

    requests: int = 0
    priced: int = 0
    hits: int = 0
    errors: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    baseline_usd: Decimal = Decimal(0)
    actual_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    measured_usd: Decimal = Decimal(0)
    estimated_usd: Decimal = Decimal(0)
    spent_usd: Decimal = Decimal(0)

    def __add__(self, other: Spend) -> Spend:
        """Both together."""
        return Spend(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def untouched_usd(self) -> Decimal:
        """The part of `saved_usd` that is neither measured nor estimated: what untouched and failed requests cost beside their answer."""
        return self.saved_usd - self.measured_usd - self.estimated_usd

    @property
    def saved_percent(self) -> float | None:
        """Of the baseline; None where there is none."""
        return float(100 * self.saved_usd / self.baseline_usd) if self.baseline_usd else None


_IDLE: Final = frozenset({"left", "miss", "stored", "would_ask"})


@dataclass(frozen=True, slots=True)
class Acted:
    """How often a technique did something. `shadow`: it only said so."""

    technique: str
    action: str
    shadow: bool
    times: int

    @property
    def changes(self) -> bool:
        """Whether that does anything to a request, or only says that it was looked at."""
        return self.action not in _IDLE


@dataclass(frozen=True, slots=True)
class Reason:
    """One decision about one request."""

    technique: str
    action: str
    why: str
    shadow: bool
    tokens_before: int | None
    tokens_after: int | None


@dataclass(frozen=True, slots=True)
class BookedCall:
    """One call that was made for a request; `usd` is None where the model has no known price."""

    purpose: str
    technique: str | None
    replaced_by: str | None
    model: str
    lane: str
    finish: str | None
    error: str | None
    input_tokens: int
    cache_read_tokens: int
    output_tokens: int
    usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Booked:
    """One request as it was booked.

    Attributes:
        answer_key: for a stored answer, by which name the answer store knows it; to reject it.
        good: what people or checks said of the answer; None when nobody did.
        saved_by: dollars by technique; `basis` says whether they are measured or estimated.
        text: what was asked and answered, as JSON; only where the ledger was told to keep it.
    """

    id: str
    at_seconds: float
    recipe: str
    host: str
    task: str
    task_source: str
    group: str
    outcome: str
    finish: str | None
    asked_model: str
    model: str
    team: str | None
    feature: str | None
    user_hash: str | None
    session_hash: str | None
    answer_key: str | None
    baseline_usd: Decimal | None
    actual_usd: Decimal | None
    basis: str
    input_tokens: int
    cache_read_tokens: int
    output_tokens: int
    good: bool | None
    reasons: tuple[Reason, ...]
    saved_by: Mapping[str, Decimal]
    text: str | None = None

    @property
    def saved_usd(self) -> Decimal | None:
        """None where a price is missing."""
        return None if self.baseline_usd is None or self.actual_usd is None else self.baseline_usd - self.actual_usd


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: all that are given must fit; "" for a team or feature means none.

    `before` is the last row of the page before, as (at_seconds, id). With `since_seconds` a rare kind is not looked for in years of rows.
    """

    task: str | None = None
    model: str | None = None
    technique: str | None = None
    group: str | None = None
    outcome: str | None = None
    team: str | None = None
    feature: str | None = None
    since_seconds: float | None = None
    until_seconds: float | None = None
    before: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """A budget that was reached."""

    at_seconds: float
    name: str
    what: str
    usd: Decimal
    limit_usd: Decimal


class LedgerReader(Protocol):
    """Asks a ledger. Every method raises LedgerError when it cannot be read."""

    @property
    def place(self) -> str:
        """Which ledger, fit to be shown (no password)."""

    def total(self, period: Period) -> Spend:
        """Everything in a period."""

    def split(self, by: Dimension, period: Period) -> Mapping[str, Spend]:
        """A period by one dimension, the largest sums first. Requests without a team or feature are under ""."""

    def series(self, by: Dimension | None, step: Step, period: Period) -> Mapping[int, Mapping[str, Spend]]:
        """By step (its first second, UTC) and dimension; without a dimension everything is under ""."""

    def acted(self, period: Period) -> tuple[Acted, ...]:
        """What the techniques did, how often."""

    def latest(self, count: int, wanted: Wanted = ...) -> tuple[Booked, ...]:
        """Requests with their reasons, newest first."""

    def hits_to_review(self, count: int) -> tuple[Booked, ...]:
        """Stored answers that were served and nobody judged yet, newest first."""

    def request(self, id: str) -> Booked | None:  # noqa: A002 - it is the request's id
        """One request."""

    def calls(self, id: str) -> tuple[BookedCall, ...]:  # noqa: A002
        """The calls made for a request, in order."""

    def alerts(self, count: int) -> tuple[Alert, ...]:
        """Budgets that were reached, newest first."""

    def lost(self, period: Period) -> int:
        """Requests the ledger could not write."""

    def close(self) -> None:
        """Let go of the file or the server."""
