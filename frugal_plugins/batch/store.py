"""The job store: a SQLite file that knows, at every moment, what may have been paid for.

Every intent is on disk before the call that costs money, every answer before anything is built on it. A job can therefore
be killed anywhere and run again. The file holds prompts while a job runs: its mode is 0600, and `forget` removes a job.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from frugal_plugins.batch.settings import BatchSettings
from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.request import Reply, Request
from frugal_plugins.told import Told
from frugal_plugins.usage import Usage

VERSION: Final = 1
_APPLICATION: Final = 0x46527542  # "FRuB"

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, recipe TEXT NOT NULL, created REAL NOT NULL, settings TEXT NOT NULL, state TEXT NOT NULL, why TEXT,
  rows INTEGER NOT NULL, source TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (
  job TEXT NOT NULL, n INTEGER NOT NULL, name TEXT, request TEXT NOT NULL, state TEXT NOT NULL, result TEXT, error TEXT,
  PRIMARY KEY (job, n)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_state ON rows (job, state, n);
CREATE TABLE IF NOT EXISTS calls (
  job TEXT NOT NULL, row INTEGER NOT NULL, n INTEGER NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, lane TEXT NOT NULL,
  body TEXT, bytes INTEGER NOT NULL, tokens INTEGER NOT NULL, digest TEXT, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  batch INTEGER, leader_row INTEGER, leader_n INTEGER, worst_picousd INTEGER, picousd INTEGER, reply TEXT, raw TEXT, error TEXT,
  PRIMARY KEY (job, row, n)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_state ON calls (job, state);
CREATE INDEX IF NOT EXISTS calls_batch ON calls (batch) WHERE batch IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_digest ON calls (job, digest) WHERE digest IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_leader ON calls (job, leader_row, leader_n) WHERE leader_row IS NOT NULL;
CREATE TABLE IF NOT EXISTS lost (
  job TEXT NOT NULL, row INTEGER NOT NULL, n INTEGER NOT NULL, batch INTEGER NOT NULL, usage TEXT NOT NULL, picousd INTEGER,
  estimated INTEGER NOT NULL, PRIMARY KEY (job, row, n, batch)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
  id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, tag TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, model TEXT NOT NULL,
  state TEXT NOT NULL, rows INTEGER NOT NULL, tokens INTEGER NOT NULL, intent_at REAL NOT NULL, not_before REAL NOT NULL DEFAULT 0,
  file_id TEXT, provider_id TEXT, status TEXT, shown TEXT, submitted_at REAL, ended_at REAL, absent_since REAL,
  tries INTEGER NOT NULL DEFAULT 0, why TEXT
);
CREATE INDEX IF NOT EXISTS batches_job ON batches (job, state);
"""


