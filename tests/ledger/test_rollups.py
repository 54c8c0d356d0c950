"""Sums beside the rows: always what the rows say, whoever writes, however old the file is."""

from __future__ import annotations

import datetime as dt
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.errors import LedgerError
from frugal_plugins.flow import Attempt, Call, Context, Decision
from frugal_plugins.ledger import Ledger, summarize
from frugal_plugins.ledger.reader import LedgerReader, Period, Wanted
from frugal_plugins.ledger.reading import open_reader
from frugal_plugins.ledger.rollups import COLUMNS_OF_SUMS, HOUR_IN_SQLITE, rebuild
from frugal_plugins.ledger.settle import Entry
from frugal_plugins.ledger.sqlite import open_ledger
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Reply
from frugal_plugins.usage import Usage
from tests.support import ask_for

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
HOUR = 3600


def booked(name: str = "", *, hours: int = 0, model: str = "openai/gpt-4o-mini", hit: bool = False, **more: Any) -> Entry:
    tags = {name: value for name in ("team", "feature", "user", "tenant") if (value := more.pop(name, None))}
    usage = more.pop("usage", Usage(1000, 200, output_tokens=100))
    asked = ask_for().with_(tags=tags, session=more.pop("session", None))
    answer = Reply({"role": "assistant", "content": "x"}, model, Usage() if hit else usage, saved=usage if hit else None)
    decisions = [Decision("cache", "hit", "the same request")] if hit else [Decision("route", "simple", "yes_no needs simple")]
    attempts = [] if hit else [Attempt(Call(asked.with_(model=model)), answer)]
    ctx = Context(recipe=more.pop("recipe", "test"), attempts=attempts, decisions=decisions, **more)
    if name:
        ctx.id = name
    return Entry(asked, ctx, answer, None, "gpt-4o", PriceBook(), NOON + dt.timedelta(hours=hours))


def written(path: Path, *entries: Entry) -> Path:
    ledger = Ledger(path)
    for entry in entries:
        ledger.record(entry)
    ledger.close()
    return path


def sums(path: Path) -> list[list[Any]]:
    db = sqlite3.connect(path)
    return [db.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4, 5").fetchall() for table in COLUMNS_OF_SUMS]


entries = st.builds(
    booked,
    hours=st.integers(-30, 30),
    model=st.sampled_from(["openai/gpt-4o-mini", "openai/gpt-4o", "nobody/knows"]),
    hit=st.booleans(),
    team=st.sampled_from([None, "red", "blue"]),
    group=st.sampled_from(["treated", "control", "bypassed"]),
    declared_task=st.sampled_from(["yes_no", "extraction"]),
    recipe=st.sampled_from(["one", "two"]),
)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.lists(entries, min_size=1, max_size=6), min_size=1, max_size=3))
def test_the_sums_kept_in_step_are_the_sums_of_the_rows(tmp_path_factory: pytest.TempPathFactory, batches: list[list[Entry]]) -> None:
    path = tmp_path_factory.mktemp("ledger") / "l.sqlite"
    for batch in batches:
        written(path, *batch)
    kept = sums(path)
    db = open_ledger(path)
    for statement in rebuild(HOUR_IN_SQLITE):
        db.execute(statement)
    db.close()
    assert sums(path) == kept
    with open_reader(path) as reader:
        total = reader.total(Period())
        for by in ("task", "group", "outcome", "team", "asked_model", "recipe"):
            parts = reader.split(by, Period()).values()
            assert sum(part.requests for part in parts) == total.requests == sum(map(len, batches))
            assert sum(part.saved_usd for part in parts) == total.saved_usd
        assert sum(part.saved_usd for part in reader.split("technique", Period()).values()) == total.saved_usd
        assert total.measured_usd + total.estimated_usd == total.saved_usd
        assert sum(part.spent_usd for part in reader.split("model", Period()).values()) == total.spent_usd


def test_the_same_request_booked_twice_is_counted_once(tmp_path: Path) -> None:
    path = written(tmp_path / "l.sqlite", booked("one"), booked("one"), booked("two"))
    written(path, booked("two"), booked("three"))
    summary = summarize(path)
    assert (summary.requests, summary.techniques[0].decisions) == (3, 3)
    assert summary.actual_usd == 3 * Decimal("0.000195")


