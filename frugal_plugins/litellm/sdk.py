"""The LiteLLM SDK: its entry points and its Router's, sync and async, streamed or not, travelling through a recipe."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from inspect import signature
from typing import Any, Final

import litellm

from frugal_plugins.drivers import adrive, drive
from frugal_plugins.inside import INSIDE
from frugal_plugins.litellm import sdk_responses
from frugal_plugins.litellm.convert import Asked, from_proxy, read_call
from frugal_plugins.litellm.live import marked
from frugal_plugins.litellm.sdk_chat import Line, aanswer, answer
from frugal_plugins.litellm.sdk_router import AtRouter
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Endpoint, Reply


@dataclass(slots=True)
class _Door:
    """What `install` put in place, to be undone by `uninstall`."""

    recipe: Recipe
    completion: Any
    acompletion: Any
    responses: Any
    aresponses: Any
    router_completion: Any
    router_acompletion: Any
    open: bool = True


_doors: Final[list[_Door]] = []
_lock: Final = threading.Lock()


def install(recipe: Recipe | str | os.PathLike[str] | Mapping[str, Any]) -> Recipe:
    """Send `litellm.completion`, `acompletion`, `responses` and `aresponses`, streamed or not, through a recipe.

    A `litellm.Router`'s `completion` and `acompletion` too: one request, whatever retries and fallbacks it takes, is one row
    of the ledger, and may be routed to any model the Router has a name for.

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
        door = _Door(loaded, *(getattr(home, name) for home, name, _ in _entries()))
        _doors.append(door)
        for home, name, make in _entries():
            setattr(home, name, make(door))
    return loaded


def uninstall() -> None:
    """Put LiteLLM's own functions back. Without `install` before, nothing happens."""
    with _lock:
        if not _doors:
            return
        door = _doors.pop()
        door.open = False  # an entry someone else has wrapped or kept goes on as LiteLLM's own
        before = (door.completion, door.acompletion, door.responses, door.aresponses, door.router_completion, door.router_acompletion)
        for (home, name, _), original in zip(_entries(), before, strict=True):
            if getattr(getattr(home, name), "frugal_door", None) is door:
                setattr(home, name, original)


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


def _sync_responses(door: _Door) -> Any:
    original, names = door.responses, tuple(signature(door.responses).parameters)

    @wraps(original)
    def responses(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(door, names, args, kwargs, "responses")
        return original(*args, **kwargs) if asked is None else sdk_responses.answer(door.recipe, asked, original, door.completion)

    responses.frugal_door = door  # type: ignore[attr-defined]
    return responses


def _async_responses(door: _Door) -> Any:
    original, names = door.aresponses, tuple(signature(door.aresponses).parameters)

    @wraps(original)
    async def aresponses(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(door, names, args, kwargs, "responses")
        if asked is None:
            return await original(*args, **kwargs)
        return await sdk_responses.aanswer(door.recipe, asked, original, door.acompletion)

    aresponses.frugal_door = door  # type: ignore[attr-defined]
    return aresponses


def _sync_router(door: _Door) -> Any:
    original, names = door.router_completion, tuple(signature(door.router_completion).parameters)[1:]

    @wraps(original)
    def completion(self: Any, *args: Any, **kwargs: Any) -> Any:
        at = _at_router(door, self, names, args, kwargs)
        return original(self, *args, **kwargs) if at is None else answer(door.recipe, at.asked, partial(original, self), at)

    completion.frugal_door = door  # type: ignore[attr-defined]
    return completion


def _async_router(door: _Door) -> Any:
    original, names = door.router_acompletion, tuple(signature(door.router_acompletion).parameters)[1:]

    @wraps(original)
    async def acompletion(self: Any, *args: Any, **kwargs: Any) -> Any:
        at = _at_router(door, self, names, args, kwargs)
        if at is None:
            return await original(self, *args, **kwargs)
        return await aanswer(door.recipe, at.asked, partial(original, self), at)

    acompletion.frugal_door = door  # type: ignore[attr-defined]
    return acompletion


def _entries() -> tuple[tuple[Any, str, Callable[[_Door], Any]], ...]:
    """LiteLLM's entry points, in the order of the door's fields, and what is put in their place."""
    return (
        (litellm, "completion", _sync_entry),
        (litellm, "acompletion", _async_entry),
        (litellm, "responses", _sync_responses),
        (litellm, "aresponses", _async_responses),
        (litellm.Router, "completion", _sync_router),
        (litellm.Router, "acompletion", _async_router),
    )


def _asked(
    door: _Door, names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any], endpoint: Endpoint = "chat"
) -> Asked | None:
    """The call as a request; None where it is to go through untouched."""
    if not door.open or door.recipe.off or kwargs.get("acompletion") or kwargs.get("aresponses") or _is_inside(kwargs):
        return None
    named = dict(zip(names, args, strict=False))
    if len(args) > len(names) or named.keys() & kwargs.keys():
        return None  # LiteLLM's own TypeError says it best
    return read_call({**named, **kwargs}, endpoint)


def _at_router(door: _Door, router: Any, names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AtRouter | None:
    """A Router's call as a request; None where it is to go through untouched."""
    named = dict(zip(names, args, strict=False))
    if not door.open or door.recipe.off or _is_inside(kwargs) or from_proxy(kwargs) or named.keys() & kwargs.keys():
        return None
    return AtRouter.read(door.recipe, router, {**named, **kwargs})


def _is_inside(kwargs: Mapping[str, Any]) -> bool:
    """Whether a call belongs to one that is under way already."""
    metadata = kwargs.get("metadata")
    said = metadata.get("frugal") if isinstance(metadata, Mapping) else None
    return INSIDE.get() or marked(kwargs) is not None or (isinstance(said, Mapping) and said.get("inside") is True)


def ask_once(recipe: Recipe, asked: Asked, adjust: Callable[[dict[str, Any]], dict[str, Any]]) -> Reply:
    """One whole answer through the recipe, as our own Reply."""
    flow, ctx = asked.start(recipe)
    return drive(flow, ctx, Line(recipe, asked, originals()[0], ctx, adjust).send).with_(request_id=ctx.id)


async def aask_once(recipe: Recipe, asked: Asked, adjust: Callable[[dict[str, Any]], dict[str, Any]]) -> Reply:
    """`ask_once`, to be awaited."""
    flow, ctx = asked.start(recipe)
    return (await adrive(flow, ctx, Line(recipe, asked, originals()[1], ctx, adjust).asend)).with_(request_id=ctx.id)
