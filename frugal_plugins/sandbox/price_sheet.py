"""What the sandbox charges: list prices from the providers' own pages, kept apart from the price data the package uses.

The two are independent on purpose. A ledger that priced itself from the table it is checked against would always agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from frugal_plugins.errors import InputError
from frugal_plugins.usage import Usage

Lane = Literal["standard", "flex", "batch"]

MILLION = Decimal(1_000_000)

_SNAPSHOT = re.compile(r"(-\d{4}-\d{2}-\d{2}|-\d{8}|-latest|-0)$")


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal

    def usd(self, usage: Usage) -> Decimal:
        """The exact price of `usage` at these rates."""
        return (
            usage.uncached_input_tokens * self.input
            + usage.cache_read_tokens * self.cache_read
            + usage.cache_write_5m_tokens * self.cache_write_5m
            + usage.cache_write_1h_tokens * self.cache_write_1h
            + usage.output_tokens * self.output
        ) / MILLION


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model: its prices and the limits a caller can run into.

    Attributes:
        id: the undated name (`gpt-4o-mini`, `claude-haiku-4-5`).
        provider: `openai`, `anthropic` or `google`.
        kind: `chat` or `embedding`.
        rates: list prices.
        long_rates: the prices of a request whose input is longer than `long_above_tokens`.
        batch_cached_discount: whether cached input is discounted in a batch too; where it is not it costs the batch input price.
        flex: whether `service_tier: "flex"` is sold, at half price.
        cache_minimum_tokens: shortest prompt the provider caches; None for a model without a prompt cache.
        context_tokens: input and output together.
        long_context_tokens: the same for a caller who asked for the long context (Anthropic's `context-1m` beta).
        snapshot: the dated name the provider answers with when it was asked for the undated one; "" where it has none.
        reasoning: whether the model thinks before it answers, out of the caller's sight and on the caller's bill.
    """

    id: str
    provider: str
    kind: str
    rates: Rates
    long_above_tokens: int | None
    long_rates: Rates | None
    batch_cached_discount: bool
    flex: bool
    cache_minimum_tokens: int | None
    context_tokens: int
    long_context_tokens: int
    max_output_tokens: int
    reasoning: bool
    snapshot: str = ""

    def served_as(self, model: str) -> str:
        """The name in the answer: an alias is answered under the snapshot's name, as both providers do."""
        return model if re.search(r"\d{8}$|\d{4}-\d{2}-\d{2}$", model) else self.snapshot or model

    def usd(self, usage: Usage, lane: Lane = "standard") -> Decimal:
        """What one call costs. Flex and batch halve every price this model discounts."""
        rates = self.rates
        if self.long_rates and self.long_above_tokens is not None and usage.input_tokens > self.long_above_tokens:
            rates = self.long_rates
        if lane == "standard":
            return rates.usd(usage)
        if lane == "batch" and not self.batch_cached_discount:
            usage = usage.with_(cache_read_tokens=0)
        return rates.usd(usage) / 2


class PriceSheet:
    """The models the sandbox serves, found by exact, dated or `-latest` name."""

    def __init__(self, cards: Mapping[str, ModelCard]) -> None:
        self._cards = dict(cards)
        self._found: dict[str, ModelCard | None] = {}

    @classmethod
    def load(cls, extra: Mapping[str, Mapping[str, Any]] | None = None, file: Path | None = None) -> PriceSheet:
        """The shipped prices, then those of `file`, then `extra`; a later one replaces an earlier one."""
        entries: dict[str, Mapping[str, Any]] = dict(_shipped()["models"])
        if file is not None:
            entries |= _from_file(file)
        entries |= extra or {}
        return cls({name: _card(name, entry) for name, entry in entries.items()})

    def find(self, model: str) -> ModelCard | None:
        """The card of `model`, or None when no such model is sold."""
        if model not in self._found:
            if len(self._found) > 10_000:
                self._found.clear()
            self._found[model] = self._cards.get(model) or self._cards.get(_SNAPSHOT.sub("", model))
        return self._found[model]

    def cards(self) -> tuple[ModelCard, ...]:
        """Every model, in the order of the file."""
        return tuple(self._cards.values())


def base_id(model: str) -> str:
    """A model's name without provider prefix and snapshot date.

    >>> base_id("openai/gpt-4o-mini-2024-07-18"), base_id("claude-haiku-4-5-20251001")
    ('gpt-4o-mini', 'claude-haiku-4-5')
    """
    return _SNAPSHOT.sub("", model.rpartition("/")[2])


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Any]:
    text = resources.files("frugal_plugins.sandbox").joinpath("prices.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def _from_file(file: Path) -> dict[str, Any]:
    try:
        models = json.loads(file.read_text(encoding="utf-8"))["models"]
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}): check the path", file=str(file)) from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError('not a price file: write {"models": {"name": {"input": "1.00", "output": "2.00"}}}', file=str(file)) from error
    if not isinstance(models, dict):
        raise InputError("'models' is not an object: write one entry per model name", file=str(file))
    return models


def _card(name: str, entry: Mapping[str, Any]) -> ModelCard:
    if "input" not in entry:
        raise InputError(f"the price of {name} has no 'input': add it in USD per million tokens, as a string")
    anthropic = entry.get("provider", "openai") == "anthropic"
    long = entry.get("long_context")
    context_tokens = int(entry.get("context_tokens", 128_000))
    return ModelCard(
        id=name,
        provider=entry.get("provider", "openai"),
        kind=entry.get("kind", "chat"),
        rates=_rates(entry),
        long_above_tokens=long["above_input_tokens"] if long else None,
        long_rates=_rates(long) if long else None,
        batch_cached_discount=bool(entry.get("batch_cached_discount", anthropic)),
        flex=bool(entry.get("flex", False)),
        cache_minimum_tokens=entry.get("cache_minimum_tokens"),
        context_tokens=context_tokens,
        long_context_tokens=int((long or {}).get("context_tokens", context_tokens)),
        max_output_tokens=int(entry.get("max_output_tokens", 16_384)),
        reasoning=bool(entry.get("reasoning", False)),
        snapshot=entry.get("snapshot", ""),
    )


def _rates(entry: Mapping[str, Any]) -> Rates:
    """Prices of one entry; a cache price that is not listed is the input price, as on a bill that does not know caching."""
    price = Decimal(str(entry["input"]))

    def of(name: str, default: Decimal) -> Decimal:
        value = entry.get(name)
        return default if value is None else Decimal(str(value))

    write = of("cache_write_5m", price)
    return Rates(price, of("output", Decimal(0)), of("cache_read", price), write, of("cache_write_1h", write))
