"""A recipe, loaded and ready: its techniques, prices and ledger, and the flow of each request through them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from frugal_plugins.answers import AnswerStore
from frugal_plugins.errors import RecipeError
from frugal_plugins.flow import Call, Context, Flow, Group, Mode, Next, Technique, compose
from frugal_plugins.learned.collecting import OutcomeLog, Over
from frugal_plugins.learned.outcomes import Voice
from frugal_plugins.ledger.budgets import Budgets
from frugal_plugins.ledger.file import Ledger
from frugal_plugins.ledger.settle import Entry, settle
from frugal_plugins.ledger.telling import tell as tell_all
from frugal_plugins.ledger.watching import WATCHERS
from frugal_plugins.observe import Observer
from frugal_plugins.postgres import is_postgres
from frugal_plugins.prices import PriceBook, load_price_list, own_rates
from frugal_plugins.recipe.booking import booked
from frugal_plugins.recipe.build import build_cache, build_history, build_judge, build_observers, build_outcomes, build_route, build_store
from frugal_plugins.recipe.explain import Explanation, explain
from frugal_plugins.recipe.feedback import Heard, hear, overhear
from frugal_plugins.recipe.groups import group_drawn, held_out, left_out
from frugal_plugins.recipe.prewarming import WarmFront, prewarm
from frugal_plugins.recipe.sampling import SampleJudge
from frugal_plugins.recipe.settings import RecipeSettings, parse
from frugal_plugins.recipe.source import read_recipe
from frugal_plugins.request import Message, Reply, Request
from frugal_plugins.techniques.cache import Cache
from frugal_plugins.techniques.cap import Cap
from frugal_plugins.techniques.prompt_cache import PromptCache
from frugal_plugins.techniques.route import Tier
from frugal_plugins.techniques.shorten import Shorten
from frugal_plugins.told import NOTHING, Told

_MODES: Final = ("off", "shadow", "on")
_NEVER_REFUSED: Final = ("batch", "explain")
"""What was paid for is harvested all the same."""


class Recipe:
    """One YAML file that says how to pay less, and everything it needs to do so.

    Load it with `Recipe.load`; hand it to a door (`frugal_plugins.litellm.install(recipe)`,
    `frugal_plugins.langchain.FrugalRouter.from_recipe(recipe)`), or call it directly with `recipe.complete(...)`.
    One recipe object holds one cache, one ledger and one memory of sessions; share it between threads.

    >>> recipe = Recipe.load({"recipe": "tiny", "tiers": {"only": {"models": ["openai/gpt-4o-mini"]}}, "ledger": {"path": "off"}})
    >>> recipe.name
    'tiny'
    """

    def __init__(self, settings: RecipeSettings, *, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        load_price_list()
        self.settings = settings
        self.name = settings.recipe
        self.path = path
        self.clock = clock
        self.mode = _mode_of(settings.mode)
        self.own_names: frozenset[str] = frozenset({self.name, "frugal", f"frugal/{self.name}"})
        self.prices = PriceBook({model: own_rates(model, price.rates(), f"recipe {self.name}") for model, price in settings.prices.items()})
        self.tiers = tuple(Tier(name, tuple(tier.models)) for name, tier in settings.tiers.items())
        self.answers: AnswerStore = build_store(settings.cache)
        self.steps: tuple[tuple[Technique, Mode], ...] = tuple(self._steps())
        self._steps_of_named = tuple(step for step in self.steps if not isinstance(step[0], _Named))
        self._control_percent, self._each_percent = float(settings.control_percent), float(settings.control_each_percent)
        self.outcomes: OutcomeLog | None = build_outcomes(settings, self.tiers, self.prices)
        self.observers: tuple[Observer, ...] = build_observers(settings.observe)
        self._judge: SampleJudge | None = build_judge(settings, self.prices, clock)
        self._ledger: Ledger | None = None
        self._budgets: Budgets | None = None
        self._lock = threading.Lock()
        if is_postgres(os.environ.get("FRUGAL_LEDGER") or settings.ledger.path):
            _ = self.ledger  # a driver that is missing is said here, not at the first request

    @classmethod
    def load(cls, source: str | os.PathLike[str] | Mapping[str, Any], *, clock: Callable[[], float] = time.time) -> Recipe:
        """Load a recipe from a path, the name of a shipped recipe, or a dict.

        Raises RecipeError with file, line and column when something in it does not make sense. The environment variables
        FRUGAL_MODE (off, shadow, on) and FRUGAL_LEDGER (a file, a postgresql:// address, or off) win over what the file says.
        """
        loaded = read_recipe(source)
        return cls(parse(loaded), path=loaded.path, clock=clock)

    @property
    def ledger(self) -> Ledger | None:
        """Where requests are booked; None when the recipe or FRUGAL_LEDGER says `off`."""
        path = os.environ.get("FRUGAL_LEDGER") or self.settings.ledger.path
        if path == "off":
            return None
        if (open_one := self._ledger) is not None and open_one.source == path:
            return open_one
        with self._lock:
            if self._ledger is None or self._ledger.source != path:
                said = self.settings.ledger
                self._ledger = Ledger(
                    path, keep_text=said.keep_text, queue_rows=said.queue_rows, held_path=said.held_path, held_rows=said.held_rows
                )
                self._ledger.observers = self.observers
                self._budgets = Budgets(self.name, path, [alert.budget() for alert in self.settings.alerts])
                if self._budgets.budgets:
                    self._ledger.after_writing(self._budgets.check)
            return self._ledger

    @property
    def sample_judge(self) -> SampleJudge | None:
        """Who judges a sample of the answers, where the recipe asks for it."""
        return self._judge

    @property
    def off(self) -> bool:
        """Whether the kill switch FRUGAL_OFF is set: the doors then do nothing at all."""
        return switched_off()

    def flow(
        self,
        request: Request,
        *,
        told: Told = NOTHING,
        host: str = "core",
        reachable: Callable[[str], bool] | None = None,
        prices: PriceBook | None = None,
        without: Collection[str] = (),
        **known: Any,
    ) -> tuple[Flow, Context]:
        """Start one request on its way: the flow to drive and the context that fills with decisions and attempts.

        `prices` adds what the host knows (LiteLLM's `model_info`); `without` names techniques this request has behind it
        already; `known` sets further fields of the context. Raises BudgetReached when a budget that says `stop` is spent.
        """
        ctx = Context(recipe=self.name, clock=self.clock, declared_task=told.task, host=host, reachable=reachable, mode=self.mode, **known)
        request = _with_told(request, told)
        if told.feedback is not None:
            overhear(self, *told.feedback)
        ctx.group = self.group_of(request, told, ctx.id)
        tell = (*WATCHERS.get(), *self._listeners())
        if self._budgets is not None and ctx.group != "bypassed" and not without and host not in _NEVER_REFUSED:
            self._budgets.refuse(request, told.task, self.clock())
        ctx.mode = "on"
        steps = [step for step in self._steps_for(request) if step[0].name not in without] if ctx.group == "treated" else []
        ctx.held_out = held_out(request, ctx.id, self._each_percent, steps)
        if ctx.held_out is not None:
            steps = left_out(ctx.held_out, steps, ctx)
        cache = next((step for step, _ in steps if isinstance(step, Cache)), None)
        if cache is not None:
            ctx.ahead = partial(cache.ahead, request)
        rest = compose(steps, ctx, innermost=self._ask)
        if self._judge is not None and ctx.group != "bypassed" and self._ledger is not None:
            rest = self._judge.looks_at(rest, ctx, self._ledger)
        return (booked(rest, request, ctx, tell, self, prices) if tell else rest(request)), ctx

    def explain(self, request: Request, *, told: Told = NOTHING, reachable: Callable[[str], bool] | None = None) -> Explanation:
        """What would happen to a request and why, without calling anyone or booking anything."""
        ctx = Context(recipe=self.name, clock=self.clock, declared_task=told.task, reachable=reachable, host="explain")
        request = _with_told(request, told)
        steps = () if told.off or self.mode == "off" else self._steps_for(request)
        return explain(compose(steps, ctx, innermost=self._ask)(request), request, ctx, self)

    def group_of(self, request: Request, told: Told = NOTHING, drawn_by: str = "") -> Group:
        """Whether a request is treated, left out on the caller's word, or in the control group."""
        if told.off or self.mode == "off":
            return "bypassed"
        return group_drawn(request, drawn_by, self._control_percent)

    def feedback(self, request_id: str, good: bool | float, *, source: Voice = "user", model: str | None = None) -> Heard:
        """Say whether the answer to a request was good: True, False, or 0 to 1.

        `request_id` is what `x-frugal-id` (Proxy), `reply.request_id` (`complete`), `response._hidden_params["frugal"]["id"]`
        (LiteLLM) or `message.response_metadata["frugal"]["id"]` (LangChain) said. The ledger keeps it for comparing quality, the store of
        outcomes (`route.outcomes`) for `frugal calibrate`, and a stored answer that is called bad is not served again.
        Without `model` the verdict is on the answer the caller got.
        """
        return hear(self, request_id, good, source, model)

    @property
    def cache(self) -> Cache | None:
        """The cache technique, where the recipe has one."""
        return next((step for step, _ in self.steps if isinstance(step, Cache)), None)

    def baseline_model(self, request: Request) -> str:
        """The model a request would have gone to without this recipe."""
        return self._baseline_tier.models[0] if request.model in self.own_names else request.model

    def complete(self, variables: Mapping[str, Any] | None = None, /, **params: Any) -> Reply:
        """Ask through LiteLLM: fill the recipe's `pipeline.prompt` with `variables`, or pass `messages=`.

        Returns the Reply; `reply.text` is the answer, `reply.json()` the object when the recipe declares an `output` schema.
        """
        reply: Reply = import_module("frugal_plugins.litellm").complete(self, variables, **params)
        return reply

    async def acomplete(self, variables: Mapping[str, Any] | None = None, /, **params: Any) -> Reply:
        """`complete`, awaited."""
        reply: Reply = await import_module("frugal_plugins.litellm").acomplete(self, variables, **params)
        return reply

    def prewarm(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        concurrent: int = 1,
        keep_seconds: float = 0.0,
        likely: float = 1.0,
        warm: bool = False,
        **params: Any,
    ) -> WarmFront:
        """Write a prompt's front (tools, developer's prompt) to the provider's cache before many requests need it, where that pays.

        Pass one of the requests as it will be asked. Nothing is sent where it does not pay: `front.warmth.why` says why.
        `concurrent`: how many start before the first is answered. `keep_seconds`: until when it is kept, by a touch now and then from a
        thread of its own, which `with recipe.prewarm(...):` or `front.stop()` ends. `likely`: how likely they come at all.
        `warm`: it is in the cache already and only has to be kept. What is sent is booked as an untouched request. It waits for the
        provider; in async code use `asyncio.to_thread`.
        """
        request = Request(model or self.name, tuple(messages), params)
        return prewarm(self, request, concurrent=concurrent, keep_seconds=keep_seconds, likely=likely, warm=warm)

    def runnable(self, **models: Any) -> Any:
        """The recipe's pipeline as a LangChain Runnable: prompt | router (| output schema)."""
        return import_module("frugal_plugins.langchain").runnable(self, **models)

    def close(self) -> None:
        """Write what the ledger still holds and stop its writer."""
        if self._ledger is not None:
            self._ledger.close()
        if self.outcomes is not None:
            self.outcomes.close()

    def _steps(self) -> list[tuple[Technique, Mode]]:
        """The techniques in the order of the flow, outermost first."""
        said, prices = self.settings, self.prices
        steps: list[tuple[Technique, Mode]] = []
        if said.cache is not None:
            steps.append((build_cache(said.cache, self.answers, self.name, prices), self._mode(said.cache.mode)))
        if said.shorten is not None:
            shorten = Shorten(prices, said.shorten.level, said.shorten.schemas, said.shorten.tools, goes_to=self.baseline_model)
            shorten.select_tools = said.shorten.select_tools
            steps.append((shorten, self._mode(said.shorten.mode)))
        if said.history is not None:  # behind shorten: it keeps prompts just above the length a provider caches
            marks = said.prompt_cache is not None and self._mode(said.prompt_cache.mode) == "on"
            history = build_history(said.history, self.tiers, prices, marks_come=marks)
            history.goes_to = self.baseline_model
            steps.append((history, self._mode(said.history.mode)))
        if said.route is not None:
            route = build_route(said.route, said, self.tiers, self._baseline_tier.name, self.own_names, prices)
            steps.append((route, self._mode(said.route.mode)))
        if said.cap is not None:
            budgets = {name: task.output_tokens for name, task in said.tasks.items() if task.output_tokens is not None}
            if self._mode(said.cap.mode) != "off":
                steps.append((_Named(self), "on"))
            steps.append((Cap(budgets, said.cap.reasoning_tokens, said.cap.retry_factor), self._mode(said.cap.mode)))
        if said.prompt_cache is not None:
            laid = PromptCache(prices, said.prompt_cache.volatile, said.prompt_cache.breakpoints, said.prompt_cache.hour)
            steps.append((laid, self._mode(said.prompt_cache.mode)))
        return [(step, mode) for step, mode in steps if mode != "off"]

    def _steps_for(self, request: Request) -> tuple[tuple[Technique, Mode], ...]:
        """Texts to be embedded have no answer to shorten and no conversation: no technique touches them."""
        if request.endpoint == "embeddings":
            return ()
        return self.steps if request.model in self.own_names else self._steps_of_named

    def _listeners(self) -> Iterator[Callable[[Entry], None]]:
        """Who is told when a request is over: the ledger, and the store the router learns from."""
        ledger, outcomes = self.ledger, self.outcomes
        if ledger is not None:
            yield ledger.record
        elif self.observers:
            yield lambda entry: tell_all(self.observers, entry, settle(entry))
        if outcomes is not None:
            yield lambda entry: outcomes.record(Over(entry.request, entry.ctx, entry.reply, entry.at.timestamp()))

    def _mode(self, own: str | None) -> Mode:
        """A technique's own mode, but never more than the recipe's."""
        wanted = own or "on"
        return cast("Mode", min(wanted, self.mode, key=_MODES.index))

    @property
    def _baseline_tier(self) -> Tier:
        wanted = self.settings.baseline
        return next((tier for tier in self.tiers if tier.name == wanted), self.tiers[-1])

    def _ask(self, request: Request) -> Flow:
        """The innermost step: a request that still carries the recipe's own name goes to the baseline tier."""
        if request.model in self.own_names:
            request = request.with_(model=self.baseline_model(request))
        return (yield Call(request))


class _Named:
    """Before limits are set: a request no route has sent anywhere gets the baseline model's name, so that its limits fit."""

    name = "named"

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Put a model's name where the recipe's own stands."""
        if request.model not in self.recipe.own_names:
            return (yield from rest(request))
        model = self.recipe.baseline_model(request)
        ctx.note(self.name, "set", f"{request.model} stands for {model} here")
        return (yield from rest(request.with_(model=model)))


def _with_told(request: Request, told: Told) -> Request:
    if not told.tags and not told.session:
        return request
    return request.with_(tags={**request.tags, **told.tags}, session=told.session or request.session)


def _mode_of(written: str) -> Mode:
    mode = os.environ.get("FRUGAL_MODE") or written
    if mode not in _MODES:
        raise RecipeError(f"FRUGAL_MODE is {mode!r}; set it to off, shadow or on, or unset it")
    return cast("Mode", mode)


def switched_off() -> bool:
    """Whether FRUGAL_OFF says so."""
    return os.environ.get("FRUGAL_OFF", "").lower() in ("1", "true", "yes", "on")
