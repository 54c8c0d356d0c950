"""`frugal feedback`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import cast

from rich.console import Group, RenderableType

from frugal_plugins.cli.screen import line, result
from frugal_plugins.errors import InputError
from frugal_plugins.learned.outcomes import Voice
from frugal_plugins.ledger.reading import open_reader
from frugal_plugins.recipe.feedback import Heard
from frugal_plugins.recipe.recipe import Recipe


def give_feedback(source: str, request_id: str, good: bool, voice: str, *, as_json: bool) -> None:
    """Take one verdict to the ledger, the store of outcomes and the cache of a recipe."""
    recipe = Recipe.load(source)
    try:
        heard = recipe.feedback(request_id, good, source=cast("Voice", voice))
    finally:
        recipe.close()
    there = recipe.ledger is None or _is_there(recipe.ledger.path, request_id)
    if not (heard.in_ledger or heard.in_outcomes or heard.answer_rejected):
        raise InputError(f"the recipe '{recipe.name}' has neither a ledger nor a store of outcomes, so nobody heard this")
    result(asdict(heard), lambda: _text(heard, recipe, there=there), as_json=as_json)


def _is_there(ledger: Path | str, request_id: str) -> bool:
    with open_reader(ledger) as reader:
        return reader.request(request_id) is not None


def _text(heard: Heard, recipe: Recipe, *, there: bool) -> RenderableType:
    parts = [line(f"{heard.request_id} was {'good' if heard.good >= 0.5 else 'bad'}.")]
    if heard.in_ledger:
        unknown = f"The ledger keeps it, but has no request {heard.request_id}: check the id, it is what x-frugal-id said."
        parts.append(line("The ledger has it." if there else unknown))
    if heard.in_outcomes:
        parts.append(line("The router can learn from it: frugal calibrate."))
    elif recipe.outcomes is not None:
        parts.append(line("The store of outcomes does not know this request, so the router learns nothing from it."))
    if heard.answer_rejected:
        parts.append(line("The stored answer is not served again."))
    return Group(*parts)
