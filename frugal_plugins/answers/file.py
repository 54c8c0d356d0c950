"""Answers in one SQLite file that several processes may share. The rows are the truth; the vector index is made from them."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

from frugal_plugins.answers.shelves import Shelves, as_bytes, as_vector
from frugal_plugins.answers.stored import SERVED_AT_MOST, Served, StoredAnswer, StoreFigures
from frugal_plugins.errors import FrugalError
from frugal_plugins.meaning.consensus import Near
from frugal_plugins.sqlite_file import open_sqlite
from frugal_plugins.usage import Usage

_log = logging.getLogger("frugal_plugins")
_Result = TypeVar("_Result")

_COLUMNS: Final = (
    "row, key, message, model, usage, at_seconds, until_seconds, owner, partition, question, grouped, embedder, vector, labels"
)
_MARKS: Final = ", ".join("?" * 13)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
  row INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, message TEXT NOT NULL, model TEXT NOT NULL, usage TEXT NOT NULL,
  at_seconds REAL NOT NULL, until_seconds REAL NOT NULL, owner TEXT NOT NULL, partition TEXT NOT NULL, question TEXT NOT NULL,
  grouped TEXT NOT NULL, embedder TEXT NOT NULL, vector BLOB, labels TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS served (
  id TEXT PRIMARY KEY, key TEXT NOT NULL, at_seconds REAL NOT NULL, owner TEXT NOT NULL, asked TEXT NOT NULL, cosine REAL, degree INTEGER
);
CREATE TABLE IF NOT EXISTS learned (name TEXT NOT NULL, what TEXT NOT NULL, total REAL NOT NULL, PRIMARY KEY (name, what)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS served_key ON served (key);
CREATE INDEX IF NOT EXISTS served_at ON served (at_seconds);
CREATE INDEX IF NOT EXISTS entries_until ON entries (until_seconds);
CREATE INDEX IF NOT EXISTS entries_at ON entries (at_seconds);
CREATE INDEX IF NOT EXISTS entries_owner ON entries (owner);
CREATE INDEX IF NOT EXISTS entries_partition ON entries (partition, embedder, row) WHERE vector IS NOT NULL;
"""
_HEADER: Final = b"SQLite format 3\x00"
_DAMAGED: Final = ("malformed", "not a database", "disk I/O error", "disk image")


