"""Passing a reviewer's verdict on: to the ledger, and where an answer is wrong to the store that served it."""

from __future__ import annotations

from collections.abc import Callable

from frugal_plugins.recipe.recipe import Recipe


def judge_of(recipe: Recipe) -> Callable[[str, bool], None]:
    """A judge for a recipe's own store and ledger."""

    def judge(name: str, good: bool) -> None:
        if not good:
            for step, _ in recipe.steps:
                reject = getattr(step, "reject", None)
                if reject is not None:
                    reject(name)
        if recipe.ledger is not None:
            recipe.ledger.feedback(name, good, source="dashboard")
            recipe.ledger.flush()

    return judge
