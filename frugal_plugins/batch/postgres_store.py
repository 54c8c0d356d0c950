"""The job store in PostgreSQL, for several workers: each job is leased to one of them at a time.

The face is `JobStore`'s. A worker renews its lease while it works; one that dies loses it after `lease_seconds`, and another takes
the job up where the store says it stands. A worker that was only asleep finds its lease gone at its next write, and writes nothing.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

from frugal_plugins.batch.store import JobStore, JobTaken
from frugal_plugins.batch.tables import APPLICATION, POSTGRES, VERSION
from frugal_plugins.errors import FrugalError, MissingExtra

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_PASSWORD: Final = re.compile(r"(?<=//)[^@/]*@|(?<=password=)\S+")
_FREE: Final = (
    "SELECT id FROM jobs WHERE state IN ('open', 'cancelling') AND recipe = ? AND NOT EXISTS "
    "(SELECT 1 FROM leases WHERE leases.job = jobs.id AND leases.until > now()) ORDER BY created, id LIMIT 1 FOR UPDATE SKIP LOCKED"
)
_TAKE: Final = (
    "INSERT INTO leases (job, worker, until) VALUES (?, ?, now() + make_interval(secs => ?)) ON CONFLICT (job) DO UPDATE "
    "SET worker = EXCLUDED.worker, until = EXCLUDED.until WHERE leases.until < now() OR leases.worker = EXCLUDED.worker RETURNING worker"
)
_KEEP: Final = "UPDATE leases SET until = now() + make_interval(secs => ?) WHERE job = ? AND worker = ?"
_MINE: Final = "SELECT 1 FROM leases WHERE job = ? AND worker = ? AND until > now() FOR SHARE"


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
        if find_spec("psycopg") is None:
            raise MissingExtra("psycopg", "postgres")
        if not _NAME.fullmatch(schema):
            raise FrugalError(f"{schema!r} cannot be a schema's name; use small letters, digits and _, at most 41")
        self.path = _PASSWORD.sub("", dsn)
        self._dsn, self._schema = dsn, schema
        self._lease_seconds = lease_seconds
        self._worker = secrets.token_hex(8)
        self._leased: str | None = None
        self.db = self._connect()
        self._made()

    def _connect(self) -> _Db:
        import psycopg

        try:
            connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=20)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
            connection.execute(f"SET search_path TO {self._schema}")
        except psycopg.Error as error:
            raise FrugalError(f"the job store {self.path} is not reached ({_short(error)}); check the address and the server") from error
        return _Db(connection, self.path)

    def _made(self) -> None:
        with self.writing() as db:
            db.execute(f"SELECT pg_advisory_xact_lock({APPLICATION})")
            for statement in POSTGRES.split(";"):
                if statement.strip():
                    db.execute(statement)
            version = db.execute("SELECT max(version) FROM store_version").fetchone()[0]
            if version is None:
                db.execute("INSERT INTO store_version (version) VALUES (?)", (VERSION,))
            elif version > VERSION:
                raise FrugalError(f"{self.path} was made by a newer frugal_plugins (store version {version}). Upgrade, or name another.")

    def close(self) -> None:
        """Close the connection."""
        self.db.connection.close()

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """One transaction: all of it is committed when the block ends, or none of it.

        Raises FrugalError when the job at hand belongs to another worker by now, or the server is gone.
        """
        import psycopg

        try:
            with self.db.connection.transaction():
                if self._leased is not None and self.db.execute(_MINE, (self._leased, self._worker)).fetchone() is None:
                    raise FrugalError(f"another worker has taken over job '{self._leased}'; this one stops and has written nothing")
                yield self.db
        except psycopg.Error as error:
            raise FrugalError(f"the job store {self.path} cannot be written ({_short(error)}); run the job again") from error

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
        beat: _Db | None = None
        while not over.wait(self._lease_seconds / 3):
            try:
                beat = beat or self._connect()
                beat.execute(_KEEP, (self._lease_seconds, job, self._worker))
            except FrugalError:
                beat = None
        if beat is not None:
            beat.connection.close()

    def open_job(self, recipe: str) -> str | None:
        """A job of a recipe that is not over and that nobody works on, the oldest first; it is leased to this worker from here on."""
        with self.writing() as db:
            found = db.execute(_FREE, (recipe,)).fetchone()
            if found is None:
                return None
            db.execute(_TAKE, (found[0], self._worker, self._lease_seconds))
            return str(found[0])


class _Db:
    """A connection that is asked in the words of the SQLite store."""

    def __init__(self, connection: Any, path: str) -> None:
        self.connection = connection
        self._path = path

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        import psycopg

        try:
            return self.connection.execute(_translated(sql), _plain(values))
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise FrugalError(f"the job store {self._path} is gone ({_short(error)}); run the job again when it is back") from error

    def executemany(self, sql: str, values: Iterable[Sequence[Any]]) -> Any:
        cursor = self.connection.cursor()
        cursor.executemany(_translated(sql), map(_plain, values))
        return cursor


@lru_cache(maxsize=512)
def _translated(sql: str) -> str:
    return re.sub(r"\brow\b", '"row"', sql).replace('""row""', '"row"').replace("?", "%s")


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    """PostgreSQL keeps no NUL in a text; it can only come from a provider's words."""
    return [value.replace("\0", "") if isinstance(value, str) and "\0" in value else value for value in values]


def _short(error: Exception) -> str:
    return _PASSWORD.sub("", str(error).splitlines()[0][:200]) if str(error) else type(error).__name__


def open_store(path: Any, *, lease_seconds: float = 60.0) -> JobStore:
    """The store a path or URL names; a store that is open already stays as it is."""
    if isinstance(path, JobStore):
        return path
    if is_postgres(path):
        return PostgresJobStore(str(path), lease_seconds=lease_seconds)
    return JobStore(path)


def is_postgres(path: Any) -> bool:
    """Whether this names a PostgreSQL server and no file."""
    return str(path).startswith(("postgresql://", "postgres://"))
