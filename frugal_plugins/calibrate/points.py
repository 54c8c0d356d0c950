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


def choose_points(data: Rows, right: Matrix, usd: Matrix, targets_percent: Sequence[float], confidence: float) -> tuple[Point, ...]:
    """The operating point for each target on a curve: correctness and dollars, rows x prices of quality, the cheapest first.

    Between two neighbouring prices requests are split by lot, which reaches every quality in between at a cost in between.
    """
    return tuple(operating_point(data, right, usd, target, confidence) for target in targets_percent)


def operating_point(data: Rows, right: Matrix, usd: Matrix, target_percent: float, confidence: float) -> Point:
    """The least price of quality that keeps `target_percent` of the reference's correctness, mixed with the next lower one.

    Paying more for quality brings more of it and costs more; where a few hundred rows say otherwise it is chance, so both are
    read as rising curves. Picking the luckiest of many prices, or of many mixtures, would promise what new rows do not keep.
    """
    import numpy as np

    needed = data.kept_right[:, None] * target_percent / 100
    gap = right - needed
    margin = NormalDist().inv_cdf(confidence) * gap.std(axis=0) / np.sqrt(len(gap))
    over = rising(gap.mean(axis=0) - margin)
    if over[-1] < 0:
        return _constant(data, int(data.right.mean(axis=0).argmax()), target_percent)
    first = int(np.flatnonzero(over >= 0)[0])
    second = max(0, first - 1)
    share = float(-over[second] / (over[first] - over[second])) if second < first else 1.0
    mixed = share * right[:, first] + (1 - share) * right[:, second]
    cost = float((share * usd[:, first] + (1 - share) * usd[:, second]).mean())
    constant = guarded(data, mixed, cost)
    if constant is not None:
        return _constant(data, constant, target_percent)
    return Point(target_percent, first, second, share, None, float(mixed.mean()), cost)


def rising(values: Matrix) -> Matrix:
    """The nearest curve that never falls (isotonic regression: neighbours that fall share their mean)."""
    import numpy as np

    runs: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, count = value, 1
        while runs and runs[-1][0] > mean:
            before, many = runs.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        runs.append((mean, count))
    return np.repeat([mean for mean, _ in runs], [count for _, count in runs])


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
