"""What a proxy's caller is told in response headers."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from frugal_plugins.flow import Context
from frugal_plugins.ledger.settle import Entry, Settled, settled_once
from frugal_plugins.litellm.convert import why
from frugal_plugins.litellm.live import Live
from frugal_plugins.prices import PriceBook
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply, Request

_LONGEST_CHARS = 200


def headers_of(live: Live) -> dict[str, str]:
    """`x-frugal-*` for one request. What a stream saved is only known at its end, so it is left out there."""
    ctx, recipe = live.run.ctx, live.recipe
    last = live.run.call or (ctx.attempts[-1].call if ctx.attempts else None)
    model = last.request.model if last is not None else live.reply.model if live.reply is not None else None
    said: dict[str, str | None] = {
        "x-frugal-id": ctx.id,
        "x-frugal-recipe": recipe.name,
        "x-frugal-cache": cache_word(recipe, ctx),
        "x-frugal-model": model,
        "x-frugal-why": why(ctx.decisions) or ctx.group,
    }
    if live.reply is not None:
        settled = _settled(recipe, live.asked.request, ctx, live.reply, live.prices)
        if settled.actual_usd is not None and settled.baseline_usd is not None:
            said["x-frugal-saved-usd"] = _usd(settled.baseline_usd - settled.actual_usd)
        if settled.actual_usd is not None and len(ctx.attempts) != 1:  # the host knows the price of one call, not of none or of two
            said["x-litellm-response-cost"] = _usd(settled.actual_usd)
    return {name: plain_ascii(value) for name, value in said.items() if value}


def cache_word(recipe: Recipe, ctx: Context) -> str:
    """`hit`, `miss`, or `bypass` where the cache was not asked."""
    actions = [d.action for d in ctx.decisions if d.technique == "cache" and d.mode == "on"]
    if "hit" in actions:
        return "hit"
    asked = ctx.group == "treated" and ctx.held_out != "cache" and any(step.name == "cache" and mode == "on" for step, mode in recipe.steps)
    return "miss" if asked and "bypassed" not in actions and "stood_down" not in actions else "bypass"


def _settled(recipe: Recipe, request: Request, ctx: Context, reply: Reply, prices: PriceBook | None) -> Settled:
    """What the ledger will say this request came to."""
    entry = Entry(
        request=request,
        ctx=ctx,
        reply=reply,
        error=None,
        baseline_model=recipe.baseline_model(request),
        prices=prices or recipe.prices,
        at=dt.datetime.fromtimestamp(recipe.clock(), tz=dt.UTC),
        usual_output=recipe.ledger.usual_output if recipe.ledger is not None else lambda _task: None,
    )
    return settled_once(entry)


def _usd(amount: Decimal) -> str:
    return f"{amount:.10f}".rstrip("0").rstrip(".") or "0"


def plain_ascii(value: str) -> str:
    """A header value: printable ASCII on one line, of bounded length."""
    said = value[:_LONGEST_CHARS]
    return said if said.isascii() and said.isprintable() else "".join(char if " " <= char <= "~" else "?" for char in said)
