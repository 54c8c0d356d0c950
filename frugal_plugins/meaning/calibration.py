"""Fits the cache's rule on shadow traffic: questions whose real answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import FrugalError
from frugal_plugins.meaning.consensus import FEATURES, NEIGHBOURS, VETOES, Calibrated, Near, candidate
from frugal_plugins.meaning.evidence import Evidence, counted
from frugal_plugins.meaning.sureness import probability_at

VERSION: Final = 3
LEAST_QUESTIONS: Final = 500
"""Fewer known answers than this and nothing is fitted: the cold start rule stays."""
_FOLDS: Final = 5
_RIDGE: Final = 9_000.0
_LEAST_HITS: Final = 20
_MOST_WRONG: Final = 0.2
"""No rule is better than one that serves next to nothing, or every fifth time wrongly."""
_HARMLESS: Final = 0.06
_DOUBT: Final = (1.0, 5.0)
_NEW: Final = 0.05
"""How much a question counts, beside itself, as one whose answer is not stored yet: what the rule must not mistake for a known one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One question of the shadow traffic: its vector (unit length), what was answered, and whose it is (`partition`)."""

    question: str
    vector: Any
    answer: str
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted rule and what it was fitted on.

    Attributes:
        expected_hit_percent, expected_wrong_percent: of requests, measured on questions the weights had not seen.
        wrong_at_most_percent: the same with the margin; this is what was held against the budget.
        wrong_by_degree, asked_by_degree: where the bar starts from when it moves with later evidence.
        new_by_degree: of questions whose answer is not stored at all, the share that is favoured wrongly at each degree.
        examples: rows to look at, `(question number, neighbour's number, probability, right)`, nearest to the threshold.
    """

    rule: Calibrated
    max_wrong_percent: float
    questions: int
    expected_hit_percent: float
    expected_wrong_percent: float
    wrong_at_most_percent: float
    made_at_seconds: float = 0.0
    wrong_by_degree: tuple[float, ...] = ()
    asked_by_degree: tuple[float, ...] = ()
    new_by_degree: tuple[float, ...] = ()
    examples: tuple[tuple[int, int, float, bool], ...] = ()

    def evidence(self, max_wrong_percent: float | None = None) -> Evidence:
        """Fresh evidence that begins with the shadow phase; the budget may be another than the one fitted for."""
        budget = self.max_wrong_percent if max_wrong_percent is None else max_wrong_percent
        return Evidence(self.questions, self.wrong_by_degree, self.asked_by_degree, budget, self.new_by_degree)


def fit(
    samples: Sequence[Sample],
    *,
    embedder: str,
    max_wrong_percent: float = 1.0,
    made_at_seconds: float = 0.0,
    seen: Callable[[list[Near]], list[Near]] | None = None,
) -> Calibration | None:
    """Fit the rule, or None when there are too few known answers or no threshold keeps the budget.

    Args:
        max_wrong_percent: the share of all requests that may be answered wrongly.
        seen: changes each question's neighbours before they are weighed, to try how errors in "same answer" would tell.
    """
    import numpy as np

    if len(samples) < LEAST_QUESTIONS:
        return None
    table, right, chosen, conflicts = _left_out(samples, seen)
    unknown, _, new_chosen, new_conflicts = _left_out(samples, seen, as_new=True)
    both, rights = np.vstack([table, unknown]), np.concatenate([right, np.zeros(len(right), bool)])
    weight = np.repeat([1.0, _NEW], len(right))
    every = _cross_fitted(both, rights, weight)
    scores, new_scores = every[: len(right)], every[len(right) :]
    weights, bias = _logistic(both, rights, weight)
    everywhere = np.ones(len(right), bool)
    first = _bar(scores, right, everywhere, max_wrong_percent)
    lifted = _lifted(conflicts, scores >= (np.inf if first.bar is None else probability_at(first.bar)), right)
    allowed = _allowed(chosen, conflicts, lifted)
    new = counted(new_scores.tolist(), [False] * len(right), _allowed(new_chosen, new_conflicts, lifted).tolist())
    known = _bar(scores, right, allowed, max_wrong_percent, [round(count / len(right), 6) for count in new])
    if known.bar is None:
        return None
    threshold = probability_at(known.bar)
    served = (scores >= threshold) & allowed
    wrong = int((served & ~right).sum())
    if served.sum() < _LEAST_HITS or wrong > _MOST_WRONG * served.sum():
        return None
    return Calibration(
        Calibrated(embedder, tuple(weights.tolist()), bias, threshold, lifted), max_wrong_percent, len(samples),
        100 * float(served.mean()), 100 * wrong / len(samples), known.at_most_wrong_percent() or 0.0, made_at_seconds,
        tuple(known.wrong), tuple(known.asked), tuple(known.new), _examples(scores, right, chosen, threshold),
    )  # fmt: skip


