"""The job store: a SQLite file that knows, at every moment, what may have been paid for.

Every intent is on disk before the call that costs money, every answer before anything is built on it. A job can therefore
be killed anywhere and run again. The file holds prompts while a job runs: its mode is 0600, and `forget` removes a job.
PostgreSQL (`postgres_store.py`) has the same face, for several workers.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

from frugal_plugins.batch.rows import Journaled, NewRow, StoredRow, pack_row, reply_from, unpack_row
from frugal_plugins.batch.settings import BatchSettings
from frugal_plugins.batch.tables import APPLICATION, FROM_1_TO_2, SQLITE, VERSION
from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.sqlite_file import open_sqlite
from frugal_plugins.usage import Usage

__all__ = ["JobStore", "JobTaken", "NewRow", "StoredRow"]

_IN_ONE: Final = 1000
_WAIT_SECONDS: Final = 30.0
_LOCK_NAME_CHARS: Final = 12
_JOURNAL: Final = "row, n, model, state, reply, raw, error, leader_row, leader_n, marked_tokens"


class JobTaken(FrugalError):
    """Another process or worker is working on the job."""


class JobStore:
    """The tables of all jobs in one file.

    Raises:
        FrugalError: the file is something else, was written by a newer version, or cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        try:
            # durable: an intent must survive a power cut, not only a killed process
            self.db: Any = open_sqlite(
                path, _with_tables, check=self._check, wait_seconds=_WAIT_SECONDS, durable="FULL", autocommit=True, any_thread=True
            )
        except OSError as error:
            raise FrugalError(f"{path} cannot be made ({error.strerror}); name another file for the jobs") from error
        except sqlite3.OperationalError as error:
            raise FrugalError(f"the job store {self.path} cannot be used: {error}. Free the disk or name another file.") from error
        except sqlite3.DatabaseError as error:
            raise FrugalError(f"{self.path} is not a job store: {error}. Name another file.") from error

    def _check(self, db: sqlite3.Connection) -> None:
        """Refuse a file of another program, or of a later version of this one."""
        version, owner = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id"))
        names = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        foreign = version != 0 or (bool(names) and "jobs" not in names)
        if owner not in (0, APPLICATION) or (owner == 0 and foreign):
            raise FrugalError(f"{self.path} is a database of another program. Name another file.")
        if version > VERSION:
            raise FrugalError(
                f"{self.path} was written by a newer frugal_plugins (store version {version}). Upgrade, or name another file."
            )

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """One transaction: all of it is on disk when the block ends, or none of it.

        Raises FrugalError, with nothing half-written, when the disk is full or the file is locked for too long.
        """
        try:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            finally:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            raise FrugalError(
                f"the job store {self.path} cannot be written ({error}); free the disk and run the job again, nothing is paid twice"
            ) from error

    @contextmanager
    def alone(self, job: str) -> Iterator[None]:
        """One process at a time works on a job; the lock falls with the process that holds it. Raises JobTaken."""
        name = hashlib.sha256(job.encode("utf-8", "surrogatepass")).hexdigest()[:_LOCK_NAME_CHARS]
        place = Path(f"{self.path}.{name}.lock")
        file = _lock(place)
        if file is None:
            raise JobTaken(f"another process is working on job '{job}' in {self.path}; wait for it, or stop it")
        with file:
            try:
                yield
            finally:
                with suppress(OSError):
                    place.unlink()

    def ask_to_stop(self, job: str) -> str:
        """Write down that a job is to be stopped; whoever works on it sees that at the next look. Returns the state it was in.

        A job that is over stays as it is. Raises InputError when there is none.
        """
        state = str(self.job(job)["state"])
        with self.writing() as db:
            db.execute("UPDATE jobs SET state = 'cancelling', why = NULL WHERE id = ? AND state IN ('open', 'held')", (job,))
        return state

    def open_job(self, recipe: str) -> str | None:
        """A job of a recipe that is not over and that nobody works on, the oldest first; None where there is none."""
        open_jobs = "SELECT id FROM jobs WHERE state IN ('open', 'cancelling') AND recipe = ? ORDER BY created, id"
        for row in self.all(open_jobs, recipe):
            with suppress(JobTaken), self.alone(row["id"]):
                return str(row["id"])
        return None

    def add_job(self, job: str, recipe: str, now: float, settings: BatchSettings, rows: Iterable[NewRow], source: str = "") -> int:
        """Write a job with all its rows, or nothing; `source` says where its recipe is read from.

        Raises InputError when two rows have one name or there is no row.
        """
        names: set[str] = set()
        count = 0

        def values() -> Iterator[tuple[Any, ...]]:
            nonlocal count
            for count, row in enumerate(rows, start=1):
                if row.name is not None:
                    if row.name in names:
                        raise InputError(f"custom_id '{row.name[:60]}' is used twice; give each row its own", line=count)
                    names.add(row.name)
                yield (job, count - 1, row.name, pack_row(row))

        with self.writing() as db:
            db.executemany("INSERT INTO rows (job, n, name, request, state) VALUES (?, ?, ?, ?, 'new')", values())
            if not count:
                raise InputError("there are no rows; give at least one request")
            db.execute(
                "INSERT INTO jobs (id, recipe, created, settings, state, rows, source) VALUES (?, ?, ?, ?, 'open', ?, ?)",
                (job, recipe, now, settings.as_json(), count, source),
            )
        return count

    def job(self, job: str) -> Mapping[str, Any]:
        """The job's row. Raises InputError when there is none."""
        found = self.one("SELECT * FROM jobs WHERE id = ?", job)
        if found is None:
            known = ", ".join(row["id"] for row in self.all("SELECT id FROM jobs ORDER BY created DESC LIMIT 5")) or "none"
            raise InputError(f"there is no job '{job}' in {self.path}; the latest are: {known}")
        return found

    def one(self, sql: str, *values: Any) -> Mapping[str, Any] | None:
        """The first row of a query, by column name."""
        return next(iter(self.all(sql, *values)), None)

    def all(self, sql: str, *values: Any) -> list[Mapping[str, Any]]:
        """All rows of a query, by column name."""
        cursor = self.db.execute(sql, values)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def count(self, sql: str, *values: Any) -> int:
        """The number a query gives; 0 where it gives none."""
        row = self.db.execute(sql, values).fetchone()
        return int(row[0] or 0) if row else 0

    def rows(self, job: str, state: str, limit: int, after: int = -1) -> list[StoredRow]:
        """Rows in one state, in order."""
        found = self.all(
            "SELECT n, name, request FROM rows WHERE job = ? AND state = ? AND n > ? ORDER BY n LIMIT ?", job, state, after, limit
        )
        return [unpack_row(job, row) for row in found]

    def calls_of(self, job: str, rows: Sequence[int], columns: str = _JOURNAL) -> dict[tuple[int, int], Mapping[str, Any]]:
        """The calls of some rows by row and number, in order."""
        found: dict[tuple[int, int], Mapping[str, Any]] = {}
        for start in range(0, len(rows), _IN_ONE):
            part = rows[start : start + _IN_ONE]
            marks = ",".join("?" * len(part))
            for call in self.all(f"SELECT {columns} FROM calls WHERE job = ? AND row IN ({marks}) ORDER BY row, n", job, *part):
                found[call["row"], call["n"]] = call
        return found

    def journals(self, job: str, rows: Sequence[int]) -> dict[int, list[Journaled]]:
        """For each of some rows, every call of it that is over, in order."""
        calls = self.calls_of(job, rows)
        leaders = sorted({call["leader_row"] for call in calls.values() if call["leader_row"] is not None} - set(rows))
        sources = calls | self.calls_of(job, leaders)
        lost = self._lost(job, rows)
        found: dict[int, list[Journaled]] = {row: [] for row in rows}
        broken: set[int] = set()
        for place, call in calls.items():
            shared = call["leader_row"]
            source = call if shared is None else sources[shared, call["leader_n"]]
            if place[0] in broken or source["state"] not in ("answered", "failed"):
                broken.add(place[0])
                continue
            reply = None if source["reply"] is None else reply_from(source["reply"], source["raw"])
            marked = call["marked_tokens"] if shared is None else 0
            found[place[0]].append(Journaled(source["model"], reply, source["error"], lost.get(place, ()), shared, place[1], marked))
        return found

    def _lost(self, job: str, rows: Sequence[int]) -> dict[tuple[int, int], tuple[Usage, ...]]:
        found: dict[tuple[int, int], tuple[Usage, ...]] = {}
        if not rows:
            return found
        wanted = set(rows)
        between = (job, min(rows), max(rows))
        for one in self.all("SELECT row, n, usage FROM lost WHERE job = ? AND row BETWEEN ? AND ? ORDER BY row, n, batch", *between):
            if one["row"] in wanted:
                place = (one["row"], one["n"])
                found[place] = (*found.get(place, ()), Usage(**json.loads(one["usage"])))
        return found

    def forget(self, job: str) -> None:
        """Remove a job and everything it holds."""
        self.job(job)
        with self.writing() as db:
            for table in ("rows", "calls", "lost", "batches"):
                db.execute(f"DELETE FROM {table} WHERE job = ?", (job,))
            db.execute("DELETE FROM jobs WHERE id = ?", (job,))


def _with_tables(db: sqlite3.Connection) -> None:
    """Make or change the tables in one transaction, once, however many processes open the file at this moment."""
    db.execute("BEGIN IMMEDIATE")
    with db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version < VERSION:
            for change in FROM_1_TO_2 if version else (*SQLITE.split(";"), f"PRAGMA application_id={APPLICATION}"):
                db.execute(change)
            db.execute(f"PRAGMA user_version={VERSION}")


def _lock(place: Path) -> IO[str] | None:
    """The file, locked; None where another process has it. Whoever had it takes the file away, so a new one may stand in its place."""
    try:
        import fcntl
    except ImportError:  # no such lock on Windows: one process there is the user's own care
        return place.open("w", encoding="utf-8")
    while True:
        file = place.open("w", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        if place.exists() and place.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()
