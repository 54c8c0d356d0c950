"""How many answers were right, how sure that is, and whether one set of answers is better than another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_SURE: Final = 1.959964
"""95 % of a normal distribution lie within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Score:
    """Answers counted.

    Attributes:
        rows: all of them; one without an answer, or one nobody could judge, is not right.
        unclear: answers a judge could not tell about.
        unanswered: rows that have an error instead of an answer.
        interval_percent: where the share of right answers lies with 95 % confidence, on rows like these (Wilson's interval).
    """

    rows: int
    right: int
    unclear: int = 0
    unanswered: int = 0

    @property
    def percent(self) -> float:
        """The share of right answers; 0 where there are no rows."""
        return 100 * self.right / self.rows if self.rows else 0.0

    @property
    def interval_percent(self) -> tuple[float, float]:
        """From, to."""
        if not self.rows:
            return (0.0, 100.0)
        n, share = self.rows, self.right / self.rows
        middle = (share + _SURE**2 / (2 * n)) / (1 + _SURE**2 / n)
        half = _SURE / (1 + _SURE**2 / n) * math.sqrt(share * (1 - share) / n + _SURE**2 / (4 * n * n))
        return (max(0.0, 100 * (middle - half)), min(100.0, 100 * (middle + half)))

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        low, high = self.interval_percent
        return {
            "rows": self.rows, "right": self.right, "wrong": self.rows - self.right - self.unclear - self.unanswered,
            "unclear": self.unclear, "unanswered": self.unanswered,
            "score_percent": round(self.percent, 2), "interval_percent": [round(low, 2), round(high, 2)],
        }  # fmt: skip


def score(verdicts: Sequence[bool | None], unanswered: int = 0) -> Score:
    """Count verdicts; None is one nobody could tell. `unanswered` rows come on top."""
    right = sum(one is True for one in verdicts)
    return Score(len(verdicts) + unanswered, right, sum(one is None for one in verdicts), unanswered)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two sets of answers to the same rows.

    Attributes:
        only_first: rows only the first got right.
        points: by how many percent points the first is better.
        interval_points: where that lies with 95 % confidence (Bonett and Price, for paired rows).
    """

    rows: int
    only_first: int
    only_second: int

    @property
    def points(self) -> float:
        """The first's share of right answers minus the second's."""
        return 100 * (self.only_first - self.only_second) / self.rows if self.rows else 0.0

    @property
    def interval_points(self) -> tuple[float, float]:
        """From, to."""
        n = self.rows + 2
        first, second = (self.only_first + 1) / n, (self.only_second + 1) / n
        half = _SURE * math.sqrt((first + second - (first - second) ** 2) / n)
        return (max(-100.0, 100 * (first - second - half)), min(100.0, 100 * (first - second + half)))

    @property
    def clear(self) -> bool:
        """Whether these rows tell the two apart: chance alone would hardly do this."""
        low, high = self.interval_points
        return low > 0 or high < 0

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        low, high = self.interval_points
        return {
            "rows": self.rows, "only_first": self.only_first, "only_second": self.only_second,
            "points": round(self.points, 2), "interval_points": [round(low, 2), round(high, 2)], "clear": self.clear,
        }  # fmt: skip


def difference(first: Mapping[int, bool | None], second: Mapping[int, bool | None]) -> Difference:
    """Compare two sets of verdicts by row, on the rows both have."""
    shared = first.keys() & second.keys()
    ahead = sum(first[row] is True and second[row] is not True for row in shared)
    return Difference(len(shared), ahead, sum(second[row] is True and first[row] is not True for row in shared))
