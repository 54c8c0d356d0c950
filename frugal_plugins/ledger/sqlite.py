"""The ledger in a SQLite file (WAL, mode 0600)."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import LedgerError
from frugal_plugins.ledger.adding import sums_of
from frugal_plugins.ledger.rollups import COLUMNS_OF_SUMS, HOUR_IN_SQLITE, add_to, make_days, rebuild
from frugal_plugins.ledger.rows import COLUMNS, KEYS, Batch, Row
from frugal_plugins.ledger.tables import FROM_1, FROM_2, INDEXES, SCHEMA, VERSION, for_sqlite, views_for_sqlite

_log = logging.getLogger("frugal_plugins.ledger")

_WAIT_SECONDS: Final = 2.0
_MIGRATION_WAIT_SECONDS: Final = 60.0


class SqliteBook:
    """Writes batches into one file; its connection stays open between them, since closing it would checkpoint the file each time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = str(path)
        self._connection: sqlite3.Connection | None = None

    def write(self, batch: Batch) -> None:
        """One transaction: rows that are there already change nothing, new ones are added to the hourly sums."""
        if self._connection is None:
            self._connection = open_ledger(self.path)
        db = self._connection
        with db:
            db.execute("BEGIN IMMEDIATE")
            fresh = [rows for rows in batch.requests if db.execute(_INSERTS["requests"], rows.request).rowcount == 1]
            for table in ("calls", "decisions", "savings"):
                db.executemany(_INSERTS[table], [row for rows in fresh for row in getattr(rows, table)])
            for table in ("feedback", "losses", "alerts"):
                db.executemany(_INSERTS[table], getattr(batch, table))
            for table, rows in sums_of(fresh).by_table().items():
                db.executemany(_ADDS[table], rows)

    def idle(self) -> None:
        """Nothing is ever held back here."""

    def close(self) -> None:
        """Let go of the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def forget(self) -> None:
        """After a fork: the connection is the parent's; closing it here would disturb the parent."""
        self._connection = None


class SqliteDb:
    """A connection for reading, in the words the readers use. Any thread may ask; one at a time is answered."""

    hour = HOUR_IN_SQLITE

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._lock = threading.Lock()
        self._connection = open_ledger(path, any_thread=True, there=True)

    def rows(self, sql: str, **values: Any) -> list[Row]:
        """The rows of a query with `:named` values."""
        try:
            with self._lock:
                return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise LedgerError(f"{self.place} cannot be read: {error}. Close what holds it and try again.") from error

    def each(self, sql: str, **values: Any) -> Iterable[Row]:
        """The rows of a long query, one by one."""
        with self._lock:
            # not `yield from`: a reader who goes in the middle would have the cursor closed after its file, which SQLite refuses
            for row in self._connection.execute(sql, values):  # noqa: UP028
                yield row

    def change(self, statements: Iterable[str], **values: Any) -> int:
        """Run statements in one transaction; says how many rows the last one changed."""
        changed = 0
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                changed = self._connection.execute(statement, values).rowcount
        return changed

    def scratch(self, statement: str, **values: Any) -> None:
        """Run a statement about tables of this connection only: it takes no lock writers would wait for."""
        with self._lock:
            self._connection.execute(statement, values)

    def compact(self) -> None:
        """Give the file's free space back to the disk."""
        with self._lock:
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def open_ledger(path: Path, *, any_thread: bool = False, there: bool = False) -> sqlite3.Connection:
    """Open or create a ledger file; an older one is brought up to date.

    Raises LedgerError when it is something else or newer than this program; with `there`, also when it is no ledger yet: looking
    into a file makes none of it.
    """
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    fixed = there and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
    place = _to_read_only(path) if fixed else str(path)
    connection = sqlite3.connect(place, timeout=_WAIT_SECONDS, check_same_thread=not any_thread, isolation_level=None, uri=fixed)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise LedgerError(f"{path} was written by a newer frugal_plugins (ledger version {version}). Upgrade, or name another file.")
        if there and not version:
            raise LedgerError(f"{path} is not a ledger: {_what_it_is(connection)}. Name another file with --ledger.")
        if version < VERSION and fixed:
            raise LedgerError(f"{path} is of an older version and cannot be written; copy it to a folder of your own and name it there")
        if version < VERSION:
            connection.execute("PRAGMA journal_mode=WAL")
            _bring_up_to_date(connection, path)
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError) and fixed:
            raise LedgerError(f"{path} cannot be read where it is ({error}); copy it with its -wal file to a folder of your own") from error
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise LedgerError(f"{path} is not a ledger: {error}. Name another file with ledger.path or FRUGAL_LEDGER.") from error
    except LedgerError:
        connection.close()
        raise
    return connection


def _to_read_only(path: Path) -> str:
    """The address of a file that cannot be written, as an auditor's copy: nothing is made beside it, unless rows still wait there."""
    waiting = Path(f"{path}-wal")
    still = waiting.exists() and waiting.stat().st_size > 0
    return f"{path.resolve().as_uri()}?mode=ro{'' if still else '&immutable=1'}"


def _what_it_is(db: sqlite3.Connection) -> str:
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return "it is a database of another program" if tables else "it is empty"


def _bring_up_to_date(db: sqlite3.Connection, path: Path) -> None:
    """Make or change the tables in one transaction, once, however many programs open the file at this moment."""
    db.execute(f"PRAGMA busy_timeout={int(_MIGRATION_WAIT_SECONDS * 1000)}")
    with db:
        db.execute("BEGIN IMMEDIATE")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version >= VERSION:
            return
        if version:
            _log.info("%s is of ledger version %d and is brought to version %d; what sums it lacks are made once.", path, version, VERSION)
        lacking = [*for_sqlite(FROM_1 if version == 1 else ""), *for_sqlite(FROM_2 if version else "")]
        sums = rebuild(HOUR_IN_SQLITE) if version == 1 else make_days() if version else []
        for statement in (*lacking, *for_sqlite(SCHEMA), *for_sqlite(INDEXES), *views_for_sqlite(), *sums):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={VERSION}")
    db.execute(f"PRAGMA busy_timeout={int(_WAIT_SECONDS * 1000)}")


def _insert(table: str) -> str:
    columns = COLUMNS[table]
    marks = ", ".join("?" * len(columns.split(", ")))
    if table == "feedback":
        return (
            f"INSERT INTO feedback ({columns}) VALUES ({marks}) ON CONFLICT ({KEYS[table]}) DO UPDATE SET "
            "good = excluded.good, at_seconds = excluded.at_seconds"
        )
    return f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"


_INSERTS: Final = {table: _insert(table) for table in COLUMNS}
_ADDS: Final = {table: add_to(table, f"VALUES ({', '.join('?' * len(columns.split(', ')))})") for table, columns in COLUMNS_OF_SUMS.items()}
