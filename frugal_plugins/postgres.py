"""A PostgreSQL server many programs share and no request depends on: connecting, making the tables once, going on without it."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from frugal_plugins.errors import FrugalError, MissingExtra

_log = logging.getLogger("frugal_plugins")
_Result = TypeVar("_Result")

_TABLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_WAIT_SECONDS: Final = 5.0
_LIMIT: Final = "statement_timeout=2000"


def is_postgres(path: str | None) -> bool:
    """Whether a recipe's path names a PostgreSQL server rather than a file."""
    return path is not None and path.startswith(("postgresql://", "postgres://"))


def checked_table(name: str) -> str:
    """A table's name; FrugalError when it cannot be one."""
    if not _TABLE.fullmatch(name):
        raise FrugalError(f"{name!r} cannot be a table name; use small letters, digits and _, at most 41.")
    return name


def psycopg_or_say() -> Any:
    """psycopg; MissingExtra when it is not installed."""
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtra("psycopg", "postgres") from error
    return psycopg


@dataclass(slots=True)
class SharedServer:
    """One connection for each thread and process, with a time limit on everything.

    When the server is gone, `use` says so once, counts, and gives its `otherwise`; the next try comes after five seconds, so a
    dead server costs no request more than a moment.

    Args:
        dsn: a libpq connection string or URL.
        make: makes the tables where they are missing, in one transaction, by one program at a time.
        lock: the number of the advisory lock that keeps the others waiting meanwhile.
        without: what happens while the server is gone, for the log.
        options: further settings of each connection, in libpq's words.
        opened: told of each new connection, once the tables are there.

    Attributes:
        unavailable: how often the server was wanted and not there.
    """

    dsn: str
    make: Callable[[Any], None]
    lock: int
    without: str
    options: str = ""
    opened: Callable[[Any], None] | None = None
    unavailable: int = 0
    _local: threading.local = field(default_factory=threading.local, repr=False)
    _made: bool = False
    _closed_until: float = 0.0

    def use(self, work: Callable[[Any], _Result], otherwise: _Result) -> _Result:
        """Do something with a connection, or go on without it."""
        if time.monotonic() < self._closed_until:
            self.unavailable += 1
            return otherwise
        psycopg = psycopg_or_say()
        try:
            return work(self._connection())
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self.unavailable += 1
            self._closed_until = time.monotonic() + _WAIT_SECONDS
            self._let_go()
            name = type(error).__name__
            _log.warning("PostgreSQL is not there (%s); %s, the next try is in %.0f s.", name, self.without, _WAIT_SECONDS)
            return otherwise

    def _connection(self) -> Any:
        mine: tuple[int, Any] | None = getattr(self._local, "connection", None)
        if mine is not None and mine[0] == os.getpid() and not mine[1].closed:
            return mine[1]
        options = f"-c {_LIMIT} {self.options}".strip()
        connection = psycopg_or_say().connect(self.dsn, autocommit=True, connect_timeout=3, options=options)
        with ExitStack() as undo:
            undo.callback(connection.close)
            if not self._made:
                self._make(connection)
            if self.opened is not None:
                self.opened(connection)
            undo.pop_all()
        self._local.connection = (os.getpid(), connection)
        return connection

    def _make(self, connection: Any) -> None:
        """The tables, however long their indexes take."""
        connection.execute("SET statement_timeout = 0")
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (self.lock,))
            self.make(connection)
        connection.execute(f"SET {_LIMIT}")
        self._made = True

    def _let_go(self) -> None:
        """Close this thread's connection, unless it is one a parent process goes on using."""
        mine: tuple[int, Any] | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if mine is not None and mine[0] == os.getpid():
            mine[1].close()