def _bar(scores: Any, right: Any, allowed: Any, max_wrong_percent: float, new: Sequence[float] = ()) -> Evidence:
    """What the shadow phase says about every bar."""
    wrong = counted(scores.tolist(), right.tolist(), allowed.tolist())
    asked = counted(scores.tolist(), [False] * len(right), allowed.tolist())
    return Evidence(len(right), wrong, asked, max_wrong_percent, new)


def _allowed(chosen: Sequence[int], conflicts: Sequence[Sequence[str]], lifted: Sequence[str]) -> Any:
    """Which questions have a favoured answer that no guard still in force turns down."""
    import numpy as np

    return np.array(
        [c >= 0 and not any(name in VETOES and name not in lifted for name in names) for c, names in zip(chosen, conflicts, strict=True)]
    )


def _left_out(
    samples: Sequence[Sample], seen: Callable[[list[Near]], list[Near]] | None, *, as_new: bool = False
) -> tuple[Any, Any, list[int], list[tuple[str, ...]]]:
    """Each question against all others of its partition: features, whether the favoured answer is right, whose it is, conflicts.

    `as_new`: as if nobody had asked for its answer before, so that whatever is favoured is wrong.
    """
    import numpy as np

    table = np.zeros((len(samples), len(FEATURES)))
    right = np.zeros(len(samples), bool)
    chosen = [-1] * len(samples)
    conflicts: list[tuple[str, ...]] = [()] * len(samples)
    rooms: dict[str, list[int]] = {}
    for number, sample in enumerate(samples):
        rooms.setdefault(sample.partition, []).append(number)
    for members in rooms.values():
        vectors = np.asarray([samples[number].vector for number in members], dtype=np.float32)
        answers = np.unique([samples[number].answer for number in members], return_inverse=True)[1]
        for start in range(0, len(members), 512):
            cosines = vectors[start : start + 512] @ vectors.T
            for offset, row in enumerate(cosines):
                number, own = members[start + offset], start + offset
                row[own] = -1.0
                if as_new:
                    row[answers == answers[own]] = -1.0
                order = _nearest(row, min(NEIGHBOURS, int((row > -1).sum())))
                near = [
                    Near(members[i], float(row[i]), samples[members[i]].answer, samples[members[i]].question, vectors[i]) for i in order
                ]
                if near:
                    near = near if seen is None else seen(near)
                    found = candidate(samples[number].question, near)
                    table[number], chosen[number], conflicts[number] = found.features, found.near.row, found.difference.conflicts
                    right[number] = samples[found.near.row].answer == samples[number].answer
    return table, right, chosen, conflicts


def _nearest(row: Any, count: int) -> Any:
    import numpy as np

    if count <= 0:
        return np.array([], dtype=int)
    order = np.argpartition(-row, count - 1)[:count]
    return order[np.argsort(-row[order], kind="stable")]


