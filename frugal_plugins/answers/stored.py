"""What is kept of an answer, and what every place that keeps answers can do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

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
        labels: the tenant, team, user, session and namespace it was made for, as the caller named them: what `forget` selects by.
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
    labels: Mapping[str, str] = field(default_factory=dict)

    def copied(self, message: str) -> StoredAnswer:
        """The same answer with a message of its own, so that changing a hit changes nothing."""
        return StoredAnswer(
            self.key, json.loads(message), self.model, self.usage, self.at_seconds, self.until_seconds, self.owner, self.partition,
            self.question, self.group, self.embedder, self.vector, self.row, self.labels,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Served:
    """A stored answer that was handed out, remembered so that a person can look at it and say it was wrong.

    Attributes:
        id: the request's id, as the ledger and `x-frugal-id` have it.
        key: of the answer that was served.
        asked: the question it was served for; "" when the request was equal and found by its key.
        degree: how sure the fitted rule was (`evidence.degree`); None for an equal request or the cold start rule.
    """

    id: str
    key: str
    at_seconds: float
    owner: str = ""
    asked: str = ""
    cosine: float | None = None
    degree: int | None = None

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Served:
        """A row of the table of hits, in SQLite and in PostgreSQL."""
        return cls(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5], row[6])

    def as_row(self) -> tuple[Any, ...]:
        """The same as a row; the question as JSON, which keeps any character."""
        return (self.id, self.key, self.at_seconds, self.owner, json.dumps(self.asked), self.cosine, self.degree)


SERVED_AT_MOST: Final = 10_000
"""How many hits a store remembers."""


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

    def drop(self, key: str) -> bool:
        """Drop one answer and what is remembered of its hits; says whether it was there."""

    def note_served(self, served: Served) -> None:
        """Remember a hit; the oldest are forgotten beyond 10,000."""

    def served(self, id: str) -> Served | None:  # noqa: A002 - the ledger's word
        """What was served to a request; None when nothing was, or it was forgotten since."""

    def latest_served(self, count: int) -> list[Served]:
        """Hits, latest first."""


class NearAnswers(AnswerStore, Protocol):
    """Keeps answers by key and finds those whose questions are near in meaning."""

    def near(self, partition: str, embedder: str, vector: Any, count: int, now_seconds: float) -> list[Near]:
        """The nearest stored questions of a partition, nearest first."""

    def at_row(self, row: int, now_seconds: float) -> StoredAnswer | None:
        """The answer of a row that `near` named, unless it has gone since."""

    def count(self, name: str, more: Mapping[str, float]) -> dict[str, float]:
        """Add to the counters kept under a name, and read all of them: what several processes learn together."""

    def every(self, owner: str | None = None) -> Iterator[StoredAnswer]:
        """All answers, oldest first, also those whose time is over."""

    def figures(self, embedder: str = "") -> StoreFigures:
        """What the store holds."""


def forget_matching(store: NearAnswers, words: str, owner: str | None = None) -> int:
    """Drop every answer whose question or text holds `words` (any case), or was served to such a question. Says how many."""
    wanted = words.casefold()
    if not wanted.strip():
        return 0
    keys = {one.key for one in store.latest_served(SERVED_AT_MOST) if owner in (None, one.owner) and wanted in one.asked.casefold()}
    keys |= {
        a.key
        for a in store.every(owner)
        if wanted in a.question.casefold() or wanted in json.dumps(a.message, ensure_ascii=False).casefold()
    }
    return sum(store.drop(key) for key in keys)


def forget_labelled(store: NearAnswers, labels: Mapping[str, str]) -> int:
    """Drop every answer made for this tenant, user, team, session or namespace. Says how many."""
    if not labels:
        return 0
    keys = [a.key for a in store.every() if all(a.labels.get(name) == value for name, value in labels.items())]
    return sum(store.drop(key) for key in keys)


def re_embed(store: NearAnswers, embedder: str, embed: Any, *, batch: int = 64) -> int:
    """Give every answer that another embedding model made a vector of this one. `embed(texts)` returns vectors or None each.

    Answers stay where they are and keep their time; an entry whose text does not fit the model is found by key only.
    """
    waiting = [answer for answer in store.every() if answer.question and answer.embedder != embedder]
    for start in range(0, len(waiting), batch):
        part: Sequence[StoredAnswer] = waiting[start : start + batch]
        for answer, vector in zip(part, embed([one.question for one in part]), strict=True):
            store.put(replace(answer, embedder=embedder, vector=vector))
    return len(waiting)
