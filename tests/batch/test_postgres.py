"""The same promises with the jobs in PostgreSQL, and several workers that do not get in each other's way."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from frugal_plugins import Recipe
from frugal_plugins.batch import BatchJobs, BatchSettings
from frugal_plugins.batch.postgres_store import PostgresJobStore, open_store
from frugal_plugins.errors import FrugalError, InputError
from tests.batch.kills import kill_at, mortal
from tests.batch.scene import MODELS, Scene, recipe_of, rows_of
from tests.batch.test_killed import ASKED, CUT_ANSWERS

MakeScene = Callable[..., Scene]
NAMES = itertools.count()


@pytest.fixture
def schema() -> str:
    return f"jobs_{next(NAMES)}"


@pytest.fixture
def store(postgres: str, schema: str) -> Iterator[PostgresJobStore]:
    one = PostgresJobStore(postgres, schema=schema)
    yield one
    one.close()


def jobs_on(scene: Scene, store: PostgresJobStore, **settings: object) -> BatchJobs:
    recipe = Recipe.load(recipe_of(MODELS[scene.provider], scene.folder, **scene.more), clock=scene.clock.now)
    return BatchJobs(recipe, store, BatchSettings(**settings), sleep=scene.clock.advance)  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", MODELS)
def test_lost_repeated_and_failed_lines_and_a_lost_answer_to_the_submit(scene: MakeScene, store: PostgresJobStore, provider: str) -> None:
    one = scene(provider)
    one.fault("accepted_error", endpoint="batches")
    one.fault("batch_line_error", probability=0.2)
    one.fault("batch_duplicate_lines", probability=0.2)
    jobs = jobs_on(one, store, most_rows=12)
    rows = rows_of(30)
    jobs.add([*rows, rows[0].__class__(rows[0].request, "same")], "one")
    status = jobs.run("one")
    found = list(jobs.results("one"))
    assert [row.name for row in found] == [*(f"q{n}" for n in range(30)), "same"]
    assert all(row.reply is not None for row in found)
    assert (status.done, status.asked_once) == (31, 1)
    assert len(one.sandbox.invoice().lines) == 30
    jobs.recipe.close()
    assert one.books_agree()
    store.forget("one")
    assert store.count("SELECT count(*) FROM calls") == 0


def test_a_deadline_is_kept_and_words_with_nul_do_no_harm(scene: MakeScene, store: PostgresJobStore) -> None:
    one = scene("openai")
    one.fault("batch_slow", hold_seconds=20_000)
    jobs = jobs_on(one, store, window_hours=2, seconds_per_call=1)
    jobs.add(rows_of(12, text="Item \x00 {n}?"), "one")
    status = jobs.run("one")
    assert status.done == 12
    assert one.clock.now() <= status.deadline_seconds
    jobs.recipe.close()
    assert one.books_agree()


def test_killed_here_too_each_row_comes_once_and_is_paid_once(postgres: str, schema: str, tmp_path: Path) -> None:
    points = 0
    with mortal() as process:
        for die_at in range(3, 200, 11):
            after = kill_at(
                process, "openai", tmp_path / str(die_at), die_at, rows=6, settings={"most_rows": 4, "poll_seconds": 120},
                more=CUT_ANSWERS, how=ASKED, store={"dsn": postgres, "schema": f"{schema}_{die_at}"},
            )  # fmt: skip
            assert (after.delivered, after.in_order, after.double_paid) == (6, True, 0), after
            assert after.ledger_minus_invoice == Decimal(0), after
            points += after.killed
            if not after.killed:
                break
    assert points >= 2


def test_workers_share_the_jobs_and_no_job_has_two(scene: MakeScene, postgres: str, schema: str) -> None:
    one = scene("openai")
    workers = [jobs_on(one, PostgresJobStore(postgres, schema=schema)) for _ in range(3)]
    for n in range(6):
        workers[0].add(rows_of(4, text=f"Job {n}, question {{n}}?"), f"job-{n}")
    done: list[str] = []
    threads = [threading.Thread(target=lambda w=worker: done.extend(status.job for status in w.work())) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == [f"job-{n}" for n in range(6)]
    assert len(one.sandbox.invoice().lines) == 24
    for worker in workers:
        worker.recipe.close()
        worker.close()


def test_a_job_is_refused_while_another_worker_lives_and_taken_over_when_it_is_gone(
    scene: MakeScene,
    postgres: str,
    schema: str,
) -> None:
    one = scene("openai")
    first = jobs_on(one, PostgresJobStore(postgres, schema=schema, lease_seconds=0.3))
    second = jobs_on(one, PostgresJobStore(postgres, schema=schema, lease_seconds=0.3))
    first.add(rows_of(3), "one")
    with first.store.alone("one"):
        time.sleep(0.5)  # longer than the lease, which is renewed
        with pytest.raises(FrugalError, match="another worker is working on job 'one'"):
            second.step("one")
    first.submit("one")
    with first.store.alone("one"):
        first.store.db.execute("UPDATE leases SET worker = 'somebody', until = now() - interval '1 second'")
        assert second.run("one").done == 3
        with pytest.raises(FrugalError, match="has taken over"), first.store.writing() as db:
            db.execute("UPDATE jobs SET why = 'a worker that slept'")
    assert second.status("one").why is None
    assert len(one.sandbox.invoice().lines) == 3
    for jobs in (first, second):
        jobs.recipe.close()
        jobs.close()


def test_a_sample_is_judged_here_too_and_dropped_where_the_job_is_cancelled(scene: MakeScene, store: PostgresJobStore) -> None:
    one = scene("openai", more={"judge": {"percent": 100, "usd_per_day": 5}})
    jobs = jobs_on(one, store)
    jobs.add(rows_of(3), "one")
    assert jobs.run("one").done == 3
    assert len(one.sandbox.invoice().lines) == 6
    jobs.add(rows_of(4, text="Another {n}?"), "two")
    jobs.submit("two")
    one.clock.advance(3600)
    jobs.step("two")
    assert jobs.status("two").judging == 4
    assert jobs.cancel("two").state == "done"
    jobs.recipe.close()
    assert one.books_agree()


def test_a_server_that_is_restarted_meanwhile_ends_no_job(scene: MakeScene, postgres: str, store: PostgresJobStore) -> None:
    one = scene("openai")
    jobs = jobs_on(one, store)
    jobs.add(rows_of(3), "one")

    def sleep(seconds: float) -> None:
        with psycopg.connect(postgres, autocommit=True) as db:
            db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'frugal-batch'")
        one.clock.advance(seconds)

    jobs.sleep = sleep
    assert jobs.run("one").done == 3
    assert len(one.sandbox.invoice().lines) == 3
    jobs.recipe.close()
    assert one.books_agree()


def test_a_server_that_is_not_there_or_newer_is_said_without_the_password(postgres: str, schema: str) -> None:
    with pytest.raises(FrugalError) as caught:
        open_store("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)
    assert "not reached" in str(caught.value)
    store = PostgresJobStore(postgres, schema=schema)
    with pytest.raises(InputError, match="no job 'x'"):
        store.job("x")
    store.db.execute("UPDATE store_version SET version = 99")
    store.close()
    with pytest.raises(FrugalError, match="newer"):
        PostgresJobStore(postgres, schema=schema)
