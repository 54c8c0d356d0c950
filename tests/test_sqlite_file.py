"""One way to open a SQLite file, as the stores that share it use it."""

from __future__ import annotations

import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from frugal_plugins.answers.file import AnswerFile
from frugal_plugins.batch.store import JobStore
from frugal_plugins.errors import FrugalError
from frugal_plugins.learned.outcomes import OutcomeFile
from frugal_plugins.prefix.sessions import SessionFile
from frugal_plugins.sqlite_file import open_sqlite, script

Opens = Callable[[Path], object]
STORES: dict[str, Opens] = {
    "answers": lambda path: AnswerFile(path).figures(),
    "sessions": SessionFile,
    "outcomes": lambda path: OutcomeFile(path).counts(),
    "jobs": lambda path: JobStore(path).close(),
}


def test_a_file_is_made_for_its_owner_alone_and_with_a_write_ahead_log(tmp_path: Path) -> None:
    with closing(open_sqlite(tmp_path / "one.sqlite", script("CREATE TABLE IF NOT EXISTS a (b)"), durable="FULL")) as db:
        assert stat.S_IMODE((tmp_path / "one.sqlite").stat().st_mode) == 0o600
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert db.execute("SELECT count(*) FROM a").fetchone()[0] == 0


@pytest.mark.parametrize("name", list(STORES))
def test_many_may_make_a_store_at_the_same_moment(name: str, tmp_path: Path) -> None:
    for round_ in range(10):
        path, start = tmp_path / f"{name}-{round_}.sqlite", threading.Barrier(6)
        failed: list[BaseException] = []

        def make(path: Path = path, start: threading.Barrier = start, failed: list[BaseException] = failed) -> None:
            start.wait()
            try:
                STORES[name](path)
            except (FrugalError, sqlite3.Error) as error:
                failed.append(error)

        makers = [threading.Thread(target=make) for _ in range(6)]
        for one in makers:
            one.start()
        for one in makers:
            one.join()
        assert not failed
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", list(STORES))
def test_what_is_no_database_is_refused_by_name_and_left_as_it_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Anna, this is a letter and no database. " * 50)
    before = path.read_bytes()
    with pytest.raises(FrugalError, match=r"letter\.txt"):
        STORES[name](path)
    assert path.read_bytes() == before


def test_a_job_store_leaves_another_programs_database_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (x)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(FrugalError, match="a database of another program"):
        JobStore(path)
    assert path.read_bytes() == before


def test_a_refusal_closes_the_file_and_a_lock_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "held.sqlite"
    open_sqlite(path, script("CREATE TABLE a (b)")).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            open_sqlite(path, lambda db: db.execute("BEGIN IMMEDIATE"), wait_seconds=0.05, autocommit=True)
        other.execute("ROLLBACK")
    open_sqlite(path, lambda db: db.execute("BEGIN IMMEDIATE"), wait_seconds=0.05, autocommit=True).close()


def test_a_reader_in_the_way_of_the_change_to_a_write_ahead_log_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "young.sqlite"
    tried = threading.Event()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as reader:
        reader.execute("CREATE TABLE a (b)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM a").fetchall()
        with closing(sqlite3.connect(path, timeout=0)) as plain, pytest.raises(sqlite3.OperationalError, match="locked"):
            plain.execute("PRAGMA journal_mode=WAL")

        def leave() -> None:
            tried.wait(30)
            time.sleep(0.1)
            reader.execute("COMMIT")

        leaving = threading.Thread(target=leave)
        leaving.start()
        with closing(open_sqlite(path, script(""), check=lambda _db: tried.set(), wait_seconds=30)) as db:
            assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        leaving.join()
