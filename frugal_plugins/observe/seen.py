"""From what a recipe asks for to those who are told of each settled request."""

from __future__ import annotations

from typing import Protocol

from frugal_plugins.ledger.settle import Entry, Settled
from frugal_plugins.observe.lines import Lines


class Observer(Protocol):
    """Is told of a request when it is over and priced, off the caller's path."""

    def __call__(self, entry: Entry, settled: Settled) -> None:
        """Note it. It must be quick; what it raises is its own bug and reaches the log only."""


def observers(*, opentelemetry: bool, prometheus: bool, log: bool, calls: bool = False) -> tuple[Observer, ...]:
    """Those who were asked for. Raises MissingExtra when a package is not installed."""
    found: list[Observer] = []
    if opentelemetry:
        from frugal_plugins.observe.spans import Spans

        found.append(Spans(calls=calls))
    if prometheus:
        from frugal_plugins.observe.metrics import metrics

        found.append(metrics())
    if log:
        found.append(Lines())
    return tuple(found)
