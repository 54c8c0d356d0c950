"""Every URL the sandbox serves. A further API is a module of its own and a line here."""

from __future__ import annotations

from frugal_plugins.sandbox import batches_anthropic, batches_mistral, batches_openai, files
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
    Endpoint("/v1/files", "POST", "files", files.upload, takes_json=False),
    Endpoint("/v1/files", "GET", "files_list", files.list_files),
    Endpoint("/v1/files/{file_id}", "GET", "files_get", files.get_file),
    Endpoint("/v1/files/{file_id}", "DELETE", "files_delete", files.delete_file),
    Endpoint("/v1/files/{file_id}/content", "GET", "file_content", files.file_content),
    Endpoint("/v1/batches", "POST", "batches", batches_openai.create),
    Endpoint("/v1/batches", "GET", "batches_list", batches_openai.list_batches),
    Endpoint("/v1/batches/{batch_id}", "GET", "batches_get", batches_openai.retrieve),
    Endpoint("/v1/batches/{batch_id}/cancel", "POST", "batches_cancel", batches_openai.cancel),
    Endpoint("/v1/batch/jobs", "POST", "batches", batches_mistral.create),
    Endpoint("/v1/batch/jobs", "GET", "batches_list", batches_mistral.list_jobs),
    Endpoint("/v1/batch/jobs/{job_id}", "GET", "batches_get", batches_mistral.retrieve),
    Endpoint("/v1/batch/jobs/{job_id}/cancel", "POST", "batches_cancel", batches_mistral.cancel),
    Endpoint("/v1/messages/batches", "POST", "batches", batches_anthropic.create, "anthropic"),
    Endpoint("/v1/messages/batches", "GET", "batches_list", batches_anthropic.list_batches, "anthropic"),
    Endpoint("/v1/messages/batches/{batch_id}", "GET", "batches_get", batches_anthropic.retrieve, "anthropic"),
    Endpoint("/v1/messages/batches/{batch_id}", "DELETE", "batches_delete", batches_anthropic.delete, "anthropic"),
    Endpoint("/v1/messages/batches/{batch_id}/cancel", "POST", "batches_cancel", batches_anthropic.cancel, "anthropic"),
    Endpoint("/v1/messages/batches/{batch_id}/results", "GET", "batches_results", batches_anthropic.results, "anthropic"),
    Endpoint("/v1/models", "GET", "models", list_models, None),
    Endpoint("/v1/models/{model_id}", "GET", "models", get_model, None),
)
