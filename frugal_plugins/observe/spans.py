"""A span for each request, its decisions as events, in OpenTelemetry's own words (`gen_ai.*`).

Only the API is used: without an SDK configured by the host this does nothing. The span is a child of whatever span the caller
was in, of kind INTERNAL, because the provider's call has a CLIENT span of its own where the host is instrumented.
"""

from __future__ import annotations

from typing import Any, Final

from frugal_plugins.errors import MissingExtra
from frugal_plugins.ledger.rows import plain
from frugal_plugins.ledger.settle import Entry, Settled
from frugal_plugins.observe.calls import Calls, operation_of, provider_name, without_none
from frugal_plugins.observe.lines import fields_of

_OWN: Final = (
    "id",
    "recipe",
    "host",
    "task",
    "group",
    "outcome",
    "basis",
    "team",
    "feature",
    "calls",
    "actual_usd",
    "baseline_usd",
    "saved_usd",
)


class Spans:
    """Makes the span when the request is over, with the times it had.

    Args:
        calls: also make a span and the `gen_ai.client` metrics for each call to a provider; the tokens are then on those spans only,
            so that whoever adds spans up counts them once.
    """

    def __init__(self, *, calls: bool = False) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise MissingExtra("opentelemetry-api", "observe") from error
        from frugal_plugins import __version__

        self._trace = trace
        self._tracer = trace.get_tracer("frugal_plugins", __version__)
        self._calls = Calls(self._tracer) if calls else None

    def __call__(self, entry: Entry, settled: Settled) -> None:
        """Make the span."""
        ctx = entry.ctx
        ended = ctx.ended_ns
        operation = operation_of(entry.request)
        attributes = _attributes(entry, settled, operation)
        if self._calls is not None:
            attributes = {name: value for name, value in attributes.items() if not name.startswith("gen_ai.usage.")}
        model = attributes.get("gen_ai.response.model") or attributes["gen_ai.request.model"]
        span = self._tracer.start_span(
            f"{operation} {model}",
            context=ctx.span_parent,
            kind=self._trace.SpanKind.INTERNAL,
            attributes=attributes,
            start_time=ctx.began_ns,
        )
        for decision in ctx.decisions:
            said = {
                "frugal.technique": decision.technique,
                "frugal.action": plain(decision.action),
                "frugal.why": plain(decision.why),
                "frugal.mode": decision.mode,
                "frugal.tokens_before": decision.tokens_before,
                "frugal.tokens_after": decision.tokens_after,
            }
            span.add_event("frugal.decision", without_none(said), timestamp=ended)
        if self._calls is not None:
            self._calls.note(settled.paid, self._trace.set_span_in_context(span, ctx.span_parent))
        if settled.outcome == "error":
            span.set_status(self._trace.StatusCode.ERROR, plain(entry.error or "error"))
        span.end(ended)


def current_span() -> Any:
    """The context a request starts in, so that its span, made later on another thread, has the right parent; None without OpenTelemetry."""
    try:
        from opentelemetry import context
    except ImportError:
        return None
    return context.get_current()


def _attributes(entry: Entry, settled: Settled, operation: str) -> dict[str, Any]:
    fields = fields_of(entry, settled)
    provider = provider_name(settled.travelled[-1].model if settled.travelled else entry.request.model)
    finish = entry.reply.finish if entry.reply is not None else None
    said = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": fields["model_asked"],
        "gen_ai.response.model": fields["model"] or None,
        "gen_ai.response.id": plain(entry.reply.id) if entry.reply is not None and entry.reply.id else None,
        "gen_ai.response.finish_reasons": (plain(finish),) if finish else None,
        "gen_ai.usage.input_tokens": fields["input_tokens"],
        "gen_ai.usage.output_tokens": fields["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": sum(paid.usage.cache_read_tokens for paid in settled.travelled),
        "gen_ai.usage.cache_creation.input_tokens": sum(paid.usage.cache_write_tokens for paid in settled.travelled),
        "error.type": fields["error"],
        **{f"frugal.{name}": fields[name] for name in _OWN},
        **{f"frugal.saved_usd.{technique}": float(usd) for technique, usd in settled.saved_usd.items()},
    }
    return without_none(said)
