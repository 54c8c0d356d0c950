"""What is kept of an answer, and what every place that keeps answers can do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from frugal_plugins.meaning.consensus import Near
from frugal_plugins.usage import Usage


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A complete answer, what it cost when it was made, and until when (unix seconds) it may be served.

    Attributes:
        key: a fingerprint of the whole request; equal key, equal request.
        owner: a fingerprint of the scope it belongs to, so that all of one tenant's answers can be forgotten.
        partition: a fingerprint of everything but the last user text; only answers of one partition can stand for each other.
        question: the last user text, "" when the answer is only found by its key.
        group: equal for answers that say the same.
        embedder: fingerprint of the model that made `vector`, a unit vector (None: found by key only).
    """

    key: str
    message: Mapping[str, Any]
    model: str
    usage: Usage
    at_seconds: float
    until_seconds: float
    owner: str = ""
    partition: str = ""
    question: str = ""
    group: str = ""
    embedder: str = ""
    vector: Any = field(default=None, compare=False, repr=False)
    row: int = 0

    def copied(self, message: str) -> StoredAnswer:
        """The same answer with a message of its own, so that changing a hit changes nothing."""
        return StoredAnswer(
            self.key, json.loads(message), self.model, self.usage, self.at_seconds, self.until_seconds, self.owner, self.partition,
            self.question, self.group, self.embedder, self.vector, self.row,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """What a store holds. `not_searchable`: entries whose vectors another embedding model made; they are found by key only."""

    entries: int
    owners: int
    partitions: int
    with_vector: int
    not_searchable: int
    oldest_seconds: float | None
    bytes_on_disk: int | None


class AnswerStore(Protocol):
    """Keeps answers by key."""

    def get(self, key: str, now_seconds: float) -> StoredAnswer | None:
        """The answer, a copy of its own, unless there is none or its time is over."""

    def put(self, answer: StoredAnswer) -> None:
        """Keep an answer, replacing one under the same key."""

    def forget(self, owner: str | None = None) -> int:
        """Drop an owner's answers, or all; says how many."""


class NearAnswers(AnswerStore, Protocol):
    """Keeps answers by key and finds those whose questions are near in meaning."""

    def near(self, partition: str, embedder: str, vector: Any, count: int, now_seconds: float) -> list[Near]:
        """The nearest stored questions of a partition, nearest first."""

    def at_row(self, row: int, now_seconds: float) -> StoredAnswer | None:
        """The answer of a row that `near` named, unless it has gone since."""

    def drop(self, key: str) -> bool:
        """Drop one answer; says whether it was there."""

    def every(self, owner: str | None = None) -> Iterator[StoredAnswer]:
        """All answers, oldest first, also those whose time is over."""

    def figures(self, embedder: str = "") -> StoreFigures:
        """What the store holds."""


def forget_matching(store: NearAnswers, words: str, owner: str | None = None) -> int:
    """Drop every answer whose question or text holds `words` (any case): "forget this". Says how many."""
    wanted = words.casefold()
    if not wanted.strip():
        return 0
    keys = [
        a.key
        for a in store.every(owner)
        if wanted in a.question.casefold() or wanted in json.dumps(a.message, ensure_ascii=False).casefold()
    ]
    return sum(store.drop(key) for key in keys)


def re_embed(store: NearAnswers, embedder: str, embed: Any, *, batch: int = 64) -> int:
    """Give every answer that another embedding model made a vector of this one. `embed(texts)` returns vectors or None each.

    Answers stay where they are and keep their time; an entry whose text does not fit the model is found by key only.
    """
    waiting = [answer for answer in store.every() if answer.question and answer.embedder != embedder]
    for start in range(0, len(waiting), batch):
        part = waiting[start : start + batch]
        _store_again(store, embedder, part, embed([answer.question for answer in part]))
    return len(waiting)


def _store_again(store: NearAnswers, embedder: str, answers: Sequence[StoredAnswer], vectors: Sequence[Any]) -> None:
    for answer, vector in zip(answers, vectors, strict=True):
        store.put(
            StoredAnswer(
                answer.key,
                answer.message,
                answer.model,
                answer.usage,
                answer.at_seconds,
                answer.until_seconds,
                answer.owner,
                answer.partition,
                answer.question,
                answer.group,
                embedder,
                vector,
            )
        )
