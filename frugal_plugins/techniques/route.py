"""Route: simple work to a cheap model, hard work to a dear one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from frugal_plugins.flow import Context, Flow, Next
from frugal_plugins.models import misfit
from frugal_plugins.prices import PriceBook, bare_name, provider_of
from frugal_plugins.request import Request, fingerprint

_MOST_SESSIONS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Tier:
    """Models of about the same ability, best liked first."""

    name: str
    models: tuple[str, ...]


@dataclass(slots=True)
class Route:
    """Sends each request to the cheapest tier its kind of work needs.

    Saves: most of the bill, where most requests are simple. Risks: a cheap answer to a hard question. So work no rule
    recognises is left where it was (or goes to the baseline tier when the caller named no model), a model the caller named
    is never replaced by a dearer one, and a conversation never moves down in the middle. Stands down: when the caller's
    model is in no tier, or when no cheaper model can take the request as it is (window, images, tools, parameters).

    Args:
        tiers: cheapest first.
        tasks: which tier a kind of work needs, by name.
        baseline: the tier the traffic would have gone to; the safe one for unknown work.
        own_names: model names that mean "you choose".
        sticky: `session` keeps a conversation on its model, so that the provider's prompt cache stays warm.
    """

    tiers: tuple[Tier, ...]
    tasks: Mapping[str, str]
    baseline: str
    own_names: frozenset[str]
    prices: PriceBook = field(default_factory=PriceBook)
    sticky: Literal["session", "none"] = "session"
    name: str = "route"
    _sessions: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Choose a model and say why."""
        model, action, why = self._choose(request, ctx)
        ctx.note(self.name, action, why)
        return (yield from rest(request if model == request.model else request.with_(model=model)))

    def baseline_model(self, request: Request) -> str:
        """The model this request would have gone to without a recipe."""
        if request.model not in self.own_names:
            return request.model
        return self.tiers[self._index(self.baseline)].models[0]

    def _choose(self, request: Request, ctx: Context) -> tuple[str, str, str]:
        open_choice = request.model in self.own_names
        named = None if open_choice else self._tier_of(request.model)
        if not open_choice and named is None:
            return request.model, "left", f"{request.model} is in no tier of this recipe"
        task = ctx.task(request)
        tier_name = self.tasks.get(task.name)
        wanted = self._index(tier_name or self.baseline)
        why = f"{task.name} ({task.source}) needs {self.tiers[wanted].name}" if tier_name else f"unknown work stays safe: {task.why}"
        if tier_name is None and named is not None:
            return request.model, "left", why
        wanted, why = self._not_down(request, wanted, why)
        if named is not None and wanted >= named:
            self._remember(request, named)
            return request.model, "left", f"{why}; {request.model} is already no dearer than that"
        return self._candidate(request, ctx, wanted, named, why)

    def _candidate(self, request: Request, ctx: Context, wanted: int, named: int | None, why: str) -> tuple[str, str, str]:
        """The first model from the wanted tier upwards that can take the request and costs no more than the one named."""
        refused: list[str] = []
        for index in range(wanted, len(self.tiers) if named is None else named):
            for model in self._by_provider(self.tiers[index].models, request):
                problem = self._problem(model, request, ctx, named)
                if problem is None:
                    self._remember(request, index)
                    return model, self.tiers[index].name, "; ".join([why, *refused[:2]])
                refused.append(f"not {bare_name(model)}: {problem}")
        model = request.model if named is not None else self.baseline_model(request)
        return model, "left" if named is not None else self.baseline, "; ".join([why, *refused[:2]])

    def _problem(self, model: str, request: Request, ctx: Context, named: int | None) -> str | None:
        if ctx.reachable is not None and not ctx.reachable(model):
            return "this key or proxy does not reach it"
        problem = misfit(model, request)
        if problem is None and named is not None and self._dearer(model, request.model):
            return f"it costs more than {bare_name(request.model)}"
        return problem

    def _dearer(self, model: str, than: str) -> bool:
        one, other = self.prices.rates(model), self.prices.rates(than)
        return one is not None and other is not None and (one.input_usd > other.input_usd or one.output_usd > other.output_usd)

    def _by_provider(self, models: tuple[str, ...], request: Request) -> list[str]:
        """The caller's own provider first: its key is there and its cache may be warm."""
        home = provider_of(request.model)
        return sorted(models, key=lambda model: provider_of(model) != home)

    def _not_down(self, request: Request, wanted: int, why: str) -> tuple[int, str]:
        if self.sticky == "none":
            return wanted, why
        held = self._sessions.get(self._session(request))
        if held is not None and held > wanted:
            return held, f"{why}; the conversation stays on {self.tiers[held].name}"
        return wanted, why

    def _remember(self, request: Request, index: int) -> None:
        if self.sticky == "none":
            return
        key = self._session(request)
        with self._lock:
            self._sessions[key] = index
            self._sessions.move_to_end(key)
            if len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)

    def _session(self, request: Request) -> str:
        """The caller's name for the conversation, else a fingerprint of how it began."""
        if request.session:
            return "|".join((*request.scope, request.session))
        first_user = next((i for i, message in enumerate(request.messages) if message.get("role") == "user"), len(request.messages))
        return fingerprint([request.scope, request.messages[: first_user + 1]])

    def _tier_of(self, model: str) -> int | None:
        bare = bare_name(model)
        return next((i for i, tier in enumerate(self.tiers) if any(bare_name(m) == bare for m in tier.models)), None)

    def _index(self, name: str) -> int:
        return next(i for i, tier in enumerate(self.tiers) if tier.name == name)
