"""The way to a PostgreSQL that several programs share."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from frugal_plugins import postgres as ways
from frugal_plugins.errors import FrugalError
from frugal_plugins.postgres import Link, Server, SharedServer, checked_table, is_postgres, shown
from tests.answers.conftest import postgres

__all__ = ["postgres"]


def to(dsn: str, make: Any = lambda _: None, **known: Any) -> SharedServer:
    return SharedServer(dsn, make, 4711, "the test goes on", **known)


def test_each_thread_has_a_connection_and_the_tables_are_made_once(postgres: str) -> None:
    made: list[str] = []
    server = to(postgres, lambda _: made.append("made"))

    def who(db: Any) -> int:
        return int(db.execute("SELECT pg_backend_pid()").fetchone()[0])

    first, found = server.use(who, 0), list[int]()
    thread = threading.Thread(target=lambda: found.append(server.use(who, 0)))
    thread.start()
    thread.join()
    assert server.use(who, 0) == first
    assert len({first, *found} - {0}) == 2
    assert made == ["made"]


def test_a_statement_has_a_time_limit_once_the_tables_are_there(postgres: str) -> None:
    limits: list[str] = []

    def limit(db: Any) -> str:
        return str(db.execute("SHOW statement_timeout").fetchone()[0])

    server = to(postgres, lambda db: limits.append(limit(db)), settings={"application_name": "of_the_test"})
    assert server.use(limit, "") == "2s"
    assert limits == ["0"]
    assert server.use(lambda db: db.execute("SHOW application_name").fetchone()[0], "") == "of_the_test"


def test_tables_that_could_not_be_made_are_made_the_next_time(postgres: str) -> None:
    tries: list[int] = []

    def make(db: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("no right to create")

    server = to(postgres, make)
    with pytest.raises(RuntimeError, match="no right"):
        server.use(lambda db: 1, 0)
    assert server.use(lambda db: 1, 0) == 1
    assert len(tries) == 2


def test_a_server_that_is_not_there_is_counted_and_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    server = to("host=/nowhere dbname=postgres")
    assert [server.use(lambda _: 1, 0) for _ in range(3)] == [0, 0, 0]
    assert server.unavailable == 3
    assert caplog.text.count("the test goes on") == 1


def ended(dsn: str, name: str) -> None:
    """End every connection of that name, as a server that is restarted does."""
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (name,))


def test_a_connection_that_was_lost_while_it_rested_is_opened_anew_and_nobody_notices(
    postgres: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ways, "_RESTED_SECONDS", 0.0)
    server, link = to(postgres, name="resting"), Link(Server(postgres, None, 0, name="resting"))
    who = "SELECT pg_backend_pid()"
    first, second = server.use(lambda db: db.execute(who).fetchone(), None), link.get().execute(who).fetchone()
    ended(postgres, "resting")
    assert server.use(lambda db: db.execute(who).fetchone(), None) not in (None, first)
    assert link.get().execute(who).fetchone() != second
    assert (server.unavailable, caplog.text) == (0, "")
    server.close()
    link.let_go()


def test_a_server_that_is_away_for_a_moment_is_waited_for_where_that_is_asked_for(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(postgres, None, 0, patience_seconds=30, name="patient")
    link = Link(server)
    link.get()
    server.dsn = "host=/nowhere dbname=postgres"
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        server.dsn = postgres if len(waited) == 3 else server.dsn

    monkeypatch.setattr(ways, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    link.let_go()
    assert link.get().execute("SELECT 1").fetchone() == (1,)
    assert len(waited) == 3
    link.let_go()
    with pytest.raises(psycopg.OperationalError):
        Link(Server("host=/nowhere dbname=postgres", None, 0, patience_seconds=30)).get()


def test_it_says_once_that_a_server_is_gone_and_that_it_is_back(postgres: str, caplog: pytest.LogCaptureFixture) -> None:
    server = to("postgresql://me:hunter2@127.0.0.1:1/x")
    for _ in range(3):
        server._closed_until = 0.0
        assert server.use(lambda _: 1, 0) == 0
    server.dsn, server._closed_until = postgres, 0.0
    assert server.use(lambda _: 1, 0) == 1
    assert (caplog.text.count("is not there"), caplog.text.count("is there again"), "hunter2" in caplog.text) == (1, 1, False)
    server.close()


def test_addresses_and_names() -> None:
    assert [is_postgres(path) for path in ("postgresql://h/d", "postgres://h/d", "answers.sqlite", None)] == [True, True, False, False]
    assert shown("postgres://me:pw@h:5/d?password=pw") == "postgres://me@h:5/d"
    assert shown("host=h password=pw dbname=d") == "host=h password=… dbname=d"
    assert checked_table("answers_2") == "answers_2"
    with pytest.raises(FrugalError, match="table name"):
        checked_table("a; DROP TABLE b")
