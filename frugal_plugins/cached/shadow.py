"""What shadow traffic tells: how many answers could have been shared, how many wrongly, and which pairs a person should look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from frugal_plugins.answers import NearAnswers
from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.meaning.calibration import LEAST_QUESTIONS, Calibration, Sample, fit
from frugal_plugins.meaning.consensus import ColdStart, Near
from frugal_plugins.meaning.guards import compare

_AT_ONCE: Final = 256
_NEIGHBOURS: Final = 8
_LONGEST_LINE_CHARS: Final = 1_000_000
_QUESTION: Final = ("question", "text", "prompt")
_ANSWER: Final = ("answer", "intent", "label")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions to look at: how sure the rule is that one answer fits both, whether it does, and what the guards say.

    Attributes:
        served: whether the rule serves the stored answer; a pair it just turned down is a near miss.
        sure: the fitted rule's probability, or the cosine where nothing is fitted.
    """

    asked: str
    stored: str
    served: bool
    sure: float
    right: bool
    conflicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shadow:
    """The shadow report.

    Attributes:
        cold_hit_percent, cold_wrong_percent: what the rule before calibration would have done, of all questions.
        suggested_similarity: the lowest bare cosine that keeps the budget, for those who want one number.
        calibration: the fitted rule, or None; `refusal` then says why.
    """

    questions: int
    answers: int
    cold_hit_percent: float
    cold_wrong_percent: float
    suggested_similarity: float | None
    calibration: Calibration | None
    refusal: str | None
    pairs: tuple[Pair, ...]


def unheard(_done: int, _of: int) -> None:
    """Progress nobody watches."""


def samples_of(store: NearAnswers, embedder: str) -> list[Sample]:
    """The questions of a store with a vector of this embedding model, and which answer each got: what shadow mode collects."""
    return [
        Sample(answer.question, answer.vector, answer.group, answer.partition)
        for answer in store.every()
        if answer.vector is not None and answer.embedder == embedder and answer.question
    ]


def read_labels(path: Path) -> list[tuple[str, str, str]]:
    """Questions, which answer each has, and their partition, from JSON lines: `{"question": ..., "answer": ..., "partition": ...}`.

    `text` or `prompt` serve as the question, `intent` or `label` as the answer; two questions have the same answer when these are
    equal but for case and spaces. Raises InputError with file and line.
    """
    found: list[tuple[str, str, str]] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    found.append(_label(line, str(path), number))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error}); give a UTF-8 file of JSON lines", file=str(path)) from error
    return found


def _label(line: str, file: str, number: int) -> tuple[str, str, str]:
    try:
        said: Any = json.loads(line) if len(line) <= _LONGEST_LINE_CHARS else None
    except ValueError as error:
        raise InputError(f"is not JSON ({error}); write one object a line", file=file, line=number) from error
    if not isinstance(said, dict):
        raise InputError("is not a JSON object of at most a million characters; write one a line", file=file, line=number)
    question, answer = (next((said[n] for n in names if isinstance(said.get(n), str)), None) for names in (_QUESTION, _ANSWER))
    if not question or not answer:
        raise InputError('has no question and answer; write {"question": "...", "answer": "..."}', file=file, line=number)
    return question, " ".join(answer.casefold().split()), str(said.get("partition") or "")


def calibrate(samples: Sequence[Sample], embedder: str, *, max_wrong_percent: float = 1.0, made_at_seconds: float = 0.0) -> Calibration:
    """Fit the rule on what shadow mode has collected.

    Raises FrugalError when there are too few questions or no rule keeps the budget; the cold start rule then stays in force.
    """
    if len(samples) < LEAST_QUESTIONS:
        raise FrugalError(
            f"{len(samples)} questions with known answers are too few, {LEAST_QUESTIONS} are needed; leave 'cache.mode: shadow' on longer."
        )
    fitted = fit(samples, embedder=embedder, max_wrong_percent=max_wrong_percent, made_at_seconds=made_at_seconds)
    if fitted is None:
        raise FrugalError(
            f"no rule keeps {max_wrong_percent} % wrong answers on these {len(samples)} questions; keep the cold start rule, or allow more."
        )
    return fitted


