"""Rows that wait on this machine while the ledger's server is gone: one small SQLite file, mode 0600, with an end to its size."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import LedgerError
from frugal_plugins.ledger.rows import Batch, RequestRows
from frugal_plugins.sqlite_file import open_sqlite, script

_WAIT_SECONDS: Final = 5.0


class HeldRows:
    """Batches in the order they came. Several programs on one machine may share the file.

    Args:
        path: the file; made when the first batch has to wait.
        most_rows: how many requests may wait; more are refused.
    """

    def __init__(self, path: Path, most_rows: int) -> None:
        self.path = path
        self.most_rows = most_rows
        self._db: sqlite3.Connection | None = None

    def waiting(self) -> int:
        """How many requests and remarks wait."""
        if self._db is None and not self.path.exists():
            return 0
        try:
            return int(self._open().execute("SELECT coalesce(sum(rows), 0) FROM held").fetchone()[0])
        except (sqlite3.Error, OSError):
            return 0

    def put(self, batch: Batch) -> None:
        """Keep a batch; it is on disk when this returns. Raises LedgerError when there is no room."""
        try:
            db = self._open()
            with db:
                db.execute("BEGIN IMMEDIATE")
                if int(db.execute("SELECT coalesce(sum(rows), 0) FROM held").fetchone()[0]) + len(batch) > self.most_rows:
                    raise LedgerError(f"{self.path} holds {self.most_rows} rows already, as many as ledger.held_rows allows")
                db.execute("INSERT INTO held (rows, body) VALUES (?, ?)", (len(batch), _written(batch)))
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise LedgerError(
                f"rows cannot be held in {self.path} either ({error}); free the disk or name another ledger.held_path"
            ) from error

    def send(self, write: Callable[[Batch], None], most_batches: int) -> int:
        """Hand batches on, oldest first, and drop each when `write` returned; says how many rows went."""
        sent = 0
        db = self._open()
        for _ in range(most_batches):
            with db:
                db.execute("BEGIN IMMEDIATE")  # one program at a time sends; the rows' own keys make a repeated send harmless
                found = db.execute("SELECT n, rows, body FROM held ORDER BY n LIMIT 1").fetchone()
                if found is None:
                    return sent
                write(_read(found[2]))
                db.execute("DELETE FROM held WHERE n = ?", (found[0],))
            sent += int(found[1])
        return sent

    def close(self) -> None:
        """Let go of the file."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def forget(self) -> None:
        """After a fork: the connection is the parent's."""
        self._db = None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            table = "CREATE TABLE IF NOT EXISTS held (n INTEGER PRIMARY KEY AUTOINCREMENT, rows INTEGER NOT NULL, body TEXT NOT NULL)"
            self._db = open_sqlite(self.path, script(table), wait_seconds=_WAIT_SECONDS, durable="FULL", autocommit=True)
        return self._db


def _written(batch: Batch) -> str:
    requests = [[one.request, one.calls, one.decisions, one.savings] for one in batch.requests]
    return json.dumps([requests, batch.feedback, batch.losses, batch.alerts], ensure_ascii=False)


def _read(body: str) -> Batch:
    requests, feedback, losses, alerts = json.loads(body)
    rows = [RequestRows(tuple(request), *(tuple(map(tuple, part)) for part in parts)) for request, *parts in requests]
    made: list[list[tuple[Any, ...]]] = [[tuple(row) for row in table] for table in (feedback, losses, alerts)]
    return Batch(rows, *made)
