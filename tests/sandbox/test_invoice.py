"""The bill: by hand, per key, and against an independent price list."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import httpx
import pytest
from anthropic import Anthropic, BadRequestError
from openai import OpenAI

from frugal_plugins.errors import InputError
from frugal_plugins.sandbox import PriceSheet, Sandbox
from frugal_plugins.sandbox.anthropic_messages import messages
from frugal_plugins.sandbox.price_sheet import ModelCard
from frugal_plugins.sandbox.provider import Call, JsonReply
from frugal_plugins.usage import Usage, from_anthropic, from_openai

ASK = [{"role": "user", "content": "How do bees find home?"}]
LONG = " ".join(f"rule {number}: keep calm." for number in range(400))

SONNET_4_LONG = "genai-prices 0.2.3 has the long-context price for Sonnet 4.5 only; the provider lists it for Sonnet 4 too"

KNOWN_DIFFERENCES = {("claude-sonnet-4", "long"): SONNET_4_LONG, ("gemini-1.5-flash", "cache_read"): "explicit caching, not sold here"}
"""(model, what) and why the sheet is right."""


def test_a_chat_costs_what_its_usage_says(openai_client: OpenAI, sandbox: Sandbox) -> None:
    usage = openai_client.chat.completions.create(model="gpt-4o-mini", messages=ASK).usage
    by_hand = (usage.prompt_tokens * Decimal("0.15") + usage.completion_tokens * Decimal("0.60")) / 1_000_000
    assert sandbox.invoice().total_usd == by_hand
    line = sandbox.invoice().lines[0]
    assert (line.model, line.endpoint, line.lane, line.closed) == ("gpt-4o-mini", "chat", "standard", False)
    assert line.usage == from_openai(usage)
    assert line.at_unix_seconds == 1_750_000_000


def test_cache_writes_and_reads_have_their_own_prices(anthropic_client: Anthropic, sandbox: Sandbox) -> None:
    system = [{"type": "text", "text": LONG * 2, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    marked = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    expected = Decimal(0)
    for _ in range(2):
        usage = anthropic_client.messages.create(
            model="claude-haiku-4-5", max_tokens=30, system=system, messages=[{"role": "user", "content": marked}]
        ).usage
        made = usage.cache_creation
        expected += (
            usage.input_tokens * Decimal("1.00")
            + usage.cache_read_input_tokens * Decimal("0.10")
            + made.ephemeral_5m_input_tokens * Decimal("1.25")
            + made.ephemeral_1h_input_tokens * Decimal("2.00")
            + usage.output_tokens * Decimal("5.00")
        ) / 1_000_000
        assert sandbox.invoice().lines[-1].usage == from_anthropic(usage)
    assert sandbox.invoice().total_usd == expected
    assert sandbox.invoice().usage.cache_read_tokens > 4096


def test_flex_is_half_price(openai_client: OpenAI, sandbox: Sandbox) -> None:
    for tier in ("default", "flex"):
        answer = openai_client.chat.completions.create(model="gpt-5-mini", messages=ASK, service_tier=tier)
        assert answer.service_tier == tier
    standard, flex = sandbox.invoice().lines
    assert (standard.lane, flex.lane) == ("standard", "flex")
    assert flex.usd * 2 == standard.usd


def test_a_batch_halves_cached_input_only_where_the_provider_does() -> None:
    sheet = PriceSheet.load()
    usage = Usage(input_tokens=2_000_000, cache_read_tokens=1_000_000)
    assert sheet.find("gpt-4o").usd(usage, "batch") == Decimal("2.50")
    assert sheet.find("gpt-5").usd(usage, "batch") == Decimal("0.6875")
    assert sheet.find("claude-haiku-4-5").usd(Usage(input_tokens=1_000_000, cache_write_1h_tokens=1_000_000), "batch") == Decimal(1)


def test_a_row_of_a_batch_is_billed_as_one(sandbox: Sandbox) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": ASK}
    message = messages(sandbox.provider, Call("messages", body, "key", "req_1", headers, batch=True))
    assert isinstance(message, JsonReply)
    assert message.body["usage"]["service_tier"] == "batch"
    line = sandbox.invoice().lines[0]
    assert line.lane == "batch"
    assert line.usd == (line.usage.input_tokens * Decimal("0.5") + line.usage.output_tokens * Decimal("2.5")) / 1_000_000


def test_a_long_prompt_costs_the_long_context_price() -> None:
    card = PriceSheet.load().find("claude-sonnet-4-5-20250929")
    assert card.usd(Usage(input_tokens=200_000)) == Decimal("0.60")
    assert card.usd(Usage(input_tokens=200_001)) == Decimal("1.200006")


def test_lines_are_kept_apart_by_key_and_model(sandbox: Sandbox) -> None:
    for key, model in (("sk-a", "gpt-4o"), ("sk-b", "gpt-4o"), ("sk-b", "gpt-4o-mini")):
        with OpenAI(base_url=sandbox.openai_base_url, api_key=key) as client:
            client.chat.completions.create(model=model, messages=ASK)
    invoice = sandbox.invoice()
    assert len(invoice.for_key("sk-a").lines) == 1
    assert [line.model for line in invoice.for_key("sk-b").lines] == ["gpt-4o", "gpt-4o-mini"]
    assert invoice.for_key(invoice.lines[0].key) == invoice.for_key("sk-a")
    assert sum(invoice.by_model().values()) == invoice.total_usd
    assert not any("sk-" in line.key for line in invoice.lines)
    sandbox.reset()
    assert sandbox.invoice().lines == ()


def test_a_reader_who_leaves_pays_for_what_was_sent(sandbox: Sandbox) -> None:
    text = " ".join(f"word{number}" for number in range(500))
    with Sandbox(recorded=[{"user": "talk", "outputs": {"*": text}}], chunk_seconds=0.005) as slow:
        client = OpenAI(base_url=slow.openai_base_url, api_key="k")
        with client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "talk"}], stream=True) as stream:
            for place, _ in enumerate(stream):
                if place == 5:
                    break
        slow.settle()
        line = slow.invoice().lines[0]
        assert line.closed
        assert 5 <= line.usage.output_tokens < 500
        assert line.usd == (line.usage.input_tokens * Decimal("2.5") + line.usage.output_tokens * 10) / 1_000_000


def test_the_same_for_anthropic_and_the_responses_api() -> None:
    text = " ".join(f"word{number}" for number in range(500))
    talk = [{"role": "user", "content": "talk"}]
    with Sandbox(recorded=[{"user": "talk", "outputs": {"*": text}}], chunk_seconds=0.005) as slow:
        claude = Anthropic(base_url=slow.anthropic_base_url, api_key="k")
        with claude.messages.create(model="claude-haiku-4-5", max_tokens=2000, messages=talk, stream=True) as stream:
            next(event for event in stream if event.type == "content_block_delta")
        openai = OpenAI(base_url=slow.openai_base_url, api_key="k")
        with openai.responses.create(model="gpt-4o", input="talk", stream=True) as events:
            next(event for event in events if event.type == "response.output_text.delta")
        slow.settle()
        lines = slow.invoice().lines
        assert {line.endpoint for line in lines} == {"messages", "responses"}
        assert all(line.closed and 1 <= line.usage.output_tokens < 500 for line in lines)


@pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
def test_the_long_context_needs_its_beta_and_has_its_price(anthropic_client: Anthropic, sandbox: Sandbox) -> None:
    given = {"model": "claude-sonnet-4-20250514", "max_tokens": 1, "messages": [{"role": "user", "content": "word " * 210_000}]}
    with pytest.raises(BadRequestError, match="prompt is too long"):
        anthropic_client.messages.create(**given)
    usage = anthropic_client.beta.messages.create(**given, betas=["context-1m-2025-08-07"]).usage
    assert sandbox.invoice().total_usd == (usage.input_tokens * 6 + usage.output_tokens * Decimal("22.5")) / 1_000_000


def test_further_models_can_be_sold(sandbox: Sandbox) -> None:
    with Sandbox(prices={"house-model": {"input": "1", "output": "2", "reasoning": True}}) as own:
        OpenAI(base_url=own.openai_base_url, api_key="k").chat.completions.create(model="house-model", messages=ASK)
        line = own.invoice().lines[0]
        assert line.usd == (line.usage.input_tokens + 2 * line.usage.output_tokens) / Decimal(1_000_000)
        assert line.usage.reasoning_tokens > 0
    with pytest.raises(InputError, match="has no 'input'"):
        Sandbox(prices={"x": {"output": "1"}})
    key = {"authorization": "Bearer k"}
    assert httpx.get(f"{sandbox.url}/v1/models/house-model", headers=key).status_code == 404


def usages(card: ModelCard) -> dict[str, Usage]:
    cases = {"plain": Usage(input_tokens=10_000, output_tokens=1_000)}
    if card.kind == "embedding":
        return {"plain": Usage(input_tokens=10_000)}
    if card.rates.cache_read < card.rates.input or card.provider == "google":
        cases["cache_read"] = Usage(input_tokens=10_000, cache_read_tokens=8_000, output_tokens=10)
    if card.provider == "anthropic":
        cases["cache_write_5m"] = Usage(input_tokens=10_000, cache_write_5m_tokens=8_000, output_tokens=10)
        cases["cache_write_1h"] = Usage(input_tokens=10_000, cache_write_1h_tokens=8_000, output_tokens=10)
    if card.long_above_tokens:
        cases["long"] = Usage(input_tokens=card.long_above_tokens + 1, output_tokens=1_000)
    return cases


@pytest.mark.parametrize("card", [pytest.param(card, id=card.id) for card in PriceSheet.load().cards()])
def test_the_sheet_agrees_with_an_independent_price_list(card: ModelCard) -> None:
    names = {"claude-sonnet-4": "claude-sonnet-4-0", "claude-opus-4": "claude-opus-4-0"}
    for what, usage in usages(card).items():
        theirs = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens or None,
                cache_read_tokens=usage.cache_read_tokens or None,
                cache_write_tokens=usage.cache_write_tokens or None,
                cache_write_1h_tokens=usage.cache_write_1h_tokens or None,
            ),
            model_ref=names.get(card.id, card.id),
            provider_id=card.provider,
            genai_request_timestamp=datetime.now(UTC),
        ).total_price
        assert (card.usd(usage) != theirs) == ((card.id, what) in KNOWN_DIFFERENCES), f"{what}: {card.usd(usage)} here, {theirs} there"
