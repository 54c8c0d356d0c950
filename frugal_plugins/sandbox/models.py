"""GET /v1/models, in the dialect of whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from frugal_plugins.sandbox.api_errors import no_such_model
from frugal_plugins.sandbox.price_sheet import ModelCard
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider

SOLD_SINCE = datetime(2025, 1, 1, tzinfo=UTC)


def list_models(provider: Provider, call: Call) -> JsonReply:
    """Every model the asked provider sells, under its undated and its dated name."""
    anthropic = "anthropic-version" in call.headers
    shown = [_shown(card, name, anthropic) for card in provider.prices.cards() if _sold(card, anthropic) for name in _names(card)]
    if not anthropic:
        return JsonReply({"object": "list", "data": shown})
    first, last = (shown[0]["id"], shown[-1]["id"]) if shown else (None, None)
    return JsonReply({"data": shown, "has_more": False, "first_id": first, "last_id": last})


def get_model(provider: Provider, call: Call) -> JsonReply:
    """One model."""
    anthropic = "anthropic-version" in call.headers
    name = str(call.body["model_id"])
    card = provider.prices.find(name)
    if card is None or not _sold(card, anthropic):
        raise no_such_model(name, anthropic=anthropic)
    return JsonReply(_shown(card, card.served_as(name) if anthropic else name, anthropic))


def _sold(card: ModelCard, anthropic: bool) -> bool:
    return (card.provider == "anthropic") == anthropic


def _names(card: ModelCard) -> list[str]:
    return [name for name in dict.fromkeys((card.id, card.snapshot)) if name]


def _shown(card: ModelCard, name: str, anthropic: bool) -> dict[str, Any]:
    if not anthropic:
        return {"id": name, "object": "model", "created": int(SOLD_SINCE.timestamp()), "owned_by": "system"}
    return {
        "type": "model",
        "id": name,
        "display_name": card.id.replace("-", " ").title(),
        "created_at": SOLD_SINCE.isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": card.context_tokens,
        "max_tokens": card.max_output_tokens,
    }
