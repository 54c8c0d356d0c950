"""What a change of model costs in reading again: a provider's prompt cache knows a prompt only by the model that read it.

A cheap model that has to read twenty thousand tokens anew can cost more than the dear one that has them in its cache. This
remembers what each model was given lately, as far as the usage said, and prices staying against moving.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from frugal_plugins.prefix.cost import CachePlan, plan_for
from frugal_plugins.prices import MILLION, PriceBook, bare_name
from frugal_plugins.request import Request, canonical, text_of
from frugal_plugins.usage import Usage

_MOST_PARTS: Final = 50_000
_MOST_KINDS: Final = 500
_NEW_WEIGHT: Final = 0.2
_DOUBT_TOKENS: Final = 4096
_MANY_CALLS: Final = 64
_FRONT_ROLES: Final = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the caches see it.

    Attributes:
        tokens: how long it is, about.
        parts: what of it may have been read before: the conversation, and the front it shares with others; names and tokens.
        kind: the kind of work, by which the length of the answer is expected.
    """

    tokens: float
    parts: tuple[tuple[Hashable, float], ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    """When a model was given a part, and how many of its tokens are kept: by itself, or where breakpoints said so."""

    at_seconds: float
    tokens: float
    marked_tokens: float


@dataclass(slots=True)
class _Run:
    """Requests that follow each other within a cache's lifetime, and what not moving them has cost by now."""

    calls: float = 0.0
    followers: float = 0.0
    last_seconds: float = float("-inf")
    under_way: bool = False
    missed_usd: float = 0.0

    def called(self, now_seconds: float, ttl_seconds: float) -> None:
        """One more."""
        self.under_way = now_seconds - self.last_seconds < ttl_seconds
        self.calls, self.followers, self.last_seconds = self.calls + 1, self.followers + self.under_way, now_seconds
        if not self.under_way:
            self.missed_usd = 0.0
        if self.calls > _MANY_CALLS:
            self.calls, self.followers = self.calls / 2, self.followers / 2

    @property
    def following(self) -> float:
        """How many more are expected before the caches go cold."""
        share = (self.followers + 1) / (self.calls + 2)
        return share / (1 - share)


@dataclass(slots=True)
class Rereading:
    """What each model has read lately, and what asking it would cost. Thread-safe; the oldest parts are forgotten first."""

    prices: PriceBook
    _reads: OrderedDict[Hashable, dict[str, _Read]] = field(default_factory=OrderedDict)
    _runs: OrderedDict[Hashable, _Run] = field(default_factory=OrderedDict)
    _answers: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _kept: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, prompt: Prompt, model: str, usage: Usage, now_seconds: float) -> None:
        """A model has answered, and the provider has counted. A prompt in parts is kept part by part."""
        if not usage.input_tokens:
            return
        name, expected = bare_name(model), self.warm_tokens(prompt, model, now_seconds)
        marked = float(usage.cache_read_tokens + usage.cache_write_tokens)
        with self._lock:
            if expected:
                hoped, read = self._kept.get(name, (0.0, 0.0))
                self._kept[name] = (0.9 * hoped + expected, 0.9 * read + min(expected, usage.cache_read_tokens))
            for part, (key, tokens) in enumerate(prompt.parts):
                whole = usage.input_tokens if part == 0 else tokens
                self._parts(key)[name] = _Read(now_seconds, whole, min(whole, marked))
            before = self._answers.pop(prompt.kind, float(usage.output_tokens))
            self._answers[prompt.kind] = before + _NEW_WEIGHT * (usage.output_tokens - before)
            if len(self._answers) > _MOST_KINDS:
                self._answers.popitem(last=False)

    def _parts(self, key: Hashable) -> dict[str, _Read]:
        reads = self._reads.setdefault(key, {})
        self._reads.move_to_end(key)
        if len(self._reads) > _MOST_PARTS:
            self._reads.popitem(last=False)
        return reads

    def warm_tokens(self, prompt: Prompt, model: str, now_seconds: float, *, of_any: bool = False) -> int:
        """How many tokens of a prompt `model` should still have in its cache.

        With `of_any` what other models were given counts too: what it would have, had it been asked all along.
        """
        plan = plan_for(model, self.prices)
        if plan is None or not plan.caches:
            return 0
        found = 0.0
        with self._lock:
            for key, _ in prompt.parts:
                reads = self._reads.get(key, {})
                own = reads.get(bare_name(model))
                for read in reads.values() if of_any else ([own] if own else []):
                    if now_seconds - read.at_seconds < plan.ttl_seconds:
                        found = max(found, read.marked_tokens if plan.explicit else read.tokens)
            hoped, kept = self._kept.get(bare_name(model), (0.0, 0.0))
        share = (kept + _DOUBT_TOKENS) / (hoped + _DOUBT_TOKENS)
        return round(plan.cached(int(min(found, prompt.tokens))) * share)

    def usd(self, prompt: Prompt, model: str, warm_tokens: float) -> float | None:
        """What asking `model` should cost with so much of the prompt in its cache; None where its price is unknown."""
        plan, rates = plan_for(model, self.prices), self.prices.rates(model)
        if plan is None or rates is None:
            return None
        units = warm_tokens * plan.read + (prompt.tokens - warm_tokens) * self._write(plan, prompt)
        return (units * float(rates.input_usd) + self._answers.get(prompt.kind, 0.0) * float(rates.output_usd)) / float(MILLION)

    def share(self, prompt: Prompt, model: str, now_seconds: float) -> float:
        """The share of its plain input price that `model` bills for a prompt: below 1 where its cache is warm."""
        plan = plan_for(model, self.prices)
        warm = self.warm_tokens(prompt, model, now_seconds) if plan and prompt.tokens else 0
        return 1.0 if plan is None or not warm else (warm * plan.read + prompt.tokens - warm) / prompt.tokens

    def _write(self, plan: CachePlan, prompt: Prompt) -> float:
        """Claude's cache is written only where someone marks; the usage of earlier calls says whether anyone does."""
        if not plan.caches or prompt.tokens < plan.minimum_tokens:
            return 1.0
        return plan.write if not plan.explicit or self._marks(prompt) else 1.0

    def _marks(self, prompt: Prompt) -> bool:
        with self._lock:
            return any(read.marked_tokens for key, _ in prompt.parts for read in self._reads.get(key, {}).values())

    def pays(self, prompt: Prompt, stay: str, move: str, now_seconds: float) -> bool:
        """Whether asking `move` should cost no more than asking `stay`, with what each of them has in its cache.

        Cheaper now and cheaper with warm caches: yes. Cheaper now, but dearer once caches are warm (a prompt too short for the
        small model's cache): only where few such requests follow each other, by what was seen of this front. Dearer now, but
        cheaper with warm caches: what moving earlier would have saved is added up, and once that reaches what reading again
        costs, the move is made (ski rental: at worst twice the best in hindsight).
        """
        staying = self.usd(prompt, stay, self.warm_tokens(prompt, stay, now_seconds))
        moving = self.usd(prompt, move, self.warm_tokens(prompt, move, now_seconds))
        settled, moved = self._steady(prompt, stay), self._steady(prompt, move)
        if staying is None or moving is None or settled is None or moved is None:
            return True
        run = self._run(prompt, move, now_seconds)
        if moving <= staying:
            pays = moved <= settled or moving + run.following * moved <= staying + run.following * settled
        else:
            run.missed_usd += max(0.0, staying - moved) if run.under_way else 0.0
            pays = moved < settled and run.missed_usd >= moving - staying
        if pays:
            run.missed_usd = 0.0
        return pays

    def _steady(self, prompt: Prompt, model: str) -> float | None:
        """What asking a model costs once the whole prompt is warm there; where nobody marks for Claude, it never is."""
        plan = plan_for(model, self.prices)
        warm = 0 if plan is None or (plan.explicit and not self._marks(prompt)) else plan.cached(int(prompt.tokens))
        return self.usd(prompt, model, warm)

    def _run(self, prompt: Prompt, move: str, now_seconds: float) -> _Run:
        """How requests with this front that could go to `move` follow each other."""
        plan, key = plan_for(move, self.prices), (prompt.parts[-1][0], bare_name(move))
        with self._lock:
            run = self._runs.setdefault(key, _Run())
            self._runs.move_to_end(key)
            if len(self._runs) > _MOST_PARTS:
                self._runs.popitem(last=False)
        run.called(now_seconds, plan.ttl_seconds if plan else 0.0)
        return run


def prompt_of(request: Request, conversation: Hashable, kind: str) -> Prompt:
    """A request's prompt: its conversation by name, and its front (the developer's messages and the tools) by what it says."""
    chars, front, names = 0, 0, []
    leading = True
    for message in request.messages:
        text = text_of(message)
        chars += len(text)
        leading = leading and message.get("role") in _FRONT_ROLES
        if leading:
            front += len(text)
            names.append(hash(text))
    for field_name in ("tools", "system", "instructions", "response_format"):
        value = request.params.get(field_name)
        if value:
            text = value if isinstance(value, str) else canonical(value)
            chars, front = chars + len(text), front + len(text)
            names.append(hash(text))
    return Prompt(chars / 4, ((conversation, chars / 4), (("front", *names), front / 4)), kind)
