"""The ledger in PostgreSQL: several proxies on several machines, one ledger."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from frugal_plugins.errors import LedgerError
from frugal_plugins.ledger.adding import sums_of
from frugal_plugins.ledger.held import HeldRows
from frugal_plugins.ledger.rollups import COLUMNS_OF_SUMS, HOUR_IN_POSTGRES, add_to, make_days
from frugal_plugins.ledger.rows import COLUMNS, KEYS, Batch, Row
from frugal_plugins.ledger.tables import FROM_2, VERSION, column_kinds, for_postgres, for_sqlite
from frugal_plugins.postgres import Link, Server, SharedServer, in_short, psycopg_or_say, shown

_log = logging.getLogger("frugal_plugins.ledger")

_HOUSE: Final = "frugal_ledger"
_AT_ONCE: Final = 4
_MAKING: Final = 7_238_462
_BEFORE_DAYS: Final = 2
"""The only earlier version that was kept in PostgreSQL."""
_NAMED: Final = re.compile(r":([a-z]\w*)")
_CONNECTIONS: Final[dict[str, Any]] = {"settings": {"search_path": _HOUSE}, "limit_seconds": 30.0, "name": "frugal-ledger"}


class PostgresBook:
    """Writes batches into the schema `frugal_ledger` of a database; the tables are made on first use.

    While the server is gone, batches go into a local file and are sent when it is back; the next try comes after five seconds.
    A row is in one of the two when `write` returns, so a killed program loses none that was acknowledged. When the file is
    full or cannot be written, `write` raises LedgerError.
    """

    def __init__(self, dsn: str, held: HeldRows) -> None:
        psycopg_or_say()
        self.place = shown(dsn)
        self.held = held
        self._server = SharedServer(
            dsn, _make, _MAKING, f"traffic goes on; ledger rows are held in {held.path} until it is back",
            lacking=lambda db: _lacking(db, self.place), all_errors=True, **_CONNECTIONS,
        )  # fmt: skip

    def write(self, batch: Batch) -> None:
        """One transaction here, or one in the local file."""
        if not self._sent(batch):
            self.held.put(batch)

    def idle(self) -> None:
        """Send what is held, when the server is back."""
        if not self._server.resting and self.held.waiting():
            self._sent(Batch())

    def close(self) -> None:
        """Let go of the server."""
        self._server.close()
        self.held.close()

    def forget(self) -> None:
        """After a fork: the file is the parent's. Connections know by themselves whose they are."""
        self.held.forget()

    def _sent(self, batch: Batch) -> bool:
        def send(db: Any) -> int:
            sent = self.held.send(lambda held: write_batch(db, held), _AT_ONCE) if self.held.waiting() else 0
            if len(batch):
                write_batch(db, batch)
            return sent

        sent = self._server.use(send, None)
        if sent:
            _log.warning("%d held ledger rows were sent to %s.", sent, self.place)
        return sent is not None


class PostgresDb:
    """A connection for reading, in the words the readers use. Any thread may ask; one at a time is answered."""

    hour = HOUR_IN_POSTGRES

    def __init__(self, dsn: str) -> None:
        self.place = shown(dsn)
        self._lock = threading.Lock()
        self._link = Link(Server(dsn, _make, _MAKING, lacking=lambda db: _lacking(db, self.place), **_CONNECTIONS))
        psycopg = psycopg_or_say()
        try:
            self._link.get()
        except psycopg.Error as error:
            raise LedgerError(
                f"the ledger {self.place} cannot be opened ({in_short(error)}); check that the server is up and the role may use it"
            ) from error

    def rows(self, sql: str, **values: Any) -> list[Row]:
        """The rows of a query with `:named` values."""
        psycopg = psycopg_or_say()
        try:
            with self._lock:
                found: list[Row] = self._link.get().execute(in_psycopgs_words(sql), values).fetchall()
                return found
        except psycopg.Error as error:
            raise LedgerError(f"the ledger {self.place} cannot be read ({in_short(error)}); check the server and try again") from error

    def each(self, sql: str, **values: Any) -> Iterable[Row]:
        """The rows of a long query, one by one, without holding them all."""
        with self._lock:
            db = self._link.get()
            with db.transaction(), db.cursor(name="each") as cursor:
                cursor.itersize = 10_000
                cursor.execute(in_psycopgs_words(sql), values)
                yield from cursor

    def change(self, statements: Iterable[str], **values: Any) -> int:
        """Run statements in one transaction; says how many rows the last one changed."""
        changed = 0
        with self._lock:
            db = self._link.get()
            with db.transaction():
                db.execute("SET LOCAL statement_timeout = 0")
                for statement in statements:
                    changed = db.execute(in_psycopgs_words(statement), values).rowcount
        return changed

    def scratch(self, statement: str, **values: Any) -> None:
        """Run a statement about tables of this connection only, however long it takes."""
        self.change([statement], **values)

    def compact(self) -> None:
        """Make the space of rows that are gone free for others; the server gives it back by itself."""
        with self._lock:
            db = self._link.get()
            db.execute("SET statement_timeout = 0")
            db.execute("VACUUM (ANALYZE)")

    def close(self) -> None:
        """Let go of the server."""
        self._link.let_go()


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


def _lacking(db: Any, place: str) -> bool:
    """Whether tables are missing or older. Raises LedgerError for a newer ledger."""
    found = db.execute("SELECT to_regclass('frugal_ledger.version')").fetchone()[0]
    version = 0 if found is None else db.execute("SELECT max(version) FROM version").fetchone()[0] or 0
    if version > VERSION:
        raise LedgerError(f"{place} was written by a newer frugal_plugins (ledger version {version}). Upgrade, or name another ledger.")
    return bool(version < VERSION)


def _make(db: Any) -> None:
    """The schema, the tables and their indexes."""
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


_INSERTS: Final = {table: _insert_words(table) for table in COLUMNS} | {
    table: add_to(table, f"SELECT * FROM unnest({_arrays(table, columns)})") for table, columns in COLUMNS_OF_SUMS.items()
}
