"""The LiteLLM SDK: its entry points and its Router's, sync and async, streamed or not, travelling through a recipe."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import litellm

from frugal_plugins.drivers import adrive, drive
from frugal_plugins.litellm.convert import Asked
from frugal_plugins.litellm.sdk_chat import Line
from frugal_plugins.litellm.sdk_entries import Door, Entry, entries
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply


@dataclass(frozen=True, slots=True)
class _Put:
    """What `install` put in the place of an entry point, and what stood there (None: nothing of its own)."""

    entry: Entry
    ours: Any
    before: Any

    def undo(self) -> None:
        """Put LiteLLM's own back, unless somebody else has put something there since."""
        home, name = self.entry.home, self.entry.name
        if vars(home).get(name) is not self.ours:
            return
        if self.before is None:
            delattr(home, name)
        else:
            setattr(home, name, self.before)


_doors: Final[list[tuple[Door, tuple[_Put, ...]]]] = []
_lock: Final = threading.Lock()


def install(recipe: Recipe | str | os.PathLike[str] | Mapping[str, Any]) -> Recipe:
    """Send `litellm.completion`, `acompletion`, `responses`, `aresponses` and `anthropic.messages.acreate` through a recipe.

    A `litellm.Router`'s `completion`, `acompletion`, `responses`, `aresponses` and `aanthropic_messages` too: one request,
    whatever retries and fallbacks it takes, is one row of the ledger, and may be routed to any model the Router has a name for.

    `recipe` is a Recipe, a path, the name of a shipped recipe, or a dict; the loaded Recipe is returned. Installing again
    replaces the recipe. Code that did `from litellm import completion` before keeps LiteLLM's own function. A stored answer
    never reaches LiteLLM, so its logging callbacks do not hear of it; the ledger does. Raises RecipeError when the recipe
    cannot be used.
    """
    loaded = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    with _lock:
        if _doors:
            _doors[0][0].recipe = loaded
            return loaded
        door = Door(loaded, litellm.completion, litellm.acompletion)
        _doors.append((door, tuple(_put(door, entry) for entry in entries() if entry.is_there)))
    return loaded


def uninstall() -> None:
    """Put LiteLLM's own functions back. Without `install` before, nothing happens."""
    with _lock:
        if not _doors:
            return
        door, puts = _doors.pop()
        door.open = False  # an entry someone else has wrapped or kept goes on as LiteLLM's own
        for put in puts:
            put.undo()


def _put(door: Door, entry: Entry) -> _Put:
    before = vars(entry.home).get(entry.name)
    ours = entry.make(door, getattr(entry.home, entry.name, None))
    setattr(entry.home, entry.name, ours)
    return _Put(entry, ours, before)


def originals() -> tuple[Any, Any]:
    """LiteLLM's own `completion` and `acompletion`, whether a recipe is installed or not."""
    with _lock:
        return (_doors[0][0].completion, _doors[0][0].acompletion) if _doors else (litellm.completion, litellm.acompletion)


def ask_once(recipe: Recipe, asked: Asked, adjust: Callable[[dict[str, Any]], dict[str, Any]]) -> Reply:
    """One whole answer through the recipe, as our own Reply."""
    flow, ctx = asked.start(recipe)
    return drive(flow, ctx, Line(recipe, asked, originals()[0], ctx, adjust).send).with_(request_id=ctx.id)


async def aask_once(recipe: Recipe, asked: Asked, adjust: Callable[[dict[str, Any]], dict[str, Any]]) -> Reply:
    """`ask_once`, to be awaited."""
    flow, ctx = asked.start(recipe)
    return (await adrive(flow, ctx, Line(recipe, asked, originals()[1], ctx, adjust).asend)).with_(request_id=ctx.id)
