"""What calls cost: dated list prices from genai-prices, your own where you name them, and None where nobody knows.

Prices are per million tokens, in US dollars, as `Decimal`. Nothing is fetched: genai-prices carries its price list, with
the dates from which each price holds. A model without a price is "unpriced" and is counted as such, never as $0.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

from frugal_plugins.request import Lane
from frugal_plugins.usage import Usage

MILLION: Final = Decimal(1_000_000)
_HOUR_SECONDS: Final = 3600

# LiteLLM's provider prefixes and what genai-prices calls them.
_PROVIDERS: Final = {
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together_ai": "together",
    "vertex_ai": "google",
    "xai": "x-ai",
}


_HALF_IN_A_BATCH: Final = frozenset({"text-embedding-3-small", "text-embedding-3-large"})
"""Models whose batch price OpenAI lists and genai-prices does not have yet (developers.openai.com/api/docs/pricing, read 2026-11-22)."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars per million tokens for one model, lane and moment.

    Attributes:
        source: where the price comes from: the price list with its version, the recipe, or the host.
        as_of: the day for which the price was looked up.
    """

    input_usd: Decimal
    output_usd: Decimal
    cache_read_usd: Decimal
    cache_write_5m_usd: Decimal
    cache_write_1h_usd: Decimal
    source: str
    as_of: dt.date
    up_to_input_tokens: int | None = None
    _nothing_cached: Decimal = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Most calls have nothing cached: what that costs is worked out once (zero, with as many places as the rates have)."""
        object.__setattr__(self, "_nothing_cached", self._cached(0, 0, 0))

    def cost(self, usage: Usage) -> Decimal:
        """The dollars `usage` costs at these rates."""
        read, five, hour = usage.cache_read_tokens, usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
        cached = self._cached(read, five, hour) if read or five or hour else self._nothing_cached
        plain = max(0, usage.input_tokens - read - five - hour)
        return (plain * self.input_usd + cached + usage.output_tokens * self.output_usd) / MILLION

    def _cached(self, read: int, five: int, hour: int) -> Decimal:
        return read * self.cache_read_usd + five * self.cache_write_5m_usd + hour * self.cache_write_1h_usd


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Looks prices up and never guesses.

    Args:
        overrides: rates of your own by model name (negotiated prices, own deployments). They win over the list, exactly as
            named or without the provider prefix.

    >>> import datetime
    >>> first_of_november = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    >>> float(PriceBook().cost("openai/gpt-4o-mini", Usage(input_tokens=1_000_000), at=first_of_november))
    0.15
    >>> PriceBook().cost("nobody/knows-this", Usage(input_tokens=5)) is None
    True
    """

    overrides: Mapping[str, Rates] = field(default_factory=dict)

    def rates(self, model: str, *, at: dt.datetime | None = None, lane: Lane = "standard", input_tokens: int = 0) -> Rates | None:
        """The rates of a model, or None where no price is known for it in that lane."""
        own = (self.overrides.get(model) or self.overrides.get(bare_name(model))) if self.overrides else None
        if own is not None:
            return own if lane == "standard" else None
        hour = int((time.time() if at is None else at.timestamp()) // _HOUR_SECONDS)
        found = _listed(model, lane, hour, 0)
        if found and found.up_to_input_tokens is not None and input_tokens > found.up_to_input_tokens:
            return _listed(model, lane, hour, input_tokens)
        return found

    def cost(self, model: str, usage: Usage, *, at: dt.datetime | None = None, lane: Lane = "standard") -> Decimal | None:
        """What `usage` costs, or None for an unpriced model."""
        rates = self.rates(model, at=at, lane=lane, input_tokens=usage.input_tokens)
        return None if rates is None else rates.cost(usage)

    def with_overrides(self, overrides: Mapping[str, Rates]) -> PriceBook:
        """A book in which these rates win over the ones it had."""
        return PriceBook({**self.overrides, **overrides})


def load_price_list() -> None:
    """Read the price list now, in this thread.

    genai-prices imports httpx2, and the openai client looks at a half-imported httpx2 and fails its call. So the list is
    never first read in the background while requests are under way.
    """
    import genai_prices.data_snapshot

    genai_prices.data_snapshot.get_snapshot()


def own_rates(model: str, price: Mapping[str, Any], source: str) -> Rates:
    """Rates from `{input_usd, output_usd, cache_read_usd, cache_write_usd, cache_write_1h_usd}`, dollars per million tokens.

    A cached read that is not named costs what input costs; a write likewise. Raises ValueError where a price is negative.
    """
    values = {name: Decimal(str(value)) for name, value in price.items() if value is not None}
    if any(value < 0 for value in values.values()):
        raise ValueError(f"the price of {model} is negative; prices are dollars per million tokens, 0 or more")
    paid = values["input_usd"]
    write = values.get("cache_write_usd", paid)
    return Rates(
        input_usd=paid,
        output_usd=values["output_usd"],
        cache_read_usd=values.get("cache_read_usd", paid),
        cache_write_5m_usd=write,
        cache_write_1h_usd=values.get("cache_write_1h_usd", write),
        source=source,
        as_of=dt.datetime.now(tz=dt.UTC).date(),
    )


@lru_cache(maxsize=4096)
def bare_name(model: str) -> str:
    """A model's name without LiteLLM's provider prefix."""
    prefix, _, rest = model.partition("/")
    return rest if prefix in _PROVIDERS and rest else model


_FAMILIES: Final[Mapping[str, str]] = {
    "claude": "anthropic",
    **dict.fromkeys(("gpt-", "chatgpt", "o1", "o3", "o4", "text-embedding-"), "openai"),
    "gemini": "gemini",
}


@lru_cache(maxsize=4096)
def provider_of(model: str) -> str | None:
    """LiteLLM's provider prefix of a model: written in front, or plain from the name of the family."""
    prefix, slash, _ = model.partition("/")
    if slash:
        return prefix
    return next((provider for family, provider in _FAMILIES.items() if model.startswith(family)), None)


