"""What cannot work is named before anything is paid, and what can is answered all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from frugal_plugins import Request
from frugal_plugins.batch import BatchJobs, BatchSettings, NewRow, desk
from frugal_plugins.batch.http import Line
from frugal_plugins.batch.lanes_openai import OpenAILane
from frugal_plugins.batch.places import length_problem
from frugal_plugins.batch.store import JobStore
from frugal_plugins.batch.tables import FROM_1_TO_2, SQLITE
from frugal_plugins.errors import FrugalError, InputError
from tests.batch.scene import PROVIDERS, Scene, rows_of

MakeScene = Callable[..., Scene]


def test_rows_without_names_keep_their_order_and_two_of_one_name_are_refused(scene: MakeScene) -> None:
    one = scene("openai")
    _status, found = one.run([NewRow(row.request) for row in rows_of(4)])
    assert [(row.n, row.name, row.reply is not None) for row in found] == [(n, None, True) for n in range(4)]
    jobs = one.jobs()
    twice = [*rows_of(2), NewRow(rows_of(1)[0].request, "q1")]
    for refuse in (jobs.plan, jobs.add):
        with pytest.raises(InputError, match=r"3: custom_id 'q1' is used twice"):
            refuse(twice)
    one.close(jobs)


def test_a_row_larger_than_a_batch_may_be_is_named_and_the_others_go(scene: MakeScene) -> None:
    one = scene("openai", settings=BatchSettings(most_bytes=20_000))
    rows = [*rows_of(2), NewRow(Request("night", ({"role": "user", "content": "word " * 6000},)), "long")]
    jobs = one.jobs()
    assert "more than a batch may have" in jobs.plan(rows).refused[2]
    one.close(jobs)
    status, found = one.run(rows)
    assert (status.done, status.failed) == (2, 1)
    assert "more than a batch may have (20,000)" in (found[2].error or "")
    assert len(one.sandbox.invoice().lines) == 2


@pytest.mark.parametrize(
    "request_",
    [
        Request("m", ({"role": "user", "content": "x" * 30_000},)),
        Request("m", ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:" + "x" * 30_000}}]},)),
        Request("m", (), {"input": ["x" * 15_000, "y" * 15_000]}, endpoint="embeddings"),
    ],
)
def test_texts_images_and_documents_count_towards_the_limit_before_anything_else_is_done_with_them(request_: Request) -> None:
    assert "the request is 30,0" in (length_problem(request_, 20_000) or "")
    assert length_problem(request_, 40_000) is None


def test_a_model_without_a_batch_lane_among_others_is_named_and_costs_nothing(scene: MakeScene) -> None:
    one = scene("openai")
    rows = [*rows_of(2), NewRow(Request("xai/grok-4", ({"role": "user", "content": "hi"},)), "x")]
    status, found = one.run(rows)
    assert (status.done, status.failed) == (2, 1)
    assert "xai/grok-4 has no batch lane here" in (found[2].error or "")
    assert len(one.sandbox.invoice().lines) == 2


def test_what_the_words_recommend_can_be_written_into_the_recipe(scene: MakeScene) -> None:
    said = {"batch": {"no_lane": "realtime", "share_fronts": False, "window_hours": 5}}
    settings = BatchSettings.of(scene("openai", more=said).jobs().recipe)
    assert (settings.no_lane, settings.share_fronts, settings.window_hours) == ("realtime", False, 5)
    assert BatchSettings.from_json(settings.as_json()) == settings


def test_mixed_models_go_into_a_batch_for_each(scene: MakeScene) -> None:
    one = scene("openai")
    models = ("openai/gpt-4o-mini", "openai/gpt-4o", "anthropic/claude-haiku-4-5")
    rows = [NewRow(row.request.with_(model=models[n % 3]), row.name) for n, row in enumerate(rows_of(9))]
    status, found = one.run(rows)
    assert [row.name for row in found if row.reply] == [f"q{n}" for n in range(9)]
    assert sorted(batch["model"] for batch in status.batches) == sorted(models)
    assert one.books_agree()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_key_without_permission_is_said_and_nothing_is_paid(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    one.fault("forbidden", endpoint="batches", times=99)
    status, found = one.run(rows_of(3))
    assert status.failed == 3
    assert all("refused (403)" in (row.error or "") for row in found)
    assert not one.sandbox.invoice().lines


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_key_that_loses_its_permission_while_a_batch_runs_loses_no_answer(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    jobs = one.jobs()
    jobs.add(rows_of(3), "one")
    jobs.submit("one")
    one.fault("forbidden", endpoint="batches_get", times=4)
    assert jobs.run("one").done == 3
    assert len(one.sandbox.invoice().lines) == 3
    one.close(jobs)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("skew", [-3600, 3600])
def test_a_clock_an_hour_off_neither_loses_nor_pays_twice(scene: MakeScene, provider: str, skew: int) -> None:
    one = scene(provider)
    jobs = one.jobs()
    jobs.clock = lambda: one.clock.now() + skew
    one.fault("accepted_error", endpoint="batches")
    jobs.add(rows_of(5), "one")
    assert jobs.run("one").done == 5
    assert len(one.sandbox.invoice().lines) == 5
    one.close(jobs)


def test_a_full_disk_stops_the_job_with_words_and_it_goes_on_when_there_is_room(scene: MakeScene) -> None:
    """SQLite says of a file that may not grow what it says of a full disk."""
    one = scene("openai")
    jobs = one.jobs()
    pages = jobs.store.db.execute("PRAGMA page_count").fetchone()[0]
    jobs.store.db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(FrugalError, match="full"):
        jobs.add(rows_of(400), "one")
    assert jobs.store.count("SELECT count(*) FROM rows") == 0
    jobs.store.db.execute("PRAGMA max_page_count = 1073741823")
    jobs.add(rows_of(40, text="Tell me about item {n}. " + "Please. " * 40), "one")
    jobs.submit("one")
    pages = jobs.store.db.execute("PRAGMA page_count").fetchone()[0]
    jobs.store.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(FrugalError, match="nothing is paid twice"):
        jobs.run("one")
    jobs.store.db.execute("PRAGMA max_page_count = 1073741823")
    assert jobs.run("one").done == 40
    assert len(one.sandbox.invoice().lines) == 40
    one.close(jobs)
    assert one.books_agree()


def test_a_full_disk_under_the_upload_is_said_before_anything_is_sent(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    one = scene("openai")
    monkeypatch.setattr("tempfile.TemporaryFile", partial(open, "/dev/full", "w+b"))
    jobs = one.jobs()
    jobs.add(rows_of(3000), "one")
    with pytest.raises(FrugalError, match="space"):
        jobs.run("one")
    assert not [request for request in one.sandbox.requests() if request.method == "POST"]
    one.close(jobs)


def test_a_store_of_the_last_version_is_taken_along(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    store = JobStore(path)
    store.db.execute("DROP TABLE calls")
    store.db.execute("DROP TABLE batches")
    added = [change.split()[5] for change in FROM_1_TO_2 if "ADD COLUMN" in change]
    for statement in SQLITE.split(";"):
        if "TABLE IF NOT EXISTS calls" in statement or "TABLE IF NOT EXISTS batches" in statement:
            head, _, rest = statement.partition("(")
            columns = [part.strip() for part in rest.replace("PRIMARY KEY (job, row, n)\n", "").split(",")]
            kept = [part for part in columns if part.split() and part.split()[0].strip("()") not in added and part != ")"]
            store.db.execute(
                f"{head}({', '.join(part.rstrip(')').rstrip() if part.count(')') > part.count('(') else part for part in kept)})"
            )
    store.db.execute("PRAGMA user_version=1")
    store.close()
    again = JobStore(path)
    assert {"endpoint", "mark", "place"} <= {row["name"] for row in again.all("PRAGMA table_info(calls)")}
    assert again.count("PRAGMA user_version") == 2
    again.close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_submit_whose_answer_never_comes_is_found_and_not_paid_twice(
    scene: MakeScene, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "Line", partial(Line, timeout_seconds=0.3))
    one = scene(provider)
    one.fault("accepted_timeout", endpoint="batches", hold_seconds=1)
    _, found = one.run(rows_of(6))
    assert all(row.reply is not None for row in found)
    assert len(one.sandbox.invoice().lines) == 6
    assert one.books_agree()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_batch_that_somebody_else_cancelled_is_harvested_and_the_rest_asked_again(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    jobs = one.jobs()
    jobs.add(rows_of(20), "one")
    batch = jobs.submit("one").batches[0]["provider_id"]
    one.clock.advance(305)
    line = Line(desk.account(provider))
    line.ask("POST", f"batches/{batch}/cancel" if provider == "openai" else f"messages/batches/{batch}/cancel")
    line.close()
    status = jobs.run("one")
    assert status.done == 20
    assert len(one.sandbox.invoice().lines) == 20
    one.close(jobs)
    assert one.books_agree()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_results_that_were_kept_too_short_are_asked_again_within_the_bounds(scene: MakeScene, provider: str) -> None:
    """Nobody looked for a month: the results are gone, so these rows are paid again, and the ledger cannot know of the first time."""
    one = scene(provider, settings=BatchSettings(window_hours=24 * 60))
    jobs = one.jobs()
    jobs.add(rows_of(3), "one")
    jobs.submit("one")
    one.clock.advance(700)
    line = Line(desk.account(provider))
    line.ask("GET", f"{'batches' if provider == 'openai' else 'messages/batches'}/{jobs.status('one').batches[0]['provider_id']}")
    line.close()
    one.clock.advance(31 * 86_400)
    status = jobs.run("one")
    assert status.done == 3
    assert len(one.sandbox.invoice().lines) == 6
    assert any(batch["why"] for batch in status.batches)
    one.close(jobs)


def test_more_rows_than_a_batch_may_have_are_split_there(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenAILane, "most_rows", 7)
    one = scene("openai")
    status, found = one.run(rows_of(15))
    assert sorted(batch["rows"] for batch in status.batches) == [1, 7, 7]
    assert all(row.reply is not None for row in found)


def test_half_a_surrogate_pair_is_kept_and_sent(scene: MakeScene) -> None:
    one = scene("openai")
    status, found = one.run([NewRow(Request("night", ({"role": "user", "content": "broken \ud83d emoji"},), {"max_tokens": 20}), "s")])
    assert status.done + status.failed == 1
    jobs = one.jobs()
    assert "\\ud83d" in str(jobs.store.one("SELECT request FROM rows"))
    one.close(jobs)
    assert json.loads(json.dumps(found[0].error)) == found[0].error


def test_another_recipe_than_the_jobs_own_is_refused(scene: MakeScene) -> None:
    one = scene("openai")
    jobs = one.jobs()
    jobs.add(rows_of(1), "one")
    other = BatchJobs(type(jobs.recipe).load({"recipe": "day", "tiers": {"a": {"models": ["openai/gpt-4o"]}}, "ledger": "off"}), jobs.store)
    with pytest.raises(InputError, match="made with the recipe 'night'"):
        other.run("one")
    one.close(jobs)
