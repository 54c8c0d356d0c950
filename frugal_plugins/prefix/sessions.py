"""Where a conversation's state lives between its calls: in memory, or in one SQLite file several processes may share.

Kept is what a technique needs to send the next call with the same bytes as the last one: how far the conversation was summed
up, the summary, when it was last sent. The turns themselves come from the caller each time and are not kept here.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from frugal_plugins.errors import FrugalError
from frugal_plugins.request import Request, fingerprint
from frugal_plugins.sqlite_file import open_sqlite, script
from frugal_plugins.text.turns import chained, digest, head_length

_BEGINNING_MESSAGES: Final = 4
_WAIT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Session:
    """The state of one conversation.

    Attributes:
        key: which conversation, as `session_key` names it, and whose state it is (`history|...`).
        data: JSON values only.
        version: counts the writes; a write on top of an older version is refused, so that two workers never mix.
        until_seconds: when it may be forgotten (unix seconds).
        owner: a fingerprint of the scope, so that all of one tenant's conversations can be forgotten.
    """

    key: str
    data: Mapping[str, Any]
    version: int = 0
    until_seconds: float = 0.0
    owner: str = ""


class SessionStore(Protocol):
    """Keeps sessions by key."""

    def get(self, key: str, now_seconds: float) -> Session | None:
        """The session, unless there is none or its time is over."""

    def put(self, session: Session) -> bool:
        """Keep it as version `session.version + 1`; False, and nothing kept, when another worker wrote in between."""

    def forget(self, owner: str | None = None) -> int:
        """Drop an owner's sessions, or all; says how many."""


def session_key(request: Request, technique: str) -> str:
    """The caller's name for the conversation, else a fingerprint of how it began; never shared between scopes.

    The developer's prompt does not count, since it may hold a clock. The first answers tell two conversations apart that
    both open with "Hi".
    """
    scope = "|".join((technique, *request.scope, *(f"{name}={request.tags[name]}" for name in ("tenant", "user") if name in request.tags)))
    if request.session:
        return fingerprint([scope, "named", request.session])
    first = head_length(request.messages)
    beginning = request.messages[first : first + _BEGINNING_MESSAGES]
    return fingerprint([scope, "begins", chained([digest(message) for message in beginning])])


@dataclass(slots=True)
class MemorySessions:
    """Sessions in this process, the least recently used dropped first."""

    max_entries: int = 50_000
    _rows: OrderedDict[str, Session] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str, now_seconds: float) -> Session | None:
        """The session, if it is still good."""
        with self._lock:
            found = self._rows.get(key)
            if found is None or found.until_seconds <= now_seconds:
                self._rows.pop(key, None)
                return None
            self._rows.move_to_end(key)
            return found

    def put(self, session: Session) -> bool:
        """Keep a session unless it was written in between."""
        with self._lock:
            held = self._rows.get(session.key)
            if held is not None and held.version != session.version:
                return False
            self._rows[session.key] = _next(session)
            self._rows.move_to_end(session.key)
            while len(self._rows) > self.max_entries:
                self._rows.popitem(last=False)
        return True

    def forget(self, owner: str | None = None) -> int:
        """Drop sessions."""
        with self._lock:
            gone = [key for key, session in self._rows.items() if owner in (None, session.owner)]
            for key in gone:
                del self._rows[key]
        return len(gone)


_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
  key TEXT PRIMARY KEY, data TEXT NOT NULL, version INTEGER NOT NULL, until_seconds REAL NOT NULL, owner TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_until ON sessions (until_seconds);
CREATE INDEX IF NOT EXISTS sessions_owner ON sessions (owner);
"""
_PUT: Final = """
INSERT INTO sessions VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
  data = excluded.data, version = excluded.version, until_seconds = excluded.until_seconds, owner = excluded.owner
  WHERE version = excluded.version - 1 OR until_seconds <= ?
"""


class SessionFile:
    """Sessions in a SQLite file (mode 0600) that several processes may use at once.

    A file that is not a session store is refused with its name; it is never overwritten.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_entries: int = 500_000) -> None:
        self.path = Path(path)
        self.max_entries = max_entries
        self._local = threading.local()
        self._puts = 0
        try:
            self._connection()
        except (OSError, sqlite3.Error) as error:
            raise FrugalError(f"cannot keep sessions in {self.path}: {error}. Name another file in the recipe's history.path.") from error

    def get(self, key: str, now_seconds: float) -> Session | None:
        """The session, if it is still good."""
        query = "SELECT key, data, version, until_seconds, owner FROM sessions WHERE key = ? AND until_seconds > ?"
        row = self._connection().execute(query, (key, now_seconds)).fetchone()
        return None if row is None else Session(row[0], json.loads(row[1]), *row[2:])

    def put(self, session: Session) -> bool:
        """Keep a session unless another worker wrote in between; it is on disk when this returns."""
        new = _next(session)
        with self._connection() as connection:
            kept = connection.execute(
                _PUT, (new.key, json.dumps(new.data), new.version, new.until_seconds, new.owner, started_seconds(session))
            )
        self._puts += 1
        if self._puts % 256 == 1:
            self._tidy(started_seconds(session))
        return kept.rowcount > 0

    def forget(self, owner: str | None = None) -> int:
        """Drop sessions."""
        with self._connection() as connection:
            if owner is None:
                return connection.execute("DELETE FROM sessions").rowcount
            return connection.execute("DELETE FROM sessions WHERE owner = ?", (owner,)).rowcount

    def _tidy(self, now_seconds: float) -> None:
        """Drop what is over and, beyond the bound, what ends first."""
        with self._connection() as connection:
            connection.execute("DELETE FROM sessions WHERE until_seconds <= ?", (now_seconds,))
            connection.execute(
                "DELETE FROM sessions WHERE key IN (SELECT key FROM sessions ORDER BY until_seconds DESC LIMIT -1 OFFSET ?)",
                (self.max_entries,),
            )

    def _connection(self) -> sqlite3.Connection:
        """One connection for each thread and process."""
        mine: tuple[int, sqlite3.Connection] | None = getattr(self._local, "connection", None)
        if mine is None or mine[0] != os.getpid():
            mine = self._local.connection = (os.getpid(), open_sqlite(self.path, script(_SCHEMA), wait_seconds=_WAIT_SECONDS))
        return mine[1]


def _next(session: Session) -> Session:
    return Session(session.key, session.data, session.version + 1, session.until_seconds, session.owner)


def started_seconds(session: Session) -> float:
    """The time of the write, as far as the session itself tells it; 0 where it does not."""
    at = session.data.get("at_seconds", 0.0)
    return float(at) if isinstance(at, (int, float)) else 0.0
