"""What a recipe may say about the most an agent may spend."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from frugal_plugins.recipe.checks import refuse
from frugal_plugins.recipe.fields import FileName, Money, Number, Section, Whole
from frugal_plugins.recipe.problems import Problem


class BudgetSettings(Section):
    """The most an agent may spend; `frugal_middleware(recipe)` keeps to it. The agent stops between two steps and says why."""

    run_usd: Money | None = Field(default=None, description="For one run (one invoke) of an agent, in US dollars.")
    run_tokens: Whole | None = Field(default=None, ge=1, description="For one run, in input and output tokens.")
    thread_usd: Money | None = Field(default=None, description="For one thread (a conversation with a checkpointer), in US dollars.")
    thread_tokens: Whole | None = Field(default=None, ge=1, description="For one thread, in input and output tokens.")
    user_usd: Money | None = Field(
        default=None, description="For one user within `user_hours`, in US dollars. Calls that name no user share one budget."
    )
    user_tokens: Whole | None = Field(default=None, ge=1, description="For one user within `user_hours`, in input and output tokens.")
    user_hours: Number | Whole = Field(default=24, gt=0, le=8784, description="The hours a user's budget is for, counted back from now.")
    path: FileName | None = Field(
        default=None, description="An SQLite file for what users have spent, shared by processes. Without it: in memory."
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        limits = (self.run_usd, self.run_tokens, self.thread_usd, self.thread_tokens, self.user_usd, self.user_tokens)
        if all(limit is None for limit in limits):
            refuse(Problem((), "names no limit; write one, as 'run_usd: 0.50', or remove this section"))
        return self
