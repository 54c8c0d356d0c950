"""What a fitted ladder is worth on rows it did not see, beside what one would do without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.calibrate.fit import CONFIDENCE, FEWEST_ROWS, TARGETS_PERCENT, Outcomes, fit_ladder, tried, undominated
from frugal_plugins.errors import FrugalError

if TYPE_CHECKING:
    import numpy as np

    from frugal_plugins.learned.ladder import Ladder, Point

    Matrix = np.ndarray[Any, np.dtype[np.float64]]

_PARTS: Final = 4
_DRAWS: Final = 400
_FEWEST_MARKS: Final = 5


class TooFewLabels(FrugalError):
    """There are too few labelled requests to learn from; the router stays with its cold start."""


@dataclass(frozen=True, slots=True)
class Line:
    """One target on held-out rows. Intervals are the middle 95 % over resampled rows; `points` are percentage points of correctness.

    Attributes:
        over_single_points: above the best single model that costs no more.
        over_random_points: above sending a random share of the same cost to the reference model, the rest to the cheapest.
        over_length_points: above sending the longest prompts there, at the same cost.
    """

    keep_percent: float
    saving_percent: float
    saving_interval: tuple[float, float]
    kept_percent: float
    kept_interval: tuple[float, float]
    over_single_points: float
    over_single_interval: tuple[float, float]
    over_random_points: float
    over_length_points: float


@dataclass(frozen=True, slots=True)
class Report:
    """The ladder to use and what it came to."""

    ladder: Ladder
    lines: tuple[Line, ...]
    dropped: tuple[str, ...]
    rows: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"rows": self.rows, "dropped_models": list(self.dropped), "held_out": [asdict(line) for line in self.lines]}

    def text(self) -> str:
        """For a person."""
        head = f"{self.rows} labelled requests; models on the ladder: {', '.join(m.name for m in self.ladder.models)}"
        dropped = f"\nleft out, since another model is both cheaper and better: {', '.join(self.dropped)}" if self.dropped else ""
        lines = [
            f"keep {line.keep_percent:g} %: "
            f"saves {line.saving_percent:.1f} % [{line.saving_interval[0]:.1f}, {line.saving_interval[1]:.1f}] at "
            f"{line.kept_percent:.1f} % [{line.kept_interval[0]:.1f}, {line.kept_interval[1]:.1f}] of the reference; "
            f"{line.over_single_points:+.1f} points over the best single model of that cost, {line.over_random_points:+.1f} over chance, "
            f"{line.over_length_points:+.1f} over prompt length"
            for line in self.lines
        ]
        return "\n".join([head + dropped, *lines])


def calibrate(data: Outcomes, *, targets_percent: Sequence[float] = TARGETS_PERCENT, confidence: float = CONFIDENCE) -> Report:
    """Fit a ladder and say what it is worth, on rows each ladder did not see.

    Raises TooFewLabels below FEWEST_ROWS rows, or where all answers of all models got the same verdict.
    """
    import numpy as np

    if len(data) < FEWEST_ROWS:
        raise TooFewLabels(
            f"{len(data)} labelled requests are too few to learn from ({FEWEST_ROWS} needed); the router stays with its cold start. "
            "Collect feedback, or label a sample with frugal calibrate --judge."
        )
    spread = min((data.right == value).sum() for value in (data.right.min(), data.right.max()))
    if data.right.min() == data.right.max() or spread < _FEWEST_MARKS:
        raise TooFewLabels("nearly all answers got the same verdict, so there is nothing to learn; collect verdicts on bad answers too.")
    part = np.random.default_rng(1).permutation(len(data)) % _PARTS
    right, usd = np.zeros((len(data), len(targets_percent))), np.zeros((len(data), len(targets_percent)))
    for number in range(_PARTS):
        train, test = data.take(np.flatnonzero(part != number)), data.take(np.flatnonzero(part == number))
        ladder = fit_ladder(train, targets_percent=targets_percent, confidence=confidence)
        right[part == number], usd[part == number] = outcomes_of(ladder, test)
    lines = tuple(_line(data, right[:, i], usd[:, i], target) for i, target in enumerate(targets_percent))
    kept = undominated(data)
    dropped = tuple(model.name for i, model in enumerate(data.models) if i not in kept)
    return Report(fit_ladder(data, targets_percent=targets_percent, confidence=confidence), lines, dropped, len(data))


def outcomes_of(ladder: Ladder, data: Outcomes) -> tuple[Matrix, Matrix]:
    """Correctness and dollars of each row at each of the ladder's points (rows x points)."""
    import numpy as np

    names = [model.name for model in data.models]
    own = data.only([names.index(model.name) for model in ladder.models])
    right, usd = tried(ladder, own)

    def at(point: Point, values: Matrix, single: Matrix) -> Matrix:
        if point.constant is not None:
            return single[:, point.constant]
        mixed: Matrix = point.share * values[:, point.first] + (1 - point.share) * values[:, point.second]
        return mixed

    return (
        np.stack([at(point, right, own.right) for point in ladder.points], axis=1),
        np.stack([at(point, usd, own.usd) for point in ladder.points], axis=1),
    )


