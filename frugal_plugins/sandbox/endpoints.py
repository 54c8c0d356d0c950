"""Every URL the sandbox serves. A further API (files, batches) is a module of its own and a line here."""

from __future__ import annotations

from frugal_plugins.sandbox.anthropic_messages import count_tokens, messages
from frugal_plugins.sandbox.app import Endpoint
from frugal_plugins.sandbox.embeddings import embed
from frugal_plugins.sandbox.models import get_model, list_models
from frugal_plugins.sandbox.openai_chat import chat
from frugal_plugins.sandbox.openai_responses import get_response, responses

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("/v1/chat/completions", "POST", "chat", chat),
    Endpoint("/v1/responses", "POST", "responses", responses),
    Endpoint("/v1/responses/{response_id}", "GET", "responses", get_response),
    Endpoint("/v1/embeddings", "POST", "embeddings", embed),
    Endpoint("/v1/messages", "POST", "messages", messages, "anthropic"),
    Endpoint("/v1/messages/count_tokens", "POST", "count_tokens", count_tokens, "anthropic"),
    Endpoint("/v1/models", "GET", "models", list_models, None),
    Endpoint("/v1/models/{model_id}", "GET", "models", get_model, None),
)
