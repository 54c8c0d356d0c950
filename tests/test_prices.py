"""Prices are dated, exact and never guessed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_plugins.prices import PriceBook, own_rates, provider_of
from frugal_plugins.request import Lane
from frugal_plugins.usage import Usage

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
MODELS = (
    "openai/gpt-4o-mini",
    "openai/gpt-4o",
    "openai/o3-mini",
    "anthropic/claude-haiku-4-5",
    "anthropic/claude-sonnet-4-5",
    "openai/gpt-5",
)


@given(
    model=st.sampled_from(MODELS),
    lane=st.sampled_from(["standard", "batch"]),
    plain=st.integers(0, 300_000),
    read=st.integers(0, 300_000),
    write=st.integers(0, 50_000),
    hour=st.integers(0, 50_000),
    out=st.integers(0, 20_000),
)
def test_our_arithmetic_is_the_price_lists_own(model: str, lane: Lane, plain: int, read: int, write: int, hour: int, out: int) -> None:
    if not model.startswith("anthropic"):
        write = hour = 0
    usage = Usage(plain + read + write + hour, read, write, hour, out)
    provider, _, name = model.partition("/")
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=read,
            cache_write_tokens=write + hour,
            cache_write_1h_tokens=hour,
            output_tokens=out,
        ),
        name,
        provider_id=provider,
        genai_request_timestamp=NOW,
        price_context=None if lane == "standard" else {"processing": lane},
    )
    assert PriceBook().cost(model, usage, at=NOW, lane=lane) == theirs.total_price


@pytest.mark.parametrize("model", ["nobody/knows", "hosted_vllm/llama", "gpt-4o-nonsense", "openai/frugal-test"])
def test_an_unknown_model_is_unpriced_and_never_free(model: str) -> None:
    assert PriceBook().cost(model, Usage(input_tokens=1000), at=NOW) is None


def test_a_lane_without_a_known_price_is_unpriced() -> None:
    assert PriceBook().cost("anthropic/claude-haiku-4-5", Usage(input_tokens=1), at=NOW, lane="flex") is None


def test_flex_costs_half_where_the_provider_offers_it() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=1000)
    full = PriceBook().cost("openai/gpt-5-mini", usage, at=NOW)
    flex = PriceBook().cost("openai/gpt-5-mini", usage, at=NOW, lane="flex")
    assert full is not None
    assert flex == full / 2


def test_a_batch_costs_half_and_multiplies_with_cached_reads() -> None:
    usage = Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000)
    full = PriceBook().cost("anthropic/claude-haiku-4-5", usage, at=NOW)
    half = PriceBook().cost("anthropic/claude-haiku-4-5", usage, at=NOW, lane="batch")
    assert (full, half) == (Decimal("0.1"), Decimal("0.05"))


def test_a_long_context_pays_the_higher_tier_for_all_its_tokens() -> None:
    book = PriceBook()
    assert book.cost("anthropic/claude-sonnet-4-5", Usage(input_tokens=200_000), at=NOW) == Decimal("0.6")
    assert book.cost("anthropic/claude-sonnet-4-5", Usage(input_tokens=200_001), at=NOW) == Decimal("1.200006")


def test_the_price_of_the_day_is_the_one_that_counts() -> None:
    early = PriceBook().rates("openai/gpt-4o-mini", at=NOW)
    assert early is not None
    assert early.as_of == NOW.date()
    assert early.source.startswith("genai-prices ")


def test_your_own_price_wins_with_and_without_the_prefix() -> None:
    book = PriceBook({"gpt-4o-mini": own_rates("gpt-4o-mini", {"input_usd": "0.1", "output_usd": 1}, "recipe")})
    assert book.cost("openai/gpt-4o-mini", Usage(input_tokens=1_000_000), at=NOW) == Decimal("0.1")
    assert book.cost("gpt-4o-mini", Usage(input_tokens=10, cache_read_tokens=10), at=NOW) == Decimal("0.000001")


def test_a_negative_price_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        own_rates("m", {"input_usd": -1, "output_usd": 1}, "recipe")


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("o3-mini", "openai"),
        ("claude-haiku-4-5", "anthropic"),
        ("azure/x", "azure"),
        ("gemini-2.5-pro", "gemini"),
        ("llama", None),
    ],
)
def test_the_provider_of_a_name(model: str, provider: str | None) -> None:
    assert provider_of(model) == provider
