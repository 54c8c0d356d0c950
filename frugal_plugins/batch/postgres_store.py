"""The job store in PostgreSQL, for several workers: each job is leased to one of them at a time.

The face is `JobStore`'s. A worker renews its lease while it works; one that dies loses it after `lease_seconds`, and another takes
the job up where the store says it stands. A worker that was only asleep finds its lease gone at its next write, and writes nothing.
A server that is gone for a minute, as it is for a restart, is waited for.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Final

from frugal_plugins.batch.store import JobStore, JobTaken
from frugal_plugins.batch.tables import APPLICATION, POSTGRES, VERSION
from frugal_plugins.errors import FrugalError
from frugal_plugins.postgres import Link, Server, checked_table, in_short, is_postgres, psycopg_or_say, shown

_CONNECT_SECONDS: Final = 20
_PATIENCE_SECONDS: Final = 60.0
_FREE: Final = (
    "SELECT id FROM jobs WHERE state IN ('open', 'cancelling') AND recipe = ? AND NOT EXISTS "
    "(SELECT 1 FROM leases WHERE leases.job = jobs.id AND leases.until > now()) ORDER BY created, id LIMIT 1 FOR UPDATE SKIP LOCKED"
)
_TAKE: Final = (
    "INSERT INTO leases (job, worker, until) VALUES (?, ?, now() + make_interval(secs => ?)) ON CONFLICT (job) DO UPDATE "
    "SET worker = EXCLUDED.worker, until = EXCLUDED.until WHERE leases.until < now() OR leases.worker = EXCLUDED.worker RETURNING worker"
)
_KEEP: Final = "UPDATE leases SET until = now() + make_interval(secs => ?) WHERE job = ? AND worker = ?"
_MINE: Final = "SELECT 1 FROM leases WHERE job = ? AND worker = ? FOR SHARE"


class PostgresJobStore(JobStore):
    """The tables of all jobs in a schema of their own, made on first use.

    Args:
        dsn: a libpq connection string or URL.
        lease_seconds: how long a job stays with a worker that is not heard of.

    Raises:
        MissingExtra: psycopg is not installed.
        FrugalError: the server is not reached, or the tables were made by a newer version.
    """

    def __init__(self, dsn: str, *, schema: str = "frugal_batch", lease_seconds: float = 60.0) -> None:
        psycopg_or_say()
        name, self.path = checked_table(schema), shown(dsn)
        self._server = Server(
            dsn, lambda db: _make(_Words(db), name, self.path), APPLICATION, settings={"search_path": name},
            limit_seconds=0, connect_seconds=_CONNECT_SECONDS, patience_seconds=_PATIENCE_SECONDS, name="frugal-batch",
        )  # fmt: skip
        self._lease_seconds = lease_seconds
        self._worker = secrets.token_hex(8)
        self._leased: str | None = None
        self.db: _Db = _Db(self._server)
        self.db.connected()

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """One transaction: all of it is committed when the block ends, or none of it.

        Raises FrugalError when the job at hand belongs to another worker by now, or the server is gone.
        """
        psycopg = psycopg_or_say()
        try:
            with self.db.transaction():
                if self._leased is not None and self.db.execute(_MINE, (self._leased, self._worker)).fetchone() is None:
                    raise FrugalError(f"another worker has taken over job '{self._leased}'; this one stops and has written nothing")
                yield self.db
        except psycopg.Error as error:
            raise FrugalError(f"the job store {self.path} cannot be written ({in_short(error)}); run the job again") from error

    @contextmanager
    def alone(self, job: str) -> Iterator[None]:
        """One worker at a time works on a job; its lease is renewed until the block ends. Raises JobTaken."""
        if self.db.execute(_TAKE, (job, self._worker, self._lease_seconds)).fetchone() is None:
            until = self.one("SELECT until FROM leases WHERE job = ?", job)
            when = f" until {until['until']:%H:%M:%S %Z}, or as long as it lives" if until else ""
            raise JobTaken(f"another worker is working on job '{job}'{when}; wait for it, or work on another job")
        over, self._leased = threading.Event(), job
        keeper = threading.Thread(target=self._keep, args=(job, over), name="frugal-lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()
            self._leased = None
            self.db.execute("DELETE FROM leases WHERE job = ? AND worker = ?", (job, self._worker))

    def _keep(self, job: str, over: threading.Event) -> None:
        """Renew the lease from a connection of its own. A server that is gone is no reason to stop: the next write will tell."""
        beat = _Db(self._server)
        while not over.wait(self._lease_seconds / 3):
            with suppress(FrugalError):
                beat.execute(_KEEP, (self._lease_seconds, job, self._worker))
        beat.close()

    def open_job(self, recipe: str) -> str | None:
        """A job of a recipe that is not over and that nobody works on, the oldest first; it is leased to this worker from here on."""
        while True:
            with self.writing() as db:
                found = db.execute(_FREE, (recipe,)).fetchone()
                if found is None:
                    return None
                taken = db.execute(_TAKE, (found[0], self._worker, self._lease_seconds)).fetchone()
            if taken is not None:  # else another worker leased it between the look and the lock
                return str(found[0])


class _Words:
    """A connection that is asked in the words of the SQLite store."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        return self.connection.execute(_translated(sql), _plain(values))

    def executemany(self, sql: str, values: Iterable[Sequence[Any]]) -> Any:
        cursor = self.connection.cursor()
        cursor.executemany(_translated(sql), map(_plain, values))
        return cursor


