"""A rehearsal: what would happen to a request, and why, without a call."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from frugal_plugins.flow import Context, Decision, Flow
from frugal_plugins.request import Reply, Request
from frugal_plugins.tasks import Task
from frugal_plugins.tokens import count_messages
from frugal_plugins.usage import Usage

if TYPE_CHECKING:
    from frugal_plugins.recipe.recipe import Recipe

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
USUAL_OUTPUT_TOKENS = 200
"""What an answer is assumed to be long where nothing limits it, for the rehearsal's dollars only."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a recipe would do with one request.

    Attributes:
        sent: the request as it would be sent; None when a stored answer would be returned.
        baseline_usd, expected_usd: estimates for one answer of the limit's length (or 200 tokens); None when unpriced.
    """

    task: Task
    decisions: tuple[Decision, ...]
    asked: Request
    sent: Request | None
    baseline_model: str
    input_tokens: int
    baseline_usd: Decimal | None
    expected_usd: Decimal | None


def explain(flow: Flow, request: Request, ctx: Context, recipe: Recipe) -> Explanation:
    """Run a flow up to its first call and stop there."""
    sent: Request | None = None
    try:
        sent = next(flow).request
    except StopIteration as stop:
        assert isinstance(stop.value, Reply)
    finally:
        flow.close()
    baseline = recipe.baseline_model(request)
    tokens = count_messages(request.messages, request.model, params=request.params)
    return Explanation(
        task=ctx.task(request),
        decisions=tuple(ctx.decisions),
        asked=request,
        sent=sent,
        baseline_model=baseline,
        input_tokens=tokens,
        baseline_usd=recipe.prices.cost(baseline, _usual(request, tokens)),
        expected_usd=Decimal(0) if sent is None else recipe.prices.cost(sent.model, _usual(sent, _tokens(sent, request, tokens))),
    )


def _tokens(sent: Request, asked: Request, tokens: int) -> int:
    return tokens if sent.messages is asked.messages else count_messages(sent.messages, asked.model, params=sent.params)


def _usual(request: Request, tokens: int) -> Usage:
    """One answer of the usual length, or of the request's own limit where that is less."""
    limit = next((request.params[name] for name in _LIMITS if isinstance(request.params.get(name), int)), USUAL_OUTPUT_TOKENS)
    return Usage(input_tokens=tokens, output_tokens=max(0, min(USUAL_OUTPUT_TOKENS, limit)))
