"""What techniques in shadow would have saved on one request, each alone. A rehearsal: it is never added to what was saved.

Counted low: text that would have been taken out as if the provider had read it from its cache, a cap not at all, because an
answer that would have been cut might have been asked again. What a prompt cache would have done cannot be told from one request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from frugal_plugins.flow import Context, Rehearsal
from frugal_plugins.prices import provider_of
from frugal_plugins.usage import Usage

_REWRITING: Final = ("shorten", "history")
Price = Callable[[str, Usage], Decimal | None]


def would_save(ctx: Context, model: str, usage: Usage, paid_usd: Decimal, price: Price) -> Mapping[str, Decimal]:
    """Dollars by technique; a negative one would have cost more. Where a price is missing, nothing is said.

    Args:
        model, usage, paid_usd: of the call that gave the answer.
        price: the list price of some tokens at a model.
    """
    found: dict[str, Decimal] = {}
    for rehearsal in ctx.rehearsed:
        saved = _saved(rehearsal, ctx, model, usage, paid_usd, price)
        if saved:
            found[rehearsal.technique] = found.get(rehearsal.technique, Decimal(0)) + saved
    return found


def _saved(rehearsal: Rehearsal, ctx: Context, model: str, usage: Usage, paid_usd: Decimal, price: Price) -> Decimal | None:
    after = rehearsal.after
    if after is None:
        return paid_usd
    now = price(model, usage)
    if after.model != rehearsal.before.model:
        then = price(after.model, _elsewhere(after.model, model, usage))
    elif rehearsal.technique in _REWRITING:
        then = price(model, _shorter(rehearsal.technique, ctx, usage))
    else:
        return None
    return None if now is None or then is None else now - then


def _shorter(technique: str, ctx: Context, usage: Usage) -> Usage:
    decided = [d for d in ctx.decisions if d.technique == technique and d.mode == "shadow" and d.tokens_after is not None]
    taken = sum((d.tokens_before or 0) - (d.tokens_after or 0) for d in decided)
    cached = min(max(taken, 0), usage.cache_read_tokens)
    plain = min(max(taken, 0) - cached, usage.uncached_input_tokens)
    return usage.with_(input_tokens=usage.input_tokens - cached - plain, cache_read_tokens=usage.cache_read_tokens - cached)


def _elsewhere(model: str, answered_by: str, usage: Usage) -> Usage:
    if provider_of(model) == provider_of(answered_by):
        return usage
    return usage.with_(cache_write_5m_tokens=0, cache_write_1h_tokens=0)