def test_a_period_is_whole_hours_and_may_be_split(tmp_path: Path) -> None:
    path = written(tmp_path / "l.sqlite", *(booked(hours=h, team="red" if h % 2 else None, declared_task="yes_no") for h in range(6)))
    start = NOON.timestamp()
    with open_reader(path) as reader:
        face: LedgerReader = reader
        assert face.total(Period(start + 2 * HOUR + 1800, start + 4 * HOUR)).requests == 2
        assert face.total(Period(recipe="another")).requests == 0
        assert {team: spend.requests for team, spend in face.split("team", Period()).items()} == {"": 3, "red": 3}
        assert list(face.series("team", "hour", Period())) == [int(start) + h * HOUR for h in range(6)]
        assert [one["yes_no"].requests for one in face.series("task", "day", Period()).values()] == [6]
        assert [(one.technique, one.action, one.times) for one in face.acted(Period())] == [("route", "simple", 6)]
        with pytest.raises(LedgerError, match="split by"):
            face.split("colour", Period())  # type: ignore[arg-type]


def test_rows_come_newest_first_with_reasons_page_by_page(tmp_path: Path) -> None:
    path = written(tmp_path / "l.sqlite", *(booked(f"r{h}", hours=h, feature="search", user="ann@example.com") for h in range(5)))
    with open_reader(path) as reader:
        first = reader.latest(2)
        assert [one.id for one in first] == ["r4", "r3"]
        assert first[0].reasons[0].why == "yes_no needs simple"
        assert first[0].saved_by["route"] == first[0].saved_usd
        assert (first[0].feature, first[0].user_hash == "ann@example.com") == ("search", False)
        assert [one.id for one in reader.latest(9, Wanted(before=(first[1].at_seconds, first[1].id)))] == ["r2", "r1", "r0"]
        assert len(reader.latest(9, Wanted(technique="route", model="openai/gpt-4o-mini", feature="search", group="treated"))) == 5
        assert reader.latest(9, Wanted(technique="cap")) == ()
        assert reader.calls("r1")[0].usd == Decimal("0.000195")
        assert reader.request("r9") is None


def test_what_was_said_of_an_answer_is_kept_and_hits_wait_to_be_reviewed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    for name in ("h1", "h2"):
        ledger.record(booked(name, hit=True, answer_key=f"key of {name}"))
    ledger.feedback("h1", True)
    ledger.feedback("h1", False)
    ledger.feedback("h1", True, source="judge")
    ledger.close()
    with open_reader(ledger.path) as reader:
        assert [(one.id, one.answer_key) for one in reader.hits_to_review(5)] == [("h2", "key of h2")]
        judged = reader.request("h1")
        assert judged is not None
        assert judged.good is False, "one source says it was bad"
    rows = sqlite3.connect(ledger.path).execute("SELECT source, good FROM feedback ORDER BY 1").fetchall()
    assert rows == [("caller", 0), ("judge", 1)]


def test_a_ledger_of_version_1_is_brought_up_to_date_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    db = sqlite3.connect(path)
    db.executescript((Path(__file__).parent / "version_1.sql").read_text())
    values = (
        "r1", NOON.timestamp(), "test", "core", "chat", "treated", "on", "yes_no", "declared", None, None, "red", "hash", 0, "gpt-4o",
        "gpt-4o", "gpt-4o-mini", "answered", "stop", None, 1000, 0, 0, 0, 100, 0, 210_000_000, 3_500_000_000, "estimated",
        "list", "2026-11-01", None,
    )  # fmt: skip
    db.execute(f"INSERT INTO requests VALUES ({', '.join('?' * len(values))})", values)
    db.execute("INSERT INTO savings VALUES ('r1', 'route', 3290000000, 'estimated')")
    db.commit()
    db.close()
    summary = summarize(path)
    assert (summary.requests, summary.saved_usd, summary.techniques[0].technique) == (1, Decimal("0.00329"), "route")
    written(path, booked("r2", team="red"))
    with open_reader(path) as reader:
        assert reader.split("team", Period())["red"].requests == 2
    assert sqlite3.connect(path).execute("SELECT count(*) FROM requests_usd").fetchone() == (2,)


