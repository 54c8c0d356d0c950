"""A job is cancelled while another process works on it: that one stops it, and both know what has become of it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins import Recipe
from frugal_plugins.batch import BatchJobs, BatchSettings, JobStatus
from frugal_plugins.batch.once import begin_once
from frugal_plugins.batch.postgres_store import PostgresJobStore
from frugal_plugins.batch.store import JobStore
from frugal_plugins.errors import InputError
from tests.batch.scene import MODELS, PROVIDERS, Scene, recipe_of, rows_of

MakeScene = Callable[..., Scene]
Open = Callable[[], JobStore]
NAMES = itertools.count()


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the store once more, as another process does."""
    if request.param == "sqlite":
        return lambda: JobStore(tmp_path / "jobs.sqlite")
    dsn, schema = request.getfixturevalue("postgres"), f"stopped_{next(NAMES)}"
    return lambda: PostgresJobStore(dsn, schema=schema, lease_seconds=0.6)


@pytest.fixture
def process(opened: Open) -> Iterator[Callable[..., BatchJobs]]:
    """Makes the executor of one more process."""
    made: list[BatchJobs] = []

    def make(scene: Scene, **settings: Any) -> BatchJobs:
        recipe = Recipe.load(recipe_of(MODELS[scene.provider], scene.folder, **scene.more), clock=scene.clock.now)
        made.append(BatchJobs(recipe, opened(), BatchSettings(**settings), sleep=scene.clock.advance))
        return made[-1]

    yield make
    for jobs in made:
        jobs.recipe.close()
        jobs.close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_watcher_stops_it_and_both_say_the_same(scene: MakeScene, process: Callable[..., BatchJobs], provider: str) -> None:
    one = scene(provider)
    watcher, other = process(one, most_rows=10), process(one)
    watcher.add(rows_of(20), "one")
    seen: list[JobStatus] = []
    told: list[str] = []

    def ask() -> None:
        other.sleep = lambda _seconds: time.sleep(0.01)
        seen.append(other.cancel("one", lambda: told.append("asked")))

    asking = threading.Thread(target=ask)

    def sleep(seconds: float) -> None:
        if not asking.ident:
            one.clock.advance(305)  # half of each batch is done by now
            asking.start()
            while not told:
                time.sleep(0.01)
        one.clock.advance(seconds)

    watcher.sleep = sleep
    status = watcher.run("one")
    asking.join(20)
    assert told == ["asked"]
    assert seen == [status]
    assert (status.state, status.done + status.failed) == ("cancelled", 20)
    assert 0 < status.done < 20
    assert status.why == f"cancelled on request: {status.done} of 20 rows are answered and kept, {status.failed} have an error instead"
    assert len(one.sandbox.invoice().lines) == status.done
    one.clock.advance(86_400)
    assert len(one.sandbox.invoice().lines) == status.done
    assert all((row.reply is None) == ("was cancelled" in (row.error or "")) for row in watcher.results("one"))
    watcher.recipe.close()
    assert one.books_agree()


def test_a_job_whose_watcher_died_is_stopped_by_the_one_who_asks(scene: MakeScene, process: Callable[..., BatchJobs]) -> None:
    one = scene("openai")
    dead, other = process(one), process(one)
    dead.add(rows_of(6), "one")
    dead.submit("one")
    if isinstance(dead.store, PostgresJobStore):  # its lease is still there; a file's lock fell with the process
        dead.store.db.execute("INSERT INTO leases (job, worker, until) VALUES ('one', 'dead', now() + interval '0.3 seconds')")
    one.clock.advance(305)
    other.sleep = lambda seconds: (time.sleep(0.1), one.clock.advance(seconds))[0]
    status = other.cancel("one")
    assert (status.state, status.done, status.failed) == ("cancelled", 3, 3)
    assert dead.run("one") == status, "whoever comes back to it changes nothing"
    assert len(one.sandbox.invoice().lines) == 3


def test_a_request_that_nobody_has_followed_yet_is_followed_by_the_next_run(scene: MakeScene, process: Callable[..., BatchJobs]) -> None:
    one = scene("openai")
    jobs = process(one)
    jobs.add(rows_of(4), "one")
    assert jobs.store.ask_to_stop("one") == "open"
    assert (jobs.status("one").state, jobs.status("one").over) == ("cancelling", False)
    jobs.resume("one", None)
    assert jobs.submit("one").state == "cancelling"
    assert [status.state for status in jobs.work()] == ["cancelled"]
    assert not one.sandbox.requests()
    assert begin_once(jobs, rows_of(4)) != "one"


def test_unknown_finished_and_held_jobs(scene: MakeScene, process: Callable[..., BatchJobs]) -> None:
    one = scene("openai")
    jobs = process(one)
    with pytest.raises(InputError, match="there is no job 'nobody'"):
        jobs.cancel("nobody")
    jobs.add(rows_of(2), "one")
    done = jobs.run("one")
    assert jobs.cancel("one") == done
    jobs.settings = BatchSettings(max_usd=done.spent_usd)
    jobs.add(rows_of(6, text="Another {n}?"), "two")
    assert jobs.run("two").state == "held"
    status = jobs.cancel("two")
    assert (status.state, status.done + status.failed) == ("cancelled", 6)
    jobs.recipe.close()
    assert one.books_agree()


def test_a_request_that_comes_too_late_says_so(scene: MakeScene, process: Callable[..., BatchJobs]) -> None:
    one = scene("openai")
    jobs = process(one)
    jobs.add(rows_of(4), "one")
    jobs.submit("one")
    one.clock.advance(86_000)
    status = jobs.cancel("one")
    assert (status.state, status.done) == ("done", 4)
    assert "too late" in (status.why or "")


def test_the_rows_of_a_cancelled_call_can_be_asked_again(scene: MakeScene, process: Callable[..., BatchJobs]) -> None:
    one = scene("openai")
    jobs = process(one)
    first = begin_once(jobs, rows_of(3))
    assert begin_once(jobs, rows_of(3)) == first
    jobs.cancel(first)
    second = begin_once(jobs, rows_of(3))
    assert second != first
    assert jobs.run(second).done == 3


def test_two_jobs_of_one_file_can_be_worked_on_at_once(scene: MakeScene, process: Callable[..., BatchJobs]) -> None:
    one = scene("openai")
    first, second = process(one), process(one)
    first.add(rows_of(3), "one")
    second.add(rows_of(3, text="Another {n}?"), "two")
    with first.store.alone("one"):
        assert second.run("two").done == 3
        second.add(rows_of(2, text="A third {n}?"), "three")
        assert [status.job for status in second.work()] == ["three"], "the job another process works on is left to it"
    assert first.run("one").done == 3
    assert not list(one.folder.glob("*.lock"))
