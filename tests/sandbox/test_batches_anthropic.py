"""Anthropic's message batches, through Anthropic's own client, on a clock that is moved by hand."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError, InternalServerError, NotFoundError

from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.sandbox.faults import Fault

DAY = 86_400


def row(number: int, **changes: Any) -> Any:
    params = {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": f"Say {number}."}]}
    return {"custom_id": f"q{number}", "params": params | changes}


def test_a_batch_ends_with_results_and_costs_half(anthropic_client: Anthropic, sandbox: Sandbox, clock: VirtualClock) -> None:
    batch = anthropic_client.messages.batches.create(requests=[row(n) for n in range(6)])
    assert (batch.processing_status, batch.request_counts.processing, batch.results_url) == ("in_progress", 6, None)
    clock.advance(300)
    half = anthropic_client.messages.batches.retrieve(batch.id)
    assert half.request_counts.succeeded == 0, "counts stay hidden until the end"
    clock.advance(301)
    ended = anthropic_client.messages.batches.retrieve(batch.id)
    assert (ended.processing_status, ended.request_counts.succeeded) == ("ended", 6)
    found = list(anthropic_client.messages.batches.results(batch.id))
    assert {one.custom_id for one in found} == {f"q{n}" for n in range(6)}
    assert all(one.result.type == "succeeded" and one.result.message.usage.service_tier == "batch" for one in found)
    card = sandbox.provider.prices.find("claude-haiku-4-5")
    assert card is not None
    assert all(one.lane == "batch" and one.usd * 2 == card.usd(one.usage) for one in sandbox.invoice().lines)


def test_cancelled_and_expired_rows_are_not_billed(anthropic_client: Anthropic, sandbox: Sandbox, clock: VirtualClock) -> None:
    batch = anthropic_client.messages.batches.create(requests=[row(n) for n in range(10)])
    clock.advance(300)
    assert anthropic_client.messages.batches.cancel(batch.id).processing_status == "canceling"
    with pytest.raises(BadRequestError):
        anthropic_client.messages.batches.delete(batch.id)
    clock.advance(301)
    counts = anthropic_client.messages.batches.retrieve(batch.id).request_counts
    assert (counts.succeeded, counts.canceled, len(sandbox.invoice().lines)) == (5, 5, 5)
    sandbox.faults.add(Fault("batch_expires", probability=0.2))
    late = anthropic_client.messages.batches.create(requests=[row(n) for n in range(10)])
    clock.advance(DAY + 1)
    counts = anthropic_client.messages.batches.retrieve(late.id).request_counts
    assert (counts.succeeded, counts.expired, len(sandbox.invoice().lines)) == (2, 8, 7)


def test_a_row_that_is_refused_comes_back_as_errored(anthropic_client: Anthropic, sandbox: Sandbox, clock: VirtualClock) -> None:
    batch = anthropic_client.messages.batches.create(requests=[row(1), row(2, temperature=7)])
    clock.advance(700)
    found = {one.custom_id: one.result for one in anthropic_client.messages.batches.results(batch.id)}
    assert found["q1"].type == "succeeded"
    assert found["q2"].type == "errored"
    assert found["q2"].error.error.type == "invalid_request_error"
    assert len(sandbox.invoice().lines) == 1


@pytest.mark.parametrize(
    "requests",
    [[], [row(1), row(1)], [{**row(1), "custom_id": "no spaces"}], [{**row(1), "custom_id": "x" * 65}], [row(1, stream=True)]],
)
def test_a_bad_batch_is_refused_whole(anthropic_client: Anthropic, sandbox: Sandbox, requests: Any) -> None:
    with pytest.raises(BadRequestError):
        anthropic_client.messages.batches.create(requests=requests)
    assert not list(anthropic_client.messages.batches.list())


def test_one_hundred_thousand_requests_and_not_one_more(anthropic_client: Anthropic) -> None:
    with pytest.raises(BadRequestError, match="at most 100000"):
        anthropic_client.messages.batches.create(requests=[{"custom_id": "a", "params": {}}] * 100_001)  # type: ignore[typeddict-item]


def test_a_batch_can_be_taken_in_without_its_caller_knowing(anthropic_client: Anthropic, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("accepted_error", endpoint="batches"))
    with pytest.raises(InternalServerError):
        anthropic_client.messages.batches.create(requests=[row(1)])
    assert [one.request_counts.processing for one in anthropic_client.messages.batches.list()] == [1]


def test_results_are_gone_after_twenty_nine_days(anthropic_client: Anthropic, clock: VirtualClock) -> None:
    batch = anthropic_client.messages.batches.create(requests=[row(1)])
    clock.advance(30 * DAY)
    assert anthropic_client.messages.batches.retrieve(batch.id).archived_at is not None
    with pytest.raises(Exception, match="results_url"):
        list(anthropic_client.messages.batches.results(batch.id))
    assert anthropic_client.messages.batches.delete(batch.id).id == batch.id
    with pytest.raises(NotFoundError):
        anthropic_client.messages.batches.retrieve(batch.id)
