"""Answers in PostgreSQL with pgvector: one store for several proxies on several machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from frugal_plugins.answers.stored import SERVED_AT_MOST, Served, StoredAnswer, StoreFigures
from frugal_plugins.errors import MissingExtra
from frugal_plugins.meaning.consensus import Near
from frugal_plugins.postgres import SharedServer, checked_table
from frugal_plugins.usage import Usage

_COLUMNS: Final = "id, key, message, model, usage, at_seconds, until_seconds, owner, partition, question, grouped, embedder, vector, labels"
_LOCK: Final = 7238461


class PostgresAnswers:
    """Answers in a PostgreSQL table, found by key and by pgvector's cosine.

    The table and its indexes are made on first use; the role needs CREATE there once, and the `vector` extension must be
    installed or creatable. When the server is gone every lookup is a miss and every put is dropped and counted in `unavailable`;
    the next try comes after five seconds, so a dead server costs no request more than a moment.

    Args:
        dsn: a libpq connection string or URL.
        dimensions: of the vectors; 384 for all-MiniLM-L6-v2.
    """

    def __init__(self, dsn: str, *, dimensions: int = 384, max_entries: int = 1_000_000, table: str = "frugal_answers") -> None:
        self.dimensions = dimensions
        self.max_entries = max_entries
        self._table = checked_table(table)
        self._server = SharedServer(
            dsn, self._make, _LOCK, "lookups are misses", settings={"hnsw.iterative_scan": "relaxed_order"}, opened=_register
        )
        self._try = self._server.use
        self._puts = 0

    @property
    def unavailable(self) -> int:
        """How often the server was wanted and not there."""
        return self._server.unavailable

    def get(self, key: str, now_seconds: float) -> StoredAnswer | None:
        """The answer, if it is still good."""
        query = f"SELECT {_COLUMNS} FROM {self._table} WHERE key = %s AND until_seconds > %s"
        return self._try(lambda db: _first(db.execute(query, (key, now_seconds)).fetchone()), None)

    def at_row(self, row: int, now_seconds: float) -> StoredAnswer | None:
        """The answer of a row."""
        query = f"SELECT {_COLUMNS} FROM {self._table} WHERE id = %s AND until_seconds > %s"
        return self._try(lambda db: _first(db.execute(query, (row, now_seconds)).fetchone()), None)

    def put(self, answer: StoredAnswer) -> None:
        """Keep an answer; it is committed when this returns, unless the server is gone."""
        columns = _COLUMNS.removeprefix("id, ")
        updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns.split(", ")[1:])
        query = f"INSERT INTO {self._table} ({columns}) VALUES ({', '.join(['%s'] * 13)}) ON CONFLICT (key) DO UPDATE SET {updates}"
        values = _values(answer)
        self._try(lambda db: db.execute(query, values), None)
        self._puts += 1
        if self._puts % 256 == 1:
            self._try(lambda db: self._tidy(db, answer.at_seconds), None)

    def near(self, partition: str, embedder: str, vector: Any, count: int, now_seconds: float) -> list[Near]:
        """The nearest stored questions of a partition, by cosine."""
        query = (
            f"SELECT id, 1 - (vector <=> %s) AS cosine, grouped, question, vector FROM {self._table}"
            " WHERE partition = %s AND embedder = %s AND until_seconds > %s AND vector IS NOT NULL ORDER BY vector <=> %s LIMIT %s"
        )

        def search(db: Any) -> list[Near]:
            asked = _as_pgvector(vector)
            rows = db.execute(query, (asked, partition, embedder, now_seconds, asked, count)).fetchall()
            return [
                Near(row, min(1.0, float(cosine)), group, json.loads(question), own.to_numpy())
                for row, cosine, group, question, own in rows
            ]

        return self._try(search, [])

    def drop(self, key: str) -> bool:
        """Drop one answer and its hits."""
        return self._delete(" WHERE key = %s", key) > 0

    def forget(self, owner: str | None = None) -> int:
        """Drop answers and their hits."""
        return self._delete("") if owner is None else self._delete(" WHERE owner = %s", owner)

    def note_served(self, served: Served) -> None:
        """Remember a hit."""
        query = f"INSERT INTO {self._table}_served VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING"
        self._try(lambda db: db.execute(query, served.as_row()), None)

    def served(self, id: str) -> Served | None:  # noqa: A002
        """What was served to a request."""
        query = f"SELECT * FROM {self._table}_served WHERE id = %s"
        row: Any = self._try(lambda db: db.execute(query, (id,)).fetchone(), None)
        return None if row is None else Served.of_row(row)

    def latest_served(self, count: int) -> list[Served]:
        """Hits, latest first."""
        query = f"SELECT * FROM {self._table}_served ORDER BY at_seconds DESC LIMIT %s"
        rows: list[Any] = self._try(lambda db: db.execute(query, (count,)).fetchall(), [])
        return [Served.of_row(row) for row in rows]

    def count(self, name: str, more: Mapping[str, float]) -> dict[str, float]:
        """Add to counters; while the server is gone they stay at what this process has."""
        table = f"{self._table}_learned"
        query = f"INSERT INTO {table} AS t VALUES (%s, %s, %s) ON CONFLICT (name, what) DO UPDATE SET total = t.total + EXCLUDED.total"

        def write(db: Any) -> dict[str, float]:
            with db.transaction(), db.cursor() as cursor:
                cursor.executemany(query, [(name, what, count) for what, count in sorted(more.items())])
            return dict(db.execute(f"SELECT what, total FROM {table} WHERE name = %s", (name,)).fetchall())

        return self._try(write, dict(more))

    def every(self, owner: str | None = None) -> Iterator[StoredAnswer]:
        """All answers, oldest first."""
        where, known, last = ("", (), 0) if owner is None else (" AND owner = %s", (owner,), 0)
        query = f"SELECT {_COLUMNS} FROM {self._table} WHERE id > %s{where} ORDER BY id LIMIT 500"
        while True:
            rows: list[Any] = self._try(lambda db, after=last: db.execute(query, (after, *known)).fetchall(), [])  # type: ignore[misc]
            if not rows:
                return
            last = rows[-1][0]
            yield from (_answer(row) for row in rows)

    def figures(self, embedder: str = "") -> StoreFigures:
        """What the table holds."""
        query = (
            "SELECT count(*), count(DISTINCT owner), count(DISTINCT partition), count(vector),"
            f" count(*) FILTER (WHERE vector IS NOT NULL AND embedder <> %s), min(at_seconds), pg_total_relation_size('{self._table}')"
            f" FROM {self._table}"
        )
        row: Any = self._try(lambda db: db.execute(query, (embedder,)).fetchone(), (0, 0, 0, 0, 0, None, None))
        return StoreFigures(row[0], row[1], row[2], row[3], row[4] if embedder else 0, row[5], row[6])

    def _delete(self, where: str, *values: str) -> int:
        def run(db: Any) -> int:
            with db.transaction():
                db.execute(f"DELETE FROM {self._table}_served{where}", values)
                return int(db.execute(f"DELETE FROM {self._table}{where}", values).rowcount)

        return self._try(run, 0)

    def _tidy(self, db: Any, now_seconds: float) -> None:
        db.execute(f"DELETE FROM {self._table} WHERE until_seconds <= %s", (now_seconds,))
        db.execute(
            f"DELETE FROM {self._table} WHERE id IN (SELECT id FROM {self._table} ORDER BY at_seconds DESC OFFSET %s)", (self.max_entries,)
        )
        db.execute(
            f"DELETE FROM {self._table}_served WHERE id IN (SELECT id FROM {self._table}_served ORDER BY at_seconds DESC OFFSET %s)",
            (SERVED_AT_MOST,),
        )

    def _make(self, db: Any) -> None:
        """The extension, the table, its indexes."""
        table, size = self._table, self.dimensions
        db.execute("CREATE EXTENSION IF NOT EXISTS vector")
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL UNIQUE,"
            " message text NOT NULL, model text NOT NULL, usage text NOT NULL, at_seconds double precision NOT NULL,"
            " until_seconds double precision NOT NULL, owner text NOT NULL, partition text NOT NULL, question text NOT NULL,"
            f" grouped text NOT NULL, embedder text NOT NULL, vector vector({size}))"
        )
        db.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS labels text NOT NULL DEFAULT '{{}}'")
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {table}_served (id text PRIMARY KEY, key text NOT NULL, at_seconds double precision NOT NULL,"
            " owner text NOT NULL, asked text NOT NULL, cosine real, degree integer)"
        )
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {table}_learned (name text, what text, total double precision NOT NULL, PRIMARY KEY (name, what))"
        )
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_served_key ON {table}_served (key)")
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_served_at ON {table}_served (at_seconds)")
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_vector ON {table} USING hnsw (vector vector_cosine_ops)")
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_partition ON {table} (partition, embedder)")
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_owner ON {table} (owner)")
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_until ON {table} (until_seconds)")


def _register(connection: Any) -> None:
    try:
        from pgvector.psycopg import register_vector
    except ImportError as error:
        raise MissingExtra("pgvector", "postgres") from error
    register_vector(connection)


def _as_pgvector(vector: Any) -> Any:
    import numpy as np
    from pgvector import Vector

    return Vector(np.asarray(vector, dtype=np.float32))


def _values(answer: StoredAnswer) -> tuple[Any, ...]:
    vector = None if answer.vector is None else _as_pgvector(answer.vector)
    return (
        answer.key, json.dumps(answer.message), answer.model, json.dumps(asdict(answer.usage)), answer.at_seconds, answer.until_seconds,
        answer.owner, answer.partition, json.dumps(answer.question), answer.group, answer.embedder, vector,
        json.dumps(dict(answer.labels)),
    )  # fmt: skip


def _first(row: Any) -> StoredAnswer | None:
    return None if row is None else _answer(row)


def _answer(row: Any) -> StoredAnswer:
    vector = None if row[12] is None else row[12].to_numpy()
    return StoredAnswer(
        row[1], json.loads(row[2]), row[3], Usage(**json.loads(row[4])), row[5], row[6], row[7], row[8], json.loads(row[9]), row[10],
        row[11], vector, row[0], json.loads(row[13]),
    )  # fmt: skip
