"""What LangChain wants to know about a router as it does about any chat model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import BaseMessage
from pydantic import Field

from frugal_plugins.langchain.calls import plain_tool
from frugal_plugins.langchain.messages import as_dict
from frugal_plugins.langchain.tiers import Tiers
from frugal_plugins.prices import bare_name, provider_of
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Request
from frugal_plugins.tokens import count_messages, count_text


class Described(BaseChatModel):
    """The settings of a router and what they say of it: names in traces, token counts, abilities."""

    recipe: Any = Field(exclude=True, repr=False)
    models: Mapping[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    model_kwargs: Mapping[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    model: str = ""
    task: str | None = None
    tiers: Any = Field(default=None, exclude=True, repr=False)

    @property
    def tiers_in_use(self) -> Tiers:
        """The models this router chooses from."""
        return cast("Tiers", self.tiers)

    @property
    def _recipe(self) -> Recipe:
        return cast("Recipe", self.recipe)

    @property
    def _llm_type(self) -> str:
        return "frugal-router"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        tiers = {tier.name: list(tier.models) for tier in self._recipe.tiers}
        return {"recipe": self._recipe.name, "model": self.model, "task": self.task, "tiers": tiers}

    def _resolve_model_profile(self) -> ModelProfile | None:
        return self.tiers_in_use.profile()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        named = kwargs.get("model")
        params = super()._get_ls_params(stop=stop, **{name: value for name, value in kwargs.items() if name != "model"})
        model = self._recipe.baseline_model(Request(named or self.model or self._recipe.name, ()))
        params["ls_provider"] = provider_of(model) or "frugal"
        params["ls_model_name"] = bare_name(model)
        return params

    def get_num_tokens(self, text: str) -> int:
        """How many tokens a text is, counted locally for the baseline model."""
        return count_text(text, self._recipe.baseline_model(Request(self.model or self._recipe.name, ())))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """How many input tokens messages and tools are, counted locally for the baseline model."""
        params = {"tools": [plain_tool(tool) for tool in tools]} if tools else {}
        model = self._recipe.baseline_model(Request(self.model or self._recipe.name, ()))
        return count_messages([as_dict(message) for message in messages], model, params=params)

    def _own_limit(self, model: str) -> int | None:
        """The output limit the owner of a model configured; the recipe's own name stands for the baseline."""
        named = self._recipe.baseline_model(Request(model, ())) if model in self._recipe.own_names else model
        return self.tiers_in_use.own_limit(named)
