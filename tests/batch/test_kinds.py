"""Embeddings, responses and Anthropic's own messages as rows of a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from frugal_plugins import Request
from frugal_plugins.batch import BatchSettings, NewRow
from frugal_plugins.batch.lanes_openai import OpenAILane
from frugal_plugins.sandbox.embeddings import vector
from tests.batch.scene import Scene, rows_of

MakeScene = Callable[..., Scene]
SMALL = "openai/text-embedding-3-small"
ONE_MODEL = {"tiers": {"only": {"models": [SMALL]}}}


def documents(*texts: Any, **params: Any) -> list[NewRow]:
    return [NewRow(Request("night", (), {"input": text, **params}, endpoint="embeddings"), f"d{n}") for n, text in enumerate(texts)]


def test_documents_are_embedded_in_order_at_half_the_price_and_equal_ones_once(scene: MakeScene) -> None:
    one = scene("openai", more=ONE_MODEL | {"cache": {"match": "exact"}, "cap": {}})
    texts = [f"The handbook of item {n}." for n in range(30)]
    status, found = one.run(documents(*texts, texts[3], dimensions=64))
    assert [row.name for row in found] == [f"d{n}" for n in range(31)]
    expected = [vector(text, 64).tolist() for text in (*texts, texts[3])]
    assert [row.vectors[0] for row in found] == [pytest.approx(one) for one in expected]
    assert status.asked_once == 1
    lines = one.sandbox.invoice().lines
    assert [(line.lane, line.model) for line in lines] == [("batch", "text-embedding-3-small")] * 30
    assert one.books_agree()
    assert status.spent_usd == one.sandbox.invoice().total_usd > 0


def test_a_row_of_several_texts_gives_their_vectors_in_order_and_texts_are_counted_against_the_limit(
    scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenAILane, "most_inputs", 5)
    one = scene("openai", more=ONE_MODEL)
    rows = documents(*([f"a{n}", f"b{n}"] for n in range(6)))
    jobs = one.jobs()
    plan = jobs.plan(rows)
    assert plan.rows == 6
    jobs.add(rows, "one")
    status = jobs.run("one")
    found = list(jobs.results("one"))
    one.close(jobs)
    assert [batch["rows"] for batch in status.batches] == [2, 2, 2]
    assert {batch["endpoint"] for batch in status.batches} == {"embeddings"}
    assert [len(row.vectors) for row in found] == [2] * 6
    assert found[4].vectors[1] == pytest.approx(vector("b4", 1536).tolist())


def test_an_empty_document_is_refused_by_name_and_the_others_are_embedded(scene: MakeScene) -> None:
    one = scene("openai", more=ONE_MODEL)
    status, found = one.run(documents("first", "", "third"))
    assert [row.n for row in found if row.error] == [1]
    assert "empty text" in (found[1].error or "")
    assert (status.done, len(one.sandbox.invoice().lines)) == (2, 2)


def test_responses_come_as_the_api_gives_them(scene: MakeScene) -> None:
    one = scene("openai")
    items = ({"role": "user", "content": "What is a shelf for?"},)
    rows = [
        NewRow(Request("night", items, {"max_output_tokens": 200, "instructions": f"Answer in {n} words."}, endpoint="responses"), f"q{n}")
        for n in range(1, 9)
    ]
    status, found = one.run(rows)
    assert status.done == 8
    assert all(row.reply is not None and row.reply.raw["object"] == "response" and row.reply.text for row in found)
    asked = [request.path for request in one.sandbox.requests() if request.method == "POST"]
    assert "/v1/batches" in asked
    assert not any(path.endswith("responses") for path in asked)
    assert one.books_agree()


def test_a_recipe_may_send_a_response_to_openai_only_and_says_so(scene: MakeScene) -> None:
    one = scene("anthropic")
    rows = [NewRow(Request("night", ({"role": "user", "content": "hi"},), {}, endpoint="responses"), "q0")]
    status, found = one.run(rows)
    assert status.failed == 1
    assert "no batch lane for /v1/responses" in (found[0].error or "")
    assert not one.sandbox.requests()


def test_anthropics_own_messages_go_as_they_are(scene: MakeScene) -> None:
    one = scene("anthropic")
    body = {"system": [{"type": "text", "text": "Be brief."}], "max_tokens": 60, "top_k": 5}
    row = NewRow(Request("night", ({"role": "user", "content": "Why?"},), body, endpoint="messages"), "m")
    status, found = one.run([row])
    assert status.done == 1
    assert found[0].reply is not None
    assert found[0].reply.raw["type"] == "message"
    assert one.books_agree()


def test_late_documents_are_embedded_in_real_time_before_the_deadline(scene: MakeScene) -> None:
    one = scene("openai", more=ONE_MODEL, settings=BatchSettings(window_hours=2, seconds_per_call=1))
    one.fault("batch_slow", hold_seconds=20_000)
    started = one.clock.now()
    status, found = one.run(documents(*(f"Text number {n}." for n in range(20)), dimensions=8))
    assert one.clock.now() <= started + 7200
    assert all(len(row.vectors[0]) == 8 for row in found)
    assert status.late_rows["standard"] > 0
    assert status.late_extra_usd > 0
    assert one.books_agree()


def test_kinds_of_one_job_go_into_batches_of_their_own(scene: MakeScene) -> None:
    one = scene("openai", more={"tiers": {"only": {"models": ["openai/gpt-4o-mini"]}}})
    vectors = [NewRow(Request(SMALL, (), {"input": "x", "dimensions": 4}, endpoint="embeddings"), "v")]
    response = [NewRow(Request("night", ({"role": "user", "content": "hi"},), {}, endpoint="responses"), "r")]
    status, found = one.run([*rows_of(2), *vectors, *response])
    assert sorted(batch["endpoint"] for batch in status.batches) == ["chat", "embeddings", "responses"]
    assert [row.endpoint for row in found] == ["chat", "chat", "embeddings", "responses"]
    assert one.books_agree()


def test_azure_is_asked_under_its_own_address_and_key(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox is no Azure: it shows that the API's shape, address and key are those of Azure's v1 API, not that Azure agrees."""
    one = scene("openai", more={"tiers": {"only": {"models": ["azure/gpt-4o-mini"]}}})
    monkeypatch.setenv("AZURE_API_KEY", "azure-key")
    monkeypatch.setenv("AZURE_API_BASE", f"{one.sandbox.url}/")
    seen: list[httpx.Request] = []
    send = httpx.Client.send

    def to_sandbox(client: httpx.Client, request: httpx.Request, **how: Any) -> httpx.Response:
        seen.append(request)
        assert request.url.path.startswith("/openai/v1/")
        request.url = request.url.copy_with(path=request.url.path.removeprefix("/openai"))
        request.headers["authorization"] = f"Bearer {request.headers['api-key']}"
        return send(client, request, **how)

    monkeypatch.setattr(httpx.Client, "send", to_sandbox)
    status, found = one.run(rows_of(5))
    assert status.done == 5, [row.error for row in found]
    assert {request.headers["api-key"] for request in seen} == {"azure-key"}
    assert one.books_agree()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("vertex_ai/gemini-2.5-flash", "Cloud Storage"),
        ("bedrock/anthropic.claude-haiku-4-5", "S3 buckets"),
        ("xai/grok-4", "an API of their own"),
        ("gemini/gemini-2.5-flash", "48 hours"),
    ],
)
def test_a_provider_without_a_lane_here_is_refused_by_name_before_anything_is_paid(scene: MakeScene, model: str, words: str) -> None:
    one = scene("openai", more={"tiers": {"only": {"models": [model]}}})
    status, found = one.run(rows_of(1))
    assert status.failed == 1
    assert words in (found[0].error or "")
    assert "no_lane: realtime" in (found[0].error or "")
    assert not one.sandbox.requests()
