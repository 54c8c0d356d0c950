"""A provider that keeps prompts in its cache and bills by the price list, and conversations with it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from frugal_plugins.flow import Call
from frugal_plugins.prefix.cost import plan_for
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.route import Route, Tier
from frugal_plugins.usage import Usage
from tests.support import send

HAIKU, SONNET = "anthropic/claude-haiku-4-5", "anthropic/claude-sonnet-4-5"
MINI, GPT = "openai/gpt-4o-mini", "openai/gpt-4o"
PRICES = PriceBook()
CLAUDE = (Tier("simple", (HAIKU,)), Tier("standard", (SONNET,)))
OPENAI = (Tier("simple", (MINI,)), Tier("standard", (GPT,)))


class Caching:
    """A provider that keeps every prompt it was sent, model by model, for five minutes, and bills by the price list."""

    def __init__(self, *, marked: bool = True) -> None:
        self.marked = marked
        self.now = 1_800_000_000.0
        self.spent = Decimal(0)
        self.asked: list[str] = []
        self._seen: list[tuple[str, str, float]] = []

    def __call__(self, call: Call) -> Reply:
        model, text = call.request.model, "".join(str(m["content"]) for m in call.request.messages)
        plan = plan_for(model, PRICES)
        assert plan is not None
        fresh = [(m, t, at) for m, t, at in self._seen if m == model and self.now - at < plan.ttl_seconds]
        shared = max((_common(text, t) for _, t, _ in fresh), default=0) // 4
        total = len(text) // 4
        caches = self.marked or not plan.explicit
        read = plan.cached(shared) if caches else 0
        written = total - read if caches and plan.explicit and total >= plan.minimum_tokens else 0
        usage = Usage(total, cache_read_tokens=read, cache_write_5m_tokens=written, output_tokens=5)
        if caches:
            self._seen.append((model, text, self.now))
        cost = PRICES.cost(model, usage)
        assert cost is not None
        self.spent += cost
        self.asked.append(model)
        return Reply({"role": "assistant", "content": "Yes."}, model, usage)


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def route(tiers: tuple[Tier, ...] = CLAUDE) -> Route:
    return Route(tiers, {"yes_no": "simple"}, "standard", frozenset({"frugal"}), PRICES, escalate=False)


def talk(by: Route | None, provider: Caching, tasks: list[tuple[str, float]], *, model: str, words: int) -> Decimal:
    """A conversation with one front; each turn says what it is and how long after the last it comes. Without a route: untouched."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "rule " * words}]
    for number, (task, pause_seconds) in enumerate(tasks):
        provider.now += pause_seconds
        messages = [*messages, {"role": "user", "content": f"question {number} {task}"}]
        request = Request(model, tuple(messages))
        if by is None:
            reply = provider(Call(request))
        else:
            reply, _ = send(request, provider, by, declared_task=task, clock=lambda: provider.now)
        messages = [*messages, dict(reply.message)]
    return provider.spent