@dataclass(frozen=True, slots=True)
class NewRow:
    """One request of a job; `name` is the caller's own id for it, given back with the answer."""

    request: Request
    name: str | None = None
    told: Told = field(default_factory=Told)


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as it is read back."""

    job: str
    n: int
    name: str | None
    request: Request
    told: Told


@dataclass(frozen=True, slots=True)
class Journaled:
    """What came of one call: an answer or an error, and what was paid before without one."""

    model: str
    reply: Reply | None
    error: str | None
    lost: tuple[Usage, ...] = ()
    shared_with: int | None = None


class JobStore:
    """The tables of all jobs in one file.

    Raises:
        FrugalError: the file is something else, or was written by a newer version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self.db = sqlite3.connect(self.path, timeout=30.0, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self.db.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise FrugalError(f"{self.path} is not a job store: {error}. Name another file.") from error
        except FrugalError:
            self.db.close()
            raise

    def _prepare(self) -> None:
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version and self.db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise FrugalError(f"{self.path} is a database of another program. Name another file.")
        if version > VERSION:
            raise FrugalError(
                f"{self.path} was written by a newer frugal_plugins (store version {version}). Upgrade, or name another file."
            )
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")  # an intent must survive a power cut, not only a killed process
        if version < VERSION:
            self.db.executescript(SCHEMA)
            self.db.execute(f"PRAGMA application_id={_APPLICATION}")
            self.db.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on disk when the block ends, or none of it."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
            self.db.execute("COMMIT")
        finally:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")

    def add_job(self, job: str, recipe: str, now: float, settings: BatchSettings, rows: Iterable[NewRow], source: str = "") -> int:
        """Write a job with all its rows, or nothing; `source` says where its recipe is read from.

        Raises InputError when two rows have one name or there is no row.
        """
        names: set[str] = set()
        count = 0
        with self.writing() as db:
            for count, row in enumerate(rows, start=1):
                if row.name is not None:
                    if row.name in names:
                        raise InputError(f"custom_id '{row.name[:60]}' is used twice; give each row its own", line=count)
                    names.add(row.name)
                db.execute("INSERT INTO rows VALUES (?, ?, ?, ?, 'new', NULL, NULL)", (job, count - 1, row.name, _packed(row)))
            if not count:
                raise InputError("there are no rows; give at least one request")
            db.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, 'open', NULL, ?, ?)", (job, recipe, now, settings.as_json(), count, source))
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
        return [_unpacked(job, row) for row in found]

    def journal(self, job: str, row: int) -> list[Journaled]:
        """Every call of a row that is over, in order."""
        calls = self.all("SELECT * FROM calls WHERE job = ? AND row = ? ORDER BY n", job, row)
        found: list[Journaled] = []
        for call in calls:
            shared = call["leader_row"]
            source = call
            if shared is not None:
                leader = self.one("SELECT * FROM calls WHERE job = ? AND row = ? AND n = ?", job, shared, call["leader_n"])
                assert leader is not None
                source = leader
            if source["state"] not in ("answered", "failed"):
                break
            reply = None if source["reply"] is None else reply_from(source["reply"], source["raw"])
            lost = self.all("SELECT usage FROM lost WHERE job = ? AND row = ? AND n = ? ORDER BY batch", job, row, call["n"])
            paid = tuple(Usage(**json.loads(one["usage"])) for one in lost)
            found.append(Journaled(source["model"], reply, source["error"], paid, shared))
        return found

    def forget(self, job: str) -> None:
        """Remove a job and everything it holds."""
        self.job(job)
        with self.writing() as db:
            for table in ("rows", "calls", "lost", "batches"):
                db.execute(f"DELETE FROM {table} WHERE job = ?", (job,))
            db.execute("DELETE FROM jobs WHERE id = ?", (job,))


def reply_text(reply: Reply) -> str:
    """A reply as JSON, without the provider's own object."""
    said = {name: getattr(reply, name) for name in ("message", "model", "finish", "others", "billed_as", "id", "lane")}
    return json.dumps({**said, "usage": asdict(reply.usage)}, ensure_ascii=False, separators=(",", ":"))


def reply_from(text: str, raw: str | None) -> Reply:
    """Read what `reply_text` wrote."""
    said = json.loads(text)
    said |= {"usage": Usage(**said["usage"]), "others": tuple(said["others"]), "raw": None if raw is None else json.loads(raw)}
    return Reply(**said)


def _packed(row: NewRow) -> str:
    request, told = row.request, row.told
    said = {
        "model": request.model,
        "messages": request.messages,
        "params": request.params,
        "tags": request.tags,
        "scope": request.scope,
        "session": request.session,
        "told": {"off": told.off, "task": told.task, "session": told.session, "tags": told.tags},
    }
    try:
        return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    except TypeError as error:
        raise InputError(f"a request cannot be written as JSON ({error}); use plain dicts, lists, texts and numbers") from error


def _unpacked(job: str, row: Mapping[str, Any]) -> StoredRow:
    said = json.loads(row["request"])
    told = Told(**said.pop("told"))
    said |= {"messages": tuple(said["messages"]), "scope": tuple(said["scope"])}
    return StoredRow(job, row["n"], row["name"], Request(**said), told)
