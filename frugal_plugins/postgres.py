"""The one way to a PostgreSQL server: opening, making the tables once, asking whether a connection is still there, going on without it."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from frugal_plugins.errors import FrugalError, MissingExtra

_log = logging.getLogger("frugal_plugins")
_Result = TypeVar("_Result")

_TABLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_PASSWORD: Final = re.compile(r"(?<=//)[^@/\s]*@|(?<=password=)[^\s&]+")
_WAIT_SECONDS: Final = 5.0
_RESTED_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 0.5
_ALIVE: Final = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""A server that has vanished without a word is noticed within a minute."""


def is_postgres(place: object) -> bool:
    """Whether a path names a PostgreSQL server rather than a file."""
    return str(place).startswith(("postgresql://", "postgres://"))


def shown(dsn: str) -> str:
    """A server's address without the password."""
    if not is_postgres(dsn):
        return _PASSWORD.sub("…", dsn)
    parts = urlsplit(dsn)
    user = f"{parts.username}@" if parts.username else ""
    _, _, digits = parts.netloc.rpartition("@")[2].rpartition(":")
    port = f":{digits}" if digits.isdigit() and not parts.netloc.endswith("]") else ""
    return f"{parts.scheme}://{user}{parts.hostname or ''}{port}{parts.path}"


def in_short(error: BaseException) -> str:
    """The first line of what a server said, without a password."""
    return _PASSWORD.sub("…", (str(error).strip().splitlines() or [type(error).__name__])[0][:200])


def checked_table(name: str) -> str:
    """The name of a table or schema; FrugalError when it cannot be one."""
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
class Server:
    """Where a PostgreSQL is, and how its connections are opened.

    Args:
        dsn: a libpq connection string or URL.
        make: makes the tables where they are missing, in one transaction, by one program at a time; None where there are none.
        lock: the number of the advisory lock that keeps the others waiting meanwhile.
        lacking: looks at each new connection whether there is something to make; without it, once in each process.
        settings: of each connection, by their names in PostgreSQL.
        limit_seconds: how long one statement may take; 0 for as long as it wants.
        connect_seconds: how long is waited for the server to answer.
        patience_seconds: how long a connection that was lost is tried again. The first one is not.
        name: what the server shows of its connections.
        opened: told of each new connection, once the tables are there.
    """

    dsn: str
    make: Callable[[Any], None] | None
    lock: int
    lacking: Callable[[Any], bool] | None = field(default=None, kw_only=True)
    settings: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    limit_seconds: float = field(default=2.0, kw_only=True)
    connect_seconds: int = field(default=3, kw_only=True)
    patience_seconds: float = field(default=0.0, kw_only=True)
    name: str = field(default="frugal", kw_only=True)
    opened: Callable[[Any], None] | None = field(default=None, kw_only=True)
    _made: bool = field(default=False, init=False, kw_only=True)

    @property
    def place(self) -> str:
        """Fit to be shown."""
        return shown(self.dsn)

    def open(self) -> Any:
        """A new connection, its tables made. Raises psycopg's errors."""
        connection = psycopg_or_say().connect(
            self.dsn, autocommit=True, connect_timeout=self.connect_seconds, application_name=self.name, **_ALIVE
        )
        with ExitStack() as undo:
            undo.callback(connection.close)
            self._set(connection, self.limit_seconds)
            if self.make is not None and (self.lacking(connection) if self.lacking is not None else not self._made):
                self._make(connection, self.make)
            if self.opened is not None:
                self.opened(connection)
            undo.pop_all()
        return connection

    def _set(self, connection: Any, limit_seconds: float) -> None:
        wanted = {**self.settings, "statement_timeout": str(round(limit_seconds * 1000))}
        each = ", ".join(["set_config(%s, %s, false)"] * len(wanted))
        connection.execute(f"SELECT {each}", [word for pair in wanted.items() for word in pair])

    def _make(self, connection: Any, make: Callable[[Any], None]) -> None:
        """The tables, however long their indexes take."""
        self._set(connection, 0)
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (self.lock,))
            make(connection)
        self._set(connection, self.limit_seconds)
        self._made = True


