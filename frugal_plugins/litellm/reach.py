"""Which models a call may be sent to: the ones whose key is there, and only the caller's own provider where he brought a key."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from frugal_plugins.prices import bare_name, provider_of

CONNECTION: Final = frozenset(
    {
        "api_base",
        "api_key",
        "api_version",
        "aws_access_key_id",
        "aws_bedrock_runtime_endpoint",
        "aws_profile_name",
        "aws_region_name",
        "aws_role_name",
        "aws_secret_access_key",
        "aws_session_token",
        "azure_ad_token",
        "azure_ad_token_provider",
        "base_url",
        "client",
        "custom_llm_provider",
        "deployment_id",
        "extra_headers",
        "headers",
        "litellm_credential_name",
        "model_list",
        "organization",
        "region_name",
        "vertex_credentials",
        "vertex_location",
        "vertex_project",
    }
)
"""Arguments that tie a call to one provider or account."""

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "azure": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_AD_TOKEN", "AZURE_CLIENT_SECRET"),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY", "MISTRAL_AZURE_API_KEY"),
    "openai": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY", "OR_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "together_ai": ("TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_TOKEN"),
    "xai": ("XAI_API_KEY",),
}
"""Where LiteLLM looks for a provider's key. Providers that log in by role or file are not listed and count as reachable."""

_ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("anthropic_key", "api_key"),
    "azure": ("azure_key", "api_key"),
    "cohere": ("cohere_key", "api_key"),
    "groq": ("groq_key", "api_key"),
    "openai": ("openai_key", "api_key"),
    "openrouter": ("openrouter_key", "api_key"),
    "together_ai": ("togetherai_api_key", "api_key"),
}


def has_key(provider: str | None) -> bool:
    """Whether LiteLLM would find a key for a provider; true where it needs none or looks elsewhere."""
    names = _KEYS.get(provider or "")
    if names is None or any(os.environ.get(name) for name in names):
        return True
    import litellm

    if getattr(litellm, "secret_manager_client", None) is not None or getattr(litellm, "credential_list", None):
        return True
    return any(getattr(litellm, name, None) for name in _ATTRIBUTES.get(provider or "", ("api_key",)))


def reachable_for(kwargs: Mapping[str, Any], model: str, baseline_model: str) -> Callable[[str], bool]:
    """Which models may replace `model` in this call.

    A Router has chosen its deployment already, so nothing replaces it. A caller who brought a key, an address or headers
    stays with the provider they are for; for a recipe's own name that is the provider of `baseline_model`.
    """
    if chosen_by_router(kwargs):
        return lambda candidate: candidate == model
    if any(kwargs[name] is not None for name in CONNECTION & kwargs.keys()):
        named = kwargs.get("custom_llm_provider")
        home = named if isinstance(named, str) else provider_of(baseline_model)
        return lambda candidate: candidate == model or (home is not None and provider_of(candidate) == home)
    home = provider_of(model)
    return lambda candidate: (home is not None and provider_of(candidate) == home) or has_key(provider_of(candidate))


def chosen_by_router(kwargs: Mapping[str, Any]) -> bool:
    """Whether a LiteLLM Router (or Proxy) made this call: then the deployment, its key and its books are fixed."""
    for name in ("metadata", "litellm_metadata"):
        said = kwargs.get(name)
        if isinstance(said, Mapping) and "model_group" in said:
            return True
    return False


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model: equal, or equal without provider where one names none."""
    if one == other:
        return True
    return bare_name(one) == bare_name(other) and provider_of(one) == provider_of(other)
