"""Prometheus metrics in the process's own registry, with label values that cannot grow without end.

The LiteLLM Proxy's `/metrics` shows them; elsewhere `prometheus_client.start_http_server(port)` or your own endpoint does.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from frugal_plugins.errors import MissingExtra
from frugal_plugins.ledger.rows import plain
from frugal_plugins.ledger.settle import Entry, Settled

MOST_VALUES: Final = 50
"""Different values a label takes; what comes later is `other`."""

_PREFIX: Final = "frugal_"
COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "requests": ("Requests that went through a recipe.", ("recipe", "task", "group", "outcome")),
    "spent_usd": ("US dollars paid, helper calls included.", ("recipe", "model")),
    "baseline_usd": ("US dollars the same requests would have cost.", ("recipe", "task", "basis")),
    "actual_usd": ("US dollars they cost; beside baseline, the same requests.", ("recipe", "task", "basis")),
    "saved_usd": ("US dollars a technique saved.", ("recipe", "technique", "basis")),
    "overspent_usd": (
        "US dollars a technique cost more than it saved, request by request; take it off saved.",
        ("recipe", "technique", "basis"),
    ),
    "tokens": ("Tokens by kind: input, cache_read, cache_write, output, reasoning.", ("recipe", "model", "kind")),
    "decisions": ("What techniques did.", ("recipe", "technique", "action", "mode")),
    "unpriced_calls": ("Calls to models without a known price; they are in no dollars.", ("recipe", "model")),
}
_LOCK: Final = threading.Lock()
_MADE: Final[dict[int, Metrics]] = {}


class Metrics:
    """Adds every settled request to the counters."""

    def __init__(self, registry: Any) -> None:
        from prometheus_client import Counter

        self.registry = registry
        self._counters = {name: Counter(f"{_PREFIX}{name}", words, labels, registry=registry) for name, (words, labels) in COUNTERS.items()}
        self._seen: dict[str, set[str]] = {}

    def __call__(self, entry: Entry, settled: Settled) -> None:
        """Count it."""
        ctx = entry.ctx
        recipe, task = ctx.recipe, ctx.task(entry.request).name
        self._add("requests", 1, recipe=recipe, task=task, group=ctx.group, outcome=settled.outcome)
        if settled.actual_usd is not None and settled.baseline_usd is not None:
            self._add("baseline_usd", float(settled.baseline_usd), recipe=recipe, task=task, basis=settled.basis)
            self._add("actual_usd", float(settled.actual_usd), recipe=recipe, task=task, basis=settled.basis)
        for technique, usd in settled.saved_usd.items():
            name = "saved_usd" if usd > 0 else "overspent_usd"
            self._add(name, abs(float(usd)), recipe=recipe, technique=technique, basis=settled.basis)
        for paid in settled.paid:
            self._add(
                "unpriced_calls" if paid.usd is None else "spent_usd",
                float(1 if paid.usd is None else paid.usd),
                recipe=recipe,
                model=paid.model,
            )
            usage = paid.usage
            kinds = {
                "input": usage.input_tokens,
                "cache_read": usage.cache_read_tokens,
                "cache_write": usage.cache_write_tokens,
                "output": usage.output_tokens,
                "reasoning": usage.reasoning_tokens,
            }
            for kind, count in kinds.items():
                if count > 0:
                    self._add("tokens", count, recipe=recipe, model=paid.model, kind=kind)
        for decision in ctx.decisions:
            self._add("decisions", 1, recipe=recipe, technique=decision.technique, action=decision.action, mode=decision.mode)

    def _add(self, name: str, amount: float, **labels: str) -> None:
        bounded = {label: self._bounded(label, plain(value, 100)) for label, value in labels.items()}
        self._counters[name].labels(**bounded).inc(amount)

    def _bounded(self, label: str, value: str) -> str:
        seen = self._seen.setdefault(label, set())
        if value not in seen:
            if len(seen) >= MOST_VALUES:
                return "other"
            seen.add(value)
        return value


def metrics(registry: Any = None) -> Metrics:
    """The counters of a registry, made once; without one, of the process's own. Raises MissingExtra without prometheus-client."""
    try:
        from prometheus_client import REGISTRY
    except ImportError as error:
        raise MissingExtra("prometheus-client", "observe") from error
    chosen = REGISTRY if registry is None else registry
    with _LOCK:
        if id(chosen) not in _MADE:
            _MADE[id(chosen)] = Metrics(chosen)
        return _MADE[id(chosen)]
