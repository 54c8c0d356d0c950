"""A sample of a job's answers is judged, at the price of a batch, and nobody waits for it or pays more than was allowed."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.batch import BatchSettings
from frugal_plugins.learned.judging import judge_messages
from frugal_plugins.ledger import Period, open_reader
from frugal_plugins.ledger.measured import measure
from frugal_plugins.report.control import control_rows
from tests.batch.kills import kill_at, mortal
from tests.batch.scene import MODELS, PROVIDERS, Scene, rows_of

MakeScene = Callable[..., Scene]
ALL = {"percent": 100, "control_percent": 100, "usd_per_day": 5}


def good(one: Scene, count: int) -> None:
    """The first rows are answered alike, and the judge finds that good."""
    for n in range(count):
        asked, answer = f"Name one use of item {n}.", "It stops a door."
        for user, said in ((asked, answer), (judge_messages(asked, answer)[1]["content"], "GOOD")):
            one.sandbox.record({"user": user, "outputs": {MODELS[one.provider].partition("/")[2]: said}})


def decisions(one: Scene) -> Counter[tuple[str, str]]:
    db = sqlite3.connect(one.folder / "ledger.sqlite")
    try:
        return Counter(db.execute("SELECT action, why FROM decisions WHERE technique = 'judge'").fetchall())
    finally:
        db.close()


def actions(one: Scene) -> Counter[str]:
    found: Counter[str] = Counter()
    for (action, _), times in decisions(one).items():
        found[action] += times
    return found


def judging(provider: str, **said: Any) -> dict[str, Any]:
    """The model judges itself, which is cheap."""
    return {"judge": {**ALL, **said}, "baseline": "only", "control_percent": 50}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_drawn_row_is_judged_in_a_batch_and_booked_with_it(scene: MakeScene, provider: str) -> None:
    one = scene(provider, more=judging(provider))
    good(one, 12)
    status, found = one.run(rows_of(12))
    assert (status.state, status.done, status.judging) == ("done", 12, 0)
    assert all(row.reply is not None and row.reply.text != "GOOD" for row in found)
    assert {line.lane for line in one.sandbox.invoice().lines} == {"batch"}
    assert len(one.sandbox.invoice().lines) == 24
    assert one.books_agree()
    assert status.spent_usd == one.ledger_usd()
    assert actions(one) == {"good": 12}
    with open_reader(one.folder / "ledger.sqlite") as reader:
        measured = measure(reader.db, Period())
        assert (measured.judged, measured.not_judged) == (12, 0)
        assert 0 < measured.judging_usd < float(one.ledger_usd())
        assert reader.db.rows("SELECT count(*), sum(good) FROM feedback WHERE source = 'judge'") == [(12, 12)]
        assert reader.db.rows("SELECT count(*) FROM calls WHERE purpose = 'judge' AND lane = 'batch' AND technique = 'judge'") == [(12,)]


def test_answers_are_delivered_while_the_judge_has_not_spoken(scene: MakeScene) -> None:
    one = scene("openai", more=judging("openai"))
    good(one, 6)
    jobs = one.jobs()
    jobs.add(rows_of(6), "one")
    jobs.submit("one")
    one.clock.advance(3600)
    jobs.step("one")
    status = jobs.status("one")
    assert (status.state, status.done, status.judging) == ("open", 6, 6)
    early = list(jobs.results("one"))
    assert all(row.reply is not None for row in early)
    jobs.run("one")
    late = list(jobs.results("one"))
    assert [(row.reply, row.frugal) for row in late] == [(row.reply, row.frugal) for row in early], "a judge changes no answer"
    one.close(jobs)
    assert one.books_agree()


def test_a_judge_that_is_slow_does_not_keep_a_job_from_its_deadline(scene: MakeScene) -> None:
    one = scene("openai", more=judging("openai"), settings=BatchSettings(window_hours=2, cancel_seconds=600))
    jobs = one.jobs()
    jobs.add(rows_of(4), "one")
    jobs.submit("one")
    one.clock.advance(3600)
    one.fault("batch_slow", hold_seconds=80_000)
    jobs.step("one")
    assert jobs.status("one").judging == 4
    status = jobs.run("one")
    assert (status.state, status.done, status.late_rows) == ("done", 4, {})
    assert one.clock.now() < status.deadline_seconds
    one.close(jobs)
    assert one.books_agree()
    assert decisions(one) == {("left", "drawn for the sample and not judged: the deadline came first"): 4}


def test_a_job_that_is_cancelled_while_only_a_judge_is_under_way_is_done(scene: MakeScene) -> None:
    one = scene("openai", more=judging("openai"))
    jobs = one.jobs()
    jobs.add(rows_of(4), "one")
    jobs.submit("one")
    one.clock.advance(3600)
    jobs.step("one")
    status = jobs.cancel("one")
    assert (status.state, status.done, status.judging) == ("done", 4, 0)
    one.close(jobs)
    assert one.books_agree()
    assert actions(one) == {"left": 4}
    assert {why for _, why in decisions(one)} == {"drawn for the sample and not judged: the job was cancelled"}
    with open_reader(one.folder / "ledger.sqlite") as reader:
        said = {name: value for name, value, _ in control_rows(measure(reader.db, Period()))}
    assert said["drawn for the sample, in batches, and not judged"].startswith("4;")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"usd_per_day": "0.0000001"}, "judge.usd_per_day is spent"),
        ({"tier": "far"}, "gemini/gemini-2.5-flash cannot be asked in a batch here"),
    ],
)
def test_what_cannot_be_judged_in_a_batch_is_delivered_and_counted(scene: MakeScene, more: dict[str, Any], why: str) -> None:
    tiers = {"only": {"models": [MODELS["openai"]]}, "far": {"models": ["gemini/gemini-2.5-flash"]}}
    said = {**judging("openai", **more), "tiers": tiers}
    one = scene("openai", more=said)
    status, found = one.run(rows_of(5))
    assert (status.state, status.done) == ("done", 5)
    assert all(row.reply is not None for row in found)
    assert len(one.sandbox.invoice().lines) == 5
    assert decisions(one) == {("left", f"drawn for the sample and not judged: {why}"): 5}


def test_under_a_dollar_limit_answers_come_before_judges(scene: MakeScene) -> None:
    one = scene("openai", more=judging("openai"))
    jobs = one.jobs()
    jobs.add(rows_of(8), "plan")
    worst = jobs.plan(rows_of(8)).at_most_usd
    jobs.store.forget("plan")
    jobs.settings = BatchSettings(max_usd=worst)
    jobs.add(rows_of(8), "one")
    status = jobs.run("one")
    assert (status.state, status.done) == ("done", 8)
    assert one.sandbox.invoice().total_usd <= worst
    one.close(jobs)
    assert one.books_agree()
    assert sum(actions(one).values()) == 8


def test_a_judge_whose_lines_get_lost_is_asked_again_and_paid_for_what_was_lost(scene: MakeScene) -> None:
    one = scene("openai", more=judging("openai"))
    good(one, 10)
    jobs = one.jobs()
    jobs.add(rows_of(10), "one")
    jobs.submit("one")
    one.clock.advance(3600)
    one.fault("batch_lost_lines", probability=0.4, times=1)
    assert jobs.run("one").done == 10
    one.close(jobs)
    assert one.books_agree()
    assert actions(one) == {"good": 10}


def test_without_a_ledger_or_a_judge_nothing_is_asked(scene: MakeScene) -> None:
    one = scene("openai", more={**judging("openai"), "ledger": {"path": "off"}})
    status, _ = one.run(rows_of(3))
    assert (status.done, len(one.sandbox.invoice().lines)) == (3, 3)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_killed_anywhere_with_a_judge_each_row_comes_once_and_is_paid_once(provider: str, tmp_path: Path) -> None:
    points = 0
    with mortal() as process:
        for die_at in range(9, 200, 5):
            after = kill_at(
                process, provider, tmp_path / str(die_at), die_at, rows=5, settings={"most_rows": 3, "poll_seconds": 120},
                more=judging(provider),
            )  # fmt: skip
            assert (after.delivered, after.in_order, after.double_paid) == (5, True, 0), after
            assert (after.paid, after.ledger_minus_invoice, after.state) == (10, Decimal(0), "done"), after
            points += after.killed
            if not after.killed:
                break
    assert points >= 2
