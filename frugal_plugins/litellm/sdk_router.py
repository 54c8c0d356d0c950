"""LiteLLM's Router: its `completion` and `acompletion`, around all of its retries and fallbacks, travelling through a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frugal_plugins.flow import Context, Flow
from frugal_plugins.litellm.access import Configured
from frugal_plugins.litellm.convert import Asked, read_call
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Endpoint


@dataclass(frozen=True, slots=True)
class AtRouter:
    """One call of a Router, read: the model behind the name it asked for, and the name the Router has for any other.

    Other models are asked for by the `model_name` they have in the Router, so its deployments, keys, limits, retries and
    fallbacks stay in force. A recipe's own name stands for its baseline model.
    """

    configured: Configured
    name: str
    asked: Asked

    @classmethod
    def read(cls, recipe: Recipe, router: Any, kwargs: Mapping[str, Any], endpoint: Endpoint = "chat") -> AtRouter | None:
        """Read a call; None for shapes that are left alone and for names the Router does not have."""
        name, configured = kwargs.get("model"), Configured.of(router)
        if not isinstance(name, str):
            return None
        model = name if name in recipe.own_names else configured.model_behind(name)
        asked = None if model is None else read_call({**kwargs, "model": model}, endpoint)
        return None if asked is None else cls(configured, name, asked)

    def start(self, recipe: Recipe) -> tuple[Flow, Context]:
        """Send the request on its way: it may go to every model the Router has."""
        model = self.asked.request.model
        return self.asked.start(
            recipe,
            host="litellm-router",
            reachable=lambda candidate: candidate == model or self.configured.name_for(candidate) is not None,
            own_limit=lambda candidate: self.configured.limit_behind(self._name(candidate)),
            prices=self.configured.prices(recipe.prices),
        )

    def adjust(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call with the model under the Router's name for it."""
        named = {**kwargs, "model": self._name(kwargs["model"]) or self.name}
        return as_inside(named) if self.asked.request.endpoint == "chat" else named  # elsewhere metadata goes to the provider

    def _name(self, model: str) -> str | None:
        return self.name if model == self.asked.request.model else self.configured.name_for(model)


def as_inside(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Say in the metadata that a call is ours, for attempts that LiteLLM makes from another thread."""
    metadata = kwargs.get("metadata")
    before = metadata if isinstance(metadata, Mapping) else {}
    said = before.get("frugal")
    return {**kwargs, "metadata": {**before, "frugal": {**(said if isinstance(said, Mapping) else {}), "inside": True}}}
