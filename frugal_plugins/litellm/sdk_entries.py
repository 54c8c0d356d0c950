"""What stands in the place of LiteLLM's own entry points while a recipe is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from inspect import signature
from typing import Any

import litellm
import litellm.anthropic_interface
import litellm.anthropic_interface.messages

from frugal_plugins.inside import INSIDE
from frugal_plugins.litellm import sdk_native
from frugal_plugins.litellm.convert import Asked, from_proxy, read_call
from frugal_plugins.litellm.live import marked
from frugal_plugins.litellm.sdk_chat import aanswer, answer
from frugal_plugins.litellm.sdk_router import AtRouter
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Endpoint


@dataclass(slots=True)
class Door:
    """The recipe that is installed, and LiteLLM's own chat functions. Once shut, every entry goes on as LiteLLM's own."""

    recipe: Recipe
    completion: Any
    acompletion: Any
    open: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry point: where it is, what it is called there, and what is put in its place."""

    home: Any
    name: str
    make: Callable[[Door, Any], Any]

    @property
    def is_there(self) -> bool:
        """Whether this LiteLLM has it; what a Router makes for itself is looked for when it is used."""
        return self.home is litellm.Router or hasattr(self.home, self.name)


def entries() -> tuple[Entry, ...]:
    """LiteLLM's entry points; those every Router makes for itself stand on the class, before what each of them has."""
    anthropic = litellm.anthropic_interface
    return (
        Entry(litellm, "completion", _completion),
        Entry(litellm, "acompletion", _acompletion),
        Entry(litellm, "responses", _responses),
        Entry(litellm, "aresponses", partial(_native, endpoint="responses")),
        Entry(litellm, "anthropic_messages", partial(_native, endpoint="messages")),
        Entry(anthropic, "acreate", partial(_native, endpoint="messages")),
        Entry(anthropic.messages, "acreate", partial(_native, endpoint="messages")),
        Entry(litellm.Router, "completion", _router_completion),
        Entry(litellm.Router, "acompletion", _router_acompletion),
        Entry(litellm.Router, "responses", partial(OfEachRouter, name="responses", endpoint="responses")),
        Entry(litellm.Router, "aresponses", partial(OfEachRouter, name="aresponses", endpoint="responses")),
        Entry(litellm.Router, "aanthropic_messages", partial(OfEachRouter, name="aanthropic_messages", endpoint="messages")),
        Entry(litellm.Router, "anthropic_messages", partial(OfEachRouter, name="anthropic_messages", endpoint="messages")),
    )


def _completion(door: Door, original: Any) -> Any:
    names = tuple(signature(original).parameters)

    @wraps(original)
    def completion(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(door, names, args, kwargs)
        return original(*args, **kwargs) if asked is None else answer(door.recipe, asked, original)

    return completion


def _acompletion(door: Door, original: Any) -> Any:
    names = tuple(signature(original).parameters)

    @wraps(original)
    async def acompletion(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(door, names, args, kwargs)
        return await (original(*args, **kwargs) if asked is None else aanswer(door.recipe, asked, original))

    return acompletion


def _responses(door: Door, original: Any) -> Any:
    names = tuple(signature(original).parameters)

    @wraps(original)
    def responses(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(door, names, args, kwargs, "responses")
        return original(*args, **kwargs) if asked is None else sdk_native.answer(door.recipe, asked, original, door.completion)

    return responses


def _native(door: Door, original: Any, endpoint: Endpoint) -> Any:
    names = tuple(signature(original).parameters)

    @wraps(original)
    async def native(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(door, names, args, kwargs, endpoint)
        if asked is None:
            return await original(*args, **kwargs)
        return await sdk_native.aanswer(door.recipe, asked, original, door.acompletion)

    return native


def _router_completion(door: Door, original: Any) -> Any:
    names = tuple(signature(original).parameters)[1:]

    @wraps(original)
    def completion(self: Any, *args: Any, **kwargs: Any) -> Any:
        at = _at_router(door, self, names, args, kwargs)
        return original(self, *args, **kwargs) if at is None else answer(door.recipe, at.asked, partial(original, self), at)

    return completion


def _router_acompletion(door: Door, original: Any) -> Any:
    names = tuple(signature(original).parameters)[1:]

    @wraps(original)
    async def acompletion(self: Any, *args: Any, **kwargs: Any) -> Any:
        at = _at_router(door, self, names, args, kwargs)
        if at is None:
            return await original(self, *args, **kwargs)
        return await aanswer(door.recipe, at.asked, partial(original, self), at)

    return acompletion


class OfEachRouter:
    """Stands on the Router's class before what each Router has of its own under a name, made before `install` or after it."""

    def __init__(self, door: Door, original: Any, name: str, endpoint: Endpoint) -> None:
        del original  # the class has none
        self.door, self.name, self.endpoint = door, name, endpoint

    def __set__(self, router: Any, own: Any) -> None:
        router.__dict__[self.name] = own

    def __get__(self, router: Any, owner: Any = None) -> Any:
        if router is None:
            return self
        own = router.__dict__.get(self.name)
        if own is None:
            raise AttributeError(f"{type(router).__name__!r} object has no attribute {self.name!r}")
        return partial(self._ask if self.name == "responses" else self._aask, router, own)

    def _ask(self, router: Any, own: Any, *args: Any, **kwargs: Any) -> Any:
        at = None if args else _at_router(self.door, router, (), args, kwargs, self.endpoint)
        if at is None:
            return own(*args, **kwargs)
        return sdk_native.answer(self.door.recipe, at.asked, own, router.completion, at)  # a technique's own question passes as inside

    async def _aask(self, router: Any, own: Any, *args: Any, **kwargs: Any) -> Any:
        at = None if args else _at_router(self.door, router, (), args, kwargs, self.endpoint)
        if at is None:
            return await own(*args, **kwargs)
        return await sdk_native.aanswer(self.door.recipe, at.asked, own, router.acompletion, at)


def _asked(
    door: Door, names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any], endpoint: Endpoint = "chat"
) -> Asked | None:
    """The call as a request; None where it is to go through untouched."""
    if not door.open or door.recipe.off or kwargs.get("acompletion") or kwargs.get("aresponses") or _is_inside(kwargs):
        return None
    if not args:
        return read_call(kwargs, endpoint)
    named = dict(zip(names, args, strict=False))
    if len(args) > len(names) or named.keys() & kwargs.keys():
        return None  # LiteLLM's own TypeError says it best
    return read_call({**named, **kwargs}, endpoint)


def _at_router(
    door: Door, router: Any, names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any], endpoint: Endpoint = "chat"
) -> AtRouter | None:
    """A Router's call as a request; None where it is to go through untouched."""
    named = dict(zip(names, args, strict=False))
    if not door.open or door.recipe.off or _is_inside(kwargs) or from_proxy(kwargs) or named.keys() & kwargs.keys():
        return None
    return AtRouter.read(door.recipe, router, {**named, **kwargs}, endpoint)


def _is_inside(kwargs: Mapping[str, Any]) -> bool:
    """Whether a call belongs to one that is under way already."""
    metadata = kwargs.get("metadata")
    said = metadata.get("frugal") if isinstance(metadata, Mapping) else None
    return INSIDE.get() or marked(kwargs) is not None or (isinstance(said, Mapping) and said.get("inside") is True)
