"""Route: simple work to a cheap model, hard work to a dear one; by the kind of work, or by what was learned from outcomes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from frugal_plugins.flow import Call, Context, Flow, Next
from frugal_plugins.learned.asking import Asking
from frugal_plugins.learned.breaker import Breaker
from frugal_plugins.learned.gone import Gone
from frugal_plugins.learned.judging import judge_request, read_verdict
from frugal_plugins.learned.ladder import Action, Ladder
from frugal_plugins.learned.verify import Verdict, look
from frugal_plugins.models import misfit
from frugal_plugins.prefix.rereading import Prompt, Rereading, prompt_of
from frugal_plugins.prices import PriceBook, bare_name, provider_of
from frugal_plugins.request import Message, Reply, Request, opening
from frugal_plugins.unseen import Unseen
from frugal_plugins.usage import Usage, read_instead

_MOST_SESSIONS: Final = 20_000


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
    is never replaced by a dearer one, a conversation that was routed never moves down in the middle, and no request moves to a
    model that would have to read again, for more money, what the caller's own has in its prompt cache. Stands down: when the
    caller's model is in no tier, or when no cheaper model can take the request as it is (window, images, tools, parameters).
    A model its provider does not know is left out for an hour.

    Args:
        tiers: cheapest first.
        tasks: which tier a kind of work needs, by name.
        baseline: the tier the traffic would have gone to; the safe one for unknown work.
        own_names: model names that mean "you choose".
        sticky: `session` keeps a conversation on its model, so that the provider's prompt cache stays warm.
        ladder: what was learned from outcomes; it decides wherever the caller declared no task, and may buy cheap answers
            first, compare them, and escalate. Every answer that was thrown away is booked against this technique.
        keep_percent: the share of the reference model's correctness the ladder is to keep.
        streaming: `skip` never buys answers to compare for a caller who reads piece by piece; `buffer` holds them back.
        patterns: regular expressions a good answer contains, by task.
        breaker: bounds what the dearest tier may take.
        floor: no request goes below this tier, unless its caller named a model there.
        escalate: an answer of a cheaper model that is empty, refused, or not in the form asked for is thrown away, and the
            model it stood in for is asked. Booked as a loss of this technique. Streams are only held back for it with `buffer`.
        least_logprob: an answer less sure than this counts as no good, where the provider sends log probabilities.
        judge: a model that looks at every answer of a cheaper one; its price is booked against this technique.
    """

    tiers: tuple[Tier, ...]
    tasks: Mapping[str, str]
    baseline: str
    own_names: frozenset[str]
    prices: PriceBook = field(default_factory=PriceBook)
    sticky: Literal["session", "none"] = "session"
    ladder: Ladder | None = None
    keep_percent: float = 95.0
    streaming: Literal["skip", "buffer"] = "skip"
    patterns: Mapping[str, str] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)
    floor: str | None = None
    escalate: bool = True
    least_logprob: float | None = None
    judge: str | None = None
    name: str = "route"
    gone: Gone = field(default_factory=Gone)
    _sessions: OrderedDict[int, int] = field(default_factory=OrderedDict)
    _last_named: tuple[tuple[Message, ...], tuple[str, ...], int] = ((), (), 0)
    _last_prompt: tuple[tuple[Message, ...], Prompt | None] = ((), None)
    rereading: Rereading = field(init=False, repr=False)
    _places: dict[str, int] = field(init=False, repr=False)
    _places_of_models: dict[str, int] = field(init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """What was read lately is priced by the same list; a model that stands in two tiers belongs to the cheaper one."""
        self.rereading = Rereading(self.prices)
        self._places = {tier.name: index for index, tier in reversed(list(enumerate(self.tiers)))}
        self._places_of_models = {bare_name(m): index for index, tier in reversed(list(enumerate(self.tiers))) for m in tier.models}

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Choose a model and say why; choose again where its provider does not know it."""
        return (yield from self.gone.left_out(self._routed, self.baseline_model(request), request, rest, ctx))

    def _routed(self, request: Request, rest: Next, ctx: Context) -> Flow:
        ladder = self.ladder
        asking = self._asking(ladder, request, ctx) if ladder is not None else None
        if ladder is not None and asking is not None:
            reply: Reply = yield from self._climb(ladder, asking, request, rest, ctx)
            return reply
        model, action, why = self._choose(request, ctx)
        ctx.note(self.name, action, why)
        above = self._above(request, model)
        if above is None:
            reply = yield from rest(request if model == request.model else request.with_(model=model))
            self._count(request, [(model, reply)], ctx)
            return reply
        return (yield from self._checked(request, model, above, rest, ctx))

    def baseline_model(self, request: Request) -> str:
        """The model this request would have gone to without a recipe."""
        if request.model not in self.own_names:
            return request.model
        return self.tiers[self._index(self.baseline)].models[0]

    def _above(self, request: Request, model: str) -> str | None:
        """Whom to ask when the cheaper model's answer is no good; None where nothing is looked at."""
        usual = self.baseline_model(request)
        readable = (not request.stream or self.streaming == "buffer") and (request.params.get("n") or 1) == 1
        replaced = self.escalate and readable and bare_name(usual) != bare_name(model) and self._dearer(usual, model)
        return usual if replaced and not self.breaker.overspent() else None

    def _checked(self, request: Request, model: str, above: str, rest: Next, ctx: Context) -> Flow:
        """Ask the cheaper model, look at its answer, and ask the usual one where that answer cannot be given out."""
        sent = rest(request.with_(model=model))
        reply = yield from Unseen(sent) if request.stream else sent
        asked = [(model, reply)]
        verdict = yield from self._verdict(request, reply, ctx)
        shut = self.breaker.closed(ctx.clock()) if above in self.tiers[-1].models else None
        if not verdict.good and verdict.finding != "truncated" and shut is None:
            ctx.note(self.name, "escalate", f"{verdict.why}; {bare_name(above)} is asked")
            ctx.replace_last(self.name)
            self._remember_model(request, above)
            reply = yield from rest(request if request.model == above else request.with_(model=above))
            asked.append((above, reply))
        self._count(request, asked, ctx)
        return reply

    def _verdict(self, request: Request, reply: Reply, ctx: Context) -> Generator[Call, Reply, Verdict]:
        """The free checks, then the judge where the recipe asks for one. A judge that says neither good nor bad changes nothing."""
        verdict = self._look(request, reply, ctx)
        if not verdict.good or self.judge is None or reply.message.get("tool_calls"):
            return verdict
        said = read_verdict((yield Call(judge_request(self.judge, request, reply), purpose="judge", technique=self.name)))
        return Verdict("judged_bad", f"{bare_name(self.judge)} judged it bad") if said is False else verdict

    def _look(self, request: Request, reply: Reply, ctx: Context) -> Verdict:
        return look(request, reply, pattern=self.patterns.get(ctx.task(request).name), least_logprob=self.least_logprob)

    def _asking(self, ladder: Ladder, request: Request, ctx: Context) -> Asking | None:
        """The request at the foot of the ladder, or None where rules decide: a declared task, tools, a model off the ladder."""
        open_choice = request.model in self.own_names
        names = {bare_name(model.name) for model in ladder.models}
        declared = ctx.task(request).source == "declared" and ctx.task(request).name in self.tasks
        if declared or request.params.get("tools") or request.params.get("functions") or not request.last_user_text.strip():
            return None
        if not open_choice and bare_name(request.model) not in names:
            return None
        named = None if open_choice else request.model
        under_way = request.session is not None or any(message.get("role") == "assistant" for message in request.messages)
        held = self._sessions.get(self._session(request)) if under_way and self.sticky == "session" else None
        shut = self.breaker.closed(ctx.clock())
        dear = self.tiers[-1].models

        def can(model: str) -> bool:
            tier = self._tier_of(model)
            lower = held is not None and tier is not None and tier < held
            low = tier is not None and tier < self._lowest and (named is None or bare_name(model) != bare_name(named))
            over = named is not None and bare_name(model) != bare_name(named) and self._dearer(model, named)
            there = (ctx.reachable is None or ctx.reachable(model)) and self.gone.why_not(model, ctx.clock()) is None
            fits = there and misfit(model, request) is None
            return fits and not lower and not low and not over and not (shut and model in dear)

        def read_share(model: str) -> float:
            return self.rereading.share(self._prompt(request, ctx), model, ctx.clock())

        whole = not request.stream or self.streaming == "buffer"
        votes = whole and held is None and (request.params.get("n") or 1) == 1 and not self.breaker.overspent()
        asking = Asking(ladder, request, self.keep_percent, can, votes=votes, read_share=read_share)
        if shut:
            ctx.note(self.name, "guarded", shut)
        return asking if asking.allowed else None

    def _climb(self, ladder: Ladder, asking: Asking, request: Request, rest: Next, ctx: Context) -> Flow:
        """Ask what the ladder says, look at what comes, and go on until an answer is accepted."""
        asked: list[tuple[str, Reply]] = []
        step = asking.next()
        while not step.accept:
            model = ladder.models[step.model].name
            ctx.note(self.name, *asking.words(step))
            if asked:
                ctx.replace_last(self.name)
            further = not step.final or (asking.votes and asking.above(step.model) is not None and not request.stream)
            sent = rest(request.with_(model=model))
            reply = yield from Unseen(sent) if further else sent
            asked.append((model, reply))
            verdict = (yield from self._verdict(request, reply, ctx)) if step.final and further else self._look(request, reply, ctx)
            asking.saw(step.model, reply, verdict)
            above = asking.above(step.model) if step.final and not verdict.good and further else None
            if above is not None:
                ctx.note(self.name, "escalate", verdict.why)
                step = Action(above, accept=False, final=True, expected=float(asking.seen[above]))
            elif step.final:
                break
            else:
                step = asking.next()
        if step.accept:
            ctx.note(self.name, *asking.words(step))
        answer = asking.replies[step.model]
        self._remember_model(request, ladder.models[step.model].name)
        self._count(request, asked, ctx)
        return answer

    def _remember_model(self, request: Request, model: str) -> None:
        tier = self._tier_of(model)
        if tier is not None:
            self._remember(request, tier)

    def _count(self, request: Request, asked: list[tuple[str, Reply]], ctx: Context) -> None:
        """Remember who has read this, and tell the breaker what it cost and what the baseline would have cost."""
        prompt, now, usual = self._prompt(request, ctx), ctx.clock(), self.baseline_model(request)
        other = ctx.mode == "on" and bool(asked) and bare_name(asked[-1][0]) != bare_name(usual)
        would_read = self.rereading.warm_tokens(prompt, usual, now, of_any=True) if other else 0
        for name, reply in asked:
            self.rereading.note(prompt, name, reply.usage, now)
        if ctx.mode != "on" or not asked:
            return
        last = asked[-1][1].usage
        if other:
            ctx.would_read_tokens = min(would_read, last.input_tokens)
        paid = sum(self._usd(name, reply.usage) for name, reply in asked)
        dear = any(name in self.tiers[-1].models for name, _ in asked) and len(self.tiers) > 1
        would = self._usd(usual, read_instead(last, ctx.would_read_tokens))
        self.breaker.note(dear=dear, paid_usd=paid, baseline_usd=would, now_seconds=now)

    def _usd(self, model: str, usage: Usage) -> float:
        """Dollars; an unpriced model counts as nothing."""
        rates = self.prices.rates(model)
        return 0.0 if rates is None else float(rates.cost(usage))

    def _prompt(self, request: Request, ctx: Context) -> Prompt:
        """What the caches may know of the request; read once for a request."""
        messages, prompt = self._last_prompt
        if messages is not request.messages or prompt is None:
            prompt = prompt_of(request, self._session(request), ctx.task(request).name)
            self._last_prompt = (request.messages, prompt)
        return prompt

    def _choose(self, request: Request, ctx: Context) -> tuple[str, str, str]:
        open_choice = request.model in self.own_names
        named = None if open_choice else self._tier_of(request.model)
        if not open_choice and named is None:
            return request.model, "left", f"{request.model} is in no tier of this recipe"
        task = ctx.task(request)
        tier_name = self.tasks.get(task.name)
        wanted = max(self._index(tier_name or self.baseline), self._lowest)
        why = f"{task.name} ({task.source}) needs {self.tiers[wanted].name}" if tier_name else f"unknown work stays safe: {task.unplanned}"
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
                problem = self._problem(model, request, ctx, named) or self._reads_again(model, request, ctx, named)
                if problem is None:
                    self._remember(request, index)
                    return model, self.tiers[index].name, "; ".join([why, *refused[:2]])
                refused.append(f"not {bare_name(model)}: {problem}")
        model = request.model if named is not None else self.baseline_model(request)
        return model, "left" if named is not None else self.baseline, "; ".join([why, *refused[:2]])

    def _problem(self, model: str, request: Request, ctx: Context, named: int | None) -> str | None:
        if named is None and model in self.tiers[-1].models and len(self.tiers) > 1 and (shut := self.breaker.closed(ctx.clock())):
            return shut
        if ctx.reachable is not None and not ctx.reachable(model):
            return "this key or proxy does not reach it"
        problem = self.gone.why_not(model, ctx.clock()) or misfit(model, request)
        if problem is None and named is not None and self._dearer(model, request.model):
            return f"it costs more than {bare_name(request.model)}"
        return problem

    def _reads_again(self, model: str, request: Request, ctx: Context, named: int | None) -> str | None:
        """Why asking this model would cost more than staying, because the caller's own has the prompt in its cache."""
        if named is None or self.sticky == "none":
            return None
        if self.rereading.pays(self._prompt(request, ctx), request.model, model, ctx.clock()):
            return None
        return f"{bare_name(request.model)} has this prompt in its cache, and reading it again costs more than that saves"

    def _dearer(self, model: str, than: str) -> bool:
        one, other = self.prices.rates(model), self.prices.rates(than)
        return one is not None and other is not None and (one.input_usd > other.input_usd or one.output_usd > other.output_usd)

    def _by_provider(self, models: tuple[str, ...], request: Request) -> list[str]:
        """The caller's own provider first: its key is there and its cache may be warm."""
        return sorted(models, key=lambda model: provider_of(model) != provider_of(request.model))

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

    def _session(self, request: Request) -> int:
        """A hash of the caller's name for the conversation, else of how it began: a name for each must not take much room."""
        if request.session:
            return hash((request.scope, request.session))
        messages, scope, key = self._last_named
        if messages and messages is request.messages and scope == request.scope:
            return key  # asked twice for one request: to look up where it is, and to remember where it went
        key = hash((request.scope, *opening(request.messages)))
        self._last_named = (request.messages, request.scope, key)
        return key

    def _tier_of(self, model: str) -> int | None:
        return self._places_of_models.get(bare_name(model))

    @property
    def _lowest(self) -> int:
        return 0 if self.floor is None else self._index(self.floor)

    def _index(self, name: str) -> int:
        return self._places[name]