class AnswerFile:
    """Answers in a SQLite file (mode 0600) that several processes may use at once.

    An answer is in the file when `put` returns, and a killed process loses none of them. The file is made on first use. One that
    is not a store is refused with its name; a damaged store is set aside under a new name, what can be read is copied back, and
    both are logged.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_entries: int = 10_000, max_vectors: int = 1_000_000) -> None:
        self.path = Path(path)
        self.max_entries = max_entries
        self.set_aside: list[Path] = []
        self._shelves = Shelves(max_vectors)
        self._local = threading.local()
        self._opened_as = 0
        self._lock = threading.Lock()
        self._puts = self._notes = 0

    def get(self, key: str, now_seconds: float) -> StoredAnswer | None:
        """The answer, if it is still good."""
        found = self._sound(
            lambda db: db.execute(f"SELECT {_COLUMNS} FROM entries WHERE key = ? AND until_seconds > ?", (key, now_seconds)).fetchone()
        )
        return None if found is None else _answer(found)

    def at_row(self, row: int, now_seconds: float) -> StoredAnswer | None:
        """The answer of a row."""
        found = self._sound(
            lambda db: db.execute(f"SELECT {_COLUMNS} FROM entries WHERE row = ? AND until_seconds > ?", (row, now_seconds)).fetchone()
        )
        return None if found is None else _answer(found)

    def put(self, answer: StoredAnswer) -> None:
        """Keep an answer; it is on disk when this returns."""
        values = _values(answer)

        def write(db: sqlite3.Connection) -> None:
            with db:
                db.execute(f"INSERT OR REPLACE INTO entries ({_COLUMNS.removeprefix('row, ')}) VALUES ({_MARKS})", values)

        self._sound(write)
        self._puts += 1
        if self._puts % 256 == 1:
            self._sound(lambda db: self._tidy(db, answer.at_seconds))

    def put_many(self, answers: list[StoredAnswer]) -> None:
        """Keep many answers in one transaction: all or none."""
        rows = [_values(answer) for answer in answers]

        def write(db: sqlite3.Connection) -> None:
            with db:
                db.executemany(f"INSERT OR REPLACE INTO entries ({_COLUMNS.removeprefix('row, ')}) VALUES ({_MARKS})", rows)

        self._sound(write)

    def near(self, partition: str, embedder: str, vector: Any, count: int, now_seconds: float) -> list[Near]:
        """The nearest stored questions of a partition, those other processes put there included."""
        return self._sound(lambda db: self._near(db, partition, embedder, vector, count, now_seconds))

    def drop(self, key: str) -> bool:
        """Drop one answer and its hits."""
        return self._delete("WHERE key = ?", key) > 0

    def forget(self, owner: str | None = None) -> int:
        """Drop answers and their hits."""
        return self._delete("") if owner is None else self._delete("WHERE owner = ?", owner)

    def note_served(self, served: Served) -> None:
        """Remember a hit."""

        def write(db: sqlite3.Connection) -> None:
            with db:
                db.execute("INSERT OR REPLACE INTO served VALUES (?, ?, ?, ?, ?, ?, ?)", served.as_row())

        self._sound(write)
        self._notes += 1
        if self._notes % 256 == 1:
            self._sound(_tidy_served)

    def served(self, id: str) -> Served | None:  # noqa: A002
        """What was served to a request."""
        row = self._sound(lambda db: db.execute("SELECT * FROM served WHERE id = ?", (id,)).fetchone())
        return None if row is None else Served.of_row(row)

    def latest_served(self, count: int) -> list[Served]:
        """Hits, latest first."""
        return [Served.of_row(row) for row in self._page("SELECT * FROM served ORDER BY at_seconds DESC, rowid DESC LIMIT ?", (count,))]

    def count(self, name: str, more: Mapping[str, float]) -> dict[str, float]:
        """Add to counters."""
        query = "INSERT INTO learned VALUES (?, ?, ?) ON CONFLICT (name, what) DO UPDATE SET total = total + excluded.total"

        def write(db: sqlite3.Connection) -> dict[str, float]:
            with db:
                db.executemany(query, [(name, what, count) for what, count in more.items()])
            return dict(db.execute("SELECT what, total FROM learned WHERE name = ?", (name,)).fetchall())

        return self._sound(write)

    def every(self, owner: str | None = None) -> Iterator[StoredAnswer]:
        """All answers, oldest first."""
        where = "" if owner is None else "AND owner = ?"
        last, known = 0, () if owner is None else (owner,)
        while True:
            query = f"SELECT {_COLUMNS} FROM entries WHERE row > ? {where} ORDER BY row LIMIT 500"
            rows = self._page(query, (last, *known))
            if not rows:
                return
            last = rows[-1][0]
            yield from map(_answer, rows)

    def figures(self, embedder: str = "") -> StoreFigures:
        """What the file holds."""
        query = (
            "SELECT count(*), count(DISTINCT owner), count(DISTINCT partition), count(vector),"
            " coalesce(sum(vector IS NOT NULL AND embedder <> ?), 0), min(at_seconds) FROM entries"
        )
        counted: Any = self._sound(lambda db: db.execute(query, (embedder,)).fetchone())
        different = counted[4] if embedder else 0
        return StoreFigures(counted[0], counted[1], counted[2], counted[3], different, counted[5], self.path.stat().st_size)

    def _near(self, db: sqlite3.Connection, partition: str, embedder: str, vector: Any, count: int, now_seconds: float) -> list[Near]:
        shelf = self._shelves.shelf(partition, embedder, len(vector))

        def newer(last: int) -> Iterator[tuple[int, bytes]]:
            return iter(
                db.execute(
                    "SELECT row, vector FROM entries WHERE partition = ? AND embedder = ? AND row > ? AND vector IS NOT NULL ORDER BY row",
                    (partition, embedder, last),
                ).fetchall()
            )

        rows, cosines, vectors = self._shelves.search(shelf, vector, count, newer)
        marks = ", ".join("?" * len(rows))
        query = f"SELECT row, grouped, question, until_seconds FROM entries WHERE row IN ({marks})"
        held = {row: (group, _question(question), until) for row, group, question, until in db.execute(query, rows)}
        with shelf.lock:
            shelf.index.forget([row for row in rows if row not in held])
        return [
            Near(row, cosine, held[row][0], held[row][1], own)
            for row, cosine, own in zip(rows, cosines, vectors, strict=True)
            if row in held and held[row][2] > now_seconds
        ]

    def _page(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        return self._sound(lambda db: db.execute(query, values).fetchall())

    def _delete(self, where: str, *values: str) -> int:
        def run(db: sqlite3.Connection) -> int:
            with db:
                db.execute(f"DELETE FROM served {where}", values)
                return db.execute(f"DELETE FROM entries {where}", values).rowcount

        return self._sound(run)

    def _tidy(self, db: sqlite3.Connection, now_seconds: float) -> None:
        """Drop what is over and, beyond the bound, what is oldest."""
        with db:
            db.execute("DELETE FROM entries WHERE until_seconds <= ?", (now_seconds,))
            db.execute(
                "DELETE FROM entries WHERE row IN (SELECT row FROM entries ORDER BY at_seconds DESC LIMIT -1 OFFSET ?)", (self.max_entries,)
            )

    def _sound(self, use: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Use the file; when it turns out to be damaged, set it aside, keep what can be read, and use the new one."""
        try:
            return use(self._connection())
        except sqlite3.DatabaseError as error:
            if not any(word in str(error) for word in _DAMAGED):
                raise
            self._rebuild(str(error))
            return use(self._connection())

    def _connection(self) -> sqlite3.Connection:
        """One connection for each thread and process."""
        mine: tuple[int, int, sqlite3.Connection] | None = getattr(self._local, "connection", None)
        if mine is None or mine[:2] != (os.getpid(), self._opened_as):
            mine = self._local.connection = (os.getpid(), self._opened_as, self._opened())
        return mine[2]

    def _opened(self) -> sqlite3.Connection:
        try:
            return _prepared(self.path)
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, sqlite3.DatabaseError) and _is_ours(self.path) and any(word in str(error) for word in _DAMAGED):
                self._rebuild(str(error))
                return _prepared(self.path)
            raise FrugalError(f"cannot keep answers in {self.path}: {error}. Name another file in the recipe's cache.path.") from error

    def _rebuild(self, problem: str) -> None:
        """Move a damaged store out of the way and copy back what can still be read."""
        with self._lock:
            aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
            for ending in ("", "-wal", "-shm"):
                part = Path(f"{self.path}{ending}")
                if part.exists():
                    part.rename(f"{aside}{ending}")
            self._opened_as += 1
            self._shelves.clear()
            saved = _copy_readable(aside, self.path)
            self.set_aside.append(aside)
            _log.warning(
                "The answer store %s was damaged (%s). It is kept as %s; %d answers were copied back.", self.path, problem, aside, saved
            )


