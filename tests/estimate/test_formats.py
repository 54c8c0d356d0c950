"""Every format people have is recognised by itself and comes to the dollars a person would work out."""

from __future__ import annotations

import csv
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins import Recipe, Request
from frugal_plugins.drivers import drive
from frugal_plugins.request import Reply
from frugal_plugins.usage import Usage
from tests.estimate.conftest import Write, chat, estimated

MILLION = Decimal(1_000_000)
GPT_4O = (1000 * Decimal("2.5") + 100 * 10) / MILLION
GPT_4O_CACHED = (400 * Decimal("2.5") + 600 * Decimal("1.25") + 100 * 10) / MILLION
SONNET = (1000 * 3 + 5000 * Decimal("0.3") + 2000 * Decimal("3.75") + 3000 * 6 + 200 * 15) / MILLION


def litellm(**more: Any) -> dict[str, Any]:
    row = {"request_id": "r", "call_type": "acompletion", "spend": 0.1, "startTime": "2026-11-01T10:00:00Z", "model": "gpt-4o"}
    return {**row, "custom_llm_provider": "openai", "prompt_tokens": 1000, "completion_tokens": 100, "cache_hit": "False", **more}


ANTHROPIC_USAGE = {
    "input_tokens": 1000,
    "cache_read_input_tokens": 5000,
    "cache_creation_input_tokens": 5000,
    "cache_creation": {"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 3000},
    "output_tokens": 200,
}
OPENAI_REPORT = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1793491200,
            "results": [
                {
                    "input_tokens": 10000,
                    "output_tokens": 1000,
                    "input_cached_tokens": 6000,
                    "num_model_requests": 10,
                    "model": "gpt-4o-2024-08-06",
                },
                {"input_tokens": 10000, "output_tokens": 1000, "num_model_requests": 10, "model": "gpt-4o-2024-08-06", "batch": True},
            ],
        }
    ],
}
ANTHROPIC_RESULT = {
    "uncached_input_tokens": 1000,
    "cache_read_input_tokens": 5000,
    "cache_creation": {"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 3000},
    "output_tokens": 200,
    "model": "claude-sonnet-4-5",
    "service_tier": "standard",
    "context_window": "0-200k",
}
HELICONE = {"request_id": "h", "request_created_at": "2026-11-01T10:00:00Z", "response_status": 200, "request_model": "gpt-4o"}
LANGFUSE = {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-11-01T10:00:00.000Z", "model": "gpt-4o"}

CASES: dict[str, tuple[list[dict[str, Any]], str, Decimal]] = {
    "openai chat": ([chat()], "raw requests", GPT_4O),
    "openai chat, cached": ([chat(cached=600)], "raw requests", GPT_4O_CACHED),
    "openai response alone": ([chat()["response"] | {"created": 1793500000}], "raw requests", GPT_4O),
    "openai responses api": (
        [
            {
                "request": {"model": "gpt-4o", "input": "hi"},
                "response": {
                    "object": "response",
                    "model": "gpt-4o",
                    "usage": {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 600}, "output_tokens": 100},
                },
            }
        ],
        "raw requests",
        GPT_4O_CACHED,
    ),
    "openai batch output": (
        [{"id": "batch_req_1", "custom_id": "a", "error": None, "response": {"status_code": 200, "body": chat()["response"]}}],
        "raw requests",
        GPT_4O / 2,
    ),
    "openai flex": (
        [{**chat(model="gpt-5"), "service_tier": "flex", "response": chat(model="gpt-5")["response"] | {"service_tier": "flex"}}],
        "raw requests",
        (1000 * Decimal("1.25") + 100 * 10) / 2 / MILLION,
    ),
    "anthropic message": (
        [
            {
                "request": {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]},
                "response": {"type": "message", "model": "claude-sonnet-4-5", "usage": ANTHROPIC_USAGE},
            }
        ],
        "raw requests",
        SONNET,
    ),
    "litellm": ([litellm()], "LiteLLM spend logs", GPT_4O),
    "litellm, cached": (
        [litellm(metadata={"usage_object": {"prompt_tokens_details": {"cached_tokens": 600}}})],
        "LiteLLM spend logs",
        GPT_4O_CACHED,
    ),
    "litellm, anthropic": (
        [
            litellm(
                model="claude-sonnet-4-5",
                custom_llm_provider="anthropic",
                prompt_tokens=11000,
                completion_tokens=200,
                metadata=json.dumps(
                    {
                        "usage_object": {
                            "cache_read_input_tokens": 5000,
                            "cache_creation_input_tokens": 5000,
                            "prompt_tokens_details": {"cache_creation_token_details": {"ephemeral_1h_input_tokens": 3000}},
                        }
                    }
                ),
            )
        ],
        "LiteLLM spend logs",
        SONNET,
    ),
    "openai usage report": ([OPENAI_REPORT], "OpenAI organization usage", 10 * GPT_4O_CACHED + 5 * GPT_4O),
    "anthropic usage report": (
        [
            {
                "data": [{"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z", "results": [ANTHROPIC_RESULT]}],
                "has_more": False,
            }
        ],
        "Anthropic usage report",
        SONNET,
    ),
    "langfuse": ([{**LANGFUSE, "usageDetails": {"input": 1000, "output": 100, "total": 1100}}], "Langfuse observations", GPT_4O),
    "langfuse, cached": (
        [{**LANGFUSE, "usageDetails": {"input": 400, "input_cached_tokens": 600, "output": 100, "total": 1100}}],
        "Langfuse observations",
        GPT_4O_CACHED,
    ),
    "langfuse, cached tokens inside input": (
        [{**LANGFUSE, "usageDetails": {"input": 1000, "input_cached_tokens": 600, "output": 100, "total": 1100}}],
        "Langfuse observations",
        GPT_4O_CACHED,
    ),
    "helicone": (
        [{**HELICONE, "prompt_tokens": 1000, "prompt_cache_read_tokens": 600, "completion_tokens": 100}],
        "Helicone requests",
        GPT_4O_CACHED,
    ),
    "helicone with bodies": (
        [{**HELICONE, "request_body": json.dumps(chat()["request"]), "response_body": json.dumps(chat()["response"])}],
        "Helicone requests",
        GPT_4O,
    ),
    "plain table": (
        [{"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100, "cached_tokens": 600}],
        "a table of models",
        GPT_4O_CACHED,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_format_is_recognised_and_priced(name: str, lines: Write) -> None:
    records, format_name, usd = CASES[name]
    found = estimated(lines(records))
    assert [seen for seen in found.intake.formats if seen.startswith(format_name)]
    assert found.spend.usd == usd


@pytest.mark.parametrize("name", ["litellm, anthropic", "langfuse, cached", "helicone with bodies", "plain table"])
def test_the_same_as_a_table(name: str, text: Write) -> None:
    records, format_name, usd = CASES[name]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]))
    writer.writeheader()
    for record in records:
        writer.writerow({key: json.dumps(value) if isinstance(value, dict) else value for key, value in record.items()})
    found = estimated(text(out.getvalue(), "export.csv"))
    assert [seen for seen in found.intake.formats if seen.startswith(format_name)]
    assert found.spend.usd == usd


@pytest.mark.parametrize("name", ["openai chat", "openai usage report", "litellm", "langfuse"])
def test_packed_as_a_document_or_in_utf_16(name: str, text: Write) -> None:
    records, _, usd = CASES[name]
    packed = gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode())
    document = json.dumps(records, indent=2)
    for content in (packed, document.encode(), document.encode("utf-16"), b"\xef\xbb\xbf" + document.encode()):
        assert estimated(text(content, "export")).spend.usd == usd