def _line(data: Outcomes, right: Matrix, usd: Matrix, target: float) -> Line:
    import numpy as np

    rng = np.random.default_rng(2)
    draws = [rng.integers(0, len(data), len(data)) for _ in range(_DRAWS)]

    def interval(values: Sequence[float]) -> tuple[float, float]:
        low, high = np.percentile(values, [2.5, 97.5])
        return round(float(low), 2), round(float(high), 2)

    single = right - _best_single(data, float(usd.mean()))
    rivals = cost_matched(data, float(usd.mean()))
    return Line(
        keep_percent=target,
        saving_percent=round(100 * float(1 - usd.mean() / data.kept_usd.mean()), 2),
        saving_interval=interval([100 * (1 - usd[i].mean() / data.kept_usd[i].mean()) for i in draws]),
        kept_percent=round(100 * float(right.mean() / data.kept_right.mean()), 2),
        kept_interval=interval([100 * right[i].mean() / data.kept_right[i].mean() for i in draws]),
        over_single_points=round(100 * float(single.mean()), 2),
        over_single_interval=interval([100 * single[i].mean() for i in draws]),
        over_random_points=round(100 * (float(right.mean()) - rivals["random"]), 2),
        over_length_points=round(100 * (float(right.mean()) - rivals["length"]), 2),
    )


def _best_single(data: Outcomes, usd: float) -> Matrix:
    """The best model that costs no more; the cheapest where none does."""
    costs = data.usd.mean(axis=0)
    affordable = [m for m in range(len(costs)) if costs[m] <= usd * 1.001] or [int(costs.argmin())]
    best: Matrix = data.right[:, max(affordable, key=lambda m: float(data.right[:, m].mean()))]
    return best


def cost_matched(data: Outcomes, usd: float) -> Mapping[str, float]:
    """What a random choice, and the longest prompts first, come to for the same dollars between the cheapest model and the reference."""
    import numpy as np

    cheap = int(data.usd.mean(axis=0).argmin())
    low, high = float(data.usd[:, cheap].mean()), float(data.kept_usd.mean())
    share = min(1.0, max(0.0, (usd - low) / (high - low))) if high > low else 1.0
    random = (1 - share) * float(data.right[:, cheap].mean()) + share * float(data.kept_right.mean())
    order = np.argsort(-data.input_tokens, kind="stable")
    spent = data.usd[:, cheap].sum() + np.cumsum((data.kept_usd - data.usd[:, cheap])[order])
    dear = order[: int(np.searchsorted(spent, usd * len(data)))]
    chosen = data.right[:, cheap].copy()
    chosen[dear] = data.kept_right[dear]
    return {"random": random, "length": float(chosen.mean())}
