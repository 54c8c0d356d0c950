"""The LiteLLM SDK: its two entry points, sync and async, streamed or not, travelling through a recipe."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any, Final, cast

import litellm

from frugal_plugins.drivers import adrive, astream, drive, stream
from frugal_plugins.flow import Call, Context
from frugal_plugins.inside import INSIDE, inside
from frugal_plugins.litellm.convert import Asked, read_call, reply_of, why
from frugal_plugins.litellm.live import marked
from frugal_plugins.litellm.stored import chunks_of, hidden_of, response_of, stream_attributes
from frugal_plugins.litellm.streams import OPENED, FrugalAsyncStream, FrugalStream, Reading, asks_usage
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply


@dataclass(slots=True)
class _Door:
    """What `install` put in place, to be undone by `uninstall`."""

    recipe: Recipe
    completion: Any
    acompletion: Any
    open: bool = True


_doors: Final[list[_Door]] = []
_lock: Final = threading.Lock()


def install(recipe: Recipe | str | os.PathLike[str] | Mapping[str, Any]) -> Recipe:
    """Send `litellm.completion` and `litellm.acompletion`, streamed or not, through a recipe.

    `recipe` is a Recipe, a path, the name of a shipped recipe, or a dict; the loaded Recipe is returned. Installing again
    replaces the recipe. Code that did `from litellm import completion` before keeps LiteLLM's own function. A stored answer
    never reaches LiteLLM, so its logging callbacks do not hear of it; the ledger does. Raises RecipeError when the recipe
    cannot be used.
    """
    loaded = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    with _lock:
        if _doors:
            _doors[0].recipe = loaded
            return loaded
        door = _Door(loaded, litellm.completion, litellm.acompletion)
        _doors.append(door)
        litellm.completion = _sync_entry(door)
        litellm.acompletion = _async_entry(door)
    return loaded


def uninstall() -> None:
    """Put LiteLLM's own functions back. Without `install` before, nothing happens."""
    with _lock:
        if not _doors:
            return
        door = _doors.pop()
        door.open = False  # an entry someone else has wrapped or kept goes on as LiteLLM's own
        for name in ("completion", "acompletion"):
            if getattr(getattr(litellm, name), "frugal_door", None) is door:
                setattr(litellm, name, getattr(door, name))


def originals() -> tuple[Any, Any]:
    """LiteLLM's own `completion` and `acompletion`, whether a recipe is installed or not."""
    with _lock:
        return (_doors[0].completion, _doors[0].acompletion) if _doors else (litellm.completion, litellm.acompletion)


def _sync_entry(door: _Door) -> Any:
    original, names = door.completion, tuple(signature(door.completion).parameters)

    @wraps(original)
    def completion(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(door, names, args, kwargs)
        return original(*args, **kwargs) if asked is None else answer(door.recipe, asked, original)

    completion.frugal_door = door  # type: ignore[attr-defined]
    return completion


def _async_entry(door: _Door) -> Any:
    original, names = door.acompletion, tuple(signature(door.acompletion).parameters)

    @wraps(original)
    async def acompletion(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(door, names, args, kwargs)
        return await (original(*args, **kwargs) if asked is None else aanswer(door.recipe, asked, original))

    acompletion.frugal_door = door  # type: ignore[attr-defined]
    return acompletion


def _asked(door: _Door, names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Asked | None:
    """The call as a request; None where it is to go through untouched."""
    if not door.open or door.recipe.off or kwargs.get("acompletion") or _is_inside(kwargs):
        return None
    named = dict(zip(names, args, strict=False))
    if len(args) > len(names) or named.keys() & kwargs.keys():
        return None  # LiteLLM's own TypeError says it best
    return read_call({**named, **kwargs})


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
        kwargs = _as_inside(self.asked.kwargs_for(call))
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
        if isinstance(getattr(reply.raw, "_hidden_params", None), dict):
            reply.raw._hidden_params["frugal"] = details
        return reply.raw


def _as_inside(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Say in the metadata that a call is ours, where LiteLLM will make it from another thread: its `fallbacks`."""
    if kwargs.get("fallbacks") is None and not litellm.model_fallbacks:
        return kwargs
    metadata = kwargs.get("metadata")
    before = metadata if isinstance(metadata, Mapping) else {}
    said = before.get("frugal")
    return {**kwargs, "metadata": {**before, "frugal": {**(said if isinstance(said, Mapping) else {}), "inside": True}}}


def _is_inside(kwargs: Mapping[str, Any]) -> bool:
    """Whether a call belongs to one that is under way already."""
    metadata = kwargs.get("metadata")
    said = metadata.get("frugal") if isinstance(metadata, Mapping) else None
    return INSIDE.get() or marked(kwargs) is not None or (isinstance(said, Mapping) and said.get("inside") is True)


def _as_it_is(kwargs: dict[str, Any]) -> dict[str, Any]:
    return kwargs


def answer(recipe: Recipe, asked: Asked, original: Any) -> Any:
    """One call of `litellm.completion`, through the recipe."""
    flow, ctx = asked.start(recipe)
    line = Line(recipe, asked, original, ctx, _as_it_is)
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


async def aanswer(recipe: Recipe, asked: Asked, original: Any) -> Any:
    """One call of `litellm.acompletion`, through the recipe."""
    flow, ctx = asked.start(recipe)
    line = Line(recipe, asked, original, ctx, _as_it_is)
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


def ask_once(recipe: Recipe, asked: Asked, adjust: Callable[[dict[str, Any]], dict[str, Any]]) -> Reply:
    """One whole answer through the recipe, as our own Reply."""
    flow, ctx = asked.start(recipe)
    return drive(flow, ctx, Line(recipe, asked, originals()[0], ctx, adjust).send)


def aask_once(recipe: Recipe, asked: Asked, adjust: Callable[[dict[str, Any]], dict[str, Any]]) -> Awaitable[Reply]:
    """`ask_once`, to be awaited."""
    flow, ctx = asked.start(recipe)
    return adrive(flow, ctx, Line(recipe, asked, originals()[1], ctx, adjust).asend)
