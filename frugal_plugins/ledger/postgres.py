"""The ledger in PostgreSQL: several proxies on several machines, one ledger."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from frugal_plugins.errors import LedgerError, MissingExtra
from frugal_plugins.ledger.adding import sums_of
from frugal_plugins.ledger.held import HeldRows
from frugal_plugins.ledger.rollups import COLUMNS_OF_SUMS, HOUR_IN_POSTGRES, add_to, make_days
from frugal_plugins.ledger.rows import COLUMNS, KEYS, Batch, Row
from frugal_plugins.ledger.tables import FROM_2, VERSION, column_kinds, for_postgres, for_sqlite

_log = logging.getLogger("frugal_plugins.ledger")

_HOUSE: Final = "frugal_ledger"
_WAIT_SECONDS: Final = 5.0
_AT_ONCE: Final = 4
_MAKING: Final = 7_238_462
_BEFORE_DAYS: Final = 2
"""The only earlier version that was kept in PostgreSQL."""
_NAMED: Final = re.compile(r":([a-z]\w*)")


class PostgresBook:
    """Writes batches into the schema `frugal_ledger` of a database; the tables are made on first use.

    While the server is gone, batches go into a local file and are sent when it is back; the next try comes after five seconds.
    A row is in one of the two when `write` returns, so a killed program loses none that was acknowledged. When the file is
    full or cannot be written, `write` raises LedgerError.
    """

    def __init__(self, dsn: str, held: HeldRows) -> None:
        psycopg_or_say()
        self.dsn = dsn
        self.place = shown(dsn)
        self.held = held
        self._connection: Any = None
        self._closed_until = 0.0
        self._said = False
        self._why = "it was gone a moment ago"

    def write(self, batch: Batch) -> None:
        """One transaction here, or one in the local file."""
        if not self._sent(batch):
            self.held.put(batch)
            self._say()

    def idle(self) -> None:
        """Send what is held, when the server is back."""
        if self.held.waiting() and time.monotonic() >= self._closed_until:
            self._sent(Batch())

    def close(self) -> None:
        """Let go of the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self.held.close()

    def forget(self) -> None:
        """After a fork: the connections are the parent's."""
        self._connection = None
        self.held.forget()

    def _sent(self, batch: Batch) -> bool:
        if time.monotonic() < self._closed_until:
            return False
        psycopg = psycopg_or_say()
        try:
            self._connection = self._connection or connect(self.dsn)
            sent = self.held.send(lambda held: write_batch(self._connection, held), _AT_ONCE) if self.held.waiting() else 0
            if len(batch):
                write_batch(self._connection, batch)
        except psycopg.Error as error:
            self._closed_until = time.monotonic() + _WAIT_SECONDS
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            self._why = f"{type(error).__name__}: {_first_line(error)}"
            return False
        if sent:
            _log.warning("%s is back; %d held ledger rows were sent.", self.place, sent)
        self._said = False
        return True

    def _say(self) -> None:
        if not self._said:
            self._said = True
            _log.warning(
                "%s cannot be written (%s). Traffic goes on; ledger rows are held in %s until it is back.",
                self.place, self._why, self.held.path,
            )  # fmt: skip


class PostgresDb:
    """A connection for reading, in the words the readers use. Any thread may ask; one at a time is answered."""

    hour = HOUR_IN_POSTGRES

    def __init__(self, dsn: str) -> None:
        self.place = shown(dsn)
        self._lock = threading.Lock()
        psycopg = psycopg_or_say()
        try:
            self._connection = connect(dsn)
        except psycopg.Error as error:
            raise LedgerError(
                f"the ledger {self.place} cannot be opened ({_first_line(error)}); check that the server is up and the role may use it"
            ) from error

    def rows(self, sql: str, **values: Any) -> list[Row]:
        """The rows of a query with `:named` values."""
        psycopg = psycopg_or_say()
        try:
            with self._lock:
                found: list[Row] = self._connection.execute(in_psycopgs_words(sql), values).fetchall()
                return found
        except psycopg.Error as error:
            raise LedgerError(f"the ledger {self.place} cannot be read ({_first_line(error)}); check the server and try again") from error

    def each(self, sql: str, **values: Any) -> Iterable[Row]:
        """The rows of a long query, one by one, without holding them all."""
        with self._lock, self._connection.transaction(), self._connection.cursor(name="each") as cursor:
            cursor.itersize = 10_000
            cursor.execute(in_psycopgs_words(sql), values)
            yield from cursor

    def change(self, statements: Iterable[str], **values: Any) -> int:
        """Run statements in one transaction; says how many rows the last one changed."""
        changed = 0
        with self._lock, self._connection.transaction():
            self._connection.execute("SET LOCAL statement_timeout = 0")
            for statement in statements:
                changed = self._connection.execute(in_psycopgs_words(statement), values).rowcount
        return changed

    def scratch(self, statement: str, **values: Any) -> None:
        """Run a statement about tables of this connection only, however long it takes."""
        self.change([statement], **values)

    def compact(self) -> None:
        """Make the space of rows that are gone free for others; the server gives it back by itself."""
        with self._lock:
            self._connection.execute("SET statement_timeout = 0")
            self._connection.execute("VACUUM (ANALYZE)")

    def close(self) -> None:
        """Let go of the server."""
        self._connection.close()


