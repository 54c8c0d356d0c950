"""How often the favoured answer is wrong at each degree of sureness: a smooth curve with three numbers.

Wrong answers are rare where the cache serves, too rare to count there. But how they become rarer from degree to degree can be seen
on the many questions just below, and it is the same line (in log-odds) on every traffic that was looked at, down to a small share
that no sureness removes. So the curve is fitted on all that is labelled, and says with its doubt what counting could not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

LOWEST: Final = -4.0
STEP: Final = 0.05
DEGREES: Final = 361
"""Log-odds from -4 to 14 in steps of 0.05."""
_FROM: Final = 80
"""Degrees at which the favoured answer is more likely wrong than right say little about those that are served."""
_BEFORE: Final = (0.0, 1.0, math.log(0.002))
_SPREAD: Final = (1.0, 0.4, 0.7)
"""What is believed before a label is seen: the rule's probabilities are about right, and 0.2 % stay wrong however sure it is."""
_DRIFT: Final = (0.3, 0.2, 0.0)
"""How far the curve of later traffic may lie from that of the shadow phase."""
_TURNS: Final = 25
_LONGEST_STEP: Final = 1.0


def degree(probability: float) -> int:
    """The degree of sureness a probability belongs to."""
    bounded = min(1 - 1e-9, max(1e-9, probability))
    return max(0, min(DEGREES - 1, int((math.log(bounded / (1 - bounded)) - LOWEST) / STEP)))


def probability_at(number: int) -> float:
    """The least probability of a degree."""
    return 1 / (1 + math.exp(-(LOWEST + STEP * number)))


@dataclass(frozen=True, slots=True)
class Curve:
    """The share of wrong favourites by degree.

    Attributes:
        numbers: where the line begins, its slope, and the log of the share that stays.
        doubt: their covariance.
        wrong: by degree, the share of favourites that is wrong.
        slopes: by degree, how that share changes with each of the numbers.
    """

    numbers: Any
    doubt: Any
    wrong: Any
    slopes: Any

    def later(self) -> Curve:
        """What it says about traffic after the shadow phase: the same, with more doubt."""
        import numpy as np

        return Curve(self.numbers, self.doubt + np.diag(np.square(_DRIFT)), self.wrong, self.slopes)


def believed() -> Curve:
    """The curve before anything is known."""
    import numpy as np

    numbers = np.array(_BEFORE)
    return Curve(numbers, np.diag(np.square(_SPREAD)), *_drawn(numbers))


def fitted(asked: Any, wrong: Any, start: Curve) -> Curve:
    """The most probable curve given how many were asked and wrong at each degree, beginning from what was believed."""
    import numpy as np

    used = np.flatnonzero(asked > 0)
    used = used[used >= _FROM]
    asked, wrong = asked[used], wrong[used]
    belief = np.linalg.inv(start.doubt)
    numbers, sharpness = start.numbers.copy(), belief
    for _ in range(_TURNS):
        share, slopes = _drawn(numbers, used)
        per_label = slopes / (share * (1 - share))[:, None]
        sharpness = (slopes * asked[:, None]).T @ per_label + belief
        uphill = per_label.T @ (wrong - asked * share) - belief @ (numbers - start.numbers)
        step = np.clip(np.linalg.solve(sharpness, uphill), -_LONGEST_STEP, _LONGEST_STEP)
        numbers = numbers + step
        if np.abs(step).max() < 1e-4:
            break
    return Curve(numbers, np.linalg.inv(sharpness), *_drawn(numbers))


def _drawn(numbers: Any, degrees: Any = None) -> tuple[Any, Any]:
    """The share of wrong favourites at degrees (all of them by default), and its slopes."""
    import numpy as np

    at = LOWEST + STEP * ((np.arange(DEGREES) if degrees is None else degrees) + 0.5)
    line = 1 / (1 + np.exp(np.clip(numbers[0] + numbers[1] * at, -40, 40)))
    stays = math.exp(min(-1.0, numbers[2]))
    fall = -(1 - stays) * line * (1 - line)
    share = np.clip(stays + (1 - stays) * line, 1e-6, 1 - 1e-6)
    return share, np.stack([fall, fall * at, stays * (1 - line)], axis=1)
