"""Prompt cache: the prompt is laid out so that the provider has to read it only once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from frugal_plugins.flow import Context, Flow, Next
from frugal_plugins.prefix.cost import REFUSE_MARKS, CachePlan, plan_for, takes_breakpoints
from frugal_plugins.prefix.reuse import Reuse, Traffic
from frugal_plugins.prices import PriceBook, provider_of
from frugal_plugins.request import Request
from frugal_plugins.text.layout import developer_text, mark_message, mark_openai, mark_system, mark_tools, with_passages, with_tail
from frugal_plugins.text.turns import digest, has_marks, has_results, head_length, is_marked, tokens_of, without_marks
from frugal_plugins.text.volatile import parted
from frugal_plugins.tokens import count_messages, developer_tokens, most_tokens

_KEYED: Final = frozenset({"openai", "azure"})
_KEY_CHARS: Final = 32
_COUNTED: Final = ("tools", "functions", "system", "instructions")
"""What counts as part of a prompt besides its messages."""


@dataclass(slots=True)
class PromptCache:
    """Puts what stays the same in front and marks it where the provider wants marks.

    Saves: most of the price of input that was sent before. Risks: a mark is paid for and never read; so Anthropic
    breakpoints are set only where this traffic comes back often enough (22 % within five minutes, 53 % within an hour at
    its prices), never below the model's minimum, at most four, and none where the caller set its own. A clock, UUID or
    request id that was seen changing in the developer's prompt moves to the end of the request. Tools that come in another
    order are put back in the first one. OpenAI models that charge for writing (GPT-5.6 and later) get a breakpoint behind what
    requests share, and are told not to write what will hardly be read again. Marks a provider would refuse are taken out. Stands
    down: for models whose price is unknown or that do not cache. The Responses API takes a key and no marks here, and where it keeps
    the conversation itself nothing is moved into it.

    Args:
        volatile: `move` what changes to the end, only `report` it, or `off`.
        breakpoints: whether Anthropic breakpoints are set.
        hour: whether the one-hour lifetime may be chosen.
        traffic: what is known of how prompts come back; shared by all requests of a recipe.
    """

    prices: PriceBook = field(default_factory=PriceBook)
    volatile: Literal["move", "report", "off"] = "move"
    breakpoints: bool = True
    hour: bool = True
    traffic: Traffic = field(default_factory=Traffic)
    name: str = "prompt_cache"

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Lay the prompt out and say what was done."""
        laid = self._stripped(request, ctx)
        plan = plan_for(request.model, self.prices)
        takes_marks = request.endpoint != "responses"
        if plan is not None and plan.caches and (takes_marks or not plan.explicit):
            laid = self._laid_out(laid, plan, ctx)
        return (yield from rest(laid))

    def _stripped(self, request: Request, ctx: Context) -> Request:
        """Take out what this model refuses, for instance after a change of model: the other provider's marks, OpenAI's options."""
        names = [] if provider_of(request.model) not in REFUSE_MARKS else ["cache_control"]
        breakpoints = takes_breakpoints(request.model)
        names += [] if breakpoints else ["prompt_cache_breakpoint"]
        refused = [] if breakpoints else ["prompt_cache_options"]
        refused += [] if provider_of(request.model) in (*_KEYED, None) else ["prompt_cache_key", "prompt_cache_retention"]
        params = {
            name: without_marks(request.params[name], names) for name in ("tools", "system") if has_marks(request.params.get(name), names)
        }
        gone = [name for name in refused if request.params.get(name) is not None]
        changed = any(is_marked(message, names) for message in request.messages)
        if not params and not changed and not gone:
            return request
        ctx.note(self.name, "stripped", f"this model takes no {' and no '.join([*names, *gone] if params or changed else gone)}")
        messages = tuple(without_marks(message, names) for message in request.messages) if changed else request.messages
        kept = {name: value for name, value in {**request.params, **params}.items() if name not in gone}
        return request.with_(messages=messages, params=kept if params or gone else request.params)

    def _laid_out(self, request: Request, plan: CachePlan, ctx: Context) -> Request:
        text = developer_text(request)
        seen = self.traffic.see(request, text, ctx.clock())
        request = self._same_tools(request, ctx)
        request, tail = self._steady(request, text, seen, ctx)
        if self._is_below(plan.minimum_tokens, request):
            ctx.note(self.name, "left", f"it is below the {plan.minimum_tokens} tokens from which on this model caches")
        elif request.endpoint == "responses":
            request = self._keyed(request, seen, ctx) if provider_of(request.model) in _KEYED and seen.comes_back else request
        elif plan.explicit:
            request = self._marked(request, plan, seen, ctx)
        elif plan.may_mark and plan.write > 1.0:
            request = self._broken(request, plan, seen, ctx)
        elif provider_of(request.model) in _KEYED and seen.comes_back:
            request = self._keyed(request, seen, ctx)
        return with_tail(request, tail, apart=plan.explicit or plan.may_mark) if tail else request

    def _same_tools(self, request: Request, ctx: Context) -> Request:
        """The tools as they were first sent, when only their order or the order of their keys is another."""
        tools = request.params.get("tools")
        if not isinstance(tools, (list, tuple)) or not all(isinstance(tool, Mapping) for tool in tools):
            return request
        first = self.traffic.first_tools(tools)
        if first is None or json.dumps(first, default=repr) == json.dumps(tools, default=repr):
            return request
        ctx.note(self.name, "ordered", "the same tools came in another order; they are sent as the first time")
        return request.with_params(tools=list(first))

    def _steady(self, request: Request, text: str, seen: Reuse, ctx: Context) -> tuple[Request, str]:
        """Take out of the developer's prompt what was seen changing; returns it for the end of the request."""
        moving = seen.moving(text)
        if self.volatile == "off" or not moving:
            return request, ""
        kinds = ", ".join(sorted({kind for passage in moving for kind in passage.kinds}))
        last = request.messages[-1]
        kept = request.params.get("previous_response_id") or request.params.get("conversation")  # a tail would stay there for good
        if self.volatile == "report" or kept or not (last.get("role") == "user" or has_results(last)):
            ctx.note(self.name, "found", f"{len(moving)} lines of the prompt change between calls ({kinds}) and break its cached prefix")
            return request, ""
        ctx.note(self.name, "moved", f"{len(moving)} lines that change between calls ({kinds}) now stand at the end")
        left, tail = parted(moving)
        return with_passages(request, left), tail

    def _marked(self, request: Request, plan: CachePlan, seen: Reuse, ctx: Context) -> Request:
        """Breakpoints behind what other requests share, and behind the last message of a conversation that goes on."""
        if not self.breakpoints or self._has_own_marks(request):
            ctx.note(self.name, "left", "the caller's own breakpoints are kept" if self.breakpoints else "breakpoints are turned off")
            return request
        static, tail = seen.static_lifetime(plan, hour=self.hour), seen.tail_lifetime(plan, hour=self.hour)
        head = head_length(request.messages)
        shared = self._tokens(request, head)
        marks = []
        if static and shared >= plan.minimum_tokens:
            request = self._mark_static(request, head, static)
            marks.append(f"the shared front of {shared} tokens for {static}")
        if tail and len(request.messages) > head:
            lifetime = tail if tail == "5m" or "1h" in (static, "") or not marks else "5m"
            last = mark_message(request.messages[-1], lifetime)
            if last is not None:
                request = request.with_(messages=(*request.messages[:-1], last))
                marks.append(f"the conversation for {lifetime}")
        ctx.note(self.name, "marked" if marks else "left", " and ".join(marks) or f"it comes back too seldom to pay ({seen.why})")
        return request

    def _mark_static(self, request: Request, head: int, lifetime: str) -> Request:
        if request.params.get("system"):
            return request.with_params(system=mark_system(request.params["system"], lifetime))
        if head:
            last = mark_message(request.messages[head - 1], lifetime)
            return request if last is None else request.with_(messages=(*request.messages[: head - 1], last, *request.messages[head:]))
        return request.with_params(tools=mark_tools(request.params["tools"], lifetime)) if request.params.get("tools") else request

    def _broken(self, request: Request, plan: CachePlan, seen: Reuse, ctx: Context) -> Request:
        """OpenAI where writing costs more than reading plainly: a breakpoint behind what others share; no write that is not read again."""
        own = request.params.get("prompt_cache_options") is not None or any(map(is_marked, request.messages))
        if not self.breakpoints or own:
            ctx.note(self.name, "left", "the caller's own breakpoints are kept" if own else "breakpoints are turned off")
            return request
        front, goes_on = plan.pays(seen.front_half) > 0, plan.pays(seen.goes_on_half) > 0
        head = head_length(request.messages)
        marked = mark_openai(request.messages[head - 1]) if front and head and self._tokens(request, head) >= plan.minimum_tokens else None
        if marked is not None:
            request = request.with_(messages=(*request.messages[: head - 1], marked, *request.messages[head:]))
        if not goes_on:
            request = request.with_params(prompt_cache_options={"mode": "explicit"})
        if seen.comes_back and request.params.get("prompt_cache_key") is None and (goes_on or marked is not None):
            request = request.with_params(prompt_cache_key=seen.family[:_KEY_CHARS])
        did = ["the shared front"] * (marked is not None) + ["the conversation"] * goes_on
        why = f"{' and '.join(did)} for half an hour" if did else f"written to no cache: it comes back too seldom to pay ({seen.why})"
        ctx.note(self.name, "placed", why)
        return request

    def _keyed(self, request: Request, seen: Reuse, ctx: Context) -> Request:
        if request.params.get("prompt_cache_key") is not None:
            return request
        ctx.note(self.name, "keyed", "requests with this front are sent to the same cache")
        return request.with_params(prompt_cache_key=seen.family[:_KEY_CHARS])

    def _has_own_marks(self, request: Request) -> bool:
        own = request.params.get("cache_control") or request.params.get("cache_control_injection_points")
        return (
            bool(own)
            or any(map(is_marked, request.messages))
            or any(map(has_marks, (request.params.get("tools"), request.params.get("system"))))
        )

    def _is_below(self, minimum_tokens: int, request: Request) -> bool:
        """Whether the whole prompt is shorter; counted only where its characters do not say so."""
        if not any(map(request.params.get, _COUNTED)):
            left = minimum_tokens
            for message in request.messages:
                most = most_tokens(message, request.model)
                if most is None or most >= left:
                    break
                left -= most
            else:
                return True
        return self._tokens(request, len(request.messages)) < minimum_tokens

    def _tokens(self, request: Request, messages: int) -> int:
        """Input tokens of the tools, the system prompt and the first so many messages."""
        model, given = request.model, request.params
        params = {name: given[name] for name in _COUNTED if given.get(name)} if given else {}
        front = self.traffic.counted(digest({"content": params}), lambda: count_messages((), model, params=params)) if params else 0
        return front + sum([developer_tokens(message, model) or tokens_of(message, model) for message in request.messages[:messages]])
