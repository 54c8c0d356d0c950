"""Conversations' state in PostgreSQL: several proxies on several machines go on with one conversation."""

from __future__ import annotations

import json
from typing import Any, Final

from frugal_plugins.postgres import SharedServer, checked_table
from frugal_plugins.prefix.sessions import Session, started_seconds

_LOCK: Final = 7238462
_TIDY_EVERY: Final = 256


class PostgresSessions:
    """Sessions in a PostgreSQL table that any number of workers may use at once.

    The table is made on first use; the role needs CREATE there once. A write on top of an older version is refused, so that of two
    workers on one conversation only one rewrites it. When the server is gone, nothing is known of any conversation and nothing is
    kept: requests travel with their full history, and `unavailable` counts them. The next try comes after five seconds.

    Args:
        dsn: a libpq connection string or URL.
    """

    def __init__(self, dsn: str, *, max_entries: int = 5_000_000, table: str = "frugal_sessions") -> None:
        self.max_entries = max_entries
        self._table = checked_table(table)
        self._server = SharedServer(dsn, self._make, _LOCK, "conversations are sent whole")
        self._try = self._server.use
        self._puts = 0

    @property
    def unavailable(self) -> int:
        """How often the server was wanted and not there."""
        return self._server.unavailable

    def get(self, key: str, now_seconds: float) -> Session | None:
        """The session, if it is still good."""
        query = f"SELECT key, data, version, until_seconds, owner FROM {self._table} WHERE key = %s AND until_seconds > %s"
        row: Any = self._try(lambda db: db.execute(query, (key, now_seconds)).fetchone(), None)
        return None if row is None else Session(row[0], json.loads(row[1]), row[2], row[3], row[4])

    def put(self, session: Session) -> bool:
        """Keep a session unless another worker wrote in between; it is committed when this returns. False when the server is gone."""
        query = (
            f"INSERT INTO {self._table} AS held VALUES (%s, %s, %s, %s, %s) ON CONFLICT (key) DO UPDATE SET data = EXCLUDED.data,"
            " version = EXCLUDED.version, until_seconds = EXCLUDED.until_seconds, owner = EXCLUDED.owner"
            " WHERE held.version = EXCLUDED.version - 1 OR held.until_seconds <= %s"
        )
        now = started_seconds(session)
        values = (session.key, json.dumps(session.data), session.version + 1, session.until_seconds, session.owner, now)
        kept = self._try(lambda db: int(db.execute(query, values).rowcount), 0)
        self._puts += 1
        if self._puts % _TIDY_EVERY == 1:
            self._try(lambda db: self._tidy(db, now), None)
        return kept > 0

    def forget(self, owner: str | None = None) -> int:
        """Drop an owner's sessions, or all."""
        where, values = ("", ()) if owner is None else (" WHERE owner = %s", (owner,))
        return self._try(lambda db: int(db.execute(f"DELETE FROM {self._table}{where}", values).rowcount), 0)

    def _tidy(self, db: Any, now_seconds: float) -> None:
        """Drop what is over and, beyond the bound, what ends first."""
        db.execute(f"DELETE FROM {self._table} WHERE until_seconds <= %s", (now_seconds,))
        db.execute(
            f"DELETE FROM {self._table} WHERE key IN (SELECT key FROM {self._table} ORDER BY until_seconds DESC OFFSET %s)",
            (self.max_entries,),
        )

    def _make(self, db: Any) -> None:
        """The table and its indexes."""
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (key text PRIMARY KEY, data text NOT NULL, version bigint NOT NULL,"
            " until_seconds double precision NOT NULL, owner text NOT NULL)"
        )
        db.execute(f"CREATE INDEX IF NOT EXISTS {self._table}_until ON {self._table} (until_seconds)")
        db.execute(f"CREATE INDEX IF NOT EXISTS {self._table}_owner ON {self._table} (owner)")
