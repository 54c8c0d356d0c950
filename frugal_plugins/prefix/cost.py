"""What the provider's prompt cache makes a prompt cost: the one place that knows, for history, layout and route.

A provider that has read a prompt before bills its beginning at a fraction, as long as every byte is the same and the pause was
short. So dropping tokens can cost more than keeping them. All figures here are in *units*: one unit is one plain input token.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from frugal_plugins.models import _facts as model_facts
from frugal_plugins.prices import PriceBook, Rates, bare_name, provider_of
from frugal_plugins.request import Request
from frugal_plugins.text.turns import has_marks, is_marked
from frugal_plugins.tokens import count_messages

MARKED_BY_CALLER: Final = frozenset({"anthropic", "bedrock", "bedrock_converse", "vertex_ai", "azure_ai", "databricks", "openrouter"})
"""Providers whose Claude models cache only where a `cache_control` breakpoint says so."""

REFUSE_MARKS: Final = frozenset(
    {"openai", "azure", "groq", "mistral", "xai", "deepseek", "cohere", "fireworks_ai", "together_ai", "perplexity", "cerebras"}
)
"""Providers that have no `cache_control`; one left in a body is refused or ignored there."""

_USUAL_MINIMUM_TOKENS: Final = 1024
_SAY_THEIR_MINIMUM: Final = frozenset({"openai", "azure", "gemini"})
"""Providers that document that shorter prompts than the usual minimum are not cached. DeepSeek, for one, caches from 64 tokens on."""

_STEP_TOKENS: Final = 128
_FIVE_MINUTES: Final = 300.0
_HALF_HOUR: Final = 1800.0
_WITH_BREAKPOINTS: Final = re.compile(r"^gpt-(?:5\.[6-9]|[6-9]|\d{2})")


@dataclass(frozen=True, slots=True)
class CachePlan:
    """How a model bills input it has read before.

    Attributes:
        read: price of a token read from the cache, as a share of the plain input price; 1.0 where nothing is cached.
        write: price of a token written to the cache (five minutes), likewise.
        write_1h: the same for one hour; None where there is no such lifetime.
        minimum_tokens: shorter prompts are not cached.
        uncached_below: prompts shorter than this are surely not cached; 0 where nobody wrote the provider's minimum down.
        step_tokens: the cached part is a multiple of this.
        ttl_seconds: how long a prefix lives after it was last read.
        explicit: whether the caller must mark what is cached (`cache_control`).
        breakpoints: how many such marks one request may carry.
        may_mark: whether it caches whole prompts by itself, but takes breakpoints (`prompt_cache_breakpoint`) and can be told
            not to write (`prompt_cache_options`): OpenAI from GPT-5.6 on, where a write costs more than plain input.
    """

    read: float = 1.0
    write: float = 1.0
    write_1h: float | None = None
    minimum_tokens: int = _USUAL_MINIMUM_TOKENS
    uncached_below: int = 0
    step_tokens: int = _STEP_TOKENS
    ttl_seconds: float = _FIVE_MINUTES
    explicit: bool = False
    breakpoints: int = 0
    may_mark: bool = False

    @property
    def caches(self) -> bool:
        """Whether reading again is cheaper at all."""
        return self.read < 1.0

    def cached(self, shared_tokens: int) -> int:
        """How much of a prompt is read from the cache when its first `shared_tokens` were sent before."""
        if not self.caches or shared_tokens < self.minimum_tokens:
            return 0
        return shared_tokens - shared_tokens % self.step_tokens

    def units(self, shared_tokens: int, total_tokens: int) -> float:
        """What a prompt costs when its first `shared_tokens` are warm."""
        read = self.cached(min(shared_tokens, total_tokens))
        write = self.write if self.caches and total_tokens >= self.minimum_tokens else 1.0
        return read * self.read + (total_tokens - read) * write

    def pays(self, hit_probability: float, *, hour: bool = False) -> float:
        """What marking one token is expected to save on the next call, in units; negative where it loses.

        It breaks even at a hit probability of (write - 1) / (write - read): 22 % for five minutes, 53 % for an hour at
        Anthropic's prices.
        """
        write = self.write_1h if hour and self.write_1h is not None else self.write
        return hit_probability * (write - self.read) - (write - 1.0)

    def keep_alive_pays(self, tokens: int, pause_seconds: float, return_probability: float) -> bool:
        """Whether touching a prefix again and again until the user comes back is cheaper than writing it anew then."""
        touches = int(pause_seconds // self.ttl_seconds)
        kept = self.cached(tokens)
        return kept > 0 and touches * kept * self.read < return_probability * kept * (self.write - self.read)

    def expecting(self, cold_share: float) -> CachePlan:
        """The plan as later calls will meet it when such a share of them comes after the cache has gone cold."""
        return replace(self, read=min(1.0, self.read + cold_share * (self.write - self.read)))

    def counted(self, real_tokens: float) -> CachePlan:
        """The plan in tokens as they are counted here, when the provider counts so many for each of them."""
        if real_tokens == 1.0:
            return self
        minimum, sure = round(self.minimum_tokens / real_tokens), round(self.uncached_below / real_tokens)
        return replace(self, minimum_tokens=minimum, uncached_below=sure)

    def without_cache(self) -> CachePlan:
        """The plan of a model whose prompts are not cached after all."""
        return CachePlan(minimum_tokens=self.minimum_tokens, ttl_seconds=self.ttl_seconds)


NO_CACHE: Final = CachePlan()

_MOST_PLANS: Final = 1024
_plans: dict[str, tuple[Rates, CachePlan]] = {}
"""Each model's plan beside the rates it was worked out from: PriceBook hands out the same object until the price changes."""


