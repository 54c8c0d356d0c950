"""Prices the host knows: `input_cost_per_token` and the like, given with a call or in a deployment's `model_info`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from frugal_plugins.prices import MILLION, PriceBook, Rates, own_rates

_FIELDS: Final = {
    "input_usd": "input_cost_per_token",
    "output_usd": "output_cost_per_token",
    "cache_read_usd": "cache_read_input_token_cost",
    "cache_write_usd": "cache_creation_input_token_cost",
    "cache_write_1h_usd": "cache_creation_input_token_cost_above_1hr",
}
"""Our names for LiteLLM's, which are dollars for one token."""


def prices_of_call(prices: PriceBook, model: str, kwargs: Mapping[str, Any]) -> PriceBook | None:
    """The book with the price a caller gave along with the call; None where he gave none."""
    rates = rates_from(kwargs, model, "litellm call")
    return None if rates is None else prices.with_overrides({model: rates})


def prices_of_deployments(prices: PriceBook, deployments: Iterable[Mapping[str, Any]]) -> PriceBook | None:
    """The book with the prices of a proxy's deployments, by `model_name` and by the model behind it; the recipe's own still win."""
    found: dict[str, Rates] = {}
    for deployment in deployments:
        params, info = deployment.get("litellm_params"), deployment.get("model_info")
        sources = [source for source in (params, info) if isinstance(source, Mapping)]
        for name in (deployment.get("model_name"), params.get("model") if isinstance(params, Mapping) else None):
            rates = next((r for source in sources if (r := rates_from(source, str(name), "litellm model_info")) is not None), None)
            if isinstance(name, str) and rates is not None:
                found.setdefault(name, rates)
    return PriceBook({**found, **prices.overrides}) if found else None


def rates_from(source: Mapping[str, Any], model: str, named: str) -> Rates | None:
    """Rates per million tokens out of LiteLLM's fields; None unless both input and output are there and make sense."""
    if source.get(_FIELDS["input_usd"]) is None or source.get(_FIELDS["output_usd"]) is None:
        return None
    given = {ours: source[theirs] for ours, theirs in _FIELDS.items() if source.get(theirs) is not None}
    try:
        return own_rates(model, {name: Decimal(str(value)) * MILLION for name, value in given.items()}, named)
    except (InvalidOperation, ValueError):
        return None