def shown(dsn: str) -> str:
    """A server's address without the password."""
    parts = urlsplit(dsn)
    user = f"{parts.username}@" if parts.username else ""
    _, _, digits = parts.netloc.rpartition("@")[2].rpartition(":")
    port = f":{digits}" if digits.isdigit() and not parts.netloc.endswith("]") else ""
    return f"{parts.scheme}://{user}{parts.hostname or ''}{port}{parts.path}"


def connect(dsn: str) -> Any:
    """A connection with time limits on everything; makes the tables where they are missing.

    Raises psycopg's errors, and LedgerError for a newer ledger.
    """
    limits = f"-c statement_timeout=30000 -c search_path={_HOUSE}"
    db = psycopg_or_say().connect(dsn, autocommit=True, connect_timeout=3, options=limits, application_name="frugal-ledger")
    with ExitStack() as undo:
        undo.callback(db.close)
        found = db.execute("SELECT to_regclass('frugal_ledger.version')").fetchone()[0]
        version = 0 if found is None else db.execute("SELECT max(version) FROM version").fetchone()[0] or 0
        if version > VERSION:
            raise LedgerError(
                f"{shown(dsn)} was written by a newer frugal_plugins (ledger version {version}). Upgrade, or name another ledger."
            )
        if version < VERSION:
            _make(db)
        undo.pop_all()
    return db


def write_batch(db: Any, batch: Batch) -> None:
    """One transaction: rows that are there already change nothing, new ones are added to the sums, last and in order.

    The sums are the only rows several programs write; they are locked for as long as a few hundred take, and the commit.
    """
    with db.transaction():
        fresh = _insert(db, "requests", [rows.request for rows in batch.requests]) if batch.requests else set()
        new = list({rows.request[0]: rows for rows in reversed(batch.requests) if rows.request[0] in fresh}.values())
        for table in ("calls", "decisions", "savings"):
            _insert(db, table, [row for rows in new for row in getattr(rows, table)])
        for table in ("feedback", "losses", "alerts"):
            _insert(db, table, getattr(batch, table))
        for table, rows in sums_of(new).by_table().items():
            _insert(db, table, rows)


def _insert(db: Any, table: str, rows: list[Row]) -> set[str]:
    """Many rows in one statement, a column at a time. Gives the keys of those that are new."""
    if not rows:
        return set()
    if table == "requests":
        rows = list({row[0]: row for row in reversed(rows)}.values())  # the first of a name counts, as it does one by one
    elif table == "feedback":
        rows = list({row[:2]: row for row in rows}.values())
    found = db.execute(_INSERTS[table], [_array(column) for column in zip(*rows, strict=True)])
    return {name for (name,) in found.fetchall()} if table == "requests" else set()


def _array(column: Iterable[Any]) -> str:
    """A column as PostgreSQL writes an array. The driver's own way takes four times as long.

    >>> print(_array(['a "b"', None, 7, 0.5]))
    {"a \\"b\\"",NULL,7,0.5}
    """
    return (
        "{" + ",".join([_quoted(value) if isinstance(value, str) else "NULL" if value is None else repr(value) for value in column]) + "}"
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _insert_words(table: str) -> str:
    columns = COLUMNS[table]
    query = f"SELECT * FROM unnest({_arrays(table, columns)})"
    if table == "feedback":
        again = "DO UPDATE SET good = excluded.good, at_seconds = excluded.at_seconds"
        return f"INSERT INTO {table} ({columns}) {query} ON CONFLICT ({KEYS[table]}) {again}"
    return f"INSERT INTO {table} ({columns}) {query} ON CONFLICT DO NOTHING" + (" RETURNING id" if table == "requests" else "")


def _arrays(table: str, columns: str) -> str:
    kinds = column_kinds(table)
    return ", ".join(f"%s::{kinds[name]}[]" for name in columns.split(", "))


def _make(db: Any) -> None:
    """The schema, the tables and their indexes, once, however many programs start at this moment."""
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
        db.execute("SET LOCAL statement_timeout = 0")
        if db.execute("SELECT to_regnamespace(%s)", (_HOUSE,)).fetchone()[0] is None:
            db.execute(f"CREATE SCHEMA {_HOUSE}")
        db.execute("CREATE TABLE IF NOT EXISTS version (version BIGINT NOT NULL)")
        version = db.execute("SELECT coalesce(max(version), 0) FROM version").fetchone()[0]
        lacking, sums = (for_sqlite(FROM_2), make_days()) if version == _BEFORE_DAYS else ([], [])
        for statement in (*lacking, *for_postgres(), *sums) if version < VERSION else ():
            db.execute(statement)
        db.execute("DELETE FROM version")
        db.execute("INSERT INTO version VALUES (%s)", (VERSION,))


@lru_cache(maxsize=256)
def in_psycopgs_words(sql: str) -> str:
    """`:named` values the way psycopg names them."""
    return _NAMED.sub(r"%(\1)s", sql.replace("%", "%%"))


def psycopg_or_say() -> Any:
    """The driver. Raises MissingExtra where it is not installed."""
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtra("psycopg", "postgres") from error
    return psycopg


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


_INSERTS: Final = {table: _insert_words(table) for table in COLUMNS} | {
    table: add_to(table, f"SELECT * FROM unnest({_arrays(table, columns)})") for table, columns in COLUMNS_OF_SUMS.items()
}
