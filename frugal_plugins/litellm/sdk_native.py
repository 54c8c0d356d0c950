"""The SDK's Responses and Messages APIs, in their own shapes, streamed or not, travelling through a recipe."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from litellm.types.llms.openai import ResponsesAPIResponse

from frugal_plugins.drivers import adrive, astream, drive, stream
from frugal_plugins.flow import Call, Context
from frugal_plugins.inside import inside
from frugal_plugins.litellm import messages_api, responses_api
from frugal_plugins.litellm.convert import Asked, hidden_params, why
from frugal_plugins.litellm.convert import reply_of as chat_reply_of
from frugal_plugins.litellm.response_events import events_of
from frugal_plugins.litellm.sdk_router import AtRouter
from frugal_plugins.litellm.stored import hidden_of
from frugal_plugins.litellm.streams import OPENED
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Endpoint, Reply, Request


@dataclass(frozen=True, slots=True)
class Shape:
    """How one API's answers are read and made: whole ones, open streams, stored ones, and whole ones as a stream."""

    reply_of: Callable[..., Reply]
    reading: Callable[[Any, Request], Any]
    made: Callable[[Request, Reply, str], Any]
    pieces: Callable[[Any], Iterator[Any]]


def _response(request: Request, reply: Reply, call_id: str) -> ResponsesAPIResponse:
    return ResponsesAPIResponse(**responses_api.stored(request, reply, call_id))


def _message(request: Request, reply: Reply, call_id: str) -> dict[str, Any]:
    return messages_api.stored(request.with_(stream=False), reply, call_id)


SHAPES: Final[Mapping[Endpoint, Shape]] = {
    "responses": Shape(responses_api.reply_of, responses_api.ResponsesReading, _response, events_of),
    "messages": Shape(messages_api.reply_of, messages_api.MessagesReading, _message, messages_api.frames_of),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One request on its way: what was asked, and LiteLLM's own functions to ask it and to ask a technique's questions with."""

    recipe: Recipe
    asked: Asked
    ctx: Context
    original: Any
    chat: Any
    at: AtRouter | None = None

    @property
    def shape(self) -> Shape:
        """That of the API it was asked through."""
        return SHAPES[self.asked.request.endpoint]

    def kwargs(self, call: Call) -> dict[str, Any]:
        """The arguments of a call."""
        kwargs = self.asked.kwargs_for(call)
        return kwargs if self.at is None else self.at.adjust(kwargs)

    def whole(self, call: Call) -> dict[str, Any]:
        """The arguments of a call whose answer is wanted in one piece."""
        kwargs = self.kwargs(call)
        return (
            {name: value for name, value in kwargs.items() if name not in ("stream", "stream_options")} if kwargs.get("stream") else kwargs
        )

    def send(self, call: Call) -> Reply:
        """Ask and wait."""
        with inside():
            if call.purpose != "answer":
                return chat_reply_of(self.chat(**self.whole(call)), asked_model=call.request.model)
            return self.shape.reply_of(self.original(**self.whole(call)), asked_model=call.request.model)

    async def asend(self, call: Call) -> Reply:
        """Ask and await."""
        with inside():
            if call.purpose != "answer":
                return chat_reply_of(await self.chat(**self.whole(call)), asked_model=call.request.model)
            return self.shape.reply_of(await self.original(**self.whole(call)), asked_model=call.request.model)

    def response(self, reply: Reply) -> Any:
        """What the caller gets: LiteLLM's own object, or a stored answer in its shape."""
        details = {"id": self.ctx.id, "why": why(self.ctx.decisions), "model": reply.model, "recipe": self.recipe.name}
        if reply.raw is None or reply.saved is not None:
            made = self.shape.made(self.asked.request, reply, self.ctx.id)
            if isinstance(made, ResponsesAPIResponse):
                made._hidden_params = hidden_of(details)
            return made
        if isinstance(getattr(reply.raw, "_hidden_params", None), dict):
            reply.raw._hidden_params["frugal"] = details
        return reply.raw

    def replay(self, reply: Reply) -> Generator[Any]:
        """A stored answer, or one that had to be waited for, as the pieces a streaming caller expects."""
        yield OPENED
        yield from self.shape.pieces(self.response(reply))


def answer(recipe: Recipe, asked: Asked, original: Any, chat: Any, at: AtRouter | None = None) -> Any:
    """One blocking call, through the recipe."""
    flow, ctx = (at or asked).start(recipe)
    line = Line(recipe, asked, ctx, original, chat, at)
    if not asked.request.stream:
        return line.response(drive(flow, ctx, line.send))
    opened: list[Any] = []

    def open_stream(call: Call) -> Any:
        with inside():
            opened.append(line.shape.reading(original(**line.kwargs(call)), call.request))
        return opened[-1]

    events = cast("Generator[Any]", stream(flow, ctx, line.send, open_stream, line.replay))
    next(events)  # opens the connection, so that an error of opening is raised here and not at the first event
    return FrugalEvents(events, opened[-1].source if opened else None)


async def aanswer(recipe: Recipe, asked: Asked, original: Any, chat: Any, at: AtRouter | None = None) -> Any:
    """One awaited call, through the recipe."""
    flow, ctx = (at or asked).start(recipe)
    line = Line(recipe, asked, ctx, original, chat, at)
    if not asked.request.stream:
        return line.response(await adrive(flow, ctx, line.asend))
    opened: list[Any] = []

    async def open_stream(call: Call) -> Any:
        with inside():
            opened.append(line.shape.reading(await original(**line.kwargs(call)), call.request))
        return opened[-1]

    events = cast("AsyncGenerator[Any]", astream(flow, ctx, line.asend, open_stream, line.replay))
    await anext(events)
    return FrugalAsyncEvents(events, opened[-1].source if opened else None)


class _Beside:
    """What LiteLLM's own iterator has besides its events."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._hidden_params = hidden_params(source)

    def __getattr__(self, name: str) -> Any:
        source = self.__dict__.get("_source")
        if source is None:
            raise AttributeError(f"{type(self).__name__!r} of a stored answer has no attribute {name!r}")
        return getattr(source, name)


class FrugalEvents(_Beside):
    """What a blocking streamed call returns: iterate it; `close()` or dropping it ends and books the request."""

    def __init__(self, events: Generator[Any], source: Any) -> None:
        super().__init__(source)
        self._events = events

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._events)

    def close(self) -> None:
        """Stop reading: the provider's connection is closed and the request is booked with what came so far."""
        self._events.close()


class FrugalAsyncEvents(_Beside):
    """What an awaited streamed call returns: `async for` it; `aclose()` ends and books the request."""

    def __init__(self, events: AsyncGenerator[Any], source: Any) -> None:
        super().__init__(source)
        self._events = events

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Stop reading: the provider's connection is closed and the request is booked with what came so far."""
        await self._events.aclose()