def plan_for(model: str, prices: PriceBook, *, at: dt.datetime | None = None, input_tokens: int = 0) -> CachePlan | None:
    """How `model` bills repeated input, from its dated prices; None for a model nobody knows the price of."""
    rates = prices.rates(model, at=at, input_tokens=input_tokens)
    if rates is None or rates.input_usd <= 0:
        return None
    known = _plans.get(model)
    if known is None or known[0] is not rates:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        known = _plans[model] = (rates, _plan(model, rates))
    return known[1]


def _plan(model: str, rates: Rates) -> CachePlan:
    """How rates bill repeated input."""
    read, write, hour = (
        float(rate / rates.input_usd) for rate in (rates.cache_read_usd, rates.cache_write_5m_usd, rates.cache_write_1h_usd)
    )
    explicit, minimum, may_mark = _ways(model)
    return CachePlan(
        read=min(1.0, read),
        write=write,
        write_1h=hour if explicit else None,
        minimum_tokens=minimum or _USUAL_MINIMUM_TOKENS,
        uncached_below=minimum or (_USUAL_MINIMUM_TOKENS if explicit or provider_of(model) in _SAY_THEIR_MINIMUM else 0),
        step_tokens=1 if explicit or may_mark else _STEP_TOKENS,
        ttl_seconds=_HALF_HOUR if may_mark else _FIVE_MINUTES,
        explicit=explicit,
        breakpoints=4 if explicit or may_mark else 0,
        may_mark=may_mark,
    )


@lru_cache(maxsize=1024)
def _ways(model: str) -> tuple[bool, int | None, bool]:
    """Whether a model wants marks, from how many tokens it caches where that is listed, and whether it may be given breakpoints."""
    known = model_facts().get(model) or model_facts().get(bare_name(model)) or {}
    minimum = known.get("prompt_cache_min_tokens")
    return marks_needed(model), int(minimum) if minimum else None, takes_breakpoints(model)


def marks_needed(model: str) -> bool:
    """Whether a model caches only what `cache_control` marks: Claude, wherever it is hosted."""
    return "claude" in model and provider_of(model) in MARKED_BY_CALLER | {None}


def takes_breakpoints(model: str) -> bool:
    """Whether a model of OpenAI takes `prompt_cache_breakpoint` and `prompt_cache_options`: what LiteLLM lists, else its version."""
    if provider_of(model) not in ("openai", "azure"):
        return False
    listed = (model_facts().get(model) or model_facts().get(bare_name(model)) or {}).get("supports_prompt_cache_breakpoint")
    return bool(listed) if listed is not None else bool(_WITH_BREAKPOINTS.match(bare_name(model)))


