"""What monitoring sees of each request: OpenTelemetry spans, Prometheus metrics, structured log lines. Numbers and names, never text."""

from frugal_plugins.observe.seen import Observer, observers

__all__ = ["Observer", "observers"]