def _prepared(path: Path) -> sqlite3.Connection:
    return open_sqlite(path, _with_tables)


def _with_tables(connection: sqlite3.Connection) -> None:
    connection.executescript(_SCHEMA)
    if not any(column[1] == "labels" for column in connection.execute("PRAGMA table_info(entries)")):
        connection.execute("ALTER TABLE entries ADD COLUMN labels TEXT NOT NULL DEFAULT '{}'")


def _is_ours(path: Path) -> bool:
    """Whether a file was once a SQLite file with our table in it, as far as its first pages tell."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16)
    except OSError:
        return False
    return start.startswith(_HEADER) and b"CREATE TABLE entries" in start


def _copy_readable(damaged: Path, into: Path) -> int:
    """Copy rows until the first that cannot be read, from the front and from the back."""
    saved = 0
    columns = _COLUMNS.removeprefix("row, ")
    with closing(_prepared(into)) as target:
        for order in ("ASC", "DESC"):
            with target, closing(sqlite3.connect(f"file:{damaged}?mode=ro", uri=True)) as source:
                try:
                    for row in source.execute(f"SELECT {columns} FROM entries ORDER BY row {order}"):
                        saved += target.execute(f"INSERT OR IGNORE INTO entries ({columns}) VALUES ({_MARKS})", row).rowcount
                except sqlite3.DatabaseError as error:
                    _log.warning("Reading %s stopped: %s.", damaged, error)
    return saved


def _tidy_served(db: sqlite3.Connection) -> None:
    with db:
        db.execute(
            "DELETE FROM served WHERE rowid IN (SELECT rowid FROM served ORDER BY at_seconds DESC LIMIT -1 OFFSET ?)", (SERVED_AT_MOST,)
        )


def _question(kept: str) -> str:
    """A question as it was kept, in JSON; most have nothing escaped and need no parser."""
    text: str = kept[1:-1] if "\\" not in kept else json.loads(kept)
    return text


def _values(answer: StoredAnswer) -> tuple[Any, ...]:
    return (
        answer.key, json.dumps(answer.message), answer.model, json.dumps(asdict(answer.usage)), answer.at_seconds, answer.until_seconds,
        answer.owner, answer.partition, json.dumps(answer.question), answer.group, answer.embedder, as_bytes(answer.vector),
        json.dumps(dict(answer.labels)),
    )  # fmt: skip


def _answer(row: tuple[Any, ...]) -> StoredAnswer:
    return StoredAnswer(
        row[1], json.loads(row[2]), row[3], Usage(**json.loads(row[4])), row[5], row[6], row[7], row[8], json.loads(row[9]), row[10],
        row[11], as_vector(row[12]), row[0], json.loads(row[13]),
    )  # fmt: skip
