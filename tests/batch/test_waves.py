"""Replays, shared rows, waves, deadlines and money."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from frugal_plugins import Request
from frugal_plugins.batch import BatchJobs, BatchSettings, NewRow
from frugal_plugins.batch.store import JobStore
from frugal_plugins.errors import FrugalError, InputError, RecipeError
from tests.batch.scene import PROVIDERS, Scene, rows_of

MakeScene = Callable[..., Scene]
SUMMARY = {"cap": {}, "tasks": {"summary": {"tier": "only", "output_tokens": 5}}}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_cut_answer_is_asked_again_in_the_next_wave(scene: MakeScene, provider: str) -> None:
    one = scene(provider, more=SUMMARY)
    status, found = one.run(rows_of(6, text="Sum up chapter {n}.", task="summary", max_tokens=400))
    assert [batch["rows"] for batch in status.batches] == [6, 6]
    assert all(row.reply is not None and row.reply.finish == "stop" for row in found)
    assert all("cap retry" in row.frugal["why"] for row in found)
    assert one.books_agree()
    db = sqlite3.connect(one.folder / "ledger.sqlite")
    assert db.execute("SELECT count(*), count(DISTINCT request_id), count(DISTINCT lane) FROM calls").fetchone() == (12, 6, 1)
    assert db.execute("SELECT count(*) FROM calls WHERE replaced_by = 'cap'").fetchone() == (6,)
    db.close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_identical_rows_are_asked_once_and_all_answered(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    rows = [NewRow(row.request, f"q{n}") for n, row in enumerate(rows_of(4) * 3)]
    status, found = one.run(rows)
    assert len(one.sandbox.invoice().lines) == 4
    assert status.asked_once == 8
    assert [row.reply.text for row in found if row.reply][:4] * 3 == [row.reply.text for row in found if row.reply]
    assert one.books_agree()


def test_rows_with_a_temperature_each_get_their_own_answer(scene: MakeScene) -> None:
    one = scene("openai")
    rows = [NewRow(rows_of(1, temperature=0.9)[0].request) for _ in range(3)]
    one.run(rows)
    assert len(one.sandbox.invoice().lines) == 3


def test_the_recipes_cache_answers_a_second_job_for_nothing(scene: MakeScene) -> None:
    one = scene("openai", more={"cache": {"path": "answers.sqlite", "match": "exact"}})
    one.more = {"cache": {"path": str(one.folder / "answers.sqlite"), "match": "exact"}}
    rows = rows_of(5, max_tokens=400)
    one.run(rows, "one")
    paid = len(one.sandbox.invoice().lines)
    _, found = one.run(rows, "two")
    assert len(one.sandbox.invoice().lines) == paid
    assert {row.frugal["cache"] for row in found} == {"hit"}
    assert one.books_agree()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_before_the_deadline_the_rest_is_cancelled_harvested_and_filled_in(scene: MakeScene, provider: str) -> None:
    one = scene(provider, settings=BatchSettings(window_hours=2, seconds_per_call=1))
    one.fault("batch_slow", hold_seconds=20_000)
    started = one.clock.now()
    status, found = one.run(rows_of(30))
    assert one.clock.now() <= started + 2 * 3600
    assert [row.name for row in found] == [f"q{n}" for n in range(30)]
    assert all(row.reply is not None for row in found)
    lanes = [line.lane for line in one.sandbox.invoice().lines]
    assert 0 < lanes.count("batch") < 15
    assert len(lanes) == 30, "no row was paid twice"
    assert one.books_agree()
    assert status.late_extra_usd > 0


def test_flex_fills_in_at_the_batch_price_where_the_model_has_it(scene: MakeScene) -> None:
    one = scene("openai", settings=BatchSettings(window_hours=2), more={"tiers": {"only": {"models": ["openai/gpt-5-mini"]}}})
    one.fault("batch_slow", hold_seconds=40_000)
    status, _ = one.run(rows_of(10, max_tokens=3000))
    lanes = {line.lane for line in one.sandbox.invoice().lines}
    assert "flex" in lanes
    assert "standard" not in lanes
    assert status.done == 10
    assert status.late_extra_usd == 0
    assert one.books_agree()


def test_what_flex_has_no_room_for_is_answered_in_real_time_before_the_deadline_and_the_extra_is_said(scene: MakeScene) -> None:
    one = scene("openai", settings=BatchSettings(window_hours=2), more={"tiers": {"only": {"models": ["openai/gpt-5-mini"]}}})
    one.fault("batch_slow", hold_seconds=40_000)
    one.fault("rate_limit", endpoint="chat", times=3, retry_after_seconds=1)
    status, found = one.run(rows_of(10, max_tokens=3000))
    lanes = [line.lane for line in one.sandbox.invoice().lines]
    assert lanes.count("standard") == 3
    assert "flex" in lanes
    assert all(row.reply is not None for row in found)
    assert status.late_rows == {"flex": lanes.count("flex"), "standard": 3}
    assert status.late_extra_usd > 0
    assert one.books_agree()


def test_finish_times_are_estimated_from_how_far_a_batch_is_and_from_what_others_took(scene: MakeScene) -> None:
    one = scene("openai")
    jobs = one.jobs()
    jobs.add(rows_of(20), "first")
    assert jobs.submit("first").expected_seconds is None, "nothing has ended here yet"
    submitted = one.clock.now()
    one.clock.advance(300)
    jobs.step("first")
    halfway = jobs.status("first").expected_seconds
    assert halfway == pytest.approx(submitted + 610, abs=80)
    jobs.run("first")
    jobs.add(rows_of(5, text="Another {n}?"), "second")
    started = one.clock.now()
    told = jobs.submit("second")
    assert told.expected_seconds == pytest.approx(started + (told.usual_seconds or 0), abs=1)
    one.close(jobs)


def test_without_a_deadline_lane_late_rows_end_with_words_and_nothing_dearer_is_bought(scene: MakeScene) -> None:
    one = scene("openai", settings=BatchSettings(window_hours=2, deadline_lane="none"))
    one.fault("batch_slow", hold_seconds=20_000)
    status, found = one.run(rows_of(10))
    assert {line.lane for line in one.sandbox.invoice().lines} == {"batch"}
    assert 0 < status.done < 10
    assert all("deadline" in (row.error or "") for row in found if row.reply is None)


def test_the_dollar_limit_stops_before_it_is_crossed_and_more_money_goes_on(scene: MakeScene) -> None:
    one = scene("openai")
    jobs = one.jobs()
    worst = jobs.plan(rows_of(20)).at_most_usd
    jobs.settings = BatchSettings(max_usd=worst / 2)
    jobs.add(rows_of(20), "one")
    status = jobs.run("one")
    assert status.state == "held"
    assert "max_usd" in (status.why or "")
    assert 0 < status.done < 20
    assert one.sandbox.invoice().total_usd <= worst / 2
    jobs.resume("one", worst * 2)
    assert jobs.run("one").done == 20
    assert len(one.sandbox.invoice().lines) == 20
    one.close(jobs)
    assert one.books_agree()


def test_cancelling_a_job_keeps_what_was_done(scene: MakeScene) -> None:
    one = scene("openai")
    jobs = one.jobs()
    jobs.add(rows_of(20), "one")
    jobs.submit("one")
    one.clock.advance(305)
    status = jobs.cancel("one")
    assert status.state == "cancelled"
    assert (status.done, status.failed) == (10, 10)
    assert len(one.sandbox.invoice().lines) == 10
    one.close(jobs)
    assert one.books_agree()


def test_a_plan_says_rows_batches_and_dollars_and_sends_nothing(scene: MakeScene) -> None:
    one = scene("openai", settings=BatchSettings(most_rows=4))
    rows = [
        *rows_of(10),
        NewRow(rows_of(1)[0].request, "again"),
        NewRow(Request("gemini/gemini-2.5-flash", ({"role": "user", "content": "x"},))),
    ]
    jobs = one.jobs()
    plan = jobs.plan(rows)
    assert (plan.rows, plan.same, plan.batches) == (12, 1, 3)
    assert plan.at_most_realtime_usd == plan.at_most_usd * 2 > 0
    assert "no batch lane" in plan.refused[11]
    assert not one.sandbox.requests()
    jobs.add(rows, "one")
    assert jobs.run("one").spent_usd <= plan.at_most_usd
    found = list(jobs.results("one"))
    assert [row.n for row in found if row.error] == [11]
    one.close(jobs)


def test_bad_jobs_are_refused_before_anything_is_written(scene: MakeScene) -> None:
    one = scene("openai")
    jobs = one.jobs()
    twice = [NewRow(rows_of(1)[0].request, "same"), NewRow(rows_of(2)[1].request, "same")]
    for rows, words in ((twice, "used twice"), ([], "no rows")):
        with pytest.raises(InputError, match=words):
            jobs.add(rows)
    with pytest.raises(InputError, match="JSON"):
        jobs.add([NewRow(Request("night", ({"role": "user", "content": object()},)))])
    assert jobs.store.count("SELECT count(*) FROM rows") == 0
    with pytest.raises(InputError, match="no job"):
        jobs.run("nobody")
    with pytest.raises(RecipeError, match="max_usd"):
        BatchSettings(max_usd=Decimal(0))
    one.close(jobs)


def test_a_store_of_a_newer_version_or_of_something_else_is_left_alone(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    store.db.execute("PRAGMA user_version=99")
    store.close()
    (tmp_path / "text").write_text("not a database, but long enough to be one " * 20)
    for name, words in (("jobs.sqlite", "newer"), ("text", "not a job store")):
        with pytest.raises(FrugalError, match=words):
            JobStore(tmp_path / name)


def test_two_processes_do_not_work_on_one_store(scene: MakeScene) -> None:
    one = scene("openai")
    first, second = one.jobs(), one.jobs()
    first.add(rows_of(2), "one")
    problems: list[str] = []

    def meanwhile(_seconds: float) -> None:
        with pytest.raises(FrugalError, match="another process") as caught:
            second.step("one")
        problems.append(str(caught.value))
        one.clock.advance(_seconds)

    first.sleep = meanwhile
    assert first.run("one").done == 2
    assert problems
    one.close(first)
    one.close(second)


def test_the_store_is_readable_by_its_owner_only_and_keeps_no_prompt_of_a_finished_call(scene: MakeScene) -> None:
    one = scene("openai")
    one.run(rows_of(2))
    path = one.folder / "jobs.sqlite"
    assert path.stat().st_mode & 0o077 == 0
    store = JobStore(path)
    assert store.count("SELECT count(*) FROM calls WHERE body IS NOT NULL") == 0
    store.forget("one")
    assert store.count("SELECT count(*) FROM rows") == 0
    store.close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_clock_that_jumps_back_loses_nothing(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    jobs = one.jobs()
    jobs.add(rows_of(3), "one")
    jobs.submit("one")
    skewed = BatchJobs(jobs.recipe, jobs.store.path, clock=lambda: one.clock.now() - 200, sleep=one.clock.advance)
    assert skewed.run("one").done == 3
    skewed.close()
    one.close(jobs)


def test_results_before_the_end_have_neither_answer_nor_error(scene: MakeScene) -> None:
    one = scene("openai")
    jobs = one.jobs()
    jobs.add(rows_of(3), "one")
    jobs.submit("one")
    assert [(row.reply, row.error) for row in jobs.results("one")] == [(None, None)] * 3
    shown = json.loads(json.dumps([dict(batch) for batch in jobs.status("one").batches]))
    assert shown[0]["state"] == "submitted"
    one.close(jobs)