def _lane_context(info: Any, lane: Lane) -> dict[str, str] | None:
    """How the price list names a lane for this model (`processing` for batch, `service_tier` for flex), or None."""
    for variant in info.price_variants or ():
        for key in ("processing", "service_tier"):
            if variant.when.get(key) == lane:
                return {key: lane}
    return None


def _half(rates: Rates) -> Rates:
    prices = {one.name: getattr(rates, one.name) / 2 for one in fields(Rates) if one.name.endswith("_usd")}
    return replace(rates, **prices, source="OpenAI's price list, read 2026-11-22: half in a batch")


@lru_cache(maxsize=4096)
def _listed(model: str, lane: Lane, hours: int, input_tokens: int) -> Rates | None:
    """Rates from genai-prices, so many hours after 1970. Prices change by the hour at most, so an hour's answer is kept."""
    from genai_prices import data_snapshot
    from genai_prices.types import TieredPrices

    hour = dt.datetime.fromtimestamp(hours * _HOUR_SECONDS, tz=dt.UTC)
    prefix, slash, rest = model.partition("/")
    if slash and prefix not in _PROVIDERS:
        return None
    provider_id = _PROVIDERS[prefix] if slash else None
    try:
        _, info = data_snapshot.get_snapshot().find_provider_model(rest if slash else model, None, provider_id, None)
    except LookupError:
        return None
    context = None if lane == "standard" else _lane_context(info, lane)
    if lane != "standard" and context is None:
        halved = lane == "batch" and info.id in _HALF_IN_A_BATCH and _listed(model, "standard", hours, input_tokens)
        return _half(halved) if halved else None
    price = info.get_prices(hour, context)
    limits: list[int] = []

    def rate(name: str) -> Decimal | None:
        value = getattr(price, name, None)
        if not isinstance(value, TieredPrices):
            return value
        limits.append(min(tier.start for tier in value.tiers))
        reached = [tier for tier in value.tiers if input_tokens > tier.start]
        return max(reached, key=lambda tier: tier.start).price if reached else value.base

    paid, out = rate("input_mtok"), rate("output_mtok")
    if paid is None:
        return None
    read, write, hour_write = rate("cache_read_mtok"), rate("cache_write_mtok"), rate("cache_write_1h_mtok")
    write = paid if write is None else write
    return Rates(
        input_usd=paid,
        output_usd=Decimal(0) if out is None else out,
        cache_read_usd=paid if read is None else read,
        cache_write_5m_usd=write,
        cache_write_1h_usd=write if hour_write is None else hour_write,
        source=f"genai-prices {version('genai-prices')}",
        as_of=hour.date(),
        up_to_input_tokens=min(limits) if limits and not input_tokens else None,
    )
