"""Fit a ladder of models on rows with outcomes, choosing everything on predictions of rows that were left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.calibrate.points import choose_points
from frugal_plugins.learned.embedding import FINGERPRINT
from frugal_plugins.learned.features import PROMPT_BLOCKS
from frugal_plugins.learned.ladder import SHORTEST_ANSWER_CHARS, Bought, Ladder, Model, expected_usd, step_blocks, step_features
from frugal_plugins.learned.smoother import Smoother, fit_smoother

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]

FEWEST_ROWS: Final = 200
CONFIDENCE: Final = 0.55
TARGETS_PERCENT: Final = (90.0, 95.0, 98.0, 99.0, 100.0)
_GRID: Final = 60
_PARTS: Final = 5
_STEP_LANDMARKS: Final = 250
_CHEAP_SHARE: Final = 0.35


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
    orders = vote_orders(data) if votes and data.answers else [()]
    best, points = choose_points(data, held_out(data, worth, orders), targets_percent, confidence)
    prompt, seen = fit_prompt(data)
    return replace(_walk(data, prompt, seen, worth, orders[best]), points=points)


def held_out(data: Outcomes, worth: Matrix, orders: Sequence[tuple[int, ...]]) -> list[tuple[Matrix, Matrix]]:
    """For each order of votes, what rows come to under ladders fitted without them: correctness and dollars by price of quality."""
    import numpy as np

    part = np.random.default_rng(0).permutation(len(data)) % _PARTS
    curves = [(np.zeros((len(data), len(worth))), np.zeros((len(data), len(worth)))) for _ in orders]
    for number in range(_PARTS):
        train, test = data.take(np.flatnonzero(part != number)), data.take(np.flatnonzero(part == number))
        prompt, seen = fit_prompt(train)
        for order, (right, usd) in zip(orders, curves, strict=True):
            right[part == number], usd[part == number] = tried(_walk(train, prompt, seen, worth, order), test)
    return curves


def tried(ladder: Ladder, data: Outcomes) -> tuple[Matrix, Matrix]:
    """Send rows up a ladder at every price of quality at once: what comes out, and what it costs (rows x prices)."""
    import numpy as np

    seen = ladder.prompt(data.features)
    expected = expected_usd(seen, data.input_tokens, data.models)
    right, usd = np.zeros((len(data), len(ladder.worth))), np.zeros((len(data), len(ladder.worth)))
    alive = np.ones(right.shape, dtype=bool)
    for number in range(len(ladder.votes) + 1):
        state = _state(data, seen, ladder.votes, number)
        values, outcomes = _ends(data, ladder.steps[number](state), expected, ladder.worth, ladder.votes[:number])
        now_right, now_usd = _taken(values, outcomes)
        onward = ladder.onward[number](state) > 0 if number < len(ladder.votes) else np.zeros_like(alive)
        ends = alive & ~onward
        right[ends] = now_right[ends]
        usd[ends] += now_usd[ends]
        alive &= onward
        if number < len(ladder.votes):
            usd += alive * data.usd[:, [ladder.votes[number]]]
    return right, usd


def undominated(data: Outcomes) -> list[int]:
    """The models no other beats in both correctness and cost, cheapest first."""
    right, usd = data.right.mean(axis=0), data.usd.mean(axis=0)
    kept: list[int] = []
    for model in sorted(range(len(usd)), key=lambda m: (usd[m], -right[m])):
        if not kept or right[model] > right[kept[-1]]:
            kept.append(model)
    return kept


def vote_orders(data: Outcomes) -> list[tuple[int, ...]]:
    """Which cheap answers may be bought first: of the two cheapest models the better one, then the other to compare it with.

    One order, not a choice among many: on a few hundred rows the luckiest of several is not the best of them.
    """
    usd, right = data.usd.mean(axis=0), data.right.mean(axis=0)
    cheap = [m for m in range(len(usd)) if usd[m] <= _CHEAP_SHARE * data.kept_usd.mean()][:2]
    return [tuple(sorted(cheap, key=lambda m: -float(right[m])))] if len(cheap) == 2 else [()]


def _walk(data: Outcomes, prompt: Smoother, seen: Matrix, worth: Matrix, votes: tuple[int, ...]) -> Ladder:
    """Backward induction: from the last vote to the first decision, each step valued by what the later ones really came to.

    `seen` are the prompt's predictions of these rows, each made without the row itself.
    """
    import numpy as np

    expected = expected_usd(seen, data.input_tokens, data.models)
    steps: list[Smoother] = []
    onward: list[Smoother] = []
    right = usd = np.zeros((len(data), len(worth)))
    for number in range(len(votes), -1, -1):
        state = _state(data, seen, votes, number)
        blocks = step_blocks(state.shape[1])
        step, left_out = fit_smoother(state, data.right, blocks, most=_STEP_LANDMARKS)
        values, outcomes = _ends(data, left_out, expected, worth, votes[:number])
        now_right, now_usd = _taken(values, outcomes)
        if number < len(votes):
            after = usd + data.usd[:, [votes[number]]]
            gained = (right - worth * after) - (now_right - worth * now_usd)
            further, more = fit_smoother(state, gained, blocks, most=_STEP_LANDMARKS)
            onward.insert(0, further)
            now_right, now_usd = np.where(more > 0, right, now_right), np.where(more > 0, after, now_usd)
        right, usd = now_right, now_usd
        steps.insert(0, step)
    return Ladder(data.models, votes, worth, prompt, tuple(steps), tuple(onward), (), FINGERPRINT, len(data))


def _state(data: Outcomes, seen: Matrix, votes: tuple[int, ...], number: int) -> Matrix:
    held = votes[:number]
    bought = [[answers[vote] for vote in held] for answers in data.answers] if held else [[]] * len(data)
    return step_features(seen, bought, votes, len(data.models))


def _ends(data: Outcomes, right: Matrix, expected: Matrix, worth: Matrix, held: Sequence[int]) -> tuple[Matrix, Matrix]:
    """Each way to end here: what it is thought to be worth (model, row, price), and what it really came to (2, model, row, price)."""
    import numpy as np

    shape = (len(data), len(worth))
    free = [0.0 if model in held else 1.0 for model in range(len(data.models))]
    values = np.stack([right[:, [m]] - free[m] * worth * expected[:, [m]] for m in range(len(free))])
    came_right = np.stack([np.broadcast_to(data.right[:, [m]], shape) for m in range(len(free))])
    came_usd = np.stack([np.broadcast_to(free[m] * data.usd[:, [m]], shape) for m in range(len(free))])
    return values, np.stack([came_right, came_usd])


def _taken(values: Matrix, outcomes: Matrix) -> tuple[Matrix, Matrix]:
    """What the most valued end of each row really came to."""
    import numpy as np

    chosen = values.argmax(axis=0)[None]
    return np.take_along_axis(outcomes[0], chosen, 0)[0], np.take_along_axis(outcomes[1], chosen, 0)[0]
