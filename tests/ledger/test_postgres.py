"""One ledger for several proxies: what PostgreSQL must do, and what happens when it is gone."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from frugal_plugins import postgres as server
from frugal_plugins.errors import LedgerError
from frugal_plugins.ledger import Ledger, Period, Wanted, open_reader, summarize
from frugal_plugins.ledger.measured import measure
from frugal_plugins.ledger.rollups import COLUMNS_OF_SUMS, HOUR_IN_POSTGRES, rebuild
from frugal_plugins.report.evidence import read_evidence, reconcile
from tests.ledger.test_rollups import V2_ROWS, booked, written

ROOT = Path(__file__).parents[2]


def ledger_at(database: str, tmp_path: Path, **more: int) -> Ledger:
    return Ledger(database, held_path=tmp_path / "held.sqlite", **more)  # type: ignore[arg-type]


def sums(database: str) -> list[list[tuple[object, ...]]]:
    with psycopg.connect(database) as db:
        db.execute("SET search_path = frugal_ledger")
        return [db.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4, 5").fetchall() for table in COLUMNS_OF_SUMS]


def test_it_says_the_same_as_a_file_does(database: str, tmp_path: Path) -> None:
    entries = [
        booked("a", team="red", declared_task="yes_no", user="ann"),
        booked("b", hit=True, answer_key="k", hours=1),
        booked("c", model="nobody/knows", hours=30),
        booked("a"),
        booked("d", group="control", session="s"),
        *(booked(f"e{n}", group="control" if n % 2 else "treated", session=f"s{n // 2}", declared_task=f"t{n % 3}") for n in range(90)),
    ]
    file = written(tmp_path / "l.sqlite", *entries)
    ledger = ledger_at(database, tmp_path)
    for entry in entries:
        ledger.record(entry)
    ledger.feedback("d", True)
    ledger.close()
    assert ledger.lost == 0
    assert summarize(database) == summarize(file)
    with open_reader(database) as there, open_reader(file) as here:
        for by in ("task", "model", "technique", "team", "group"):
            assert there.split(by, Period()) == here.split(by, Period())
        assert there.series("outcome", "day", Period()) == here.series("outcome", "day", Period())
        assert there.acted(Period(recipe="test")) == here.acted(Period(recipe="test"))
        assert [one.id for one in there.latest(9, Wanted(technique="route"))] == [
            one.id for one in here.latest(9, Wanted(technique="route"))
        ]
        assert there.hits_to_review(5)[0].answer_key == "k"
        assert there.request("d").good is True  # type: ignore[union-attr]
        assert there.calls("a") == here.calls("a")
        mine, theirs = measure(there.db, Period()), measure(here.db, Period())
        for one, other in ((mine.saving, theirs.saving), *((mine.quality[name], theirs.quality[name]) for name in theirs.quality)):
            assert dataclasses.asdict(one) == pytest.approx(dataclasses.asdict(other), abs=1e-12)  # type: ignore[arg-type]
        assert (mine.control_requests, mine.words) == (theirs.control_requests, theirs.words)
        kept = sums(database)
        there.db.change(rebuild(HOUR_IN_POSTGRES))
    assert sums(database) == kept
    assert read_evidence(database).models_before == read_evidence(file).models_before
    assert reconcile(database, []).ledger_usd == reconcile(file, []).ledger_usd


def test_four_programs_at_once_book_every_row_once(database: str, tmp_path: Path) -> None:
    code = f"""
from frugal_plugins.ledger import Ledger
from tests.ledger.test_rollups import booked
import sys
ledger = Ledger({database!r}, held_path={str(tmp_path / "held.sqlite")!r})
for n in range(150): ledger.record(booked(f"{{sys.argv[1]}}-{{n}}", hours=n % 3)); ledger.record(booked(f"all-{{n}}"))
ledger.close()
sys.exit(ledger.lost)
"""
    programs = [subprocess.Popen([sys.executable, "-c", code, str(n)], cwd=ROOT) for n in range(4)]
    assert [program.wait(120) for program in programs] == [0, 0, 0, 0]
    assert summarize(database).requests == 4 * 150 + 150
    assert not (tmp_path / "held.sqlite").exists(), "nothing had to wait"


def test_a_killed_program_loses_no_acknowledged_row(database: str, tmp_path: Path) -> None:
    code = f"""
import os, signal
from frugal_plugins.ledger import Ledger
from tests.ledger.test_rollups import booked
ledger = Ledger({database!r}, held_path={str(tmp_path / "held.sqlite")!r})
for n in range(60): ledger.record(booked(f"acknowledged-{{n}}"))
assert ledger.flush()
for n in range(60): ledger.record(booked())
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == -signal.SIGKILL
    with psycopg.connect(database) as db:
        found = db.execute("SELECT count(*) FROM frugal_ledger.requests WHERE id LIKE 'acknowledged%'").fetchone()
    assert found == (60,)


