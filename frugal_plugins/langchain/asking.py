"""One request on its way: from LangChain's call to the recipe's flow, to the chosen tier's model, and back."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

from langchain_core.messages import AIMessage, AIMessageChunk

from frugal_plugins import drivers
from frugal_plugins.errors import TruncatedOutput
from frugal_plugins.flow import Call, Context, Flow
from frugal_plugins.inside import inside
from frugal_plugins.langchain.calls import changed, unmarked_tools, with_tools, with_usage
from frugal_plugins.langchain.listening import AsyncOpened, Opened
from frugal_plugins.langchain.messages import Conversation, without_marks
from frugal_plugins.langchain.output import CUT, Output, whole_object
from frugal_plugins.langchain.replies import marked, message_of_cut, note_of, read_reply, stored_message, traced_as, with_money
from frugal_plugins.langchain.tiers import Tiers
from frugal_plugins.langchain.voices import PublicVoice, StoredAnswer, Target, Voice, as_chunk
from frugal_plugins.prices import provider_of
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply, Request

REFUSE_MARKS: Final = ("openai", "azure")
"""Providers that refuse Anthropic's cache_control; it is taken out when the recipe, not the caller, chose one of them."""


@dataclass(slots=True)
class Asking:
    """Drives one request's flow.

    Attributes:
        kwargs: what the caller bound or passed, in LangChain's own words.
        untouched: nothing of ours is added to the call or the answer (the kill switch, or a call inside another door's flow).
    """

    recipe: Recipe
    tiers: Tiers
    voice: Voice
    conversation: Conversation
    kwargs: Mapping[str, Any]
    request: Request
    flow: Flow
    ctx: Context
    output: Output | None = None
    untouched: bool = False
    _cut: tuple[AIMessage, Exception] | None = field(default=None)
    _opened: AsyncOpened | None = field(default=None)

    def answer(self) -> AIMessage:
        """The answer, by blocking calls."""
        reply = drivers.drive(self.flow, self.ctx, self._send)
        if isinstance(reply.raw, AIMessage):
            return self._finished(reply, reply.raw)
        stored = self._stored(reply)
        return self.voice.ask(self._stored_target(stored)) if isinstance(self.voice, PublicVoice) else stored

    async def aanswer(self) -> AIMessage:
        """The answer, awaited."""
        reply = await drivers.adrive(self.flow, self.ctx, self._asend)
        if isinstance(reply.raw, AIMessage):
            return self._finished(reply, reply.raw)
        stored = self._stored(reply)
        return await self.voice.aask(self._stored_target(stored)) if isinstance(self.voice, PublicVoice) else stored

    def pieces(self) -> Iterator[AIMessageChunk]:
        """The answer piece by piece."""
        whole = _Whole()
        try:
            yield from drivers.stream(self.flow, self.ctx, self._send, self._open, whole.keep)
        except length_errors() as error:
            if self.output is None:
                raise
            raise TruncatedOutput(CUT) from error
        if whole.reply is not None and isinstance(whole.reply.raw, AIMessage):
            yield as_chunk(self._finished(whole.reply, whole.reply.raw))
        elif whole.reply is not None:
            stored = self._stored(whole.reply)
            yield from self.voice.listen(self._stored_target(stored)) if isinstance(self.voice, PublicVoice) else [as_chunk(stored)]

    async def apieces(self) -> AsyncGenerator[AIMessageChunk, None]:
        """The answer piece by piece, for `async for`."""
        whole = _Whole()
        chunks = drivers.astream(self.flow, self.ctx, self._asend, self._aopen, whole.keep)
        try:
            async with aclosing(cast("Any", chunks)):
                async for chunk in chunks:
                    yield chunk
        except length_errors() as error:
            if self.output is None:
                raise
            raise TruncatedOutput(CUT) from error
        finally:
            if self._opened is not None:
                await self._opened.aclose()
        if whole.reply is not None and isinstance(whole.reply.raw, AIMessage):
            yield as_chunk(self._finished(whole.reply, whole.reply.raw))
        elif whole.reply is not None:
            stored = self._stored(whole.reply)
            if not isinstance(self.voice, PublicVoice):
                yield as_chunk(stored)
                return
            async for chunk in self.voice.alisten(self._stored_target(stored)):
                yield chunk

    def target(self, call: Call) -> Target:
        """Which model a call goes to, with what; only what a technique changed differs from what the caller said."""
        name = self.tiers.name_of(call.request.model)
        if self.request.model in self.recipe.own_names:
            name = self.tiers.stand_in(name)
        model = self.tiers.model(name)
        messages = self.conversation.back(call.request.messages)
        if call.purpose != "answer":
            return Target(name, model, messages, dict(call.request.params), traced_as(self.ctx, name))
        kwargs = changed(self.kwargs, self.request.params, call.request.params)
        refuses = name != self.tiers.name_of(self.request.model) and provider_of(name) in REFUSE_MARKS
        if refuses and kwargs.get("tools") is not None:
            kwargs["tools"] = unmarked_tools(kwargs["tools"])
        if self.output is not None:
            kwargs.pop("response_format", None)
            kwargs = {**self.output.kwargs(model), **kwargs}
        elif kwargs.get("tools") is not None:
            kwargs = with_tools(model, kwargs)
        if self.request.stream and self.ctx.group == "treated" and self.recipe.steps and not self.untouched:
            model = with_usage(model)
        if refuses:
            messages = without_marks(messages)
            kwargs.pop("cache_control", None)
        return Target(name, model, messages, kwargs, {} if self.untouched else traced_as(self.ctx, name))

    def reply(self, target: Target, call: Call, message: AIMessage, finish: str | None = None) -> Reply:
        """A model's message as what the flow wants to hear."""
        reply = read_reply(message, name=target.name, request=call.request, finish=finish)
        return self.output.plain(reply, target.model) if self.output is not None and call.purpose == "answer" else reply

    def note(self, name: str, reply: Reply | None = None) -> dict[str, Any]:
        """What the answer's `response_metadata["frugal"]` says."""
        return note_of(self.ctx, reply, name, cache_word(self.ctx, self.recipe, self.request, reply))

    def _send(self, call: Call) -> Reply:
        target = self.target(call)
        try:
            with inside():
                message = self.voice.ask(target)
        except length_errors() as error:
            return self._cut_short(target, call, error)
        return self.reply(target, call, message)

    async def _asend(self, call: Call) -> Reply:
        target = self.target(call)
        try:
            with inside():
                message = await self.voice.aask(target)
        except length_errors() as error:
            return self._cut_short(target, call, error)
        return self.reply(target, call, message)

    def _open(self, call: Call) -> Opened:
        target = self.target(call)
        return Opened(self.voice.listen(target), partial(self._noted, target), partial(self.reply, target, call))

    async def _aopen(self, call: Call) -> AsyncOpened:
        target = self.target(call)
        self._opened = AsyncOpened(self.voice.alisten(target), partial(self._noted, target), partial(self.reply, target, call))
        return self._opened

    def _noted(self, target: Target, message: AIMessage) -> AIMessage:
        return message if self.untouched else marked(message, self.note(target.name))

    def _cut_short(self, target: Target, call: Call, error: Exception) -> Reply:
        """OpenAI's client raises when an answer with a schema ends at the limit; the flow may still want to ask again."""
        message = message_of_cut(error)
        self._cut = (message, error)
        data = whole_object(message)
        if data is not None:
            message.additional_kwargs["parsed"] = data
        return self.reply(target, call, message)

    def _finished(self, reply: Reply, message: AIMessage) -> AIMessage:
        if self._cut is not None and self._cut[0] is message and self.output is None:
            raise self._cut[1]
        if self.untouched:
            return message
        return marked(message, with_money(self.note(reply.billed_as or reply.model, reply), self.recipe, self.request, self.ctx, reply))

    def _stored(self, reply: Reply) -> AIMessage:
        note = self.note(self.tiers.closest(reply.model), reply)
        return stored_message(reply, with_money(note, self.recipe, self.request, self.ctx, reply))

    def _stored_target(self, stored: AIMessage) -> Target:
        model = StoredAnswer.of(stored)
        return Target(
            self.tiers.closest(stored.response_metadata["model_name"]),
            model,
            list(self.conversation.originals),
            {} if self.output is None else self.output.for_traces,
            traced_as(self.ctx, stored.response_metadata["frugal"]["model"]),
        )


class _Whole:
    """Takes what a driver would show in one piece, so that it can be shown through LangChain's callbacks."""

    def __init__(self) -> None:
        self.reply: Reply | None = None

    def keep(self, reply: Reply) -> tuple[AIMessageChunk, ...]:
        self.reply = reply
        return ()


def cache_word(ctx: Context, recipe: Recipe, request: Request, reply: Reply | None) -> str:
    """What `response_metadata["frugal"]["cache"]` says: hit, miss, or bypass where no cache was asked."""
    if reply is not None and reply.saved is not None:
        return "hit"
    used = ctx.group == "treated" and any(step.name == "cache" and mode == "on" for step, mode in recipe.steps)
    passed = "no_cache" in request.tags or any(d.technique == "cache" and d.action == "bypassed" for d in ctx.decisions)
    return "miss" if used and not passed else "bypass"


def length_errors() -> tuple[type[Exception], ...]:
    """How OpenAI's client says that an answer with a schema ended at the limit; nothing while it is not loaded."""
    openai = sys.modules.get("openai")
    return () if openai is None else (openai.LengthFinishReasonError,)
