"""A provider that misbehaves in every way peers were seen to fail at: every row comes once, in order, and is paid once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from frugal_plugins.batch import BatchSettings
from tests.batch.scene import PROVIDERS, Scene, rows_of

MakeScene = Callable[..., Scene]


def delivered_in_order(found: list[Any], count: int) -> bool:
    return [row.name for row in found] == [f"q{n}" for n in range(count)] and all(row.reply is not None for row in found)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_all_goes_well(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    status, found = one.run(rows_of(40))
    assert delivered_in_order(found, 40)
    assert (status.state, status.done, status.failed) == ("done", 40, 0)
    assert len(one.sandbox.invoice().lines) == 40
    assert {line.lane for line in one.sandbox.invoice().lines} == {"batch"}
    assert one.books_agree()
    assert status.spent_usd == one.sandbox.invoice().total_usd


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", ["accepted_error", "accepted_disconnect", "malformed_body"])
def test_a_batch_that_was_accepted_without_an_answer_is_found_and_not_paid_twice(scene: MakeScene, provider: str, kind: str) -> None:
    one = scene(provider)
    one.fault(kind, endpoint="batches")
    status, found = one.run(rows_of(20))
    assert delivered_in_order(found, 20)
    assert len(one.sandbox.invoice().lines) == 20
    assert len(status.batches) == 1
    assert one.books_agree()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", ["server_error", "disconnect", "overloaded"])
def test_a_batch_that_never_arrived_is_handed_in_again_once_that_is_certain(scene: MakeScene, provider: str, kind: str) -> None:
    one = scene(provider)
    one.fault(kind, endpoint="batches")
    started = one.clock.now()
    _, found = one.run(rows_of(10))
    assert delivered_in_order(found, 10)
    assert len(one.sandbox.invoice().lines) == 10
    posts = [r for r in one.sandbox.requests() if r.method == "POST" and r.path.endswith("/batches")]
    assert len(posts) == 2
    assert posts[1].at_unix_seconds - started >= 120, "not before it was looked for, twice"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_rate_limit_is_waited_out(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    one.fault("rate_limit", endpoint="batches", times=2, retry_after_seconds=90)
    _, found = one.run(rows_of(5))
    assert delivered_in_order(found, 5)
    posts = [r.at_unix_seconds for r in one.sandbox.requests() if r.method == "POST" and r.path.endswith("/batches")]
    assert all(later - sooner >= 90 for sooner, later in itertools.pairwise(posts))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_lines_that_come_twice_in_no_order_count_once(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    one.fault("batch_duplicate_lines", probability=0.5)
    _, found = one.run(rows_of(30))
    assert delivered_in_order(found, 30)
    assert one.books_agree()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", ["batch_lost_lines", "batch_broken_lines"])
def test_only_the_lines_that_got_lost_are_asked_again(scene: MakeScene, provider: str, kind: str) -> None:
    one = scene(provider)
    one.fault(kind, probability=0.2, seed=3)
    status, found = one.run(rows_of(40))
    assert delivered_in_order(found, 40)
    again = status.batches[1]["rows"]
    assert 0 < again < 20
    assert len(one.sandbox.invoice().lines) == 40 + again
    assert status.lost_usd > 0
    if provider == "openai":  # its batch says what it used in all, so what was lost is known exactly
        assert one.books_agree()
    else:  # Anthropic does not; the lost lines are booked like the average of the others
        assert abs(one.ledger_usd() - one.sandbox.invoice().total_usd) < Decimal("0.01")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_rows_that_failed_at_the_provider_are_asked_again_and_refused_ones_are_not(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    one.fault("batch_line_error", probability=0.3)
    rows = rows_of(20)
    rows[7] = rows_of(8, temperature=9)[7]
    status, found = one.run(rows)
    assert [row.n for row in found if row.reply is None] == [7]
    assert found[7].error is not None
    assert "temperature" in found[7].error
    assert (status.done, status.failed) == (19, 1)
    assert len(one.sandbox.invoice().lines) == 19
    assert one.books_agree()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_attempts_are_bounded(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    one.fault("batch_line_error", probability=1.0, times=50)
    status, found = one.run(rows_of(4))
    assert [row.reply for row in found] == [None] * 4
    assert all("asked 3 times" in (row.error or "") for row in found)
    assert len(status.batches) == 3
    assert not one.sandbox.invoice().lines


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_an_expired_batch_has_done_is_kept_and_only_the_rest_asked_again(scene: MakeScene, provider: str) -> None:
    one = scene(provider, settings=BatchSettings(window_hours=72))
    one.fault("batch_expires", probability=0.5)
    status, found = one.run(rows_of(40))
    assert delivered_in_order(found, 40)
    assert [batch["rows"] for batch in status.batches] == [40, 20]
    assert len(one.sandbox.invoice().lines) == 40
    assert one.books_agree()


def test_completed_before_its_file_is_there_and_ids_that_are_empty(scene: MakeScene) -> None:
    one = scene("openai")
    one.fault("batch_late_output", hold_seconds=400)
    one.fault("batch_empty_ids")
    status, found = one.run(rows_of(10))
    assert delivered_in_order(found, 10)
    assert len(status.batches) == 1


def test_too_many_tokens_at_once_are_halved_until_they_fit(scene: MakeScene) -> None:
    one = scene("openai")
    one.fault("batch_token_limit", times=99, limit_tokens=100)
    status, found = one.run(rows_of(30))
    assert delivered_in_order(found, 30)
    assert len(one.sandbox.invoice().lines) == 30
    assert {batch["rows"] for batch in status.batches} >= {30, 15}
    assert one.books_agree()


def test_files_with_prompts_do_not_stay_at_the_provider(scene: MakeScene) -> None:
    one = scene("openai")
    one.run(rows_of(3))
    deleted = [r.path for r in one.sandbox.requests() if r.method == "DELETE"]
    assert len(deleted) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_download_that_breaks_off_is_begun_again(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    one.fault("disconnect", endpoint="file_content" if provider == "openai" else "batches_results", times=2)
    _, found = one.run(rows_of(10))
    assert delivered_in_order(found, 10)
    assert len(one.sandbox.invoice().lines) == 10


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_wrong_key_ends_every_row_with_words_and_costs_nothing(scene: MakeScene, provider: str) -> None:
    one = scene(provider)
    one.fault("unauthorized", times=99)
    status, found = one.run(rows_of(3))
    assert status.failed == 3
    assert all("refused (401)" in (row.error or "") for row in found)
    assert not one.sandbox.invoice().lines


@pytest.mark.parametrize("provider", PROVIDERS)
def test_several_batches_by_rows_and_by_bytes(scene: MakeScene, provider: str) -> None:
    one = scene(provider, settings=BatchSettings(most_rows=8))
    status, found = one.run(rows_of(20))
    assert delivered_in_order(found, 20)
    assert sorted(batch["rows"] for batch in status.batches) == [4, 8, 8]
    two = scene(provider, settings=BatchSettings(most_bytes=3000))
    jobs = two.jobs()
    jobs.add(rows_of(20, text="Another question, number {n}, please."), "two")
    assert len(jobs.run("two").batches) > 1
    assert all(row.reply is not None for row in jobs.results("two"))
    two.close(jobs)
