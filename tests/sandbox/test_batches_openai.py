"""OpenAI's files and batches, through OpenAI's own client, on a clock that is moved by hand."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from openai import APIConnectionError, APIStatusError, BadRequestError, InternalServerError, NotFoundError, OpenAI
from openai.types import Batch

from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.sandbox.faults import Fault

DAY = 86_400


def line(number: int, **changes: Any) -> dict[str, Any]:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Say {number}."}], "max_tokens": 20}
    return {"custom_id": f"q{number}", "method": "POST", "url": "/v1/chat/completions", "body": body, **changes}


def submit(client: OpenAI, lines: list[Any], endpoint: Any = "/v1/chat/completions") -> Batch:
    data = "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in lines).encode()
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"job": "one"})


def lines_of(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id
    return [json.loads(one) for one in client.files.content(file_id).text.splitlines()]


def test_a_batch_goes_through_its_states_and_costs_half(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    batch = submit(openai_client, [line(n) for n in range(10)])
    states = [batch.status]
    for seconds in (10, 300, 295, 10):
        clock.advance(seconds)
        batch = openai_client.batches.retrieve(batch.id)
        states.append(batch.status)
    assert states == ["validating", "in_progress", "in_progress", "finalizing", "completed"]
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 10
    found = lines_of(openai_client, batch.output_file_id)
    assert {one["custom_id"] for one in found} == {f"q{n}" for n in range(10)}
    assert [one["custom_id"] for one in found] != [f"q{n}" for n in range(10)], "no order is promised"
    assert batch.error_file_id is None
    assert {one.lane for one in sandbox.invoice().lines} == {"batch"}
    assert batch.usage is not None
    assert batch.usage.input_tokens == sandbox.invoice().usage.input_tokens
    at_list_price = sum((sandbox.provider.prices.find(one.model).usd(one.usage) for one in sandbox.invoice().lines), Decimal(0))  # type: ignore[union-attr]
    assert sandbox.invoice().total_usd * 2 == at_list_price


def test_half_way_only_half_is_done_and_billed(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    batch = submit(openai_client, [line(n) for n in range(10)])
    clock.advance(305)
    counts = openai_client.batches.retrieve(batch.id).request_counts
    assert counts is not None
    assert (counts.total, counts.completed, len(sandbox.invoice().lines)) == (10, 5, 5)
    assert openai_client.batches.cancel(batch.id).status == "cancelling"
    clock.advance(301)
    ended = openai_client.batches.retrieve(batch.id)
    assert ended.status == "cancelled"
    assert len(lines_of(openai_client, ended.output_file_id)) == 5
    assert {one["error"]["code"] for one in lines_of(openai_client, ended.error_file_id)} == {"batch_cancelled"}
    assert len(sandbox.invoice().lines) == 5
    with pytest.raises(APIStatusError):
        openai_client.batches.cancel(batch.id)


def test_an_expired_batch_hands_out_and_bills_what_was_done(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    sandbox.faults.add(Fault("batch_expires", probability=0.3))
    batch = submit(openai_client, [line(n) for n in range(10)])
    clock.advance(DAY - 60)
    assert openai_client.batches.retrieve(batch.id).status == "in_progress"
    clock.advance(100)
    ended = openai_client.batches.retrieve(batch.id)
    assert ended.status == "expired"
    assert len(lines_of(openai_client, ended.output_file_id)) == len(sandbox.invoice().lines) == 3
    assert {one["error"]["code"] for one in lines_of(openai_client, ended.error_file_id)} == {"batch_expired"}


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([line(1), line(1)], "duplicate_custom_id"),
        ([line(1), line(2, url="/v1/embeddings")], "invalid_url"),
        ([line(1), line(2, custom_id=None)], "missing_required_parameter"),
        ([line(1), line(2, body={"model": "gpt-4o", "messages": []})], "mismatched_model"),
        ([line(1), '{"custom_id": "half'], "invalid_json_line"),
        ([line(1), line(2, body={**line(2)["body"], "stream": True})], "invalid_request"),
    ],
)
def test_a_bad_line_fails_the_whole_batch_and_says_which(
    openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock, lines: list[Any], code: str
) -> None:
    batch = submit(openai_client, lines)
    clock.advance(10)
    batch = openai_client.batches.retrieve(batch.id)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(one.code, one.line) for one in batch.errors.data or ()] == [(code, 2)]
    assert not sandbox.invoice().lines


def test_rows_that_fail_stand_in_the_error_file_and_cost_nothing(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    sandbox.faults.add(Fault("batch_line_error", probability=0.5))
    batch = submit(openai_client, [line(n) for n in range(20)])
    clock.advance(1000)
    batch = openai_client.batches.retrieve(batch.id)
    good, bad = lines_of(openai_client, batch.output_file_id), lines_of(openai_client, batch.error_file_id)
    assert {one["response"]["status_code"] for one in bad} == {500}
    assert len(good) + len(bad) == 20
    assert len(sandbox.invoice().lines) == len(good)


def test_lines_get_lost_repeated_and_broken_on_order(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    shares = {"batch_lost_lines": 0.2, "batch_duplicate_lines": 0.2, "batch_broken_lines": 0.2}
    sandbox.faults.add(*(Fault(kind, probability=share) for kind, share in shares.items()))  # type: ignore[arg-type]
    batch = submit(openai_client, [line(n) for n in range(40)])
    clock.advance(1000)
    raw = openai_client.files.content(openai_client.batches.retrieve(batch.id).output_file_id or "").text.splitlines()
    whole = [json.loads(one)["custom_id"] for one in raw if one.endswith("}")]
    assert len(set(whole)) < len(whole), "some stand there twice"
    assert len(set(whole)) < 40, "some are not there"
    assert len(whole) < len(raw), "some cannot be read"
    assert len(sandbox.invoice().lines) == 40, "all were paid"


def test_completed_before_the_file_is_there_and_empty_ids(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    sandbox.faults.add(Fault("batch_late_output", hold_seconds=120), Fault("batch_empty_ids"))
    batch = submit(openai_client, [line(1)])
    clock.advance(615)
    batch = openai_client.batches.retrieve(batch.id)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("completed", "", "")
    clock.advance(120)
    batch = openai_client.batches.retrieve(batch.id)
    assert batch.output_file_id
    assert batch.error_file_id == ""


def test_too_many_enqueued_tokens_are_taken_in_and_fail(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    sandbox.faults.add(Fault("batch_token_limit", times=9, limit_tokens=12))
    batches = [submit(openai_client, [line(n), line(n + 1)]) for n in (1, 2)]
    clock.advance(10)
    states = [openai_client.batches.retrieve(one.id) for one in batches]
    assert [one.status for one in states] == ["in_progress", "failed"]
    assert states[1].errors is not None
    assert (states[1].errors.data or [])[0].code == "token_limit_exceeded"


@pytest.mark.parametrize("kind", ["accepted_error", "accepted_disconnect", "malformed_body"])
def test_a_batch_can_be_taken_in_without_its_caller_knowing(openai_client: OpenAI, sandbox: Sandbox, kind: Any) -> None:
    sandbox.faults.add(Fault(kind, endpoint="batches"))
    with pytest.raises((InternalServerError, APIConnectionError, ValueError)):
        submit(openai_client, [line(1)])
    listed = openai_client.batches.list(limit=5).data
    assert [one.metadata for one in listed] == [{"job": "one"}]


def test_lists_come_in_pages_newest_first(openai_client: OpenAI) -> None:
    made = [submit(openai_client, [line(n)]).id for n in range(5)]
    assert [one.id for one in openai_client.batches.list(limit=2)] == made[::-1]


def test_limits_of_a_file_and_of_a_batch(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    with pytest.raises(BadRequestError):
        openai_client.files.create(file=("in.txt", b"{}"), purpose="batch")
    rows = "".join(
        f'{{"custom_id":"{n}","method":"POST","url":"/v1/chat/completions","body":{{"model":"gpt-4o"}}}}\n' for n in range(50_001)
    )
    batch = submit(openai_client, [rows])
    inputs = line(1, url="/v1/embeddings", body={"model": "text-embedding-3-small", "input": ["a"] * 50_001})
    vectors = submit(openai_client, [inputs], "/v1/embeddings")
    clock.advance(10)
    for one, code in ((batch, "too_many_tasks"), (vectors, "too_many_inputs")):
        failed = openai_client.batches.retrieve(one.id)
        assert failed.errors is not None
        assert [problem.code for problem in failed.errors.data or ()] == [code]


def test_files_of_another_key_and_expired_ones_are_not_there(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    file = openai_client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    with OpenAI(base_url=sandbox.openai_base_url, api_key="sk-two", max_retries=0) as other, pytest.raises(NotFoundError):
        other.files.retrieve(file.id)
    assert openai_client.files.content(file.id).content == b"{}"
    clock.advance(31 * DAY)
    with pytest.raises(NotFoundError):
        openai_client.files.content(file.id)
    kept = openai_client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    assert [one.id for one in openai_client.files.list()] == [kept.id]
    assert openai_client.files.delete(kept.id).deleted
    assert not list(openai_client.files.list())


def test_embeddings_and_responses_have_a_batch_too(openai_client: OpenAI, sandbox: Sandbox, clock: VirtualClock) -> None:
    vectors = submit(
        openai_client, [line(1, url="/v1/embeddings", body={"model": "text-embedding-3-small", "input": "a b"})], "/v1/embeddings"
    )
    answers = submit(openai_client, [line(1, url="/v1/responses", body={"model": "gpt-4o-mini", "input": "Say one."})], "/v1/responses")
    clock.advance(1000)
    for one, kind in ((vectors, "list"), (answers, "response")):
        found = lines_of(openai_client, openai_client.batches.retrieve(one.id).output_file_id)
        assert found[0]["response"]["body"]["object"] == kind
    assert {one.lane for one in sandbox.invoice().lines} == {"batch"}
