"""Whether it pays to write a prompt's front to the provider's cache before it is needed, or to keep it there until it is.

A provider can only read what an earlier request has written. So of many requests that start at the same time each pays for writing the
same front; one that goes ahead makes it cheap for all others. And a front that is touched now and then does not have to be written
again. Both cost something themselves. Nothing is sent from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from frugal_plugins.models import always_thinks
from frugal_plugins.prefix.cost import CachePlan, plan_for, static_params_tokens
from frugal_plugins.prices import MILLION, PriceBook
from frugal_plugins.request import Message, Request
from frugal_plugins.text.layout import mark_message, mark_openai, mark_system, mark_tools
from frugal_plugins.text.turns import has_marks, head_length, is_marked, tokens_of

_IN_TIME: Final = 0.9
_ASKED_TOKENS: Final = 8
_THINKING_TOKENS: Final = 16
_FRONT_PARAMS: Final = ("tools", "functions", "response_format", "system")


@dataclass(frozen=True, slots=True)
class Warmth:
    """What pre-warming a front is worth.

    Attributes:
        front_tokens: tools and developer's prompt, what all the requests share.
        touches: how many further times it must be touched to stay until it is needed, and every how many seconds.
        cost_usd, saves_usd: what warming costs and what the requests then save; None for an unpriced model.
        pays: whether it does.
    """

    model: str
    front_tokens: int
    touches: int
    every_seconds: float
    cost_usd: Decimal | None
    saves_usd: Decimal | None
    pays: bool
    why: str


def warmth(
    request: Request,
    prices: PriceBook,
    *,
    concurrent: int = 1,
    keep_seconds: float = 0.0,
    return_probability: float = 1.0,
    warm: bool = False,
) -> Warmth:
    """Decide whether to warm a request's front.

    Args:
        concurrent: how many requests with this front start before the first of them is answered.
        keep_seconds: how long from now until they start.
        return_probability: how likely they come at all.
        warm: whether the front is in the cache already, so that it only has to be kept there.
    """
    model, plan, rates = request.model, plan_for(request.model, prices), prices.rates(request.model)
    tokens = front_tokens(request)
    every = _IN_TIME * plan.ttl_seconds if plan is not None else 0.0
    touches = int(keep_seconds // every) if every else 0

    def no(why: str) -> Warmth:
        return Warmth(model, tokens, touches, every, None, None, False, why)

    if plan is None or rates is None:
        return no(f"no price is known for {model}, so nobody can say whether it pays; name it under prices")
    if not plan.caches:
        return no(f"{model} bills what it has read before like anything else")
    if tokens < plan.minimum_tokens:
        return no(f"the front has {tokens:,} tokens; {model} caches from {plan.minimum_tokens:,} on")
    asked = (0 if warm else 1) + touches
    written = 0.0 if warm else tokens * plan.write
    answered = asked * (_THINKING_TOKENS if always_thinks(model) else 1)
    cost = (written + touches * tokens * plan.read + asked * _ASKED_TOKENS) * float(rates.input_usd) + answered * float(rates.output_usd)
    saves = return_probability * concurrent * tokens * (plan.write - plan.read) * float(rates.input_usd)
    cost_usd, saves_usd = (Decimal(str(usd)) / MILLION for usd in (cost, saves))
    pays = saves > cost
    return Warmth(model, tokens, touches, every, cost_usd, saves_usd, pays, _why(plan, concurrent, touches, return_probability, pays, warm))


def _why(plan: CachePlan, concurrent: int, touches: int, likely: float, pays: bool, warm: bool) -> str:
    if not warm and concurrent == 1 and not pays:
        return "one request writes the front for itself; going ahead of it saves time, not money"
    kept = f", {touches} touches at {plan.read:.0%} to keep it" if touches else ""
    sure = "" if likely >= 1 else f" with a probability of {likely:.0%}"
    verb = "pays" if pays else "does not pay"
    first = "it is there already" if warm else f"one write at {plan.write:.0%}"
    return f"{verb}: {first}{kept}, for {concurrent} requests that then read at {plan.read:.0%} instead of {plan.write:.0%}{sure}"


def front_tokens(request: Request) -> int:
    """Tokens of what requests of this kind share: tools, schema, developer's prompt."""
    params = {name: request.params[name] for name in _FRONT_PARAMS if request.params.get(name)}
    head = request.messages[: head_length(request.messages)]
    return (static_params_tokens(params, request.model) - 3 if params else 0) + sum(tokens_of(one, request.model) for one in head)


def warming(request: Request, prices: PriceBook, *, hour: bool = False) -> Request:
    """The smallest request that writes this one's front to the cache: the same tools and prompt, marked, and one token of answer."""
    plan = plan_for(request.model, prices) or CachePlan()
    head = head_length(request.messages)
    marked = request if _marks_front(request, head) else _marked(request, head, plan, "1h" if hour and plan.write_1h else "5m")
    limit = {"max_completion_tokens": _THINKING_TOKENS} if always_thinks(request.model) else {"max_tokens": 1}
    kept = {name: marked.params[name] for name in (*_FRONT_PARAMS, "prompt_cache_key") if marked.params.get(name) is not None}
    question: Message = {"role": "user", "content": "."}
    return marked.with_(messages=(*marked.messages[:head], question), params={**kept, **limit}, stream=False)


def _marks_front(request: Request, head: int) -> bool:
    return has_marks(request.params.get("system")) or any(map(is_marked, request.messages[:head]))


def _marked(request: Request, head: int, plan: CachePlan, lifetime: str) -> Request:
    if plan.explicit and request.params.get("system"):
        return request.with_params(system=mark_system(request.params["system"], lifetime))
    if plan.explicit and not head and request.params.get("tools"):
        return request.with_params(tools=mark_tools(request.params["tools"], lifetime))
    if not head or not (plan.explicit or plan.may_mark):
        return request
    last = mark_message(request.messages[head - 1], lifetime) if plan.explicit else mark_openai(request.messages[head - 1])
    return request if last is None else request.with_(messages=(*request.messages[: head - 1], last, *request.messages[head:]))
