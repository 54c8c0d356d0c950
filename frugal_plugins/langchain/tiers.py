"""The models of a recipe as LangChain chat models: yours where you give them, built on first use where you do not."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from pydantic import SecretStr

from frugal_plugins.errors import FrugalError, MissingExtra, NotReachable
from frugal_plugins.models import capabilities
from frugal_plugins.prices import bare_name, provider_of
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import fingerprint

# LiteLLM's provider prefixes, what LangChain's init_chat_model calls them, and the package each needs.
_PROVIDERS: Final = {
    "anthropic": ("anthropic", "langchain_anthropic"),
    "azure": ("azure_openai", "langchain_openai"),
    "bedrock": ("bedrock_converse", "langchain_aws"),
    "cohere": ("cohere", "langchain_cohere"),
    "deepseek": ("deepseek", "langchain_deepseek"),
    "fireworks_ai": ("fireworks", "langchain_fireworks"),
    "gemini": ("google_genai", "langchain_google_genai"),
    "groq": ("groq", "langchain_groq"),
    "mistral": ("mistralai", "langchain_mistralai"),
    "ollama": ("ollama", "langchain_ollama"),
    "openai": ("openai", "langchain_openai"),
    "perplexity": ("perplexity", "langchain_perplexity"),
    "together_ai": ("together", "langchain_together"),
    "vertex_ai": ("google_vertexai", "langchain_google_vertexai"),
    "xai": ("xai", "langchain_xai"),
}
_KEYS: Final = ("api_key", "api_base", "base_url")


class Tiers:
    """The models a router may choose from, by their names in the recipe.

    Args:
        recipe: names the models.
        models: chat models of yours by those names, or what `init_chat_model` takes.
        model_kwargs: arguments for the models that are built here.

    Attributes:
        names: every model, as the recipe writes it.
        groups: the models of each tier.
        fingerprint: equal for sets of models that are set up alike; part of every cache key.
    """

    def __init__(self, recipe: Recipe, models: Mapping[str, BaseChatModel | str], model_kwargs: Mapping[str, Any]) -> None:
        self._given = dict(models)
        for name, model in self._given.items():
            if not isinstance(model, (BaseChatModel, str)):
                kind = type(model).__name__
                raise FrugalError(f"models[{name!r}] is a {kind}: pass the chat model itself and bind arguments on the router, or a name")
        self._kwargs = dict(model_kwargs)
        self._built: dict[str, BaseChatModel | FrugalError] = {}
        self._lock = threading.Lock()
        self.names: tuple[str, ...] = tuple(dict.fromkeys([model for tier in recipe.tiers for model in tier.models] + list(models)))
        self.groups = tuple(tier.models for tier in recipe.tiers)
        self.fingerprint = self._fingerprint()

    def name_of(self, model: str) -> str:
        """The recipe's own name of a model, however the caller wrote it."""
        if model in self.names:
            return model
        return next((name for name in self.names if bare_name(name) == bare_name(model)), model)

    def closest(self, answered: str) -> str:
        """The recipe's name of the model that answered, which providers report with a date behind it."""
        bare = bare_name(answered)
        return max((name for name in self.names if bare.startswith(bare_name(name))), key=len, default=answered)

    def model(self, name: str) -> BaseChatModel:
        """The chat model of a name. Raises MissingExtra, or NotReachable where it cannot be built (a missing key)."""
        name = self.name_of(name)
        with self._lock:
            if name not in self._built:
                self._built[name] = self._make(name)
            made = self._built[name]
        if isinstance(made, FrugalError):
            raise made
        return made

    def reachable(self, name: str) -> bool:
        """Whether a model can be used here. One that could not be built is not tried again."""
        try:
            self.model(name)
        except FrugalError:
            return False
        return True

    def stand_in(self, name: str) -> str:
        """A reachable model of the same tier for one that is not, where there is one."""
        if self.reachable(name):
            return name
        group = next((models for models in self.groups if name in models), ())
        return next((other for other in group if self.reachable(other)), name)

    def own_limit(self, name: str) -> int | None:
        """The most output tokens a model was set up with by its owner."""
        limit = getattr(self.model(name), "max_tokens", None) if self.reachable(name) else None
        return limit if isinstance(limit, int) else None

    def _fingerprint(self) -> str:
        """Tells sets of models apart that would answer the same request differently (temperature, other deployments)."""
        given = {name: settings_of(model) if isinstance(model, BaseChatModel) else model for name, model in sorted(self._given.items())}
        return fingerprint([given, _plain(self._kwargs)])

    def profile(self) -> ModelProfile:
        """What every model of the recipe can do: the smallest window, and an ability only where all have it."""
        facts = [self._facts(name) for name in self.names]
        least = {name: min((f[name] for f in facts if f.get(name)), default=None) for name in ("max_input_tokens", "max_output_tokens")}
        abilities = {name: all(fact.get(name) is True for fact in facts) for name in ("tool_calling", "structured_output", "image_inputs")}
        found: ModelProfile = {"text_inputs": True, "text_outputs": True}
        found.update({name: value for name, value in {**least, **abilities}.items() if value is not None})  # type: ignore[typeddict-item]
        return found

    def _facts(self, name: str) -> Mapping[str, Any]:
        given = self._given.get(name)
        if isinstance(given, BaseChatModel) and given.profile:
            return given.profile
        able = capabilities(name)
        return {
            "max_input_tokens": able.max_input_tokens,
            "max_output_tokens": able.max_output_tokens,
            "tool_calling": able.tools,
            "structured_output": able.schema,
            "image_inputs": able.vision,
        }

    def _make(self, name: str) -> BaseChatModel | FrugalError:
        given = self._given.get(name)
        if isinstance(given, BaseChatModel):
            return given
        try:
            return _with_key(name, _build(given or name, self._kwargs, as_given=given is not None))
        except MissingExtra as error:
            return error
        except ImportError as error:
            return MissingExtra(error.name or "an integration of LangChain", "langchain")
        except _refusals() as error:
            return NotReachable(f"{name} cannot be built: {error}. Set its key in the environment, or pass models={{{name!r}: ...}}.")


