"""The ledger keeps up, loses nothing silently, and never stands in the way."""

from __future__ import annotations

import datetime as dt
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from frugal_plugins.errors import LedgerError
from frugal_plugins.flow import Attempt, Call, Context, Decision
from frugal_plugins.ledger import Ledger, summarize
from frugal_plugins.ledger import file as ledger_file
from frugal_plugins.ledger.settle import Entry
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Request
from frugal_plugins.usage import Usage
from tests.support import ask_for, reply_with

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
SECRET = "the secret recipe of the house"


def entry(request: Request | None = None, **ctx: object) -> Entry:
    asked = request or ask_for(SECRET)
    reply = reply_with(f"answer about {SECRET}").with_(usage=Usage(1000, output_tokens=100), id="chatcmpl-1")
    sent = Attempt(Call(asked.with_(model="openai/gpt-4o-mini")), reply)
    context = Context(recipe="test", attempts=[sent], decisions=[Decision("route", "simple", "yes_no needs simple")], **ctx)  # type: ignore[arg-type]
    return Entry(asked, context, reply, None, "gpt-4o", PriceBook(), NOW)


def test_rows_calls_decisions_and_savings_are_there_and_add_up(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    for _ in range(3):
        ledger.record(entry())
    assert ledger.flush()
    summary = summarize(ledger.path)
    assert (summary.requests, summary.lost, summary.stood_down) == (3, 0, 0)
    assert summary.actual_usd == 3 * Decimal("0.00021")
    assert summary.saved_usd == sum(line.saved_usd for line in summary.techniques) == 3 * Decimal("0.00329")
    assert summary.by_model == {"openai/gpt-4o-mini": (3, 3 * Decimal("0.00021"))}
    db = sqlite3.connect(ledger.path)
    assert db.execute("SELECT provider_id, price_source FROM calls JOIN requests ON id = request_id LIMIT 1").fetchone()[0] == "chatcmpl-1"
    assert db.execute("SELECT round(saved_usd, 6) FROM requests_usd LIMIT 1").fetchone() == (0.00329,)
    ledger.close()


def test_no_prompt_text_is_kept_unless_it_is_turned_on(tmp_path: Path) -> None:
    for keep, expected in ((False, False), (True, True)):
        ledger = Ledger(tmp_path / f"{keep}.sqlite", keep_text=keep)
        ledger.record(entry(ask_for(SECRET).with_(session=SECRET, tags={"tenant": SECRET})))
        ledger.close()
        stored = b"".join(path.read_bytes() for path in tmp_path.glob(f"{keep}.sqlite*"))
        assert (SECRET.encode() in stored) is expected


def test_the_file_is_for_the_owner_only(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    ledger.record(entry())
    ledger.close()
    assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_rows_recorded_just_before_the_program_ends_are_on_disk(tmp_path: Path) -> None:
    code = f"""
from frugal_plugins.ledger import Ledger
from tests.ledger.test_file import entry
ledger = Ledger({str(tmp_path / "l.sqlite")!r})
for _ in range(200): ledger.record(entry())
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert summarize(tmp_path / "l.sqlite").requests == 200


def test_a_killed_program_loses_no_flushed_row(tmp_path: Path) -> None:
    code = f"""
import os, signal
from frugal_plugins.ledger import Ledger
from tests.ledger.test_file import entry
ledger = Ledger({str(tmp_path / "l.sqlite")!r})
for _ in range(50): ledger.record(entry())
assert ledger.flush()
for _ in range(50): ledger.record(entry())
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    assert summarize(tmp_path / "l.sqlite").requests >= 50


def test_a_full_queue_loses_rows_says_so_and_never_blocks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(tmp_path / "l.sqlite", queue_rows=5)
    holder = ledger.open()
    holder.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    for _ in range(600):
        ledger.record(entry())
    assert time.monotonic() - started < 5
    assert ledger.lost > 0
    assert "rows lost" in caplog.text
    assert "Traffic goes on" in caplog.text
    holder.rollback()
    holder.close()
    ledger.record(entry())
    ledger.flush()
    ledger.record(entry())
    ledger.close()
    assert summarize(ledger.path).lost > 0


def test_a_ledger_that_is_locked_for_a_while_gets_its_rows_later(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    holder = ledger.open()
    holder.execute("BEGIN EXCLUSIVE")
    for _ in range(20):
        ledger.record(entry())
    time.sleep(0.5)
    holder.rollback()
    holder.close()
    assert ledger.flush()
    assert (ledger.lost, summarize(ledger.path).requests) == (0, 20)
    ledger.close()


def test_a_full_disk_loses_counted_rows_and_traffic_goes_on(tmp_path: Path) -> None:
    code = f"""
import resource, signal
from frugal_plugins.ledger import Ledger, file
from tests.ledger.test_file import entry
file._GIVE_UP_SECONDS = 0.2
ledger = Ledger({str(tmp_path / "l.sqlite")!r})
ledger.record(entry()); assert ledger.flush()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
for _ in range(400): ledger.record(entry())
ledger.flush()
print(ledger.lost)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    lost = int(done.stdout)
    assert lost > 0
    assert "rows lost" in done.stderr
    assert summarize(tmp_path / "l.sqlite").requests == 401 - lost


def test_a_forked_worker_writes_its_own_rows(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    ledger.record(entry())
    assert ledger.flush()
    child = os.fork()
    if child == 0:
        ledger.record(entry())
        os._exit(0 if ledger.flush() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert summarize(ledger.path).requests == 2
    ledger.close()


def test_a_file_that_is_no_ledger_or_newer_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes " * 500)
    with pytest.raises(LedgerError, match=r"notes\.txt is not a ledger"):
        summarize(tmp_path / "notes.txt")
    db = sqlite3.connect(tmp_path / "new.sqlite")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(LedgerError, match="newer"):
        summarize(tmp_path / "new.sqlite")
    for name, statement, why in (("empty.sqlite", "", "it is empty"), ("theirs.sqlite", "CREATE TABLE x (y)", "of another program")):
        with closing(sqlite3.connect(tmp_path / name)) as db:
            db.execute(statement)
        (tmp_path / name).touch()
        before = (tmp_path / name).read_bytes()
        with pytest.raises(LedgerError, match=rf"{name} is not a ledger: .*{why}"):
            summarize(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before  # looking into a file makes no ledger of it
    with pytest.raises(LedgerError, match="no ledger at"):
        summarize(tmp_path / "absent.sqlite")


def test_a_ledger_that_cannot_be_written_is_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An auditor has a copy on a share, or no right to write in the folder."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.record(entry())
    assert ledger.flush()
    ledger.close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    before = sorted(tmp_path.iterdir())
    assert summarize(ledger.path).requests == 1
    assert sorted(tmp_path.iterdir()) == before
    with closing(sqlite3.connect(ledger.path)) as db:
        db.execute("PRAGMA user_version=1")
    with pytest.raises(LedgerError, match="of an older version and cannot be written"):
        summarize(ledger.path)


def test_the_control_group_teaches_how_long_answers_usually_are(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    for n in range(ledger_file._ENOUGH_SEEN):
        assert ledger.usual_output("yes_no") is None, n
        ledger.record(entry(group="control", declared_task="yes_no"))
        ledger.flush()
    assert ledger.usual_output("yes_no") == 100
    ledger.close()


def test_memory_stays_bounded_by_the_queue(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite", queue_rows=100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3000):
        ledger.record(entry(ask_for("x" * 20_000)))
    ledger.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000
