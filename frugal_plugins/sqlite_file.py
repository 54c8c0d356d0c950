"""The one way to open a SQLite file that several processes may share: mode 0600, write-ahead log, patience with the others."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

_SHORT_WAIT_SECONDS: Final = 0.02

Prepare = Callable[[sqlite3.Connection], object]


def open_sqlite(
    path: str | os.PathLike[str],
    prepare: Prepare,
    *,
    check: Prepare | None = None,
    wait_seconds: float = 5.0,
    durable: Literal["FULL", "NORMAL"] = "NORMAL",
    autocommit: bool = False,
    any_thread: bool = False,
) -> sqlite3.Connection:
    """Open a file, or make it, and let `prepare` make its tables.

    Two processes that make a file at once meet in the change to a write-ahead log, which SQLite refuses instead of waiting for; it is
    tried again for as long as any other lock is waited for. `prepare` may therefore be called more than once.

    Args:
        check: looks whose file it is, before anything in it is changed; it raises to refuse it.
        wait_seconds: how long another process's lock is waited for, here and later.
        durable: FULL: what was committed survives a power cut. NORMAL: it survives a killed process.
        autocommit: statements stand alone unless a transaction is begun.
        any_thread: threads share the connection, one at a time.

    Raises:
        OSError: the file cannot be made.
        sqlite3.Error: it is no SQLite file, is damaged or stays locked; the connection is closed.
    """
    place = Path(path)
    if not place.exists():
        os.close(os.open(place, os.O_CREAT | os.O_RDWR, 0o600))
    level: Literal["DEFERRED"] | None = None if autocommit else "DEFERRED"
    connection = sqlite3.connect(place, timeout=wait_seconds, isolation_level=level, check_same_thread=not any_thread)
    with ExitStack() as undo:
        undo.callback(connection.close)
        if check is not None:
            check(connection)
        _patiently(connection, prepare, durable, wait_seconds)
        undo.pop_all()
    return connection


def _patiently(connection: sqlite3.Connection, prepare: Prepare, durable: str, wait_seconds: float) -> None:
    until = time.monotonic() + wait_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={durable}")
            prepare(connection)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(_SHORT_WAIT_SECONDS)
        else:
            return


def script(tables: str) -> Prepare:
    """A `prepare` that runs `CREATE ... IF NOT EXISTS` statements."""
    return lambda connection: connection.executescript(tables)
