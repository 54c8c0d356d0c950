"""The SDK's chat completions on their way through a recipe: whole answers and streams, sync and async."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import litellm

from frugal_plugins.drivers import adrive, astream, drive, stream
from frugal_plugins.flow import Call, Context
from frugal_plugins.inside import inside
from frugal_plugins.litellm.convert import Asked, hidden_params, reply_of, why
from frugal_plugins.litellm.sdk_router import AtRouter, as_inside
from frugal_plugins.litellm.stored import chunks_of, hidden_of, response_of, stream_attributes
from frugal_plugins.litellm.streams import OPENED, FrugalAsyncStream, FrugalStream, Reading, asks_usage
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply


@dataclass(frozen=True, slots=True)
class Line:
    """One request on its way to LiteLLM: what was asked, and LiteLLM's own function to ask it with."""

    recipe: Recipe
    asked: Asked
    original: Any
    ctx: Context
    adjust: Callable[[dict[str, Any]], dict[str, Any]]

    def kwargs(self, call: Call) -> dict[str, Any]:
        """The arguments of a call whose answer is wanted in one piece."""
        kwargs = self.adjust(_as_inside(self.asked.kwargs_for(call)))
        if kwargs.get("stream"):
            kwargs = {name: value for name, value in kwargs.items() if name not in ("stream", "stream_options")}
        return kwargs

    def stream_kwargs(self, call: Call) -> tuple[dict[str, Any], bool]:
        """The arguments of a call whose answer is read in pieces, and whether its usage chunk is only for us.

        Where no technique is at work the request goes out as it came; its stream is then booked with counted tokens.
        """
        kwargs = self.adjust(_as_inside(self.asked.kwargs_for(call)))
        idle = not self.recipe.steps or self.ctx.group == "bypassed"
        return (kwargs, False) if idle else asks_usage(kwargs)

    def send(self, call: Call) -> Reply:
        """Ask and wait."""
        with inside():
            return reply_of(self.original(**self.kwargs(call)), asked_model=call.request.model)

    async def asend(self, call: Call) -> Reply:
        """Ask and await."""
        with inside():
            return reply_of(await self.original(**self.kwargs(call)), asked_model=call.request.model)

    def details(self, reply: Reply | None = None) -> dict[str, Any]:
        """What the caller finds in `_hidden_params["frugal"]`."""
        asked_last = self.ctx.attempts[-1].call.request.model if self.ctx.attempts else None
        model = reply.model if reply is not None else asked_last
        found: dict[str, Any] = {"id": self.ctx.id, "why": why(self.ctx.decisions), "model": model, "recipe": self.recipe.name}
        if reply is not None and reply.saved is not None:
            usd = self.recipe.prices.cost(self.recipe.baseline_model(self.asked.request), reply.saved)
            tokens = {"input_tokens": reply.saved.input_tokens, "output_tokens": reply.saved.output_tokens}
            found["saved"] = {**tokens, "usd": None if usd is None else str(usd)}
        return found

    def response(self, reply: Reply) -> Any:
        """What the caller gets: LiteLLM's own object, or a stored answer in its shape."""
        details = self.details(reply)
        if reply.raw is None or reply.saved is not None:
            return response_of(reply, details)
        hidden = hidden_params(reply.raw)
        if isinstance(hidden, dict):
            hidden["frugal"] = details
        return reply.raw


def _as_inside(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Say in the metadata that a call is ours, where LiteLLM will make it from another thread: its `fallbacks`."""
    if kwargs.get("fallbacks") is None and not litellm.model_fallbacks:
        return kwargs
    return as_inside(kwargs)


def _as_it_is(kwargs: dict[str, Any]) -> dict[str, Any]:
    return kwargs


def answer(recipe: Recipe, asked: Asked, original: Any, at: AtRouter | None = None) -> Any:
    """One call of `litellm.completion`, or of a Router's, through the recipe."""
    flow, ctx = (at or asked).start(recipe)
    line = Line(recipe, asked, original, ctx, at.adjust if at is not None else _as_it_is)
    if not asked.request.stream:
        return line.response(drive(flow, ctx, line.send))
    opened: list[Reading] = []
    stored: list[Reply] = []

    def open_stream(call: Call) -> Reading:
        kwargs, hide = line.stream_kwargs(call)
        with inside():
            opened.append(Reading(original(**kwargs), call.request, hide_usage=hide))
        return opened[-1]

    def replay(reply: Reply) -> Generator[Any]:
        stored.append(reply)
        yield OPENED
        yield from chunks_of(reply, line.details(reply), with_usage=_wants_usage(asked))

    chunks = cast("Generator[Any]", stream(flow, ctx, line.send, open_stream, replay))
    next(chunks)  # opens the connection, so that an error of opening is raised here and not at the first chunk
    return FrugalStream(chunks, opened[-1].source if opened else None, *_beside(line, opened, stored))


async def aanswer(recipe: Recipe, asked: Asked, original: Any, at: AtRouter | None = None) -> Any:
    """One call of `litellm.acompletion`, or of a Router's, through the recipe."""
    flow, ctx = (at or asked).start(recipe)
    line = Line(recipe, asked, original, ctx, at.adjust if at is not None else _as_it_is)
    if not asked.request.stream:
        return line.response(await adrive(flow, ctx, line.asend))
    opened: list[Reading] = []
    stored: list[Reply] = []

    async def open_stream(call: Call) -> Reading:
        kwargs, hide = line.stream_kwargs(call)
        with inside():
            opened.append(Reading(await original(**kwargs), call.request, hide_usage=hide))
        return opened[-1]

    def replay(reply: Reply) -> Generator[Any]:
        stored.append(reply)
        yield OPENED
        yield from chunks_of(reply, line.details(reply), with_usage=_wants_usage(asked))

    chunks = cast("AsyncGenerator[Any]", astream(flow, ctx, line.asend, open_stream, replay))
    await anext(chunks)
    return FrugalAsyncStream(chunks, opened[-1] if opened else None, *_beside(line, opened, stored))


def _beside(line: Line, opened: list[Reading], stored: list[Reply]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The hidden params of a stream, and the attributes of one that no provider opened."""
    if opened:
        sent = line.details()
        return {"frugal": {**sent, "model": opened[-1].model}}, {}
    details = line.details(stored[-1])
    hidden = hidden_of(details) if stored[-1].saved is not None else {"frugal": details}
    return hidden, stream_attributes(stored[-1], line.asked.kwargs.get("messages"))


def _wants_usage(asked: Asked) -> bool:
    options = asked.kwargs.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True