@dataclass(slots=True)
class Link:
    """One connection: opened when it is first needed, and anew when it was lost or belongs to a parent process. One thread at a time."""

    server: Server
    _mine: tuple[int, Any] | None = None
    _used: float = 0.0

    def get(self) -> Any:
        """The connection. One that has rested is asked first whether it is still there. Raises psycopg's errors."""
        now = time.monotonic()
        connection = self._kept()
        if connection is not None and now - self._used > _RESTED_SECONDS and not self._answers(connection):
            self.let_go()
            connection = None
        if connection is None:
            connection = self._opened()
            self._mine = (os.getpid(), connection)
        self._used = now
        return connection

    def let_go(self) -> None:
        """Close the connection, unless it is one a parent process goes on using."""
        mine = self._mine
        if mine is not None and mine[0] == os.getpid():
            mine[1].close()

    def _kept(self) -> Any:
        mine = self._mine
        return None if mine is None or mine[0] != os.getpid() or mine[1].closed else mine[1]

    def _answers(self, connection: Any) -> bool:
        psycopg = psycopg_or_say()
        try:
            connection.execute("SELECT 1")
        except (psycopg.OperationalError, psycopg.InterfaceError):
            return False
        return True

    def _opened(self) -> Any:
        psycopg = psycopg_or_say()
        until = time.monotonic() + (0.0 if self._mine is None else self.server.patience_seconds)
        while True:
            try:
                return self.server.open()
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if time.monotonic() >= until:
                    raise
                time.sleep(_AGAIN_SECONDS)


@dataclass(slots=True)
class SharedServer(Server):
    """A server that no request depends on, with one connection for each thread and process and a time limit on everything.

    When it is gone, `use` says so once, counts, and gives its `otherwise`; the next try comes after five seconds, so a dead server
    costs no request more than a moment.

    Args:
        without: what happens while the server is gone, for the log.
        all_errors: whether a statement the server refuses counts as a server that is gone, too.

    Attributes:
        unavailable: how often the server was wanted and not there.
    """

    without: str
    all_errors: bool = field(default=False, kw_only=True)
    unavailable: int = field(default=0, init=False, kw_only=True)
    _local: threading.local = field(default_factory=threading.local, init=False, repr=False, kw_only=True)
    _closed_until: float = field(default=0.0, init=False, kw_only=True)
    _said: bool = field(default=False, init=False, kw_only=True)

    @property
    def resting(self) -> bool:
        """Whether the server was gone a moment ago and is not tried yet."""
        return time.monotonic() < self._closed_until

    def use(self, work: Callable[[Any], _Result], otherwise: _Result) -> _Result:
        """Do something with a connection, or go on without it."""
        if self.resting:
            self.unavailable += 1
            return otherwise
        psycopg = psycopg_or_say()
        gone = psycopg.Error if self.all_errors else (psycopg.OperationalError, psycopg.InterfaceError)
        link = self._link()
        try:
            done = work(link.get())
        except gone as error:
            self.unavailable += 1
            self._closed_until = time.monotonic() + _WAIT_SECONDS
            link.let_go()
            self._say(error)
            return otherwise
        if self._said:
            self._said = False
            _log.warning("%s is there again.", self.place)
        return done

    def close(self) -> None:
        """Close this thread's connection."""
        self._link().let_go()

    def _link(self) -> Link:
        link: Link | None = getattr(self._local, "link", None)
        if link is None:
            link = self._local.link = Link(self)
        return link

    def _say(self, error: Exception) -> None:
        if not self._said:
            self._said = True
            words = f"{type(error).__name__}: {in_short(error)}"
            _log.warning(
                "PostgreSQL is not there (%s, %s); %s. It is tried again every %.0f s.", self.place, words, self.without, _WAIT_SECONDS
            )
