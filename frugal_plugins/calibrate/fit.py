"""Fit a ladder of models on rows with outcomes, choosing everything on predictions of rows that were left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.calibrate.points import choose_points
from frugal_plugins.learned.embedding import FINGERPRINT
from frugal_plugins.learned.features import PROMPT_BLOCKS
from frugal_plugins.learned.ladder import (
    SHORTEST_ANSWER_CHARS,
    Bought,
    Ladder,
    Model,
    Step,
    expected_usd,
    step_blocks,
    step_features,
)
from frugal_plugins.learned.smoother import Smoother, fit_smoother

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]

FEWEST_ROWS: Final = 200
CONFIDENCE: Final = 0.65
TARGETS_PERCENT: Final = (90.0, 95.0, 98.0, 99.0, 100.0)
_GRID: Final = 60
_STEP_LANDMARKS: Final = 250
_CHEAP_SHARE: Final = 0.35
_MOST_VOTERS: Final = 3
_ODD_PERCENT: Final = 0.5
_LESS: Final = 0.9
_SAME: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Rows to fit on: every model's outcome for every row.

    Attributes:
        features: what `prompt_features` says of each prompt (rows x columns).
        input_tokens: of each row.
        right: 0 to 1 for each row and model.
        answers: what each model answered, row by row; empty where only the verdicts are known.
        chars: length of each answer including hidden reasoning, for the bill (rows x models).
        usd: what each answer cost (rows x models).
        kept_right, kept_usd: the same two for the model whose quality is to be kept, which need not be on the ladder itself.
    """

    models: tuple[Model, ...]
    features: Matrix
    input_tokens: Matrix
    right: Matrix
    chars: Matrix
    usd: Matrix
    kept_right: Matrix
    kept_usd: Matrix
    answers: tuple[tuple[Bought, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.right)

    def only(self, models: Sequence[int]) -> Outcomes:
        """Some of the models, cheapest first."""
        order = sorted(models, key=lambda m: float(self.usd[:, m].mean()))
        return replace(
            self,
            models=tuple(self.models[m] for m in order),
            right=self.right[:, order],
            chars=self.chars[:, order],
            usd=self.usd[:, order],
            answers=tuple(tuple(row[m] for m in order) for row in self.answers),
        )

    def take(self, rows: np.ndarray[Any, Any]) -> Outcomes:
        """Some of the rows."""
        return replace(
            self,
            features=self.features[rows],
            input_tokens=self.input_tokens[rows],
            right=self.right[rows],
            chars=self.chars[rows],
            usd=self.usd[rows],
            kept_right=self.kept_right[rows],
            kept_usd=self.kept_usd[rows],
            answers=tuple(self.answers[int(i)] for i in rows) if self.answers else (),
        )


def fit_prompt(data: Outcomes) -> tuple[Smoother, Matrix]:
    """Correctness of each model and the logarithm of its answer's length, from the prompt alone; with left-out predictions."""
    import numpy as np

    targets = np.hstack([data.right, np.log(np.maximum(SHORTEST_ANSWER_CHARS, data.chars))])
    return fit_smoother(data.features, targets, PROMPT_BLOCKS)


def fit_ladder(
    data: Outcomes, *, targets_percent: Sequence[float] = TARGETS_PERCENT, confidence: float = CONFIDENCE, votes: bool = True
) -> Ladder:
    """Fit everything: the prompt's view, which cheap answers to buy first, and an operating point for each target.

    `confidence` is how sure the held-out rows must make us that a target is met: 0.5 takes the estimate as it is, 0.9 asks for
    a margin. `votes=False` never buys an answer only to compare it.
    """
    import numpy as np

    data = data.only(undominated(data))
    worth = np.geomspace(200.0, 0.005, _GRID) / data.kept_usd.mean()
    may_buy = voters(data) if votes and data.answers else ()
    ladder, right, usd = climbed(data, *fit_prompt(data), worth, may_buy)
    points = choose_points(data, right, usd, targets_percent, confidence)
    return only_used(replace(ladder, points=points, least_alike=_least_alike(ladder.prompt, data.features)))


def _least_alike(prompt: Smoother, features: Matrix) -> float:
    """A little less than the least that a judged prompt is like any other judged one, but for one prompt in two hundred."""
    import numpy as np

    likeness = prompt.likeness(features)
    nearest = np.where(likeness > 1 - _SAME, 0.0, likeness).max(axis=1)
    return _LESS * float(np.percentile(nearest, _ODD_PERCENT))


def tried(ladder: Ladder, data: Outcomes) -> tuple[Matrix, Matrix]:
    """Send rows up a ladder at every price of quality at once: what comes out, and what it costs (rows x prices)."""
    import numpy as np

    likeness = ladder.prompt.likeness(data.features)
    seen, strange = ladder.prompt.said(likeness), ladder.strange(likeness)[:, None]
    expected = expected_usd(seen, data.input_tokens, data.models)
    shape = (len(data), len(ladder.worth))
    right, usd = strange * data.right[:, [-1]] + np.zeros(shape), strange * data.usd[:, [-1]] + np.zeros(shape)
    here = {step.held: np.zeros(shape, dtype=bool) for step in ladder.steps}
    here[()][:] = np.logical_not(strange)
    for step in ladder.steps:
        state = step_features(seen, data.answers or [()] * len(data), step.held, len(data.models))
        said = step.sees(state)
        end = _end(data, said[:, : len(data.models)], expected, ladder.worth, step.held)
        gains = _gains(said, len(data.models), len(step.onward), len(ladder.worth))
        best = gains.argmax(axis=0)
        for place, vote in enumerate(step.onward):
            buys = here[step.held] & (best == place) & (gains[place] > 0)
            here[_with(step.held, vote)] |= buys
            here[step.held] &= ~buys
            usd += buys * data.usd[:, [vote]]
        ends = here[step.held]
        right[ends] = end.right[ends]
        usd[ends] += end.usd[ends]
    return right, usd


def undominated(data: Outcomes) -> list[int]:
    """The models no other beats in both correctness and cost, cheapest first."""
    right, usd = data.right.mean(axis=0), data.usd.mean(axis=0)
    kept: list[int] = []
    for model in sorted(range(len(usd)), key=lambda m: (usd[m], -right[m])):
        if not kept or right[model] > right[kept[-1]]:
            kept.append(model)
    return kept


def voters(data: Outcomes) -> tuple[int, ...]:
    """Whose answers may be bought to be compared: the cheapest few that cost well under what always the reference would cost."""
    usd = data.usd.mean(axis=0)
    cheap = tuple(m for m in range(len(usd)) if usd[m] <= _CHEAP_SHARE * data.kept_usd.mean())[:_MOST_VOTERS]
    return cheap if len(cheap) > 1 else ()


def climbed(data: Outcomes, prompt: Smoother, seen: Matrix, worth: Matrix, votes: tuple[int, ...]) -> tuple[Ladder, Matrix, Matrix]:
    """Backward induction: from all votes in hand to none, each step valued by what the later ones come to. Also says what these
    rows come to on the ladder, each as if it had been left out: correctness and dollars by price of quality.

    `seen` are the prompt's predictions of these rows, each made without the row itself.
    """
    import numpy as np

    expected = expected_usd(seen, data.input_tokens, data.models)
    steps: list[Step] = []
    ahead: dict[tuple[int, ...], _Ends] = {}
    for held in reversed([held for count in range(len(votes) + 1) for held in combinations(votes, count)]):
        state = step_features(seen, data.answers or [()] * len(data), held, len(data.models))
        blocks = step_blocks(state.shape[1])
        sees, left_out = fit_smoother(state, data.right, blocks, most=_STEP_LANDMARKS)
        here = _end(data, left_out, expected, worth, held)
        onward = tuple(vote for vote in votes if vote not in held)
        if onward:
            after = [ahead[_with(held, vote)].paying(data.usd[:, [vote]]) for vote in onward]
            gained = np.hstack([later.value(worth) - here.value(worth) for later in after])
            further, more = fit_smoother(state, gained, blocks, most=_STEP_LANDMARKS)
            sees, gains = sees.beside(further), _gains(more, 0, len(onward), len(worth))
            for later, gain, least in zip(after, gains, gains.max(axis=0) <= gains, strict=True):
                here = here.unless((gain > 0) & least, later)
        ahead[held] = here
        steps.append(Step(held, onward, sees))
    return Ladder(data.models, votes, worth, prompt, tuple(reversed(steps)), (), FINGERPRINT, len(data)), ahead[()].right, ahead[()].usd


def only_used(ladder: Ladder) -> Ladder:
    """The ladder without the prices of quality none of its points uses."""
    import numpy as np

    used = sorted({place for point in ladder.points for place in (point.first, point.second)})
    count, grid = len(ladder.models), len(ladder.worth)
    points = tuple(replace(p, first=used.index(p.first), second=used.index(p.second)) for p in ladder.points)
    steps = []
    for step in ladder.steps:
        wanted = [*range(count), *(count + grid * vote + place for vote in range(len(step.onward)) for place in used)]
        steps.append(replace(step, sees=step.sees.only(np.array(wanted))))
    return replace(ladder, worth=ladder.worth[used], points=points, steps=tuple(steps))


@dataclass(frozen=True, slots=True)
class _Ends:
    """What acting from here on comes to, by row and price: really, and as it was thought."""

    right: Matrix
    usd: Matrix
    thought_right: Matrix
    thought_usd: Matrix

    def value(self, worth: Matrix) -> Matrix:
        """What this is worth: half what it really came to, half what was thought, which knows less of chance and more of itself."""
        value: Matrix = (self.right - worth * self.usd + self.thought_right - worth * self.thought_usd) / 2
        return value

    def paying(self, usd: Matrix) -> _Ends:
        """The same after one more answer was paid for."""
        return replace(self, usd=self.usd + usd, thought_usd=self.thought_usd + usd)

    def unless(self, where: Matrix, other: _Ends) -> _Ends:
        """This, but the other at some rows and prices."""
        import numpy as np

        both = ((getattr(other, name), getattr(self, name)) for name in ("right", "usd", "thought_right", "thought_usd"))
        return _Ends(*(np.where(where, one, another) for one, another in both))


def _end(data: Outcomes, right: Matrix, expected: Matrix, worth: Matrix, held: Sequence[int]) -> _Ends:
    """The most valued way to end here, by row and price: the answer of a model in hand, or that of one more model."""
    import numpy as np

    rows = np.arange(len(data))[:, None]
    paid = np.array([0.0 if model in held else 1.0 for model in range(len(data.models))])
    values = np.stack([right[:, [m]] - worth * paid[m] * expected[:, [m]] for m in range(len(paid))])
    chosen = values.argmax(axis=0)
    return _Ends(data.right[rows, chosen], (paid * data.usd)[rows, chosen], right[rows, chosen], (paid * expected)[rows, chosen])


def _gains(said: Matrix, after: int, votes: int, prices: int) -> Matrix:
    """What was said of buying each vote (votes x rows x prices); one line of nothing where none can be bought."""
    import numpy as np

    if not votes:
        return np.zeros((1, len(said), prices))
    gains: Matrix = said[:, after:].reshape(len(said), votes, prices).transpose(1, 0, 2)
    return gains


def _with(held: tuple[int, ...], vote: int) -> tuple[int, ...]:
    return tuple(sorted((*held, vote)))
