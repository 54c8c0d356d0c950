"""What is known about wrong answers, and the bar that keeps them within the budget.

The shadow phase labels every question. Later every miss is labelled too, for free: the model was asked, so we know whether the
stored answer would have been right. Hits are labelled when they are audited. From these labels comes a curve: how often the favoured
answer is wrong at each degree of sureness (`sureness.Curve`), first from the shadow phase, then more and more from the misses.

The bar is kept like an account. What was served so far is booked at what the curve now says about it; the next 5,000 requests are
reckoned for every possible bar, from how many questions of late were how sure. The lowest bar is taken at which both together,
plus 1.3 standard errors (chance, and doubt about the curve), stay within the budget; and never one whose own rate is above it. With
little traffic the margin is wide; what was not spent may be spent later.

Three things are added to the curve's rate. New kinds of questions, whose answer is not stored yet: more wrong favourites below the
bar than the shadow phase leads one to expect tell their share, over all time and over the last 2,000 requests, and how they look above
the bar is known from the shadow phase (each question taken as if its answer were not there). Audits that find more wrong answers
than the curve says. Complaints. When no bar keeps the budget, nothing is served.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.meaning.sureness import DEGREES, Curve, believed, degree, fitted

_EVERY: Final = 25
_WEIGHT_OF_A_COMPLAINT: Final = 5.0
_LOOKED_AT: Final = 40
_HELD_BACK: Final = 10.0
_ALWAYS_NEW: Final = 0.1
"""The share of questions that is taken to be of a new kind before anything is known."""
_RECENT: Final = 1 - 1 / 2_000
_AHEAD_REQUESTS: Final = 5_000
_REMEMBERED: Final = 500
"""For how many requests the shadow phase counts in how many questions are how sure."""
_STANDARD_ERRORS: Final = 1.3
_COUNTED: Final = ("found", "missed", "wrong", "audited", "caught", "rejected", "bar")


def _nothing() -> dict[str, Any]:
    import numpy as np

    return {name: np.zeros(DEGREES + 1 if name == "bar" else DEGREES) for name in _COUNTED}


@dataclass(slots=True)
class Evidence:
    """Counts of labelled questions; share one between threads.

    Args:
        requests: how many requests of the shadow phase were labelled.
        wrong: by degree, how many of them would have been answered wrongly.
        asked: by degree, how many of them had a favoured answer that no guard turned down.
        max_wrong_percent: the budget, of all requests.
        new: by degree, the share of questions of a new kind whose favoured (and wrong) answer is that sure.
    """

    requests: int
    wrong: Sequence[float]
    asked: Sequence[float]
    max_wrong_percent: float = 1.0
    new: Sequence[float] = ()
    hits: int = 0
    audits: int = 0
    found_wrong: int = 0
    _first: Curve = field(init=False, repr=False)
    _asked: Any = field(init=False, repr=False)
    _new: Any = field(init=False, repr=False)
    _counts: dict[str, Any] = field(default_factory=_nothing, repr=False)
    _usual: int = 0
    _bar: int | None = None
    _recent: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    _since: int = 0
    _unsaid: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        import numpy as np

        self._asked = np.asarray(self.asked, dtype=float)
        self._new = np.asarray(self.new, dtype=float) if len(self.new) else np.zeros(DEGREES)
        self._first = fitted(self._asked, np.asarray(self.wrong, dtype=float), believed())
        self._usual = _lowest(*self._outlook(new=0.0), self.max_wrong_percent) or DEGREES
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
            if at is not None:
                self._add(f"missed {at}", 1)
                if not right:
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
            self._add(f"audited {at}", 1)
            if not right:
                self._add("mistakes", 1)
                self._add(f"caught {at}", 1)
            self._again(now=not right)

    def rejected(self, at: int) -> None:
        """A person said that a served answer was wrong. People report few of those they meet: it weighs like several."""
        with self._lock:
            self._add("mistakes", 1)
            self._add(f"rejected {at}", _WEIGHT_OF_A_COMPLAINT)
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
            self._counts = _nothing()
            for counts in (totals, waiting):
                for name, count in counts.items():
                    self._add(name, count)
            self._unsaid = waiting
            self._bar = self._lowest_bar()

    def expected_wrong_percent(self) -> float | None:
        """The present estimate at the present bar, without the margin."""
        return None if self._bar is None else 100 * float(self._outlook()[0][self._bar])

    def at_most_wrong_percent(self) -> float | None:
        """The same with the margin: what is held against the budget."""
        return None if self._bar is None else 100 * float(self._outlook()[1][self._bar])

    def _add(self, name: str, count: float) -> None:
        self._unsaid[name] = self._unsaid.get(name, 0) + count
        word, _, number = name.rpartition(" ")
        if word in self._counts:
            self._counts[word][int(number)] += count
        elif name == "hits":
            self.hits += int(count)
        elif name == "audits":
            self.audits += int(count)
        elif name == "mistakes":
            self.found_wrong += int(count)

    def _passed(self, at: int | None, *, missed: bool = False, right: bool = True) -> None:
        """One more request, at the present bar."""
        self._add(f"bar {DEGREES if self._bar is None else self._bar}", 1)
        if at is not None:
            self._add(f"found {at}", 1)
        zone = self._zone()
        below = missed and at is not None and zone.start <= at < zone.stop
        expected = float(self._first.wrong[at]) if below else 0.0
        for place, count in enumerate((float(below and not right), expected, float(self._new[zone].sum()))):
            self._recent[place] = _RECENT * self._recent[place] + count

    def _zone(self) -> slice:
        """The degrees just below the bar, or from just below where it would be without new kinds of questions."""
        top = DEGREES if self._bar is None else self._bar
        return slice(max(0, min(top, self._usual) - _LOOKED_AT), top)

    def _again(self, *, now: bool = False) -> None:
        self._since += 1
        if now or self._since >= _EVERY:
            self._since = 0
            self._bar = self._lowest_bar()

    def _outlook(self, new: float | None = None) -> tuple[Any, Any]:
        """By degree, if the bar were there: the share of wrong requests from now on; and of all, with the margin.

        `new`: the share of questions of a new kind, where it is not to be estimated.
        """
        import numpy as np

        counts, live = self._counts, float(self._counts["bar"].sum())
        audited, caught = counts["audited"], counts["caught"]
        curve = fitted(counts["missed"] + audited, counts["wrong"] + caught, self._first.later())
        weight = min(self.requests, _REMEMBERED)
        sure = (counts["found"] + self._asked * (weight / max(1, self.requests))) / (live + weight)
        served = counts["found"] - counts["missed"] - audited
        new = self._share_of_new() if new is None else new
        worse = _worse(audited, caught, curve.wrong)
        rate = _from_there_on(sure * curve.wrong + new * self._new) + worse * _from_there_on(sure)
        rate = rate + _from_there_on(counts["rejected"]) / (self.requests + live)
        spent = float((served * curve.wrong + new * self._new * np.cumsum(counts["bar"][:-1])).sum()) + float(worse[0] * served.sum())
        every = live + _AHEAD_REQUESTS
        share = (spent + _AHEAD_REQUESTS * rate) / every
        slopes = (served @ curve.slopes + _AHEAD_REQUESTS * _from_there_on(sure[:, None] * curve.slopes)) / every
        doubt = np.einsum("ij,jk,ik->i", slopes, curve.doubt, slopes) + share / every
        return rate, share + _STANDARD_ERRORS * np.sqrt(doubt)

    def _share_of_new(self) -> float:
        """The share of questions of a new kind: from below the bar, over all time and of late, the dearer of both."""
        import numpy as np

        zone, counts = self._zone(), self._counts
        above = counts["bar"].sum() - np.cumsum(counts["bar"])[:-1]
        then, fresh = (self._first.wrong * counts["missed"])[zone].sum(), (self._new * above)[zone].sum()
        return max(_excess(float(counts["wrong"][zone].sum()), float(then), float(fresh)), _excess(*self._recent))

    def _lowest_bar(self) -> int | None:
        return _lowest(*self._outlook(), self.max_wrong_percent)


def _lowest(rate: Any, bound: Any, max_wrong_percent: float) -> int | None:
    """The lowest degree at which neither is above the budget."""
    import numpy as np

    fitting = np.flatnonzero((bound <= max_wrong_percent / 100) & (rate <= max_wrong_percent / 100))
    return int(fitting[0]) if len(fitting) else None


def _from_there_on(by_degree: Any) -> Any:
    """The sum of each degree and all above it."""
    import numpy as np

    return np.cumsum(by_degree[::-1], axis=0)[::-1]


def _worse(audited: Any, caught: Any, wrong: Any) -> Any:
    """By degree, how many more of the hits from there on are wrong than the curve says, by the audits of them.

    Only what is more than a standard error above the expected counts: chance alone would otherwise look like news.
    """
    import numpy as np

    expected = _from_there_on(audited * wrong)
    more = _from_there_on(caught) - expected - np.sqrt(expected + 1)
    return np.maximum(0.0, more) / (_from_there_on(audited) + _HELD_BACK)


def _excess(now: float, then: float, fresh: float) -> float:
    """The share of questions of a new kind, from wrong favourites found, those expected, and those expected if all were new."""
    return (max(0.0, now - then - math.sqrt(then + 1)) + _ALWAYS_NEW * _HELD_BACK) / (fresh + _HELD_BACK)


def counted(probabilities: Sequence[float], right: Sequence[bool], servable: Sequence[bool]) -> list[float]:
    """By degree, how many questions would have been answered wrongly."""
    wrong = [0.0] * DEGREES
    for probability, good, may in zip(probabilities, right, servable, strict=True):
        if may and not good:
            wrong[degree(probability)] += 1
    return wrong
