"""A CLIENT span and the standard metrics for each call to a provider, for hosts that are not instrumented themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from frugal_plugins.flow import Call
from frugal_plugins.ledger.rows import plain
from frugal_plugins.ledger.settle import Paid
from frugal_plugins.prices import provider_of
from frugal_plugins.request import Reply, Request

_PROVIDERS: Final = {
    "gemini": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "xai": "x_ai",
}
_OPERATIONS: Final = {"chat": "chat", "messages": "chat", "responses": "chat"}
_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = tuple(4**power for power in range(14))
"""The bucket boundaries the conventions ask for."""


class Calls:
    """Notes the calls of one request after it is over, with the times they had."""

    def __init__(self, tracer: Any) -> None:
        from opentelemetry import metrics, trace

        from frugal_plugins import __version__

        self._trace, self._tracer = trace, tracer
        meter = metrics.get_meter("frugal_plugins", __version__)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens read and written by a call.", explicit_bucket_boundaries_advisory=_TOKENS
        )
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "How long a call took.", explicit_bucket_boundaries_advisory=_SECONDS
        )

    def note(self, paid: Iterable[Paid], parent: Any) -> None:
        """A span under `parent` for each call, and its tokens and seconds."""
        for one in paid:
            attempt = one.attempt
            named = _names(attempt.call, attempt.reply, one.model, attempt.error)
            span = self._tracer.start_span(
                f"{named['gen_ai.operation.name']} {named['gen_ai.request.model']}",
                context=parent,
                kind=self._trace.SpanKind.CLIENT,
                attributes={**named, **_said(one)},
                start_time=attempt.began_ns,
            )
            if attempt.error:
                span.set_status(self._trace.StatusCode.ERROR, named["error.type"])
            span.end(attempt.ended_ns)
            self._measure(one, named)

    def _measure(self, paid: Paid, named: Mapping[str, Any]) -> None:
        attempt = paid.attempt
        if attempt.began_ns is not None and attempt.ended_ns is not None:
            self._seconds.record(max(0, attempt.ended_ns - attempt.began_ns) / 1e9, named)
        if attempt.reply is not None:
            for kind, count in (("input", paid.usage.input_tokens), ("output", paid.usage.output_tokens)):
                self._tokens.record(count, {**named, "gen_ai.token.type": kind})


def _names(call: Call, reply: Reply | None, model: str, error: str | None) -> dict[str, Any]:
    """What a call's span and metrics are told apart by: names of which there are few."""
    return without_none(
        {
            "gen_ai.operation.name": "embeddings" if call.purpose == "embed" else operation_of(call.request),
            "gen_ai.provider.name": provider_name(model),
            "gen_ai.request.model": plain(call.request.model),
            "gen_ai.response.model": plain(reply.model) if reply is not None and reply.model else None,
            "error.type": plain(error) if error else None,
        }
    )


def _said(paid: Paid) -> dict[str, Any]:
    """What else a call's span says: counts, dollars, and what it was for."""
    attempt, usage = paid.attempt, paid.usage
    reply = attempt.reply
    return without_none(
        {
            "gen_ai.response.id": plain(reply.id) if reply is not None and reply.id else None,
            "gen_ai.response.finish_reasons": (plain(reply.finish),) if reply is not None else None,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
            "frugal.purpose": attempt.call.purpose,
            "frugal.technique": attempt.call.technique,
            "frugal.replaced_by": attempt.replaced_by,
            "frugal.usd": None if paid.usd is None else float(paid.usd),
        }
    )


def operation_of(request: Request) -> str:
    """What the conventions call it."""
    return _OPERATIONS.get(request.endpoint, request.endpoint)


def provider_name(model: str) -> str | None:
    """What the conventions call a model's provider; None where nobody knows."""
    provider = provider_of(model)
    return _PROVIDERS.get(provider, provider) if provider else None


def without_none(said: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that have a value."""
    return {name: value for name, value in said.items() if value is not None}
