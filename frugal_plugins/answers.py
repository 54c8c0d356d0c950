"""Where stored answers live: in memory, or in one SQLite file several processes may share."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from frugal_plugins.errors import FrugalError
from frugal_plugins.usage import Usage


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A complete answer, what it cost when it was made, and until when (unix seconds) it may be served.

    `owner` is a fingerprint of the scope it belongs to, so that all of one tenant's answers can be forgotten.
    """

    key: str
    message: Mapping[str, Any]
    model: str
    usage: Usage
    at_seconds: float
    until_seconds: float
    owner: str = ""


class AnswerStore(Protocol):
    """Keeps answers by key."""

    def get(self, key: str, now_seconds: float) -> StoredAnswer | None:
        """The answer, a copy of its own, unless there is none or its time is over."""

    def put(self, answer: StoredAnswer) -> None:
        """Keep an answer, replacing one under the same key."""

    def forget(self, owner: str | None = None) -> int:
        """Drop an owner's answers, or all; says how many."""


@dataclass(slots=True)
class MemoryAnswers:
    """Answers in this process, the least recently used dropped first."""

    max_entries: int = 10_000
    _rows: OrderedDict[str, tuple[StoredAnswer, str]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str, now_seconds: float) -> StoredAnswer | None:
        """The answer, if it is still good."""
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                return None
            answer, text = row
            if answer.until_seconds <= now_seconds:
                del self._rows[key]
                return None
            self._rows.move_to_end(key)
        return _copy(answer, text)

    def put(self, answer: StoredAnswer) -> None:
        """Keep an answer."""
        text = json.dumps(answer.message)
        with self._lock:
            self._rows[answer.key] = (answer, text)
            self._rows.move_to_end(answer.key)
            while len(self._rows) > self.max_entries:
                self._rows.popitem(last=False)

    def forget(self, owner: str | None = None) -> int:
        """Drop answers."""
        with self._lock:
            gone = [key for key, (answer, _) in self._rows.items() if owner in (None, answer.owner)]
            for key in gone:
                del self._rows[key]
        return len(gone)


_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, message TEXT NOT NULL, model TEXT NOT NULL, usage TEXT NOT NULL,
  at_seconds REAL NOT NULL, until_seconds REAL NOT NULL, owner TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_until ON answers (until_seconds);
CREATE INDEX IF NOT EXISTS answers_owner ON answers (owner);
"""


class AnswerFile:
    """Answers in a SQLite file (mode 0600) that several processes may use at once.

    The file is made on first use. One that is not a store is refused with its name; it is never overwritten.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_entries: int = 10_000) -> None:
        self.path = Path(path)
        self.max_entries = max_entries
        self._local = threading.local()
        self._puts = 0

    def get(self, key: str, now_seconds: float) -> StoredAnswer | None:
        """The answer, if it is still good."""
        row = (
            self._connection()
            .execute(
                "SELECT key, message, model, usage, at_seconds, until_seconds, owner FROM answers WHERE key = ? AND until_seconds > ?",
                (key, now_seconds),
            )
            .fetchone()
        )
        if row is None:
            return None
        return StoredAnswer(row[0], json.loads(row[1]), row[2], Usage(**json.loads(row[3])), *row[4:])

    def put(self, answer: StoredAnswer) -> None:
        """Keep an answer; it is on disk when this returns."""
        row = (
            answer.key, json.dumps(answer.message), answer.model, json.dumps(asdict(answer.usage)),
            answer.at_seconds, answer.until_seconds, answer.owner,
        )  # fmt: skip
        with self._connection() as connection:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._puts += 1
        if self._puts % 256 == 1:
            self._tidy(answer.at_seconds)

    def forget(self, owner: str | None = None) -> int:
        """Drop answers."""
        with self._connection() as connection:
            if owner is None:
                return connection.execute("DELETE FROM answers").rowcount
            return connection.execute("DELETE FROM answers WHERE owner = ?", (owner,)).rowcount

    def _tidy(self, now_seconds: float) -> None:
        """Drop what is over and, beyond the bound, what is oldest."""
        with self._connection() as connection:
            connection.execute("DELETE FROM answers WHERE until_seconds <= ?", (now_seconds,))
            connection.execute(
                "DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY at_seconds DESC LIMIT -1 OFFSET ?)", (self.max_entries,)
            )

    def _connection(self) -> sqlite3.Connection:
        """One connection for each thread and process."""
        mine: tuple[int, sqlite3.Connection] | None = getattr(self._local, "connection", None)
        if mine is None or mine[0] != os.getpid():
            mine = self._local.connection = (os.getpid(), self._opened())
        return mine[1]

    def _opened(self) -> sqlite3.Connection:
        try:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, timeout=1.0)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise FrugalError(f"cannot keep answers in {self.path}: {error}. Name another file in the recipe's cache.path.") from error
        return connection


def _copy(answer: StoredAnswer, text: str) -> StoredAnswer:
    return StoredAnswer(answer.key, json.loads(text), answer.model, answer.usage, answer.at_seconds, answer.until_seconds, answer.owner)
