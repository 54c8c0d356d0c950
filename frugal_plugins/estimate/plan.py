"""The recipe an estimate assumes: the one that was named, or tiers and budgets fitted to the models this traffic uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from frugal_plugins.flow import Call, Context, ask
from frugal_plugins.models import capabilities
from frugal_plugins.prices import PriceBook, Rates, bare_name, own_rates, provider_of
from frugal_plugins.recipe.settings import RecipeSettings
from frugal_plugins.request import Request
from frugal_plugins.techniques.route import Route, Tier

TASKS: Final[Mapping[str, tuple[str, int | None]]] = {
    "yes_no": ("simple", 5),
    "classification": ("simple", 20),
    "extraction": ("simple", 50),
    "faq": ("simple", 200),
    "support_reply": ("standard", 200),
    "summary": ("simple", 300),
    "outline": ("standard", 400),
    "drafting": ("standard", 400),
    "document": ("complex", 800),
    "code": ("standard", None),
    "reasoning": ("complex", None),
}
"""Tier and output budget of each kind of work, as the shipped recipes have them."""

_CANDIDATES: Final[Mapping[str, tuple[str, str, str]]] = {
    "openai": ("openai/gpt-4o-mini", "openai/gpt-4o", "openai/o3-mini"),
    "anthropic": ("anthropic/claude-haiku-4-5", "anthropic/claude-sonnet-4-5", "anthropic/claude-opus-4-5"),
    "gemini": ("gemini/gemini-2.5-flash-lite", "gemini/gemini-2.5-flash", "gemini/gemini-2.5-pro"),
}
_NAMES: Final = ("simple", "standard", "complex")
_MOST_IN_A_TIER: Final = 8
_SAME_PRICE: Final = 1.5
"""How much dearer than a tier's own model another one may be and still belong there."""

_STANDS_FOR: Final[Mapping[str, Any]] = {
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "functions": [{"name": "f", "parameters": {"type": "object"}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
    "thinking": {"type": "enabled"},
}
_IMAGE: Final = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
_WORDS: Final = {"role": "user", "content": "?"}


@dataclass(frozen=True)
class Plan:
    """What the seven techniques would be told.

    Attributes:
        tiers: cheapest first.
        tasks, budgets: tier and output tokens by kind of work.
        source: the recipe's name, or "fitted to this traffic".
        canonical: whether politeness and case may differ in a repeat; sticky: whether a conversation keeps its model.
    """

    tiers: tuple[Tier, ...]
    tasks: Mapping[str, str]
    budgets: Mapping[str, int]
    prices: PriceBook
    source: str
    baseline: str
    ttl_seconds: int = 86_400
    reasoning_tokens: int = 2_000
    retry_factor: int = 4
    canonical: bool = True
    sticky: bool = True

    @cached_property
    def _route(self) -> Route:
        return Route(self.tiers, self.tasks, self.baseline, frozenset(), self.prices, "none")

    def target(self, model: str, task: str, needs: str) -> str | None:
        """The model `route` would send a request to, or None where it stays: the technique itself is asked."""
        names = [name for name in needs.split(",") if name]
        params = {name: _STANDS_FOR.get(name, 0.5) for name in names if name != "images"}
        request = Request(model, ((_IMAGE if "images" in names else _WORDS),), params)
        call = next(self._route(request, ask, Context(declared_task=task)))
        found = call.request.model if isinstance(call, Call) else model
        return None if bare_name(found) == bare_name(model) else found

    def rank(self, model: str) -> int:
        """The tier a model is in; -1 for none."""
        bare = bare_name(model)
        return next((index for index, tier in enumerate(self.tiers) if any(bare_name(m) == bare for m in tier.models)), -1)

    @property
    def cheapest(self) -> str:
        """Who would write summaries."""
        return self.tiers[0].models[0]


def plan_of(settings: RecipeSettings, book: PriceBook) -> Plan:
    """The plan a recipe makes; its own prices win."""
    own = {model: own_rates(model, price.rates(), f"recipe {settings.recipe}") for model, price in settings.prices.items()}
    more: dict[str, Any] = {}
    if settings.cache is not None:
        more |= {"ttl_seconds": settings.cache.ttl_seconds, "canonical": settings.cache.match != "exact"}
    if settings.route is not None:
        more["sticky"] = settings.route.sticky == "session"
    if settings.cap is not None:
        more |= {"reasoning_tokens": settings.cap.reasoning_tokens, "retry_factor": settings.cap.retry_factor}
    return Plan(
        tiers=tuple(Tier(name, tuple(tier.models)) for name, tier in settings.tiers.items()),
        tasks={name: task.tier for name, task in settings.tasks.items()},
        budgets={name: task.output_tokens for name, task in settings.tasks.items() if task.output_tokens is not None},
        prices=book.with_overrides(own),
        source=settings.recipe,
        baseline=settings.baseline,
        **more,
    )


def fitted_plan(models: Sequence[str], book: PriceBook) -> Plan:
    """Tiers for the models in use, dearest spend first: each gets a place by its price, next to the usual model of its provider."""
    named = [model if "/" in model or (provider := provider_of(model)) is None else f"{provider}/{model}" for model in models]
    providers = list(dict.fromkeys(provider for model in named if (provider := provider_of(model)) in _CANDIDATES)) or ["openai"]
    tiers: list[list[str]] = [[], [], []]
    for model in named:
        place = _place(model, book)
        if place is not None:
            tiers[place].append(model)
    for provider in providers:
        for index, candidate in enumerate(_CANDIDATES[str(provider)]):
            if all(bare_name(candidate) != bare_name(model) for model in tiers[index]):
                tiers[index].append(candidate)
    made = tuple(Tier(name, tuple(dict.fromkeys(models))[:_MOST_IN_A_TIER]) for name, models in zip(_NAMES, tiers, strict=True))
    return Plan(
        tiers=made,
        tasks={name: tier for name, (tier, _) in TASKS.items()},
        budgets={name: tokens for name, (_, tokens) in TASKS.items() if tokens is not None},
        prices=book,
        source="fitted to this traffic",
        baseline=next((tier.name for tier in made if named and named[0] in tier.models), "complex"),
    )


def _place(model: str, book: PriceBook) -> int | None:
    """Which tier a model belongs to, by name or by price; None without a price."""
    bare = bare_name(model)
    for candidates in _CANDIDATES.values():
        for index, candidate in enumerate(candidates):
            if bare_name(candidate) == bare.removesuffix("-latest") or bare.startswith(f"{bare_name(candidate)}-20"):
                return index
    rates = book.rates(model)
    if rates is None:
        return None
    like = _CANDIDATES.get(str(provider_of(model)), _CANDIDATES["openai"])
    for index, candidate in enumerate(like[:2]):
        known = book.rates(candidate)
        if known is not None and _blend(rates) <= _SAME_PRICE * _blend(known):
            return 2 if index and capabilities(model).thinks else index
    return 2


def _blend(rates: Rates) -> float:
    """A typical request: four parts read, one part written."""
    return float(4 * rates.input_usd + rates.output_usd)
