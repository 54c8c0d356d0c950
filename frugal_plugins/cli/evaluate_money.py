"""One dollar limit for several files of answers that are made side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Final, Protocol

from frugal_plugins.cli.run_command import Wishes
from frugal_plugins.cli.tally import Tally

_LEAST_USD: Final = Decimal("1e-12")
"""A limit of nothing at all reads as none; this much pays for no call."""


class Answering(Protocol):
    """One file of answers."""

    @property
    def output(self) -> Path:
        """Which."""

    def hand_in(self, wishes: Wishes) -> Decimal:
        """Give its batches to the provider; what they could cost at worst."""

    def answered(self, wishes: Wishes) -> Tally:
        """Answer what is not answered yet."""


@dataclass(slots=True)
class Allowance:
    """What an evaluation may spend, and who has how much of it.

    Attributes:
        bound_usd: for each file what it has cost, and what its batches under way could still cost at worst. Their sum never crosses
            the limit, whatever the provider makes of the batches meanwhile.
    """

    wishes: Wishes
    bound_usd: dict[Path, Decimal] = field(default_factory=dict)

    def wishes_for(self, output: Path) -> Wishes:
        """The same wishes, with what nobody else has spent or may still spend."""
        if self.wishes.max_usd is None:
            return self.wishes
        others = sum((usd for path, usd in self.bound_usd.items() if path != output), Decimal(0))
        return replace(self.wishes, max_usd=max(self.wishes.max_usd - others, _LEAST_USD))

    def answer(self, askings: Sequence[Answering], leave: Callable[[Tally, Path], None]) -> None:
        """Everything answered: batches are handed in all at once and waited for one after the other.

        One that came to the limit waits for what the others leave over; `leave` ends the evaluation where that is not enough, and
        where one was stopped for another reason.
        """
        for one in askings:
            self.bound_usd[one.output] = one.hand_in(self.wishes_for(one.output))
        waiting = list(askings)
        while waiting:
            short: list[tuple[Answering, Tally]] = []
            for one in waiting:
                tally = one.answered(self.wishes_for(one.output))
                self.bound_usd[one.output] = tally.spent_usd
                if tally.out_of_money:  # the limit it came to was only its share
                    tally.stopped = f"what is left could cross --max-usd {self.wishes.max_usd}; allow more to go on"
                if tally.out_of_money and self.wishes.batch and len(waiting) > 1:
                    short.append((one, tally))
                else:
                    leave(tally, one.output)
            if len(short) == len(waiting):
                leave(short[0][1], short[0][0].output)
            waiting = [one for one, _ in short]