def test_rows_wait_here_while_the_server_is_gone_and_go_when_it_is_back(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "_WAIT_SECONDS", 0.0)
    folder, link = database.split("host=")[1], tmp_path / "s"
    link.symlink_to(folder)
    ledger = ledger_at(database.replace(folder, str(link)), tmp_path)
    ledger.record(booked("before"))
    assert ledger.flush()
    link.unlink()
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'frugal-ledger'")
    for n in range(30):
        ledger.record(booked(f"while-{n}"))
    ledger.feedback("before", False)
    assert ledger.flush()
    assert (ledger.lost, (tmp_path / "held.sqlite").stat().st_mode & 0o777) == (0, 0o600)
    assert "traffic goes on; ledger rows are held in" in caplog.text
    assert summarize(database).requests == 1
    link.symlink_to(folder)
    until = time.monotonic() + 30
    while summarize(database).requests < 31 and time.monotonic() < until:
        time.sleep(0.05)
    ledger.close()
    assert summarize(database).requests == 31
    with open_reader(database) as reader:
        assert reader.request("before").good is False  # type: ignore[union-attr]


def test_what_waits_here_survives_a_kill_and_has_an_end(tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = f"postgresql://nobody@/nothing?host={tmp_path}"
    code = f"""
import os, signal
from frugal_plugins.ledger import Ledger
from tests.ledger.test_rollups import booked
ledger = Ledger({nowhere!r}, held_path={str(tmp_path / "held.sqlite")!r})
for n in range(40): ledger.record(booked(f"held-{{n}}"))
assert ledger.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == -signal.SIGKILL
    full = ledger_at(nowhere, tmp_path, held_rows=45)
    for _ in range(10):
        full.record(booked())
    full.close()
    assert full.lost == 10
    assert "as many as ledger.held_rows allows" in caplog.text
    back = ledger_at(database, tmp_path)
    back.record(booked("after"))
    back.close()
    assert summarize(database).requests == 41


def test_a_newer_ledger_a_missing_one_and_a_password_are_spoken_of_plainly(database: str, tmp_path: Path) -> None:
    ledger_at(database, tmp_path).close()
    summarize(database)
    with psycopg.connect(database) as db:
        db.execute("UPDATE frugal_ledger.version SET version = 99")
    with pytest.raises(LedgerError, match="newer frugal_plugins"):
        summarize(database)
    secret = f"postgresql://me:hunter2@/nothing?host={tmp_path}&password=hunter2"
    with pytest.raises(LedgerError, match="cannot be opened") as raised:
        summarize(secret)
    assert "hunter2" not in str(raised.value)
    assert Ledger(secret, held_path=tmp_path / "h").place == "postgresql://me@/nothing"
    odd = Ledger("postgresql://me:pw@[::1]:port/db", held_path=tmp_path / "h")
    assert (odd.place.startswith("postgresql://me@"), "pw" in odd.place) == (True, False)


def test_a_database_of_version_2_is_brought_up_to_date_once_and_keeps_its_sums(database: str, tmp_path: Path) -> None:
    script = (Path(__file__).parent / "version_2.sql").read_text()
    for word, other in (
        (r"\bINTEGER\b", "BIGINT"), (r"\bREAL\b", "DOUBLE PRECISION"), (" WITHOUT ROWID", ""),
        (r"datetime\(at_seconds, 'unixepoch'\)", "to_timestamp(at_seconds)"),
    ):  # fmt: skip
        script = re.sub(word, other, script)
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("CREATE SCHEMA frugal_ledger")
        db.execute("SET search_path = frugal_ledger")
        for statement in (*script.split(";\n"), "CREATE TABLE version (version BIGINT)", "INSERT INTO version VALUES (2)", *V2_ROWS):
            db.execute(statement)
    code = f"""
import sys
from frugal_plugins.ledger import Ledger
from tests.ledger.test_rollups import booked
ledger = Ledger({database!r}, held_path={str(tmp_path / "held.sqlite")!r})
ledger.record(booked(f"new-{{sys.argv[1]}}"))
ledger.close()
sys.exit(ledger.lost)
"""
    programs = [subprocess.Popen([sys.executable, "-c", code, str(n)], cwd=ROOT) for n in range(3)]
    assert [program.wait(120) for program in programs] == [0, 0, 0]
    summary = summarize(database)
    assert (summary.requests, sum(count for count, _, _ in summary.by_day.values())) == (9, 9)
    with open_reader(database) as reader:
        assert reader.request("r1") is not None
        assert sum(one.times for one in reader.acted(Period())) == 9


def test_text_arrives_as_it_was_whatever_is_in_it(database: str, tmp_path: Path) -> None:
    nasty = ['say "hi"', "back\\slash\\", "{a,b}", "NULL", "", "tab\tand\nline", "ü 漢 🎉", "\\x41", "'; DROP TABLE requests; --"]
    ledger = Ledger(database, held_path=tmp_path / "held.sqlite", keep_text=True)
    for n, words in enumerate(nasty):
        entry = booked(f"n{n}", team=words)
        asked = entry.request.with_(messages=({"role": "user", "content": words},))
        ledger.record(dataclasses.replace(entry, request=asked))
    ledger.close()
    assert ledger.lost == 0
    with open_reader(database) as reader:
        found = [reader.request(f"n{n}") for n in range(len(nasty))]
    assert [json.loads(one.text)["asked"][0]["content"] for one in found] == nasty  # type: ignore[union-attr, arg-type]
    assert [one.team for one in found] == [words.replace("\t", " ").replace("\n", " ") or None for words in nasty]  # type: ignore[union-attr]
