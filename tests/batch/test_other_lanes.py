"""Groq's and Mistral's batches. The sandbox is neither: it shows that the lanes speak the APIs their documentation describes."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins import Request
from frugal_plugins.batch import BatchSettings, NewRow
from frugal_plugins.sandbox import Sandbox, VirtualClock
from tests.batch.scene import START, Scene, rows_of

LANES = {"groq": "groq/openai/gpt-oss-120b", "mistral": "mistral/mistral-small-latest"}
PRICES = {
    "openai/gpt-oss-120b": {"provider": "groq", "input": "0.15", "output": "0.60"},
    "mistral-small-latest": {"provider": "mistral", "input": "0.15", "output": "0.60"},
}


class Elsewhere:
    """A scene at one of these providers."""

    def __init__(self, provider: str, sandbox: Sandbox, clock: VirtualClock, folder: Path) -> None:
        self.provider, self.sandbox, self.clock, self.folder = provider, sandbox, clock, folder

    def scene(self, **how: Any) -> Scene:
        return Scene("openai", self.sandbox, self.clock, self.folder, more={"tiers": {"only": {"models": [LANES[self.provider]]}}}, **how)


@pytest.fixture(params=list(LANES))
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    clock = VirtualClock(START)
    for name in ("FRUGAL_LEDGER", "FRUGAL_MODE", "FRUGAL_OFF", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with Sandbox(clock=clock, prices=PRICES) as sandbox:
        provider = str(request.param)
        monkeypatch.setenv(f"{provider.upper()}_API_KEY", "k")
        monkeypatch.setenv(f"{provider.upper()}_API_BASE", f"{sandbox.url}/v1")
        yield Elsewhere(provider, sandbox, clock, tmp_path)


def test_rows_come_back_in_order_at_half_the_price_and_the_input_file_is_deleted(elsewhere: Elsewhere) -> None:
    one = elsewhere.scene()
    status, found = one.run(rows_of(12))
    assert [row.name for row in found] == [f"q{n}" for n in range(12)]
    assert all(row.reply is not None and row.reply.text for row in found), [row.error for row in found]
    assert {batch["provider"] for batch in status.batches} == {elsewhere.provider}
    assert {line.lane for line in one.sandbox.invoice().lines} == {"batch"}
    assert one.books_agree()
    assert status.spent_usd == one.sandbox.invoice().total_usd > 0
    asked = urllib.request.Request(f"{elsewhere.sandbox.url}/v1/files", headers={"authorization": "Bearer k"})
    with urllib.request.urlopen(asked) as response:
        files = json.load(response)["data"]
    assert [one["filename"] for one in files if one["filename"].startswith("frugal-")] == []


@pytest.mark.parametrize("kind", ["accepted_error", "accepted_disconnect", "malformed_body"])
def test_a_batch_whose_answer_got_lost_is_found_and_not_paid_twice(elsewhere: Elsewhere, kind: str) -> None:
    one = elsewhere.scene()
    one.fault(kind, endpoint="batches")
    status, _ = one.run(rows_of(8))
    assert status.done == 8
    assert set(one.paid_rows().values()) == {1}
    assert len(one.sandbox.invoice().lines) == 8
    assert one.books_agree()


def test_what_an_expired_batch_had_done_is_kept_and_only_the_rest_is_asked_again(elsewhere: Elsewhere) -> None:
    one = elsewhere.scene(settings=BatchSettings(window_hours=72))
    one.fault("batch_expires", probability=0.5)
    status, found = one.run(rows_of(10))
    assert all(row.reply is not None for row in found)
    assert [batch["status"] for batch in status.batches] == ["expired", "completed"]
    assert len(one.sandbox.invoice().lines) == 10
    assert one.books_agree()


def test_lines_that_are_lost_broken_or_doubled_change_nothing_but_the_bill(elsewhere: Elsewhere) -> None:
    one = elsewhere.scene()
    for kind in ("batch_lost_lines", "batch_broken_lines", "batch_duplicate_lines", "batch_line_error"):
        one.fault(kind, probability=0.1)
    _, found = one.run(rows_of(40))
    assert [row.name for row in found if row.reply is not None] == [f"q{n}" for n in range(40)]


def test_a_slow_batch_is_stopped_and_filled_in_before_the_deadline(elsewhere: Elsewhere) -> None:
    one = elsewhere.scene(settings=BatchSettings(window_hours=2, seconds_per_call=1))
    one.fault("batch_slow", hold_seconds=20_000)
    status, found = one.run(rows_of(10))
    assert all(row.reply is not None for row in found)
    assert one.clock.now() <= status.deadline_seconds
    assert status.late_rows["standard"] > 0
    assert one.books_agree()


def test_only_chat_completions_have_a_lane_there(elsewhere: Elsewhere) -> None:
    one = elsewhere.scene()
    row = NewRow(Request(LANES[elsewhere.provider], ({"role": "user", "content": "hi"},), {}, endpoint="responses"), "r")
    _, found = one.run([row])
    assert "has no batch lane for /v1/responses; name a model of openai, azure" in (found[0].error or "")
    assert not one.sandbox.invoice().lines


def test_a_missing_key_is_named_and_nothing_is_sent(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"{elsewhere.provider.upper()}_API_KEY")
    one = elsewhere.scene()
    jobs = one.jobs()
    jobs.add(rows_of(2), "one")
    with pytest.raises(Exception, match=f"{elsewhere.provider.upper()}_API_KEY is not set"):
        jobs.run("one")
    one.close(jobs)
    assert not one.sandbox.requests()


def test_mistral_is_asked_in_its_own_words_and_a_field_it_lacks_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock(START)
    monkeypatch.setenv("MISTRAL_API_KEY", "k")
    with Sandbox(clock=clock, prices=PRICES) as sandbox:
        monkeypatch.setenv("MISTRAL_API_BASE", sandbox.url)
        one = Elsewhere("mistral", sandbox, clock, tmp_path).scene()
        asked = ({"role": "user", "content": "hi"},)
        good = NewRow(Request("night", asked, {"max_completion_tokens": 9, "seed": 3}), "good")
        _, found = one.run([good, NewRow(Request("night", asked, {"logit_bias": {"1": 1}}), "bad")])
        assert found[0].reply is not None
        assert "'logit_bias' has no counterpart at Mistral" in (found[1].error or "")
        assert sandbox.invoice().lines[0].usage.output_tokens <= 9
        job = next(request for request in sandbox.requests() if request.path == "/v1/batch/jobs" and request.method == "POST")
        assert job.body["model"] == "mistral-small-latest"
