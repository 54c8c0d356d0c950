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
_FOLLOWERS: Final = 4.0
"""As many may follow where nothing is known yet."""
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
class _Front:
    """How requests with one front follow each other while caches are warm: all of them, and those that could move.

    A run is a first request and those that follow it in time. The counts fade, so that what is new weighs more.
    """

    calls: float = 0.0
    movable: float = 0.0
    followers: float = 0.0
    last_movable_seconds: float = float("-inf")

    def called(self) -> None:
        """One more request, wherever it was sent."""
        self.calls += 1
        if self.calls > _MANY_CALLS:
            self.calls, self.movable, self.followers = self.calls / 2, self.movable / 2, self.followers / 2

    def could_move(self, now_seconds: float, ttl_seconds: float) -> None:
        """One of them could be sent to a small model."""
        self.followers += now_seconds - self.last_movable_seconds < ttl_seconds
        self.movable, self.last_movable_seconds = self.movable + 1, now_seconds

    @property
    def following(self) -> tuple[float, float]:
        """How many more that could move are expected before the caches go cold: at least, and at most."""
        runs = max(1.0, self.movable - self.followers)
        return self.followers / (runs + 1), (self.followers + _FOLLOWERS) / runs

    @property
    def staying_too(self) -> float:
        """How likely a request that cannot move follows in time, and needs the dear model's cache."""
        staying = max(0.0, self.calls - self.movable)
        share = (staying + 1) / (max(self.calls, self.movable) + 2)
        many = (self.followers + staying + 1) / max(1.0, self.movable - self.followers)
        return float(1 - (1 - share) ** many)


@dataclass(slots=True)
class Rereading:
    """What each model has read lately, and what asking it would cost. Thread-safe; the oldest parts are forgotten first."""

    prices: PriceBook
    _reads: OrderedDict[Hashable, dict[str, _Read]] = field(default_factory=OrderedDict)
    _fronts: OrderedDict[Hashable, _Front] = field(default_factory=OrderedDict)
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
            self._front(prompt).called()
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

        This request and those expected after it are priced both ways. Moving has to read again what only the other has read,
        and keeps the other's cache from being filled for those that will need it. It must pay with as few followers as were
        seen and with as many as may come.
        """
        staying = self.usd(prompt, stay, self.warm_tokens(prompt, stay, now_seconds))
        moving = self.usd(prompt, move, self.warm_tokens(prompt, move, now_seconds))
        settled, moved, plan = self._steady(prompt, stay), self._steady(prompt, move), plan_for(move, self.prices)
        if staying is None or moving is None or settled is None or moved is None or plan is None:
            return True
        with self._lock:
            front = self._front(prompt)
            front.could_move(now_seconds, plan.ttl_seconds)
            following, later = front.following, front.staying_too * max(0.0, staying - settled)
        return all(moving + many * moved + later <= staying + many * settled for many in following)

    def _front(self, prompt: Prompt) -> _Front:
        key = prompt.parts[-1][0]
        front = self._fronts.setdefault(key, _Front())
        self._fronts.move_to_end(key)
        if len(self._fronts) > _MOST_PARTS:
            self._fronts.popitem(last=False)
        return front

    def _steady(self, prompt: Prompt, model: str) -> float | None:
        """What asking a model costs once the whole prompt is warm there; where nobody marks for Claude, it never is."""
        plan = plan_for(model, self.prices)
        warm = 0 if plan is None or (plan.explicit and not self._marks(prompt)) else plan.cached(int(prompt.tokens))
        return self.usd(prompt, model, warm)


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
    whole = ((conversation, chars / 4),)
    return Prompt(chars / 4, (*whole, (("front", *names), front / 4)) if front else whole, kind)
