"""Passing a reviewer's verdict on: to the ledger, and where an answer is wrong to the store that served it."""

from __future__ import annotations

from collections.abc import Callable

from frugal_plugins.recipe.recipe import Recipe


def judge_of(recipe: Recipe) -> Callable[[str, bool], None]:
    """A judge for a recipe's own store and ledger."""

    def judge(name: str, good: bool) -> None:
        recipe.feedback(name, good)
        if recipe.ledger is not None:
            recipe.ledger.flush()  # so that the next page shows it

    return judge
