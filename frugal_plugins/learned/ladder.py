"""A fitted ladder of models: which one to ask, whether to buy a second cheap answer first, and when to go to a dear one.

One price of quality (`worth`, right answers per dollar) decides everything: at each step the action with the largest
"expected correctness minus price of what it costs" is taken. Asking a model, accepting the answer in hand, and buying one more
cheap answer to compare with are all such actions. The numbers come from `frugal_plugins.calibrate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
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
class Step:
    """What can be known with the answers of some models in hand.

    Attributes:
        held: the models whose answers were bought, in the order of the ladder.
        onward: the models whose answer may be bought next.
        sees: predicts the correctness of each model, then, for each of `onward` and each price of the grid, what buying that
            answer is worth more than ending now.
    """

    held: tuple[int, ...]
    onward: tuple[int, ...]
    sees: Smoother


@dataclass(frozen=True, slots=True)
class Ladder:
    """Everything a decision needs. `models` are cheapest first; answers of `votes` may be bought first, in the order that pays.

    Attributes:
        prompt: predicts from prompt features the correctness of each model and the logarithm of its answer's length.
        steps: one for each set of votes in hand.
        least_alike: a prompt that is less like each of the landmarks than this is like nothing that was judged; the last model,
            the best there is, answers it.
    """

    models: tuple[Model, ...]
    votes: tuple[int, ...]
    worth: Matrix
    prompt: Smoother
    steps: tuple[Step, ...]
    points: tuple[Point, ...] = ()
    embedding: str = ""
    rows: int = 0
    least_alike: float = 0.0

    def strange(self, likeness: Matrix) -> Matrix:
        """Which rows are like nothing that was judged, by their likeness to the prompt's landmarks."""
        found: Matrix = likeness.max(axis=1) < self.least_alike
        return found

    def point(self, keep_percent: float) -> Point:
        """The point fitted for a target: the nearest that keeps at least as much, else the one that keeps most."""
        enough = [p for p in self.points if p.keep_percent >= keep_percent - 1e-9]
        return min(enough, key=lambda p: p.keep_percent) if enough else max(self.points, key=lambda p: p.keep_percent)

    def step(self, held: tuple[int, ...]) -> Step | None:
        """The step with these answers in hand."""
        return next((step for step in self.steps if step.held == held), None)

    def decide(
        self,
        seen: Matrix,
        bought: Mapping[int, Bought],
        input_tokens: Sequence[float],
        point: Point,
        draw: float,
        allowed: Sequence[int],
        *,
        votes: bool = True,
    ) -> Action:
        """The best action now, among the `allowed` models (at least one).

        `seen` is what `prompt` predicted for this request, `bought` the answers in hand by model, `input_tokens` what the prompt is
        billed as at each model (fewer where its cache is warm), `draw` in [0, 1) is fixed for a request, `votes` says whether an
        answer may be bought only to compare it.
        """
        import numpy as np

        if point.constant is not None and point.constant in allowed:
            return Action(point.constant, accept=False, final=True, expected=float(seen[point.constant]))
        place = point.first if draw < point.share else point.second
        held = tuple(sorted(bought))
        step = self.step(held) or self.steps[0]
        count = len(self.models)
        said = step.sees(step_features(seen[None], [bought], step.held, count))[0]
        costs = self.worth[place] * expected_usd(seen[None], np.array([input_tokens], dtype=np.float64), self.models)[0]
        values = np.array([said[m] - (0.0 if m in held else costs[m]) for m in range(count)])
        spoilt = {model for model, answer in bought.items() if not answer.good}
        values[[m for m in range(count) if m in spoilt or (m not in held and m not in allowed)]] = -np.inf
        best = int(values.argmax())
        if votes and point.constant is None:
            gains = said[count:].reshape(len(step.onward), len(self.worth))[:, place]
            gain, vote = max(((float(g), v) for g, v in zip(gains, step.onward, strict=True) if v in allowed), default=(0.0, -1))
            if gain > 0:
                return Action(vote, accept=False, final=False, expected=float(said[best]))
        return Action(best, accept=best in held, final=True, expected=float(said[best]))


def expected_usd(seen: Matrix, input_tokens: Matrix, models: Sequence[Model]) -> Matrix:
    """What each model is expected to cost for each row, from the length its answer is expected to have.

    `input_tokens` has one column for each model, or none where the prompt is billed the same at all of them.
    """
    import numpy as np

    if input_tokens.ndim == 1:
        input_tokens = np.repeat(input_tokens[:, None], len(models), axis=1)

    tokens = np.exp(seen[:, len(models) :]) / 4
    return np.stack([input_tokens[:, i] * m.input_usd + tokens[:, i] * m.output_usd for i, m in enumerate(models)], axis=1)


def step_features(seen: Matrix, bought: Sequence[Mapping[int, Bought] | Sequence[Bought]], held: Sequence[int], models: int) -> Matrix:
    """What is known at a step, one row for each request: the prompt's predictions and how the answers in hand look.

    `bought` holds each request's answers by model; those of `held` are looked at, and each two of them are compared.
    """
    import numpy as np

    columns = [seen[:, :models]]
    for model in held:
        chars = np.array([max(SHORTEST_ANSWER_CHARS, answers[model].chars) for answers in bought], dtype=np.float64)
        columns.append((np.log(chars) - seen[:, models + model])[:, None])
        columns.append(np.array([[float(answers[model].says is not None)] for answers in bought]))
    for one, other in combinations(held, 2):
        same = np.array([[float(_same(answers[one], answers[other]))] for answers in bought])
        columns += [same] * _AGREEMENT_COUNTS
    return np.hstack(columns)


def _same(one: Bought, other: Bought) -> bool:
    return one.says is not None and other.says is not None and one.says.same(other.says)


def step_blocks(columns: int) -> tuple[Block, ...]:
    """How a step's features are smoothed: all columns standardised, one wide bump."""
    return (Block(columns, 2.5, scaled=True),)
