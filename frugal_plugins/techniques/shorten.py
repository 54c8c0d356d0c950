"""Shorten: the developer's prompt in fewer tokens, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from frugal_plugins.flow import Context, Flow, Next
from frugal_plugins.prefix.cost import CachePlan, plan_for
from frugal_plugins.prefix.sessions import session_key
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Message, Request
from frugal_plugins.structured import compact_instruction, find_instruction, with_response_format
from frugal_plugins.text.layout import developer_param, developer_text
from frugal_plugins.text.prompts import Level, shortened
from frugal_plugins.text.schemas import trimmed_tool
from frugal_plugins.text.tools import asks_for_more, chosen, name_of, with_more
from frugal_plugins.text.turns import digest, has_marks, head_length, is_marked, tokens_of
from frugal_plugins.tokens import count_messages, count_text, developer_tokens

_LEAST_CHARS: Final = 200
_MOST_REMEMBERED: Final = 2048
_FRONT_PARAMS: Final = ("tools", "functions", "response_format", "output_config", "text", "system", "instructions")


@dataclass(slots=True)
class Shorten:
    """Takes boilerplate, layout and repetition out of the developer's prompt, and asks for JSON by schema instead of by words.

    Saves: a few percent of prose, half of a JSON Schema written out in a prompt, a tenth or more of tool definitions. Risks:
    a changed meaning; so only fixed rules act, each line is checked for its numbers, ids, quotations, placeholders,
    negations and modal words, and code is not touched. What users write is never changed. A rewrite depends on the text
    alone, so a prompt that was sent before is sent with the same bytes again. Stands down: where the shorter prompt would
    fall below the length the provider's cache wants and so cost more, and where the caller marked the prompt for caching.

    Args:
        level: `format` layout only, `phrases` also boilerplate, `sentences` also what is said twice.
        schemas: `response_format` where the model has it, else a short notation, for prompts that spell a JSON Schema out.
        tools: trim tool descriptions that only repeat names.
        goes_to: the model a request will probably go to, where its own name (a recipe's) has no price.
        select_tools: about how many tools to send at most, chosen by what is asked; None sends all.
    """

    prices: PriceBook = field(default_factory=PriceBook)
    level: Level = "sentences"
    schemas: Literal["response_format", "notation", "off"] = "response_format"
    tools: bool = True
    goes_to: Callable[[Request], str] | None = None
    select_tools: int | None = None
    name: str = "shorten"
    _trimmed: dict[bytes, Mapping[str, Any]] = field(default_factory=dict)
    _params_tokens: dict[bytes, int] = field(default_factory=dict)
    _lost: dict[bytes, int] = field(default_factory=dict)
    _sent_whole: dict[str, float] = field(default_factory=dict)

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Shorten what the developer wrote, and leave out tools nobody asks for where that is sure to be cheaper."""
        fewer = self._with_fewer_tools(request, ctx)
        if fewer is None:
            return (yield from self._with_less_text(request, rest, ctx))
        reply = yield from self._with_less_text(fewer, rest, ctx)
        self._account(request, fewer, again=asks_for_more(reply.message))
        if not asks_for_more(reply.message):
            return reply
        ctx.replace_last(self.name)
        ctx.note(self.name, "asked_again", "the model wanted a tool that had been left out; it was asked again with all")
        return (yield from self._with_less_text(request, rest, ctx))

    def _with_less_text(self, request: Request, rest: Next, ctx: Context) -> Flow:
        short, did = self.shorter(request)
        if not did:
            return (yield from rest(request))
        before, after = self._front(request), self._front(short)
        if after >= before:
            return (yield from rest(request))
        plan = self._plan(request)
        if plan.caches and after < plan.minimum_tokens <= before and after > before * plan.read:
            ctx.note(self.name, "left", f"{after} tokens would fall below the {plan.minimum_tokens} the provider caches and cost more")
            return (yield from rest(request))
        if plan.caches and before < plan.minimum_tokens and self._stays_whole(request, before - after, plan, ctx.clock()):
            ctx.note(self.name, "left", f"without {before - after} of its tokens the conversation would be too short to be cached")
            return (yield from rest(request))
        ctx.note(self.name, "shortened", "; ".join(did), tokens_before=before, tokens_after=after)
        return (yield from rest(short))

    def _stays_whole(self, request: Request, saved_tokens: int, plan: CachePlan, now_seconds: float) -> bool:
        """Whether a conversation is only just long enough to be cached, or was when it was last sent and is cached as it came."""
        enough, whole = plan.minimum_tokens + saved_tokens, self._front(request)
        for message in request.messages[head_length(request.messages) :]:
            if whole >= enough:
                break
            whole += tokens_of(message, request.model)
        if whole < plan.minimum_tokens or (whole >= enough and not self._sent_whole):
            return False
        key = session_key(request, self.name)
        at = self._sent_whole.get(key)
        stays = whole < enough or (at is not None and now_seconds - at < plan.ttl_seconds)
        if stays:
            if len(self._sent_whole) >= _MOST_REMEMBERED:
                self._sent_whole.clear()
            self._sent_whole[key] = now_seconds
        return stays

    def _with_fewer_tools(self, request: Request, ctx: Context) -> Request | None:
        """The request with the tools this conversation needs; None where all are to be sent.

        A provider that reads the tools from its cache makes them nearly free, and other tools would be another prefix. So tools are
        left out only where the shorter prompt costs less even if the longer one were warm.
        """
        tools = request.params.get("tools")
        plain = request.params.get("tool_choice") in (None, "auto", {"type": "auto"}) and request.params.get("n") in (None, 1)
        if self.select_tools is None or request.stream or not plain or request.endpoint == "responses" or has_marks(tools):
            return None
        if not isinstance(tools, (list, tuple)) or len(tools) <= self.select_tools or not all(isinstance(tool, Mapping) for tool in tools):
            return None
        kept = chosen(tools, request.messages, self.select_tools)
        if kept is None or self._lost.get(_named(tools), 0) > 0:
            return None
        fewer = request.with_params(tools=with_more(kept, tools))
        before, after = self._whole(request), self._whole(fewer)
        plan = self._plan(request)
        if after >= before or (plan.caches and before >= plan.minimum_tokens and plan.units(0, after) >= before * plan.read):
            ctx.note(self.name, "left", f"the provider reads these tools from its cache at {plan.read:.0%}; fewer would be another prefix")
            return None
        words = f"{len(kept)} of {len(tools)} tools fit what is asked; the others are named and can be had"
        ctx.note(self.name, "selected", words, tokens_before=before, tokens_after=after)
        return fewer

    def _account(self, request: Request, fewer: Request, *, again: bool) -> None:
        """What leaving tools out has cost and saved for these tools, in tokens; where it loses, all are sent from then on."""
        key, after = _named(request.params["tools"]), self._whole(fewer)
        change = after if again else after - self._whole(request)
        if len(self._lost) >= _MOST_REMEMBERED:
            self._lost.clear()
        self._lost[key] = self._lost.get(key, 0) + change

    def _whole(self, request: Request) -> int:
        """Input tokens of tools, system prompt and messages."""
        head = head_length(request.messages)
        return self._front(request) + sum(tokens_of(message, request.model) for message in request.messages[head:])

    def _plan(self, request: Request) -> CachePlan:
        return plan_for(self.goes_to(request) if self.goes_to else request.model, self.prices) or CachePlan()

    def shorter(self, request: Request) -> tuple[Request, list[str]]:
        """The request with what the developer wrote in fewer tokens, and what was done; prices are not looked at."""
        did: list[str] = []
        short, tools = request, request.params.get("tools")
        if tools and self.tools and not has_marks(tools):
            short = self._with_tools(short, did)
        text, system = developer_text(request), request.params.get("system")
        if len(text) < _LEAST_CHARS:
            return short, did
        marked = has_marks(system) or any(map(is_marked, request.messages[: head_length(request.messages)]))
        if marked:
            return short, did
        if system or "properties" in text:  # as every JSON Schema has it
            short = self._with_format(short, did)
        return self._with_prose(short, did), did

    def _with_tools(self, request: Request, did: list[str]) -> Request:
        tools = request.params.get("tools")
        if not isinstance(tools, (list, tuple)) or not all(isinstance(tool, Mapping) for tool in tools):
            return request
        slim = [self._tool(tool) for tool in tools]
        if all(new is old for new, old in zip(slim, tools, strict=True)):
            return request
        did.append("tool descriptions that repeat names")
        return request.with_params(tools=slim)

    def _tool(self, tool: Mapping[str, Any]) -> Mapping[str, Any]:
        """A trimmed tool; the same object for the same definition, so that its bytes never change."""
        key = digest({"content": tool})
        found = self._trimmed.get(key)
        if found is None:
            if len(self._trimmed) >= _MOST_REMEMBERED:
                self._trimmed.clear()
            found = self._trimmed[key] = trimmed_tool(tool)
        return tool if found == tool else found

    def _with_format(self, request: Request, did: list[str]) -> Request:
        """A schema spelled out in the prompt as `response_format`, or in short notation."""
        if self.schemas == "off":
            return request
        for text, put in texts_of(request):
            if find_instruction(text) is None:
                continue
            found = with_response_format(request, text) if self.schemas == "response_format" else None
            if found is not None:
                did.append("the JSON instruction is now response_format")
                return put(found[0]).with_params(**found[1])
            did.append("the JSON Schema is written in short notation")
            return put(compact_instruction(text))
        return request

    def _with_prose(self, request: Request, did: list[str]) -> Request:
        changed = request
        for text, put in texts_of(request):
            short = _shortened(text, self.level)
            if short is not text and short != text:
                here = put if changed is request else next(put for found, put in texts_of(changed) if found == text)
                changed = here(short)
        if changed is not request:
            did.append(f"prose by rules ({self.level})")
        return changed

    def _front(self, request: Request) -> int:
        """Tokens of what the developer wrote: tools, schema, system prompt."""
        model, given = request.model, request.params
        params = {name: given[name] for name in _FRONT_PARAMS if given.get(name)} if given else {}
        messages = request.messages[: head_length(request.messages)]
        total = sum([developer_tokens(message, model) or tokens_of(message, model) for message in messages])
        if params:
            key = digest({"content": params})
            if key not in self._params_tokens:
                if len(self._params_tokens) >= _MOST_REMEMBERED:
                    self._params_tokens.clear()
                forms = [str(params.pop(name)) for name in ("output_config", "text") if params.get(name)]
                self._params_tokens[key] = count_messages((), model, params=params) + sum(count_text(form, model) for form in forms)
            total += self._params_tokens[key]
        return total


@lru_cache(maxsize=256)
def _shortened(text: str, level: Level) -> str:
    """A prompt's shorter form, looked for once for each prompt and not again for each request."""
    return shortened(text, level)


def _named(tools: Sequence[Mapping[str, Any]]) -> bytes:
    return digest({"content": [name_of(tool) for tool in tools]})


class _Put:
    """Puts a text back where it was found."""

    def __init__(self, request: Request, place: int | None, block: int | None) -> None:
        self.request, self.place, self.block = request, place, block

    def __call__(self, text: str) -> Request:
        request = self.request
        if self.place is None:
            name = developer_param(request) or "system"
            return request.with_params(**{name: _replaced(request.params[name], self.block, text)})
        message: Message = request.messages[self.place]
        changed = {**message, "content": _replaced(message.get("content"), self.block, text)}
        return request.with_(messages=(*request.messages[: self.place], changed, *request.messages[self.place + 1 :]))


def texts_of(request: Request) -> list[tuple[str, Callable[[str], Request]]]:
    """The developer's texts, each with a way to put another in its place."""
    found: list[tuple[str, Callable[[str], Request]]] = []
    contents: list[tuple[int | None, Any]] = [(None, request.params.get(developer_param(request) or "system"))]
    contents += [(place, message.get("content")) for place, message in enumerate(request.messages[: head_length(request.messages)])]
    for place, content in contents:
        if isinstance(content, str):
            found.append((content, _Put(request, place, None)))
        elif isinstance(content, Sequence):
            blocks = ((number, block.get("text")) for number, block in enumerate(content) if isinstance(block, Mapping))
            found.extend((text, _Put(request, place, number)) for number, text in blocks if isinstance(text, str))
    return found


def _replaced(content: Any, block: int | None, text: str) -> Any:
    if block is None:
        return text
    return [*content[:block], {**content[block], "text": text}, *content[block + 1 :]]
