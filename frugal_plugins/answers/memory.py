"""Answers in this process."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from sys import intern
from typing import Any, Final

from frugal_plugins.answers.shelves import Shelves, as_bytes, as_vector
from frugal_plugins.answers.stored import SERVED_AT_MOST, Served, StoredAnswer, StoreFigures
from frugal_plugins.meaning.consensus import Near


@dataclass(slots=True)
class MemoryAnswers:
    """Answers in this process, the least recently used dropped first."""

    max_entries: int = 10_000
    _rows: OrderedDict[str, tuple[StoredAnswer, str]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _shelves: Shelves = field(default_factory=Shelves)
    _keys: dict[int, str] = field(default_factory=dict)
    _next: int = 1
    _counts: dict[str, dict[str, float]] = field(default_factory=dict)
    _served: OrderedDict[str, Served] = field(default_factory=OrderedDict)

    def get(self, key: str, now_seconds: float) -> StoredAnswer | None:
        """The answer, if it is still good."""
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                return None
            answer, text = row
            if answer.until_seconds <= now_seconds:
                self._drop(key)
                return None
            self._rows.move_to_end(key)
        return answer.copied(text)

    def put(self, answer: StoredAnswer) -> None:
        """Keep an answer."""
        text = json.dumps(answer.message)
        with self._lock:
            self._drop(answer.key)
            kept = _kept(answer, self._next)
            self._rows[answer.key] = (kept, text)
            self._keys[kept.row] = answer.key
            self._next += 1
            while len(self._rows) > self.max_entries:
                self._drop(next(iter(self._rows)))
            if kept.vector is not None and kept.partition and answer.key in self._rows:
                shelf = self._shelves.shelf(kept.partition, kept.embedder, len(kept.vector) // 2)
                with shelf.lock:
                    shelf.fill([(kept.row, kept.vector)] if shelf.last_row else self._vectors(kept.partition, kept.embedder))

    def near(self, partition: str, embedder: str, vector: Any, count: int, now_seconds: float) -> list[Near]:
        """The nearest stored questions of a partition."""
        with self._lock:
            shelf = self._shelves.shelf(partition, embedder, len(vector))
            newer = self._vectors(partition, embedder) if not shelf.last_row else []
            rows, cosines, vectors = self._shelves.search(shelf, vector, count, lambda _last: newer)
            found, gone = [], []
            for row, cosine, own in zip(rows, cosines, vectors, strict=True):
                kept = self._rows.get(self._keys.get(row, ""))
                if kept is None:
                    gone.append(row)
                elif kept[0].until_seconds > now_seconds:
                    found.append(Near(row, cosine, kept[0].group, kept[0].question, own))
            shelf.index.forget(gone)
            return found

    def at_row(self, row: int, now_seconds: float) -> StoredAnswer | None:
        """The answer of a row."""
        key = self._keys.get(row)
        return None if key is None else self.get(key, now_seconds)

    def drop(self, key: str) -> bool:
        """Drop one answer and its hits."""
        with self._lock:
            self._not_served({key})
            return self._drop(key)

    def forget(self, owner: str | None = None) -> int:
        """Drop answers."""
        with self._lock:
            gone = [key for key, (answer, _) in self._rows.items() if owner in (None, answer.owner)]
            for key in gone:
                self._drop(key)
            self._not_served(set(gone))
        return len(gone)

    def note_served(self, served: Served) -> None:
        """Remember a hit."""
        with self._lock:
            self._served[served.id] = served
            while len(self._served) > min(SERVED_AT_MOST, self.max_entries):
                self._served.popitem(last=False)

    def served(self, id: str) -> Served | None:  # noqa: A002
        """What was served to a request."""
        return self._served.get(id)

    def latest_served(self, count: int) -> list[Served]:
        """Hits, latest first."""
        with self._lock:
            return list(self._served.values())[: -count - 1 : -1]

    def count(self, name: str, more: Mapping[str, float]) -> dict[str, float]:
        """Add to counters."""
        with self._lock:
            kept = self._counts.setdefault(name, {})
            for what, count in more.items():
                kept[what] = kept.get(what, 0.0) + count
            return dict(kept)

    def every(self, owner: str | None = None) -> Iterator[StoredAnswer]:
        """All answers, oldest first."""
        with self._lock:
            rows = list(self._rows.values())
        for answer, text in rows:
            if owner in (None, answer.owner):
                yield replace(answer.copied(text), vector=as_vector(answer.vector))

    def figures(self, embedder: str = "") -> StoreFigures:
        """What is held."""
        with self._lock:
            answers = [answer for answer, _ in self._rows.values()]
        vectors = [a for a in answers if a.vector is not None]
        return StoreFigures(
            len(answers), len({a.owner for a in answers}), len({a.partition for a in answers}), len(vectors),
            sum(bool(embedder) and a.embedder != embedder for a in vectors), min((a.at_seconds for a in answers), default=None), None,
        )  # fmt: skip

    def _drop(self, key: str) -> bool:
        row = self._rows.pop(key, None)
        if row is None:
            return False
        self._keys.pop(row[0].row, None)
        return True

    def _not_served(self, keys: set[str]) -> None:
        for id_ in [id_ for id_, one in self._served.items() if one.key in keys]:
            del self._served[id_]

    def _vectors(self, partition: str, embedder: str) -> list[tuple[int, bytes]]:
        return sorted(
            (a.row, a.vector)
            for a, _ in self._rows.values()
            if a.partition == partition and a.embedder == embedder and a.vector is not None
        )


_NOTHING: Final[Mapping[str, Any]] = {}


def _kept(answer: StoredAnswer, row: int) -> StoredAnswer:
    """An answer to be held for long: its message is in the JSON beside it, and equal names are one object."""
    return StoredAnswer(
        answer.key, _NOTHING, answer.model, answer.usage, answer.at_seconds, answer.until_seconds, intern(answer.owner), answer.partition,
        answer.question, answer.group, intern(answer.embedder), as_bytes(answer.vector), row, answer.labels or _NOTHING,
    )  # fmt: skip