def shadow(
    samples: Sequence[Sample],
    embedder: str,
    *,
    similarity: float = 0.95,
    max_wrong_percent: float = 1.0,
    made_at_seconds: float = 0.0,
    most_pairs: int = 40,
    progress: Callable[[int, int], None] = unheard,
) -> Shadow:
    """Replay the questions in their order as if the cache had been on, and fit the rule on them."""
    fitted, refusal = None, None
    try:
        fitted = calibrate(samples, embedder, max_wrong_percent=max_wrong_percent, made_at_seconds=made_at_seconds)
    except FrugalError as error:
        refusal = str(error)
    cold, hits, wrong, nearest = ColdStart(similarity), 0, 0, []
    pairs: list[Pair] = []
    for number, (sample, near) in enumerate(_in_order(samples)):
        if number % _AT_ONCE == 0:
            progress(number, len(samples))
        if not near:
            continue
        verdict = cold.decide(sample.question, near)
        hits += verdict.hit
        wrong += verdict.near is not None and verdict.near.answer != sample.answer
        nearest.append((near[0].cosine, near[0].answer == sample.answer))
        favoured = verdict.near or verdict.would_be
        if fitted is None and favoured is not None:
            pairs.append(_pair(sample, favoured.question, verdict.hit, favoured.cosine, favoured.answer == sample.answer))
    progress(len(samples), len(samples))
    pairs = sorted(pairs, key=lambda pair: (pair.right == pair.served, -pair.sure)) if fitted is None else list(_fitted(samples, fitted))
    share = 100 / max(1, len(samples))
    return Shadow(
        len(samples), len({sample.answer for sample in samples}), round(hits * share, 2), round(wrong * share, 2),
        _floor(nearest, len(samples), max_wrong_percent), fitted, refusal, tuple(pairs[:most_pairs]),
    )  # fmt: skip


def suggested_similarity(samples: Sequence[Sample], *, max_wrong_percent: float = 1.0) -> float | None:
    """The lowest bare cosine, in steps of 0.01, that would keep the budget. None: not even 0.99 does."""
    nearest = [(near[0].cosine, near[0].answer == sample.answer) for sample, near in _in_order(samples) if near]
    return _floor(nearest, len(samples), max_wrong_percent)


def _floor(nearest: Sequence[tuple[float, bool]], questions: int, max_wrong_percent: float) -> float | None:
    for hundredth in range(70, 100):
        wrong = sum(cosine > hundredth / 100 and not right for cosine, right in nearest)
        if 100 * wrong <= max_wrong_percent * questions:
            return hundredth / 100
    return None


def _in_order(samples: Sequence[Sample]) -> Iterator[tuple[Sample, list[Near]]]:
    """Each question with the nearest of those before it in its partition."""
    from frugal_plugins.answers.index import VectorIndex

    indexes: dict[str, VectorIndex] = {}
    for number, sample in enumerate(samples):
        index = indexes.setdefault(sample.partition, VectorIndex(len(sample.vector)))
        rows, cosines, _ = index.search(sample.vector, _NEIGHBOURS)
        yield sample, [Near(row, cosine, samples[row].answer, samples[row].question) for row, cosine in zip(rows, cosines, strict=True)]
        index.add([number], [sample.vector])


def _fitted(samples: Sequence[Sample], fitted: Calibration) -> Iterator[Pair]:
    """The pairs nearest to the bar of the fitted rule, on both sides."""
    for asked, stored, probability, right in fitted.examples:
        if max(asked, stored) < len(samples):
            yield _pair(samples[asked], samples[stored].question, probability >= fitted.rule.threshold, probability, right)


def _pair(sample: Sample, stored: str, served: bool, sure: float, right: bool) -> Pair:
    return Pair(sample.question, stored, served, round(sure, 4), right, compare(sample.question, stored).conflicts)
