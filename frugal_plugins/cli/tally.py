"""What a run has come to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from frugal_plugins.errors import FrugalError


@dataclass(slots=True)
class Tally:
    """What a run has come to so far.

    Attributes:
        actual_usd: what the requests with a line in the output cost.
        spent_usd: what a dollar limit counts: those, and what may have been paid without an answer.
        out_of_money: whether it stopped because more could cross that limit.
    """

    total: int = 0
    already: int = 0
    answered: int = 0
    failed: int = 0
    bad_lines: int = 0
    asked_again: int = 0
    retries: int = 0
    undelivered: int = 0
    baseline_usd: Decimal = Decimal(0)
    actual_usd: Decimal = Decimal(0)
    spent_usd: Decimal = Decimal(0)
    out_of_money: bool = False
    stopped: str | None = None
    interrupted: bool = False
    error: FrugalError | None = None

    @property
    def done(self) -> int:
        """Requests that have a line in the output."""
        return self.already + self.answered + self.failed + self.bad_lines

    @property
    def saved_usd(self) -> Decimal:
        """Of what was priced in this run."""
        return self.baseline_usd - self.actual_usd

    @property
    def saved_percent(self) -> float | None:
        """Of the baseline; None when there is nothing to compare."""
        return round(float(100 * self.saved_usd / self.baseline_usd), 2) if self.baseline_usd else None

    @property
    def why_stopped(self) -> str | None:
        """Why the run ended early, in words; None when it did not."""
        return str(self.error) if self.error is not None else self.stopped