def test_two_files_and_mixed_formats_are_added_and_said(lines: Write) -> None:
    one = lines([chat(), litellm()], "mixed.jsonl")
    two = lines([OPENAI_REPORT], "report.json")
    found = estimated(one, two)
    assert found.spend.usd == 2 * GPT_4O + 10 * GPT_4O_CACHED + 5 * GPT_4O
    assert len(found.intake.formats) == 3
    assert any("several formats" in note.what for note in found.notes)


def test_each_format_says_what_it_leaves_out(lines: Write) -> None:
    found = estimated(lines([OPENAI_REPORT]))
    assert any("single requests and prompts" in note.what and "cannot be judged" in note.means for note in found.notes)
    hidden = {saving.name for saving in found.savings.techniques if not saving.visible}
    assert {"cache", "history", "prompt_cache", "cap"} <= hidden
    assert all("needs" in saving.driver for saving in found.savings.techniques if not saving.visible)


def test_our_own_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    tiers = {"simple": {"models": ["openai/gpt-4o-mini"]}, "standard": {"models": ["openai/gpt-4o"]}}
    recipe = Recipe.load({"recipe": "small", "tiers": tiers, "cache": {}, "ledger": {"path": str(path)}}, clock=lambda: 1_793_500_000.0)
    for _ in range(2):
        flow, ctx = recipe.flow(Request("openai/gpt-4o", ({"role": "user", "content": "hi"},)))
        drive(flow, ctx, lambda call: Reply({"role": "assistant", "content": "ok"}, "gpt-4o", Usage(1000, 600, output_tokens=100)))
    recipe.close()
    found = estimated(path)
    assert found.spend.usd == GPT_4O_CACHED
    assert found.spend.stored_answers == 1
    assert found.spend.requests == 2


def test_requests_without_usage_are_counted_from_their_text(lines: Write) -> None:
    record = chat("How many legs does a spider have?")
    del record["response"]["usage"]
    found = estimated(lines([record]))
    assert 0 < found.spend.usd < Decimal("0.001")
    assert any("carry no usage" in note.what for note in found.notes)
