"""`BudgetMiddleware`: an agent that stops before it spends more than the recipe allows."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any, NotRequired

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    PrivateStateAttr,
    hook_config,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import ensure_config
from langgraph.runtime import Runtime
from langgraph.types import Command

from frugal_plugins.errors import RecipeError
from frugal_plugins.langchain.hearing import hear, user_of
from frugal_plugins.langchain.messages import as_dict
from frugal_plugins.langchain.naming import name_of_model
from frugal_plugins.langchain.replies import usage_of
from frugal_plugins.langchain.spending import Reached, Spent, UserSpending, reached, read_spent, spent_by
from frugal_plugins.ledger.settle import Entry, settle
from frugal_plugins.ledger.watching import WATCHERS
from frugal_plugins.prices import MILLION
from frugal_plugins.recipe.budget_settings import BudgetSettings
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Request
from frugal_plugins.text.turns import tokens_of

_log = logging.getLogger("frugal_plugins")


class BudgetState(AgentState[Any]):
    """What a run and its thread have spent, in plain values that any checkpointer can keep."""

    frugal_budget: NotRequired[Annotated[dict[str, Any], PrivateStateAttr]]


class BudgetMiddleware(AgentMiddleware[BudgetState, Any, Any]):
    """Stops an agent at its budget, between two steps, with a message that says why.

    It counts what the recipe's requests really cost (repeated and helper calls included, answers from a cache at nothing) in the
    agent's state, so a thread's sum is kept by whatever checkpointer the agent has. A call that crosses a limit is finished, the next
    one is not made; nor is one whose prompt alone is certain to cross it. Tool calls are never left without their results. The last
    message then has `response_metadata["frugal"]["stopped"]` with the limit's name. Without a checkpointer a thread is one run.

    Not counted: models that tools call by themselves, and calls under way in other workers at the same moment.
    """

    state_schema = BudgetState

    def __init__(self, recipe: Recipe, settings: BudgetSettings) -> None:
        super().__init__()
        self.recipe = recipe
        self.settings = settings
        self.users = UserSpending(settings, recipe.name)
        self._by_user = settings.user_usd is not None or settings.user_tokens is not None
        self._least_usd_per_token = self._least_price() if settings_in_usd(settings) else Decimal(0)
        self._warned = False

    def before_agent(self, state: BudgetState, runtime: Runtime[Any]) -> dict[str, Any]:  # noqa: ARG002
        """A run begins: it has spent nothing."""
        return {"frugal_budget": {**state.get("frugal_budget", {}), "run": Spent().as_json()}}

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: BudgetState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """Stop here, or go on."""
        if self.recipe.off:
            return None
        found = reached(self.settings, self._so_far(state), self._next_call(state["messages"]))
        return None if found is None else {"jump_to": "end", "messages": [self._goodbye(found)]}

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        """Count what a call costs."""
        with _watched() as entries:
            response = handler(request)
        return self._counted(request, response, entries)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ExtendedModelResponse[Any]:
        """Count what a call costs."""
        with _watched() as entries:
            response = await handler(request)
        return self._counted(request, response, entries)

    def _counted(self, request: ModelRequest[Any], response: ModelResponse[Any], entries: list[Entry]) -> ExtendedModelResponse[Any]:
        spent = sum((spent_by(settle(entry)) for entry in entries), Spent()) if entries else self._of_the_host(request, response)
        if spent.unpriced and not self._warned:
            self._warned = True
            _log.warning("A model without a known price was used: budgets in dollars do not count it. Add it to the recipe's 'prices:'.")
        before: Mapping[str, Any] = request.state.get("frugal_budget", {})  # type: ignore[assignment]
        after = {scope: (read_spent(before.get(scope)) + spent).as_json() for scope in ("run", "thread")}
        if self._by_user:
            self.users.add(*self._user(), spent, self.recipe.clock())
        return ExtendedModelResponse(response, Command(update={"frugal_budget": after}))

    def _of_the_host(self, request: ModelRequest[Any], response: ModelResponse[Any]) -> Spent:
        """What a call cost that did not go through the recipe."""
        answer = next((message for message in response.result if isinstance(message, AIMessage)), None)
        if answer is None:
            return Spent()
        name = name_of_model(request.model)
        usage = usage_of(answer, Request(name, tuple(as_dict(message) for message in request.messages)))
        usd = self.recipe.prices.cost(name, usage, at=dt.datetime.fromtimestamp(self.recipe.clock(), tz=dt.UTC))
        return Spent(usd or Decimal(0), usage.input_tokens + usage.output_tokens, int(usd is None))

    def _so_far(self, state: BudgetState) -> dict[str, Spent]:
        kept = state.get("frugal_budget", {})
        spent = {scope: read_spent(kept.get(scope)) for scope in ("run", "thread")}
        if self._by_user:
            spent["user"] = self.users.so_far(*self._user(), self.recipe.clock())
        return spent

    def _user(self) -> tuple[str, str]:
        config = ensure_config()
        metadata, configurable = config.get("metadata") or {}, config.get("configurable") or {}
        return user_of(metadata, configurable), hear(metadata, configurable).tags.get("tenant", "")

    def _next_call(self, messages: Sequence[BaseMessage]) -> Spent:
        """The least a call takes: its prompt, at the cheapest model of the recipe, all of it read from a cache."""
        tokens = sum(tokens_of(as_dict(message), self.recipe.baseline_model(Request(self.recipe.name, ()))) for message in messages)
        if self.recipe.settings.history is not None:
            tokens = 0  # the recipe may send far less
        return Spent(tokens * self._least_usd_per_token, tokens)

    def _least_price(self) -> Decimal:
        """Dollars a token, and a check that every model of the recipe has a price."""
        models = [model for tier in self.recipe.tiers for model in tier.models]
        rates = {model: self.recipe.prices.rates(model) for model in models}
        unknown = next((model for model, found in rates.items() if found is None), None)
        if unknown is not None:
            raise RecipeError(f"no price is known for {unknown}, so a budget in dollars cannot hold; add it to 'prices:'", key="budget")
        return min(found.cache_read_usd for found in rates.values() if found is not None) / MILLION

    def _goodbye(self, found: Reached) -> AIMessage:
        text = f"I have to stop here: {found.words} ({found.limit} of recipe {self.recipe.name}). What was done so far is kept above."
        note = {"recipe": self.recipe.name, "stopped": found.limit, "why": found.words}
        return AIMessage(
            text,
            response_metadata={"frugal": note, "finish_reason": "budget"},
            usage_metadata={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
        )


def settings_in_usd(settings: BudgetSettings) -> bool:
    """Whether any limit is in dollars."""
    return any(limit is not None for limit in (settings.run_usd, settings.thread_usd, settings.user_usd))


@contextmanager
def _watched() -> Iterator[list[Entry]]:
    """Collects every request a recipe books in this block."""
    entries: list[Entry] = []
    token = WATCHERS.set((*WATCHERS.get(), entries.append))
    try:
        yield entries
    finally:
        WATCHERS.reset(token)