def plan_in_force(request: Request, prices: PriceBook, *, marks_come: bool, at: dt.datetime | None = None) -> CachePlan | None:
    """The plan that holds for this request: none is cached at Anthropic unless someone marks it.

    Args:
        marks_come: whether a later step (`prompt_cache`, LiteLLM's injection points) will set the marks.
    """
    plan = plan_for(request.model, prices, at=at)
    if plan is None or not plan.explicit or marks_come:
        return plan
    marked = any(map(is_marked, request.messages)) or has_marks(request.params.get("system")) or has_marks(request.params.get("tools"))
    marked = marked or bool(request.params.get("cache_control") or request.params.get("cache_control_injection_points"))
    return plan if marked else plan.without_cache()


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A shorter prompt that could be sent from now on instead of the one at hand, in tokens.

    Attributes:
        warm_tokens: how much of the prompt at hand the provider still has.
        stay_tokens: the prompt at hand.
        static_tokens: what both have in common at the front (tools, system).
        after_tokens: the shorter prompt.
    """

    warm_tokens: int
    stay_tokens: int
    static_tokens: int
    after_tokens: int

    def cost(self, plan: CachePlan) -> float:
        """What rewriting costs in this call beyond staying; negative where it is free, for instance when the prefix is cold."""
        even = replace(plan, step_tokens=1)
        stay = even.units(self.warm_tokens, self.stay_tokens)
        return even.units(min(self.static_tokens, self.warm_tokens), self.after_tokens) - stay

    def stays(self, plan: CachePlan) -> float:
        """What this call costs without a rewrite."""
        return plan.units(self.warm_tokens, self.stay_tokens)

    def saves(self, plan: CachePlan) -> float:
        """What each later call saves, as things stand and also once the prompt at hand has grown past the cache's minimum.

        Where a prompt falls between two of the cache's steps is luck that later calls even out, so steps do not count here.
        """
        even = replace(plan, step_tokens=1)
        stay = even.units(self.stay_tokens, self.stay_tokens)
        if plan.caches and self.stay_tokens < plan.minimum_tokens:
            stay = min(stay, plan.minimum_tokens * plan.read)
        return stay - even.units(self.after_tokens, self.after_tokens)


@dataclass(frozen=True, slots=True)
class Bill:
    """What one simulated call was billed: tokens read, written or new, and units in all."""

    read_tokens: int
    new_tokens: int
    units: float


@dataclass(slots=True)
class SimulatedCache:
    """An exact-prefix cache: bills prompts one after the other as a provider with this plan would.

    A prompt is a run of (identity, tokens) pieces; what it shares with one of the last prompts, piece by piece, is read from
    the cache. `remember` prompts are kept, as a provider keeps several prefixes.
    """

    plan: CachePlan
    remember: int = 8
    units: float = 0.0
    _sent: deque[tuple[Sequence[tuple[Hashable, int]], float]] = field(default_factory=deque)

    def call(self, pieces: Sequence[tuple[Hashable, int]], at_seconds: float = 0.0) -> Bill:
        """Bill one prompt and remember it."""
        alive = [(sent, at) for sent, at in self._sent if at_seconds - at < self.plan.ttl_seconds]
        shared = max((_shared(sent, pieces) for sent, _ in alive), default=0)
        total = sum(tokens for _, tokens in pieces)
        read = self.plan.cached(min(shared, total))
        bill = Bill(read, total - read, self.plan.units(shared, total))
        self.units += bill.units
        self._sent.append((tuple(pieces), at_seconds))
        while len(self._sent) > self.remember:
            self._sent.popleft()
        return bill

    def forget(self) -> None:
        """Let everything grow cold."""
        self._sent.clear()


def _shared(one: Sequence[tuple[Hashable, int]], other: Sequence[tuple[Hashable, int]]) -> int:
    """How many tokens two prompts have in common from the front."""
    shared = 0
    for (name, tokens), (other_name, _) in zip(one, other, strict=False):
        if name != other_name:
            break
        shared += tokens
    return shared


def static_params_tokens(params: Mapping[str, Any], model: str) -> int:
    """Input tokens of what stands before the messages: tools, a response schema, Anthropic's system."""
    return count_messages((), model, params=params)
