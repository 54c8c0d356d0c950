"""What is known about wrong answers at each degree of sureness, and the bar that keeps them within the budget.

The shadow phase labels every question. Later every miss is labelled too, for free: the model was asked, so we know whether the
stored answer would have been right. Hits are labelled when they are audited. Each label counts for the degree of sureness it
had, each degree remembers for how many requests such labels were collected, and the bar is the lowest degree at which the sum
of wrong answers per request, plus a margin for what is not known well, stays within the budget. With few labels the margin is
wide. When audits or feedback find wrong answers the bar rises by itself; when no bar keeps the budget, nothing is served.

More wrong favourites below the bar than the shadow phase leads one to expect mean new kinds of questions: their answer is not stored
yet, and what looks like it is wrong. How such questions look above the bar is known from the shadow phase (each question taken
as if its answer were not there), so their share is estimated from below the bar, over all time and over the last 2,000 requests,
and the dearer of both is added.

As the store grows more questions become sure. How many have which sureness is seen for all of them, served or not, so the shadow
phase's wrong answers are weighed by that; and where favourites below the bar are right more often than then, by that too.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

LOWEST: Final = -4.0
STEP: Final = 0.05
DEGREES: Final = 361
"""Log-odds from -4 to 14 in steps of 0.05."""
_EVERY: Final = 25
_WEIGHT_OF_A_COMPLAINT: Final = 5.0
_LOOKED_AT: Final = 40
_HELD_BACK: Final = 10.0
_BAND: Final = 20
_SAFER_AT_MOST: Final = 0.85
_GROWN_AT_MOST: Final = 3.0
_ALWAYS_NEW: Final = 0.001
"""The share of questions that is taken to be of a new kind before anything is known."""
_RECENT: Final = 1 - 1 / 2_000


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
        asked: by degree, how many questions of the shadow phase had a favoured answer that no guard turned down.
        new: by degree, the share of questions of a new kind whose favoured (and wrong) answer is that sure.
    """

    requests: int
    wrong: list[float]
    max_wrong_percent: float = 1.0
    margin: float = 0.8
    audit_share: float = 0.0
    asked: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    hits: int = 0
    audits: int = 0
    found_wrong: int = 0
    _later: list[float] = field(default_factory=lambda: [0.0] * DEGREES)
    _bar: int | None = None
    _below: list[float] = field(default_factory=lambda: [0.0] * (DEGREES + 1))
    _found: list[float] = field(default_factory=lambda: [0.0] * DEGREES)
    _missed: list[float] = field(default_factory=lambda: [0.0] * DEGREES)
    _recent: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    _error: list[float] = field(default_factory=list)
    _since: int = 0
    _unsaid: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.new = self.new or [0.0] * DEGREES
        self.asked = self.asked or [0.0] * DEGREES
        bands = [(sum(self.wrong[at : at + _BAND]), sum(self.asked[at : at + _BAND])) for at in range(0, DEGREES, _BAND)]
        self._error = [(wrong / asked if asked else 0.0) for wrong, asked in bands]
        self._bar = self._lowest_bar()

    @property
    def bar(self) -> int | None:
        """The lowest degree that is served, or None when no bar keeps the budget."""
        return self._bar

    @property
    def stood_down(self) -> bool:
        """Whether nothing is served by meaning any more."""
        return self._bar is None

    @property
    def due(self) -> bool:
        """Whether enough was learned to tell other processes."""
        return self._since == 0 and bool(self._unsaid)

    def labelled_miss(self, at: int | None, right: bool) -> None:
        """A request was not served; `at` is the degree its favoured answer had (None: no candidate, or a guard turned it down)."""
        with self._lock:
            self._passed(at, missed=True, right=right)
            if at is not None and not right:
                self._add(f"wrong {at}", 1)
            self._again()

    def served(self, at: int) -> None:
        """A request was served and not audited."""
        with self._lock:
            self._add("hits", 1)
            self._passed(at)
            self._again()

    def audited(self, at: int, right: bool) -> None:
        """A hit was asked again: was the stored answer right?"""
        with self._lock:
            self._add("hits", 1)
            self._add("audits", 1)
            self._passed(at)
            if not right:
                self._add("mistakes", 1)
                self._add(f"wrong {at}", 1)
            self._again(now=not right)

    def rejected(self, at: int) -> None:
        """A person said that a served answer was wrong. People report few of those they meet: it weighs like several audits."""
        with self._lock:
            self._add("mistakes", 1)
            self._add(f"wrong {at}", _WEIGHT_OF_A_COMPLAINT)
            self._again(now=True)

    def unsaid(self) -> dict[str, float]:
        """What was learned since the last time this was asked, for `heard` in other processes."""
        with self._lock:
            said, self._unsaid = self._unsaid, {}
            return said

    def heard(self, totals: Mapping[str, float]) -> None:
        """What all processes have learned together, this one's share up to the last `unsaid` included."""
        with self._lock:
            waiting, self._unsaid = self._unsaid, {}
            self.hits = self.audits = self.found_wrong = 0
            self._later, self._below = [0.0] * DEGREES, [0.0] * (DEGREES + 1)
            self._found, self._missed = [0.0] * DEGREES, [0.0] * DEGREES
            for counts in (totals, waiting):
                for name, count in counts.items():
                    self._add(name, count)
            self._unsaid = waiting
            self._bar = self._lowest_bar()

    def expected_wrong_percent(self) -> float | None:
        """The present estimate at the present bar, without the margin."""
        return None if self._bar is None else 100 * self._bounds()[self._bar][0]

    def _add(self, name: str, count: float) -> None:
        self._unsaid[name] = self._unsaid.get(name, 0) + count
        word, _, number = name.rpartition(" ")
        if word == "wrong":
            self._later[int(number)] += count
        elif word == "bar":
            self._below[int(number)] += count
        elif word == "found":
            self._found[int(number)] += count
        elif word == "missed":
            self._missed[int(number)] += count
        elif name == "hits":
            self.hits += int(count)
        elif name == "audits":
            self.audits += int(count)
        elif name == "mistakes":
            self.found_wrong += int(count)

    def _passed(self, at: int | None, *, missed: bool = False, right: bool = True) -> None:
        """One more request, at the present bar."""
        bar = self._bar if self._bar is not None else DEGREES
        self._add(f"bar {bar}", 1)
        zone, expected = self._zone(), 0.0
        if at is not None:
            self._add(f"found {at}", 1)
            if missed:
                self._add(f"missed {at}", 1)
                expected = self._error[at // _BAND] if at in zone else 0.0
        wrong = float(missed and not right and at is not None and at in zone)
        for place, count in enumerate((wrong, expected, sum(self.new[zone.start : zone.stop]))):
            self._recent[place] = _RECENT * self._recent[place] + count

    def _zone(self) -> range:
        """The degrees just below the bar."""
        top = DEGREES if self._bar is None else self._bar
        return range(max(0, top - _LOOKED_AT), top)

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

    def _changed(self, seen: Sequence[float]) -> tuple[float, float]:
        """How much rarer wrong favourites below the bar are than in the shadow phase, and the share of questions of a new kind."""
        zone = self._zone()
        now = sum(self._later[number] for number in zone)
        then = sum(self._error[number // _BAND] * self._missed[number] for number in zone)
        fresh = sum(self.new[number] * (seen[number] - self.requests) for number in zone)
        share = max(_share_of_new(now, then, fresh), _share_of_new(*self._recent))
        return max(_SAFER_AT_MOST, min(1.0, (now + _HELD_BACK) / (then + _HELD_BACK))), share

    def _grown(self) -> list[float]:
        """By band of degrees, how many more questions have that sureness than in the shadow phase."""
        live = sum(self._below) / max(1, self.requests)
        pairs = [(sum(self._found[at : at + _BAND]), sum(self.asked[at : at + _BAND])) for at in range(0, DEGREES, _BAND)]
        return [min(_GROWN_AT_MOST, (found + _HELD_BACK) / (live * asked + _HELD_BACK)) if asked else 1.0 for found, asked in pairs]

    def _bounds(self) -> list[tuple[float, float]]:
        """By degree: the estimated share of wrong requests if the bar were there, and the same with the margin."""
        seen, grown = self._seen(), self._grown()
        rarer, share = self._changed(seen)
        rate = variance = 0.0
        few = self.margin**2 / max(1, self.requests)
        found: list[tuple[float, float]] = []
        for number in range(DEGREES - 1, -1, -1):
            before = rarer * grown[number // _BAND] * self.wrong[number]
            wrong = before + self._later[number] + share * self.requests * self.new[number]
            rate += wrong / seen[number]
            variance += wrong / seen[number] ** 2
            found.append((rate, rate + few / 2 + self.margin * math.sqrt(variance + few / max(1, self.requests) / 4)))
        return found[::-1]

    def _lowest_bar(self) -> int | None:
        budget = self.max_wrong_percent / 100
        fitting = [number for number, (_, bound) in enumerate(self._bounds()) if bound <= budget]
        return fitting[0] if fitting else None


def _share_of_new(now: float, then: float, fresh: float) -> float:
    """The share of questions of a new kind, from wrong favourites found, those expected, and those expected if all were new.

    Only what is more than a standard error above the expected counts: chance alone would otherwise look like news.
    """
    return (max(0.0, now - then - math.sqrt(then + 1)) + _ALWAYS_NEW * _HELD_BACK) / (fresh + _HELD_BACK)


def counted(probabilities: Sequence[float], right: Sequence[bool], servable: Sequence[bool]) -> list[float]:
    """By degree, how many questions would have been answered wrongly."""
    wrong = [0.0] * DEGREES
    for probability, good, may in zip(probabilities, right, servable, strict=True):
        if may and not good:
            wrong[degree(probability)] += 1
    return wrong
