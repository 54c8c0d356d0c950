"""Which provider batches what: the lanes there are, and clear words where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from frugal_plugins.prices import provider_of
from frugal_plugins.request import Endpoint, Request

BATCHED: Final = ("openai", "anthropic", "azure", "groq", "mistral")
"""Providers with a lane here. Azure's and Groq's is OpenAI's API under another address."""

ENDPOINTS: Final[dict[str, tuple[Endpoint, ...]]] = {
    "openai": ("chat", "responses", "embeddings"),
    "azure": ("chat", "responses", "embeddings"),
    "anthropic": ("chat", "messages"),
    "groq": ("chat",),
    "mistral": ("chat",),
}
PATHS: Final[dict[Endpoint, str]] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "messages": "/v1/messages",
}
_ELSEWHERE: Final = {
    "vertex_ai": "its batches read and write your own Cloud Storage buckets",
    "bedrock": "its batches read and write your own S3 buckets under a role of yours",
    "gemini": "it throws finished work away when a batch passes 48 hours",
    "xai": "its batches have an API of their own, which is not spoken here",
    "hosted_vllm": "a vLLM server has no price to halve; ask it in real time",
    "together_ai": "its batches were not tried here",
    "fireworks_ai": "its batches read and write data sets of its own",
}
"""Why a provider that sells batches has no lane here."""

MOST_INPUTS: Final = 50_000
"""Texts in all rows of one embeddings batch."""


def lane_problem(request: Request) -> str | None:
    """Why this request has no batch lane, in words with what to do; None when it has one."""
    provider = provider_of(request.model) or "unknown"
    if provider not in BATCHED:
        why = _ELSEWHERE.get(provider)
        said = f" ({why})" if why else ""
        return (
            f"{request.model} has no batch lane here{said}; route this row to a model of {', '.join(BATCHED)}, or allow no_lane: realtime"
        )
    if request.endpoint not in ENDPOINTS[provider]:
        able = ", ".join(name for name in BATCHED if request.endpoint in ENDPOINTS[name])
        return f"{request.model} has no batch lane for {PATHS[request.endpoint]}; name a model of {able}"
    return None


def size_problem(size: int, most_bytes: int) -> str | None:
    """Why a row of so many bytes fits into no batch; None when it does."""
    if size <= most_bytes - 1000:
        return None
    return f"the request is {size:,} bytes, more than a batch may have ({most_bytes:,}); shorten it"


def length_problem(request: Request, most_bytes: int) -> str | None:
    """The same, told from the length of its texts alone: a request of 200 MB is refused before its tokens are counted."""
    texts = _text_chars((request.messages, request.params.get("input")))
    return size_problem(texts, most_bytes)


def _text_chars(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_text_chars, value.values()))
    return sum(map(_text_chars, value)) if isinstance(value, (list, tuple)) else 0