def test_names_cannot_write_lines_colours_or_half_characters_into_the_ledger(tmp_path: Path) -> None:
    nasty = "red\x1b[31m\r\nx: y\x00\ud83d"
    path = written(tmp_path / "l.sqlite", booked("one", team=nasty, model=f"openai/gpt-4o-mini{nasty}", feature=nasty))
    with open_reader(path) as reader:
        found = reader.latest(1)[0]
        assert found.team == found.feature == "red [31m  x: y ?"
    assert summarize(path).requests == 1


def test_absurd_counts_are_booked_and_stop_nothing(tmp_path: Path) -> None:
    path = written(
        tmp_path / "l.sqlite", booked("one", usage=Usage(10**30, output_tokens=10**40)), booked("two"), booked("three", usage=Usage(10**30))
    )
    assert summarize(path).requests == 3


V2_ROWS = (
    (
        "INSERT INTO requests (id, at_seconds, recipe, host, endpoint, grp, mode, task, task_source, request_hash, stream, model_asked, "
        "model_baseline, outcome, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, "
        "reasoning_tokens, actual_picousd, baseline_picousd, basis) VALUES ('r1', 1795348800, 'test', 'core', 'chat', 'treated', 'on', "
        "'yes_no', 'declared', 'hash', 0, 'gpt-4o', 'gpt-4o', 'answered', 1000, 0, 0, 0, 100, 0, 210000000, 3500000000, 'estimated')"
    ),
    (
        "INSERT INTO rollups VALUES ('all', 1795345200, '', 'test', 'estimated', 5, 5, 0, 0, 5000, 0, 500, 17500000000, 1050000000, "
        "16450000000, 1050000000)"
    ),
    (
        "INSERT INTO rollups VALUES ('all', 1795348800, '', 'test', 'estimated', 1, 1, 0, 0, 1000, 0, 100, 3500000000, 210000000, "
        "3290000000, 210000000)"
    ),
    "INSERT INTO decision_rollups VALUES (1795348800, 'route', 'simple', 'on', 'test', 6)",
)
"""A request of version 2 with the sums of its hour, and the sums of an hour whose rows were pruned."""


def test_a_ledger_of_version_2_keeps_its_sums_and_gets_those_by_day(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    db = sqlite3.connect(path)
    db.executescript((Path(__file__).parent / "version_2.sql").read_text() + "PRAGMA user_version = 2;")
    for statement in V2_ROWS:
        db.execute(statement)
    db.commit()
    db.close()
    with open_reader(path) as reader:
        assert (reader.total(Period()).requests, reader.total(Period()).saved_usd) == (6, Decimal("0.01974"))
        assert [one[""].requests for one in reader.series(None, "day", Period()).values()] == [6]
        assert reader.acted(Period())[0].times == 6
    written(path, booked("r2"))
    assert summarize(path).requests == 7
    assert sqlite3.connect(path).execute("SELECT count(*) FROM requests_usd").fetchone() == (2,)


@settings(max_examples=10, deadline=None)
@given(
    hours=st.lists(st.integers(-60, 60), min_size=1, max_size=12),
    since=st.none() | st.integers(-70, 70),
    until=st.none() | st.integers(-70, 70),
)
def test_a_period_adds_up_to_the_same_from_days_and_hours(
    tmp_path_factory: pytest.TempPathFactory, hours: list[int], since: int | None, until: int | None
) -> None:
    path = written(tmp_path_factory.mktemp("ledger") / "l.sqlite", *(booked(hours=h, team=f"t{h % 2}") for h in hours))
    meant = [h for h in hours if (since is None or h >= since) and (until is None or h < until)]
    start = NOON.timestamp()
    period = Period(None if since is None else start + since * HOUR, None if until is None else start + until * HOUR)
    with open_reader(path) as reader:
        assert reader.total(period).requests == len(meant)
        assert sum(spend.requests for spend in reader.split("team", period).values()) == len(meant)
        assert sum(one[""].requests for one in reader.series(None, "day", period).values()) == len(meant)
        assert sum(one[""].requests for one in reader.series(None, "hour", period).values()) == len(meant)
        assert sum(one.times for one in reader.acted(period)) == len(meant)