class _Db:
    """The same, of a connection that is opened anew when it was lost. Raises FrugalError while the server is gone.

    Outside of a transaction a statement that met a lost connection is asked once more: each of them may be, having no effect twice.
    """

    def __init__(self, server: Server) -> None:
        self._place = server.place
        self._link = Link(server)
        self._held: _Words | None = None

    def connected(self) -> _Words:
        psycopg = psycopg_or_say()
        try:
            return _Words(self._link.get())
        except psycopg.Error as error:
            words = f"the job store {self._place} is not reached ({in_short(error)}); check the address and the server"
            raise FrugalError(words) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements until the end of the block, on one connection."""
        words = self.connected()
        with words.connection.transaction():
            self._held = words
            try:
                yield
            finally:
                self._held = None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        psycopg = psycopg_or_say()
        lost = (psycopg.OperationalError, psycopg.InterfaceError)
        try:
            if self._held is not None:
                return self._held.execute(sql, values)
            try:
                return self.connected().execute(sql, values)
            except lost:
                self._link.let_go()
                return self.connected().execute(sql, values)
        except lost as error:
            raise FrugalError(f"the job store {self._place} is gone ({in_short(error)}); run the job again when it is back") from error

    def executemany(self, sql: str, values: Iterable[Sequence[Any]]) -> Any:
        return (self._held or self.connected()).executemany(sql, values)

    def close(self) -> None:
        self._link.let_go()


def _make(db: _Words, schema: str, place: str) -> None:
    """The schema and its tables. Raises FrugalError for those of a newer version."""
    db.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for statement in POSTGRES.split(";"):
        if statement.strip():
            db.execute(statement)
    version = db.execute("SELECT max(version) FROM store_version").fetchone()[0]
    if version is None:
        db.execute("INSERT INTO store_version (version) VALUES (?)", (VERSION,))
    elif version > VERSION:
        raise FrugalError(f"{place} was made by a newer frugal_plugins (store version {version}). Upgrade, or name another.")


@lru_cache(maxsize=512)
def _translated(sql: str) -> str:
    return re.sub(r"\brow\b", '"row"', sql).replace('""row""', '"row"').replace("?", "%s")


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    """PostgreSQL keeps no NUL in a text; it can only come from a provider's words."""
    return [value.replace("\0", "") if isinstance(value, str) and "\0" in value else value for value in values]


def open_store(path: Any, *, lease_seconds: float = 60.0) -> JobStore:
    """The store a path or URL names; a store that is open already stays as it is."""
    if isinstance(path, JobStore):
        return path
    if is_postgres(path):
        return PostgresJobStore(str(path), lease_seconds=lease_seconds)
    return JobStore(path)
