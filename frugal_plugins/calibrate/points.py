"""From a curve of quality against cost on held-out rows to the settings that meet a target."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, Protocol

from frugal_plugins.learned.ladder import Point

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]

GUARD_CONFIDENCE: Final = 0.95
"""A mixture of models must beat the best single model of the same cost with this confidence, or that model is used."""


class Rows(Protocol):
    """The part of the outcomes that is needed here."""

    @property
    def right(self) -> Matrix: ...  # noqa: D102
    @property
    def usd(self) -> Matrix: ...  # noqa: D102
    @property
    def kept_right(self) -> Matrix: ...  # noqa: D102


def choose_points(
    data: Rows, curves: Sequence[tuple[Matrix, Matrix]], targets_percent: Sequence[float], confidence: float
) -> tuple[int, tuple[Point, ...]]:
    """The curve that is cheapest over all targets, and its operating point for each.

    A curve is (correctness, dollars), rows x prices of quality. Between two prices requests are split by lot, which reaches
    every quality in between at a cost in between.
    """
    each = [[operating_point(data, right, usd, target, confidence) for target in targets_percent] for right, usd in curves]
    best = min(range(len(each)), key=lambda i: sum(point.cost_usd for point in each[i]))
    return best, tuple(each[best])


def operating_point(data: Rows, right: Matrix, usd: Matrix, target_percent: float, confidence: float) -> Point:
    """The cheapest mixture of two neighbouring prices that keeps `target_percent` of the reference's correctness."""
    import numpy as np

    needed = data.kept_right[:, None] * target_percent / 100
    gap = right - needed
    margin = NormalDist().inv_cdf(confidence) * gap.std(axis=0) / np.sqrt(len(gap)) if confidence != 0.5 else 0.0
    over, costs = gap.mean(axis=0) - margin, usd.mean(axis=0)
    first, second, share = cheapest_mixture(over, costs)
    if first < 0:
        return _constant(data, int(data.right.mean(axis=0).argmax()), target_percent)
    mixed = share * right[:, first] + (1 - share) * right[:, second]
    cost = float(share * costs[first] + (1 - share) * costs[second])
    constant = guarded(data, mixed, cost)
    if constant is not None:
        return _constant(data, constant, target_percent)
    return Point(target_percent, first, second, share, None, float(mixed.mean()), cost)


def cheapest_mixture(over: Matrix, costs: Matrix) -> tuple[int, int, float]:
    """Two places and the share of the first, such that the mean of `over` is not negative and the cost least; (-1, -1, 0) if none."""
    import numpy as np

    enough, short = np.flatnonzero(over >= 0), np.flatnonzero(over < 0)
    if not len(enough):
        return -1, -1, 0.0
    first = int(enough[costs[enough].argmin()])
    found, least = (first, first, 1.0), float(costs[first])
    for i in enough:
        shares = -over[short] / (over[i] - over[short])
        mixed = shares * costs[i] + (1 - shares) * costs[short]
        if len(short) and mixed.min() < least:
            place = int(mixed.argmin())
            least, found = float(mixed.min()), (int(i), int(short[place]), float(shares[place]))
    return found


def guarded(data: Rows, mixed: Matrix, cost: float) -> int | None:
    """The single model to use instead: the best of those that cost no more, unless the mixture beats it with confidence."""
    import numpy as np

    affordable = np.flatnonzero(data.usd.mean(axis=0) <= cost * (1 + 1e-9))
    if not len(affordable):
        return None
    rival = int(affordable[data.right[:, affordable].mean(axis=0).argmax()])
    ahead = mixed - data.right[:, rival]
    doubt = NormalDist().inv_cdf(GUARD_CONFIDENCE) * ahead.std() / np.sqrt(len(ahead))
    return None if ahead.mean() > doubt else rival


def _constant(data: Rows, model: int, target_percent: float) -> Point:
    return Point(target_percent, 0, 0, 1.0, model, float(data.right[:, model].mean()), float(data.usd[:, model].mean()))