def _build(name: str, kwargs: Mapping[str, Any], *, as_given: bool) -> BaseChatModel:
    """`init_chat_model` where the provider's own integration is installed, else LiteLLM."""
    if as_given:
        return _init_chat_model(name, kwargs)
    provider, package = _PROVIDERS.get(provider_of(name) or "", ("", ""))
    if package and find_spec("langchain") and find_spec(package):
        return _init_chat_model(f"{provider}:{bare_name(name)}", kwargs)
    if find_spec("langchain_litellm"):
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or importing LiteLLM asks the network for its price list
        model: BaseChatModel = import_module("langchain_litellm").ChatLiteLLM(model=name, **kwargs)
        return model
    raise MissingExtra((package or "langchain-litellm").replace("_", "-"), "langchain")


def _init_chat_model(name: str, kwargs: Mapping[str, Any]) -> BaseChatModel:
    if not find_spec("langchain"):
        raise MissingExtra("langchain", "langchain")
    model: BaseChatModel = import_module("langchain.chat_models").init_chat_model(name, **kwargs)
    return model


def _with_key(name: str, model: BaseChatModel) -> BaseChatModel:
    """The model, unless its provider's key is missing: some integrations notice that only when the first call fails."""
    for field, variable in model.lc_secrets.items():
        value = getattr(model, field, None)
        if isinstance(value, SecretStr) and not value.get_secret_value():
            raise ValueError(f"{variable} is not set")
    if model._llm_type == "litellm-chat" and provider_of(name) and not any(getattr(model, key, None) for key in _KEYS):
        missing = import_module("litellm").validate_environment(name)["missing_keys"]
        if missing:
            raise ValueError(f"{missing[0]} is not set")
    return model


def _refusals() -> tuple[type[Exception], ...]:
    """How integrations say that a model cannot be set up. OpenAI's client has an error of its own for a missing key."""
    openai = sys.modules.get("openai")
    return (ValueError, TypeError, *((openai.OpenAIError,) if openai is not None else ()))


def settings_of(model: BaseChatModel) -> Any:
    """How a model was set up, in values that read the same in every process."""
    return [type(model).__name__, _plain(model._identifying_params)]


def _plain(value: Any) -> Any:
    """The parts of a setting that read the same in every process."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
