"""A fitted ladder of models: which one to ask, whether to buy a second cheap answer first, and when to go to a dear one.

One price of quality (`worth`, right answers per dollar) decides everything: at each step the action with the largest
"expected correctness minus price of what it costs" is taken. Asking a model, accepting the answer in hand, and buying one more
cheap answer to compare with are all such actions. The numbers come from `frugal_plugins.calibrate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.learned.agreement import Stated
from frugal_plugins.learned.smoother import Block, Smoother

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]

SHORTEST_ANSWER_CHARS: Final = 20
_AGREEMENT_COUNTS: Final = 2
"""Agreement says more than any other column, so it stands in the features this many times."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the ladder and what it costs, in dollars per token as fitted."""

    name: str
    input_usd: float
    output_usd: float


@dataclass(frozen=True, slots=True)
class Bought:
    """An answer in hand: how long it is and what it says, where that can be compared. `good` is False after a failed check."""

    chars: int
    says: Stated | None
    good: bool = True


@dataclass(frozen=True, slots=True)
class Point:
    """How to work for one quality target: two neighbouring prices of quality and the share of requests that use the first.

    Attributes:
        keep_percent: correctness to keep, in percent of the reference model's.
        first, second: places in the ladder's grid of prices; `share` of requests use the first, the others the second.
        constant: the one model to ask always, where no mixture was better with confidence; None otherwise.
        quality, cost_usd: what the held-out rows came to (mean correctness, mean dollars for one request).
    """

    keep_percent: float
    first: int
    second: int
    share: float
    constant: int | None
    quality: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Action:
    """What to do next: ask `model`, or, with `accept`, return the answer that model already gave."""

    model: int
    accept: bool
    final: bool
    expected: float


@dataclass(frozen=True, slots=True)
class Ladder:
    """Everything a decision needs. `models` are cheapest first; `votes` are bought first, in this order, where that pays.

    Attributes:
        prompt: predicts from prompt features the correctness of each model and the logarithm of its answer's length.
        steps: for 0, 1, ... answers in hand, predicts the correctness of each model.
        onward: for the same steps but the last, predicts what buying the next vote is worth more than acting now, for each
            price of the grid.
    """

    models: tuple[Model, ...]
    votes: tuple[int, ...]
    worth: Matrix
    prompt: Smoother
    steps: tuple[Smoother, ...]
    onward: tuple[Smoother, ...]
    points: tuple[Point, ...] = ()
    embedding: str = ""
    rows: int = 0

    def point(self, keep_percent: float) -> Point:
        """The point fitted for a target: the nearest that keeps at least as much, else the one that keeps most."""
        enough = [p for p in self.points if p.keep_percent >= keep_percent - 1e-9]
        return min(enough, key=lambda p: p.keep_percent) if enough else max(self.points, key=lambda p: p.keep_percent)

    def decide(
        self,
        seen: Matrix,
        bought: Sequence[Bought],
        input_tokens: Sequence[float],
        point: Point,
        draw: float,
        allowed: Sequence[int],
        *,
        votes: bool = True,
    ) -> Action:
        """The best action now, among the `allowed` models (at least one).

        `seen` is what `prompt` predicted for this request, `input_tokens` what the prompt is billed as at each model (fewer where
        its cache is warm), `draw` in [0, 1) is fixed for a request, `votes` says whether an answer may be bought only to compare it.
        """
        import numpy as np

        if point.constant is not None and point.constant in allowed:
            return Action(point.constant, accept=False, final=True, expected=float(seen[point.constant]))
        place = point.first if draw < point.share else point.second
        state = step_features(seen[None], [bought], self.votes, len(self.models))
        right = self.steps[len(bought)](state)[0]
        costs = self.worth[place] * expected_usd(seen[None], np.array([input_tokens], dtype=np.float64), self.models)[0]
        held = self.votes[: len(bought)]
        values = np.array([right[m] - (0.0 if m in held else costs[m]) for m in range(len(self.models))])
        spoilt = {vote for vote, answer in zip(held, bought, strict=True) if not answer.good}
        values[[m for m in range(len(values)) if m in spoilt or (m not in held and m not in allowed)]] = -np.inf
        best = int(values.argmax())
        more = votes and point.constant is None and len(bought) < len(self.votes) and self.votes[len(bought)] in allowed
        if more and float(self.onward[len(bought)](state)[0, place]) > 0:
            return Action(self.votes[len(bought)], accept=False, final=False, expected=float(right[best]))
        return Action(best, accept=best in held, final=True, expected=float(right[best]))


def expected_usd(seen: Matrix, input_tokens: Matrix, models: Sequence[Model]) -> Matrix:
    """What each model is expected to cost for each row, from the length its answer is expected to have.

    `input_tokens` has one column for each model, or none where the prompt is billed the same at all of them.
    """
    import numpy as np

    if input_tokens.ndim == 1:
        input_tokens = np.repeat(input_tokens[:, None], len(models), axis=1)

    tokens = np.exp(seen[:, len(models) :]) / 4
    return np.stack([input_tokens[:, i] * m.input_usd + tokens[:, i] * m.output_usd for i, m in enumerate(models)], axis=1)


def step_features(seen: Matrix, bought: Sequence[Sequence[Bought]], votes: Sequence[int], models: int) -> Matrix:
    """What is known at a step, one row for each request: the prompt's predictions and how the answers in hand look."""
    import numpy as np

    held = votes[: len(bought[0])] if bought else ()
    columns = [seen[:, :models]]
    for place, vote in enumerate(held):
        chars = np.array([max(SHORTEST_ANSWER_CHARS, answers[place].chars) for answers in bought], dtype=np.float64)
        columns.append((np.log(chars) - seen[:, models + vote])[:, None])
        columns.append(np.array([[float(answers[place].says is not None)] for answers in bought]))
    if len(held) > 1:
        same = np.array([_same(answers) for answers in bought])
        columns += [same[:, None]] * _AGREEMENT_COUNTS
    return np.hstack(columns)


def _same(answers: Sequence[Bought]) -> float:
    """Share of later answers that say what the first says."""
    first = answers[0].says
    if first is None:
        return 0.0
    return sum(other.says is not None and first.same(other.says) for other in answers[1:]) / (len(answers) - 1)


def step_blocks(columns: int) -> tuple[Block, ...]:
    """How a step's features are smoothed: all columns standardised, one wide bump."""
    return (Block(columns, 2.5, scaled=True),)
