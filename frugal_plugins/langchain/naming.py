"""What a LangChain chat model is called in a recipe."""

from __future__ import annotations

from typing import Final

from langchain_core.language_models import BaseChatModel

# What LangChain's traces call a provider, and LiteLLM's prefix for it, which recipes use.
_PREFIXES: Final = {
    "amazon_bedrock": "bedrock",
    "azure_openai": "azure",
    "fireworks": "fireworks_ai",
    "google_genai": "gemini",
    "google_vertexai": "vertex_ai",
    "mistralai": "mistral",
    "together": "together_ai",
}


def name_of_model(model: BaseChatModel) -> str:
    """A chat model's name as a recipe writes it: `openai/gpt-4o`."""
    params = model._get_ls_params()
    name = params.get("ls_model_name") or getattr(model, "model_name", None) or getattr(model, "model", None) or model._llm_type
    provider = params.get("ls_provider", "")
    if "/" in name or provider in ("", "litellm", "frugal"):
        return str(name)
    return f"{_PREFIXES.get(provider, provider)}/{name}"
