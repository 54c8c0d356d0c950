"""The way to a PostgreSQL that several programs share."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from frugal_plugins.errors import FrugalError
from frugal_plugins.postgres import SharedServer, checked_table, is_postgres
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

    server = to(postgres, lambda db: limits.append(limit(db)), options="-c application_name=of_the_test")
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


def test_addresses_and_names() -> None:
    assert [is_postgres(path) for path in ("postgresql://h/d", "postgres://h/d", "answers.sqlite", None)] == [True, True, False, False]
    assert checked_table("answers_2") == "answers_2"
    with pytest.raises(FrugalError, match="table name"):
        checked_table("a; DROP TABLE b")
