"""`frugal_middleware(recipe)`: a recipe inside an agent of LangChain's `create_agent`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from langchain.agents.middleware.types import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import ensure_config

from frugal_plugins.inside import INSIDE
from frugal_plugins.langchain.budget import BudgetMiddleware
from frugal_plugins.langchain.calls import streams
from frugal_plugins.langchain.hearing import hear
from frugal_plugins.langchain.messages import Conversation
from frugal_plugins.langchain.naming import name_of_model
from frugal_plugins.langchain.remembered import book, note_in
from frugal_plugins.langchain.router import FrugalRouter
from frugal_plugins.langchain.tiers import Tiers, settings_of
from frugal_plugins.langchain.turn import Turn, params_of
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Request, fingerprint


def frugal_middleware(
    recipe: Recipe,
    *,
    models: Mapping[str, BaseChatModel | str] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    task: str | None = None,
) -> list[AgentMiddleware[Any, Any, Any]]:
    """A recipe as middleware for `create_agent`, in the order that pays: budget, then everything else of the recipe.

    The agent keeps its own model; it is what the recipe compares with, and no dearer one takes its place. Each call goes through the
    recipe's cache, shorten, history, route, cap and prompt_cache as one request with one ledger row, and the middleware behind these
    (and the model) see the concrete model that was chosen. The state keeps every message; a shorter view is what is sent.

    Put middleware that changes what is asked (context, tools, PII) or sets Anthropic's cache markers **before** these, and what guards
    single calls (retries, fallbacks) **behind** them: `middleware=[Pii(), *frugal_middleware(recipe), ModelRetryMiddleware()]`.

    Args:
        recipe: with a `budget:` section the agent also stops before it spends more, with a message that says why.
        models: chat models of yours by the recipe's names, or what `init_chat_model` takes. Others are built from the environment.
        model_kwargs: arguments for the models that are built here.
        task: which kind of work this agent's calls are, unless the config says otherwise.

    Raises:
        RecipeError: the budget is in dollars and a model of the recipe has no price.

    ```python
    agent = create_agent("openai:gpt-4o", tools, middleware=frugal_middleware(Recipe.load("agent")), checkpointer=checkpointer)
    agent.invoke({"messages": [("user", "...")]}, {"configurable": {"thread_id": "7", "user_id": "ann"}})
    ```
    """
    budget = recipe.settings.budget
    first: list[AgentMiddleware[Any, Any, Any]] = [] if budget is None else [BudgetMiddleware(recipe, budget)]
    return [*first, RecipeMiddleware(recipe, Tiers(recipe, models or {}, model_kwargs or {}), task)]


class RecipeMiddleware(AgentMiddleware[Any, Any, Any]):
    """Sends each model call of an agent through a recipe. Made by `frugal_middleware`."""

    def __init__(self, recipe: Recipe, tiers: Tiers, task: str | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        self.models = tiers
        self.task = task
        self._own: tuple[BaseChatModel, str, str] | None = None

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]) -> ModelResponse[Any]:
        """One model call."""
        turn = self._turn(request)
        return handler(request) if turn is None else turn.answer(handler)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """One model call, awaited."""
        turn = self._turn(request)
        return await handler(request) if turn is None else await turn.aanswer(handler)

    def _turn(self, given: ModelRequest[Any]) -> Turn | None:
        """The call's way through the recipe; None where it has one already, or the kill switch is set."""
        if self.recipe.off or INSIDE.get() or isinstance(given.model, FrugalRouter):
            return None
        config = ensure_config()
        whole: list[BaseMessage] = [*([given.system_message] if given.system_message else []), *given.messages]
        conversation, tiers = Conversation.of(whole), self.models
        name, mark = self._own_name(given.model)
        request = Request(name, conversation.dicts, params_of(given), scope=(tiers.fingerprint, mark), stream=streams(config))
        told = hear(config.get("metadata") or {}, config.get("configurable") or {}, self.task)
        remembered = note_in(whole)
        flow, ctx = self.recipe.flow(
            request,
            told=told,
            host="langchain",
            reachable=lambda model: tiers.name_of(model) == name or tiers.reachable(model),
            own_limit=lambda model: _limit(given.model) if tiers.name_of(model) == name else tiers.own_limit(model),
            without=() if remembered is None else ("history",),
        )
        ctx.one_answer = request.stream  # the agent's own step shows its tokens as they come
        if remembered is not None:
            book(remembered, ctx)
        request = request.with_(tags={**request.tags, **told.tags}, session=told.session)
        return Turn(self.recipe, tiers, given, name, conversation, request, flow, ctx, config)

    def _own_name(self, model: BaseChatModel) -> tuple[str, str]:
        """The recipe's name of the agent's own model, and what tells its settings apart from others'."""
        if self._own is None or self._own[0] is not model:
            self._own = (model, self.models.name_of(name_of_model(model)), fingerprint(settings_of(model)))
        return self._own[1:]


def _limit(model: BaseChatModel) -> int | None:
    limit = getattr(model, "max_tokens", None)
    return limit if isinstance(limit, int) else None