def _logistic(table: Any, right: Any, weight: Any) -> tuple[Any, float]:
    """Logistic regression by Newton's method on standardised columns, held back more when there are few rows; weights for plain columns."""
    import numpy as np

    mean = np.average(table, axis=0, weights=weight)
    spread = np.sqrt(np.average((table - mean) ** 2, axis=0, weights=weight))
    spread = np.where(spread > 1e-9, spread, 1.0)
    design = np.hstack([(table - mean) / spread, np.ones((len(table), 1))])
    penalty = np.diag([_RIDGE / weight.sum()] * table.shape[1] + [1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(30):
        probable = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (weight * (probable - right)) + penalty @ weights
        curve = (design * (weight * probable * (1 - probable))[:, None]).T @ design + penalty
        step = np.linalg.solve(curve, slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    plain = weights[:-1] / spread
    return plain, float(weights[-1] - (plain * mean).sum())


def _cross_fitted(table: Any, right: Any, weight: Any) -> Any:
    """For each row the probability by weights that were fitted without its question; each question has two rows."""
    import numpy as np

    fold = np.tile(np.random.default_rng(0).permutation(len(right) // 2) % _FOLDS, 2)
    scores = np.zeros(len(right))
    for part in range(_FOLDS):
        weights, bias = _logistic(table[fold != part], right[fold != part], weight[fold != part])
        scores[fold == part] = 1 / (1 + np.exp(-np.clip(table[fold == part] @ weights + bias, -40, 40)))
    return scores


def _lifted(conflicts: Sequence[Sequence[str]], served: Any, right: Any) -> tuple[str, ...]:
    """Guards whose conflicts did not change the answer in this traffic, judged with doubt where there are few of them."""
    lifted = []
    for name in VETOES:
        seen = [number for number, names in enumerate(conflicts) if name in names and served[number]]
        wrong = sum(not right[number] for number in seen)
        if (wrong + _DOUBT[0]) / (len(seen) + _DOUBT[1]) <= _HARMLESS:
            lifted.append(name)
    return tuple(lifted)


def _examples(scores: Any, right: Any, chosen: Sequence[int], threshold: float, most: int = 40) -> tuple[tuple[int, int, float, bool], ...]:
    """The pairs nearest to the threshold on both sides: what a person should look at before turning the cache on."""
    order = sorted((number for number in range(len(scores)) if chosen[number] >= 0), key=lambda n: abs(float(scores[n]) - threshold))
    return tuple((number, chosen[number], round(float(scores[number]), 4), bool(right[number])) for number in order[:most])


def as_json_text(calibration: Calibration) -> str:
    """A calibration as JSON. It holds numbers only, no text of the traffic."""
    return json.dumps({"version": VERSION, "features": FEATURES, **asdict(calibration)}, indent=1) + "\n"


def save(calibration: Calibration, path: str | Path) -> None:
    """Write a calibration as JSON."""
    Path(path).write_text(as_json_text(calibration), encoding="utf-8")


def load(path: str | Path) -> Calibration:
    """Read a calibration; FrugalError when it is not one or was made by another version."""
    try:
        kept = json.loads(Path(path).read_text(encoding="utf-8"))
        if kept["version"] != VERSION or tuple(kept["features"]) != FEATURES:
            raise FrugalError(f"{path} was made by another version of this package; run `frugal calibrate --cache` again.")
        rule = kept.pop("rule")
        rule = Calibrated(**{**rule, "weights": tuple(map(float, rule["weights"])), "lifted": tuple(rule["lifted"])})
        return Calibration(
            rule=rule,
            examples=tuple(tuple(example) for example in kept.pop("examples")),
            wrong_by_degree=tuple(map(float, kept.pop("wrong_by_degree"))),
            asked_by_degree=tuple(map(float, kept.pop("asked_by_degree"))),
            new_by_degree=tuple(map(float, kept.pop("new_by_degree"))),
            **{name: kept[name] for name in Calibration.__dataclass_fields__ if name in kept},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FrugalError(f"{path} is not a calibration of the cache: {error}. Run `frugal calibrate --cache` to make one.") from error
