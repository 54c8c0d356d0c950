"""What is known about wrong answers at each degree of sureness, and the bar that keeps them within the budget.

The shadow phase labels every question. Later every miss is labelled too, for free: the model was asked, so we know whether the
stored answer would have been right. Hits are labelled when they are audited. Each label counts for the degree of sureness it
had, each degree remembers for how many requests such labels were collected, and the bar is the lowest degree at which the sum
of wrong answers per request, plus a margin for what is not known well, stays within the budget. With few labels the margin is
wide. When audits or feedback find wrong answers the bar rises by itself; when no bar keeps the budget, nothing is served.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

LOWEST: Final = -4.0
STEP: Final = 0.05
DEGREES: Final = 361
"""Log-odds from -4 to 14 in steps of 0.05."""
_EVERY: Final = 25
_WEIGHT_OF_A_COMPLAINT: Final = 5.0
_SAFER_AT_MOST: Final = 0.8
_LOOKED_AT: Final = 40
_HELD_BACK: Final = 10.0


def degree(probability: float) -> int:
    """The degree of sureness a probability belongs to."""
    bounded = min(1 - 1e-9, max(1e-9, probability))
    return max(0, min(DEGREES - 1, int((math.log(bounded / (1 - bounded)) - LOWEST) / STEP)))


def probability_at(number: int) -> float:
    """The least probability of a degree."""
    return 1 / (1 + math.exp(-(LOWEST + STEP * number)))


@dataclass(slots=True)
class Evidence:
    """Counts of labelled questions; share one between threads.

    Args:
        requests: how many requests of the shadow phase were labelled.
        wrong: by degree, how many of them would have been answered wrongly.
        max_wrong_percent: the budget, of all requests.
        margin: standard errors between the estimate and the budget.
        audit_share: the share of hits that is asked again and compared.
    """

    requests: int
    wrong: list[float]
    max_wrong_percent: float = 1.0
    margin: float = 0.8
    audit_share: float = 0.0
    hits: int = 0
    audits: int = 0
    found_wrong: int = 0
    _later: list[float] = field(default_factory=lambda: [0.0] * DEGREES)
    _bar: int | None = None
    _below: list[float] = field(default_factory=lambda: [0.0] * (DEGREES + 1))
    _since: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._bar = self._lowest_bar()

    @property
    def bar(self) -> int | None:
        """The lowest degree that is served, or None when no bar keeps the budget."""
        return self._bar

    @property
    def stood_down(self) -> bool:
        """Whether nothing is served by meaning any more."""
        return self._bar is None

    def labelled_miss(self, at: int | None, right: bool) -> None:
        """A request was not served; `at` is the degree its favoured answer had (None: no candidate, or a guard turned it down)."""
        with self._lock:
            self._below[self._bar if self._bar is not None else DEGREES] += 1
            if at is not None and not right:
                self._later[at] += 1
            self._again()

    def served(self) -> None:
        """A request was served and not audited."""
        with self._lock:
            self.hits += 1
            self._below[self._bar if self._bar is not None else DEGREES] += 1
            self._again()

    def audited(self, at: int, right: bool) -> None:
        """A hit was asked again: was the stored answer right?"""
        with self._lock:
            self.hits += 1
            self.audits += 1
            self._below[self._bar if self._bar is not None else DEGREES] += 1
            if not right:
                self.found_wrong += 1
                self._later[at] += 1
            self._again(now=not right)

    def rejected(self, at: int) -> None:
        """A person said that a served answer was wrong. People report few of those they meet: it weighs like several audits."""
        with self._lock:
            self.found_wrong += 1
            self._later[at] += _WEIGHT_OF_A_COMPLAINT
            self._again(now=True)

    def expected_wrong_percent(self) -> float | None:
        """The present estimate at the present bar, without the margin."""
        return None if self._bar is None else 100 * self._bounds()[self._bar][0]

    def _drift(self, seen: Sequence[float]) -> float:
        """How much more often answers just below the bar are wrong now than in the shadow phase, held back towards 1.

        A store that has grown since makes the same sureness safer or, when the traffic has changed, less safe.
        """
        top = DEGREES if self._bar is None else self._bar
        below = range(max(0, top - _LOOKED_AT), top)
        now = sum(self._later[number] for number in below)
        then = sum(self.wrong[number] * (seen[number] - self.requests) / max(1, self.requests) for number in below)
        return max(_SAFER_AT_MOST, min(3.0, (now + _HELD_BACK) / (then + _HELD_BACK)))

    def _again(self, *, now: bool = False) -> None:
        self._since += 1
        if now or self._since >= _EVERY:
            self._since = 0
            self._bar = self._lowest_bar()

    def _seen(self) -> list[float]:
        """For how many requests each degree was labelled: the shadow phase, where the bar was above it, audits of the rest."""
        seen, above, live = [0.0] * DEGREES, 0.0, sum(self._below)
        for number in range(DEGREES, 0, -1):
            above += self._below[number]
            seen[number - 1] = self.requests + above + self.audit_share * (live - above)
        return seen

    def _bounds(self) -> list[tuple[float, float]]:
        """By degree: the estimated share of wrong requests if the bar were there, and the same with the margin."""
        seen = self._seen()
        drift = self._drift(seen)
        rate = variance = 0.0
        found: list[tuple[float, float]] = []
        for number in range(DEGREES - 1, -1, -1):
            if self.wrong[number] or self._later[number]:
                wrong = drift * self.wrong[number] + self._later[number]
                rate += wrong / seen[number]
                variance += wrong / seen[number] ** 2
            few = self.margin**2 / max(1, self.requests)
            found.append((rate, rate + few / 2 + self.margin * math.sqrt(variance + few / max(1, self.requests) / 4)))
        return found[::-1]

    def _lowest_bar(self) -> int | None:
        budget = self.max_wrong_percent / 100
        fitting = [number for number, (_, bound) in enumerate(self._bounds()) if bound <= budget]
        return fitting[0] if fitting else None


def counted(probabilities: Sequence[float], right: Sequence[bool], servable: Sequence[bool]) -> list[float]:
    """By degree, how many questions would have been answered wrongly."""
    wrong = [0.0] * DEGREES
    for probability, good, may in zip(probabilities, right, servable, strict=True):
        if may and not good:
            wrong[degree(probability)] += 1
    return wrong
