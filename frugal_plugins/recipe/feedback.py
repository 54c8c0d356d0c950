"""What a person or a check says of an answer afterwards, and where it is heard."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.learned.collecting import Said
from frugal_plugins.learned.outcomes import TRUST, Voice

if TYPE_CHECKING:
    from frugal_plugins.recipe.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Heard:
    """Where a verdict on an answer went.

    Attributes:
        in_ledger: it was handed to the ledger, where quality is compared between treated and control traffic.
        in_outcomes: the router can learn from it (the recipe names `route.outcomes` and knows the request).
        answer_rejected: the answer came from the cache and is not served again.
    """

    request_id: str
    good: float
    in_ledger: bool
    in_outcomes: bool
    answer_rejected: bool


def overhear(recipe: Recipe, request_id: str, good: float) -> None:
    """A verdict that came in another request's metadata: kept without making that request wait, and never failing it."""
    if recipe.ledger is not None:
        recipe.ledger.feedback(request_id, good >= 0.5, "user")
    if recipe.outcomes is not None:
        recipe.outcomes.heard(Said(request_id, good, recipe.clock()))
    if good < 0.5 and recipe.cache is not None:
        with suppress(FrugalError):
            recipe.cache.reject(request_id)


def hear(recipe: Recipe, request_id: str, good: bool | float, source: Voice, model: str | None) -> Heard:
    """Take a verdict to everyone it concerns. Raises InputError for a verdict that is none."""
    if not 0 <= float(good) <= 1:
        raise InputError(f"a verdict is True, False or a number from 0 to 1, not {good!r}")
    if source not in TRUST:
        raise InputError(f"{source!r} is nobody who can give a verdict; use one of {', '.join(TRUST)}")
    now = recipe.clock()
    ledger = recipe.ledger
    if ledger is not None:
        ledger.feedback(request_id, float(good) >= 0.5, source)
    known = recipe.outcomes is not None and recipe.outcomes.verdict(request_id, good, voice=source, at_seconds=now, model=model)
    rejected = float(good) < 0.5 and recipe.cache is not None and recipe.cache.reject(request_id)
    return Heard(request_id, float(good), ledger is not None, known, rejected)
