"""`get_frugal_callback()`: what a stretch of code cost, what it would have cost without the recipe, and what saved it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.context import register_configure_hook

from frugal_plugins.inside import INSIDE
from frugal_plugins.langchain.messages import as_dict
from frugal_plugins.langchain.replies import usage_of
from frugal_plugins.ledger.settle import Entry, settle
from frugal_plugins.ledger.watching import WATCHERS
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Request
from frugal_plugins.usage import Usage

_ZERO: Final = Decimal(0)


class FrugalCosts(BaseCallbackHandler):
    """The sums of one `with get_frugal_callback()` block. Threads and tasks started in it count too.

    Attributes:
        requests: what the program asked, by a recipe's doors or directly.
        calls: what was sent to a model, repeated and helper calls included.
        hits: requests answered from a cache.
        unpriced: requests for which one side of the comparison has no known price; their dollars are in no sum but `cost_usd`.
        cost_usd: what was paid, as far as prices are known.
        baseline_usd: what the same requests would have cost without the recipe, at the same prices as the ledger's.
        saved_by_usd: the difference, by technique.
    """

    def __init__(self) -> None:
        self.requests = self.calls = self.hits = self.unpriced = 0
        self.usage = Usage()
        self.cost_usd = self.baseline_usd = _ZERO
        self.saved_by_usd: dict[str, Decimal] = {}
        self._lock = threading.Lock()
        self._asked: dict[UUID, tuple[str, list[BaseMessage]]] = {}
        self._prices = PriceBook()

    @property
    def saved_usd(self) -> Decimal:
        """Baseline minus cost, over the requests that have both."""
        return sum(self.saved_by_usd.values(), _ZERO)

    @property
    def input_tokens(self) -> int:
        """Input tokens of all calls, those read from a provider's cache included."""
        return self.usage.input_tokens

    @property
    def output_tokens(self) -> int:
        """Output tokens of all calls."""
        return self.usage.output_tokens

    @property
    def cache_read_tokens(self) -> int:
        """Input tokens the provider read from its prompt cache."""
        return self.usage.cache_read_tokens

    def as_json(self) -> dict[str, Any]:
        """The sums as plain values; dollars as numbers."""
        counts = {name: getattr(self, name) for name in ("requests", "calls", "hits", "unpriced", "input_tokens", "output_tokens")}
        dollars = {name: float(getattr(self, name)) for name in ("cost_usd", "baseline_usd", "saved_usd")}
        by = {technique: float(usd) for technique, usd in self.saved_by_usd.items()}
        return {**counts, "cache_read_tokens": self.cache_read_tokens, **dollars, "saved_by_usd": by}

    def __repr__(self) -> str:
        by = ", ".join(f"{technique} ${usd:.6f}" for technique, usd in sorted(self.saved_by_usd.items()))
        return (
            f"{self.requests} requests, {self.calls} calls, {self.hits} hits\n"
            f"tokens: {self.input_tokens:,} in ({self.cache_read_tokens:,} read from cache), {self.output_tokens:,} out\n"
            f"cost: ${self.cost_usd:.6f}; without the recipe: ${self.baseline_usd:.6f}; saved: ${self.saved_usd:.6f}"
            + (f" ({by})" if by else "")
            + (f"\n{self.unpriced} without a known price" if self.unpriced else "")
        )

    def saw(self, entry: Entry) -> None:
        """Count a request of a recipe."""
        settled = settle(entry)
        with self._lock:
            self.requests += 1
            self.calls += len(settled.paid)
            self.hits += settled.outcome == "hit"
            self.usage = sum((paid.usage for paid in settled.paid), self.usage)
            self.cost_usd += settled.actual_usd or _ZERO
            if settled.actual_usd is None or settled.baseline_usd is None:
                self.unpriced += 1
                return
            self.baseline_usd += settled.baseline_usd
            for technique, usd in settled.saved_usd.items():
                self.saved_by_usd[technique] = self.saved_by_usd.get(technique, _ZERO) + usd

    # Models that are called without a recipe, by LangChain's own callbacks.

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Remember what a model was asked that no recipe sent."""
        said = metadata or {}
        if not INSIDE.get():
            name = "/".join(str(said[part]) for part in ("ls_provider", "ls_model_name") if said.get(part))
            with self._lock:
                self._asked[run_id] = (name, messages[0] if messages else [])

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Count what it answered; it has no recipe, so its baseline is its cost."""
        with self._lock:
            asked = self._asked.pop(run_id, None)
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        if asked is None or not isinstance(generation, ChatGeneration) or not isinstance(generation.message, AIMessage):
            return
        if "frugal" in generation.message.response_metadata:  # a router that was asked by way of `generate`
            return
        name, messages = asked
        usage = usage_of(generation.message, Request(name, tuple(as_dict(message) for message in messages)))
        usd = self._prices.cost(name, usage)
        with self._lock:
            self.requests += 1
            self.calls += 1
            self.unpriced += usd is None
            self.usage += usage
            self.cost_usd += usd or _ZERO
            self.baseline_usd += usd or _ZERO

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        """Forget a call that failed."""
        with self._lock:
            self._asked.pop(run_id, None)


_COSTS: Final[ContextVar[FrugalCosts | None]] = ContextVar("frugal_costs", default=None)
register_configure_hook(cast("ContextVar[Any]", _COSTS), inheritable=True)


@contextmanager
def get_frugal_callback() -> Iterator[FrugalCosts]:
    """Count tokens, cost, baseline and savings by technique of everything asked in the block, as the ledger would.

    Requests through a recipe count by any door (FrugalRouter, `frugal_middleware`, `recipe.complete`, LiteLLM); other LangChain chat
    models count at list price, with nothing saved. Blocks may be nested; each counts what is asked in it, the innermost alone what is
    asked of models without a recipe.

    ```python
    with get_frugal_callback() as costs:
        chain.invoke({"question": "..."})
    print(costs)            # tokens, cost, baseline, saved by technique
    costs.saved_usd         # Decimal
    ```
    """
    costs = FrugalCosts()
    watching, counting = WATCHERS.set((*WATCHERS.get(), costs.saw)), _COSTS.set(costs)
    try:
        yield costs
    finally:
        WATCHERS.reset(watching)
        _COSTS.reset(counting)
