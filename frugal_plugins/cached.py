"""What a person does with a store of answers: look into it, forget, import, and calibrate the search by meaning on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from frugal_plugins.answers import NearAnswers, StoredAnswer
from frugal_plugins.errors import FrugalError
from frugal_plugins.meaning.calibration import LEAST_QUESTIONS, Calibration, Sample, fit
from frugal_plugins.meaning.consensus import Near
from frugal_plugins.meaning.guards import compare
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.cache import Cache


def samples_of(store: NearAnswers, embedder: str) -> list[Sample]:
    """The questions of a store with a vector of this embedding model, and which answer each got: what shadow mode collects."""
    return [
        Sample(answer.question, answer.vector, answer.group, answer.partition)
        for answer in store.every()
        if answer.vector is not None and answer.embedder == embedder and answer.question
    ]


def calibrate(store: NearAnswers, embedder: str, *, max_wrong_percent: float = 1.0, made_at_seconds: float = 0.0) -> Calibration:
    """Fit the rule on a store that shadow mode has filled.

    Raises FrugalError when there are too few questions or no rule keeps the budget; the cold start rule then stays in force.
    """
    samples = samples_of(store, embedder)
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


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions to look at: how sure the rule is that one answer fits both, whether it does, and what the guards say."""

    asked: str
    stored: str
    probability: float
    right: bool
    conflicts: tuple[str, ...]


def pairs_to_look_at(store: NearAnswers, calibration: Calibration) -> Iterator[Pair]:
    """The pairs nearest to the bar on both sides, from the same store the calibration was fitted on."""
    samples = samples_of(store, calibration.rule.embedder)
    for asked, stored, probability, right in calibration.examples:
        if max(asked, stored) < len(samples):
            one, other = samples[asked].question, samples[stored].question
            yield Pair(one, other, probability, right, compare(one, other).conflicts)


def suggested_similarity(samples: list[Sample], *, max_wrong_percent: float = 1.0) -> float | None:
    """The lowest bare cosine, in steps of 0.01, that would keep the budget: for those who want one number. None: not even 0.99 does."""
    from frugal_plugins.answers.index import VectorIndex

    indexes: dict[str, VectorIndex] = {}
    nearest: list[tuple[float, bool]] = []
    for number, sample in enumerate(samples):
        index = indexes.setdefault(sample.partition, VectorIndex(len(sample.vector)))
        rows, cosines, _ = index.search(sample.vector, 1)
        if rows:
            nearest.append((cosines[0], samples[rows[0]].answer == sample.answer))
        index.add([number], [sample.vector])
    for hundredth in range(70, 100):
        wrong = sum(cosine > hundredth / 100 and not right for cosine, right in nearest)
        if 100 * wrong <= max_wrong_percent * len(samples):
            return hundredth / 100
    return None


def described(answer: StoredAnswer) -> dict[str, Any]:
    """One entry as `frugal cache list` shows it: no vector, the question and the answer's beginning."""
    text = answer.message.get("content")
    return {
        "key": answer.key,
        "owner": answer.owner[:12],
        "model": answer.model,
        "question": answer.question[:200],
        "answer": text[:200] if isinstance(text, str) else "",
        "at_seconds": answer.at_seconds,
        "until_seconds": answer.until_seconds,
        "searchable": answer.vector is not None,
    }


def stats(store: NearAnswers, embedder: str = "") -> dict[str, Any]:
    """The figures of a store as `frugal cache stats` prints them."""
    return asdict(store.figures(embedder))


def import_gptcache(
    path: str | Path, cache: Cache, *, model: str, now_seconds: float, system: str | None = None, params: Mapping[str, Any] | None = None
) -> int:
    """Take over the SQLite file of a GPTCache (its FAISS file is not needed: questions are embedded anew). Says how many answers.

    GPTCache does not keep which model, system prompt or parameters an answer belongs to: say them, they become part of the key.
    """
    query = (
        "SELECT q.question, a.answer FROM gptcache_question q JOIN gptcache_answer a ON a.question_id = q.id"
        " WHERE coalesce(q.deleted, 0) = 0 ORDER BY q.id"
    )
    try:
        with closing(sqlite3.connect(f"file:{Path(path)}?mode=ro", uri=True)) as source:
            rows = source.execute(query).fetchall()
    except sqlite3.Error as error:
        raise FrugalError(
            f"{path} is not a GPTCache SQLite store: {error}. Name the file that its data manager calls sqlite.db."
        ) from error
    head = () if system is None else ({"role": "system", "content": system},)
    taken = 0
    for question, answer in rows:
        request = Request(model, (*head, {"role": "user", "content": str(question)}), dict(params or {}))
        taken += cache.keep(request, Reply({"role": "assistant", "content": str(answer)}, model), now_seconds) is None
    return taken


def reject(cache: Cache, request: Request, now_seconds: float) -> bool:
    """A person says that the answer this request is served is wrong: it is dropped and weighed. Says whether one was served."""
    place = cache.place(request)
    found = cache.store.get(place.key, now_seconds)
    look = None if found is not None else cache.look(place, now_seconds)
    near: Near | None = None if look is None else look.verdict.near
    if found is None and near is not None:
        found = _store(cache).at_row(near.row, now_seconds)
    if found is None:
        return False
    if look is not None and cache.meaning is not None:
        cache.meaning.rejected(look)
    return _store(cache).drop(found.key)


def _store(cache: Cache) -> NearAnswers:
    store: Any = cache.store
    kept: NearAnswers = store
    return kept
