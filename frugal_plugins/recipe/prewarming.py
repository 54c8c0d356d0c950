"""Writing a prompt's front to the provider's cache before many requests need it, and keeping it there until they do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final, Self

from frugal_plugins.errors import FrugalError
from frugal_plugins.prefix.warmth import Warmth, front_tokens, warming, warmth
from frugal_plugins.request import Reply, Request
from frugal_plugins.usage import Usage

if TYPE_CHECKING:
    from frugal_plugins.recipe.recipe import Recipe

_LEAST_PAUSE_SECONDS: Final = 1.0


class WarmFront:
    """A front that is warm, or the reason why it was left alone.

    While it is to be kept warm, a thread touches it now and then. Leave the `with` block or call `stop()` and that ends.

    Attributes:
        warmth: the decision, with what warming costs and what it saves.
        calls: how many requests were sent so far.
        usage: what the provider says it wrote and read for them.
        failure: the provider's error that ended the keeping; the requests themselves are not affected.
    """

    def __init__(
        self,
        decided: Warmth,
        ask: Callable[[], Reply],
        *,
        warm: bool,
        failures: tuple[type[Exception], ...] = (FrugalError,),
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self.warmth, self.calls, self.usage = decided, 0, Usage()
        self._failures = failures
        self.failure: Exception | None = None
        self._ask = ask
        self._over = threading.Event()
        self._pause = pause or self._over.wait
        self._thread: threading.Thread | None = None
        if not decided.pays:
            return
        if not warm:
            self._touch()
        if decided.touches:
            self._thread = threading.Thread(target=self._keep, name="frugal-keep-warm", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Touch it no more; a touch that is under way is waited for."""
        self._over.set()
        self.wait()

    def wait(self, timeout_seconds: float | None = None) -> None:
        """Wait until it need not be kept any longer."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def __enter__(self) -> Self:
        """The front itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop keeping it."""
        self.stop()

    def _keep(self) -> None:
        for _ in range(self.warmth.touches):
            if self._pause(max(_LEAST_PAUSE_SECONDS, self.warmth.every_seconds)):
                return
            try:
                self._touch()
            except self._failures as error:
                self.failure = error
                return

    def _touch(self) -> None:
        self.usage = self.usage + self._ask().usage
        self.calls += 1


def prewarm(recipe: Recipe, request: Request, *, concurrent: int, keep_seconds: float, likely: float, warm: bool) -> WarmFront:
    """Decide whether it pays to warm the front this request would be sent with, and do it when it does."""
    sent = recipe.explain(request).sent
    if sent is None:
        why = "a stored answer would be returned for this request, so nothing would be sent"
        nothing = Warmth(request.model, front_tokens(request), 0, 0.0, None, None, False, why)
        return WarmFront(nothing, lambda: Reply({}, request.model, Usage()), warm=True)
    decided = warmth(sent, recipe.prices, concurrent=concurrent, keep_seconds=keep_seconds, return_probability=likely, warm=warm)
    front = warming(sent, recipe.prices)

    def ask() -> Reply:
        messages = [dict(message) for message in front.messages]
        metadata = {"frugal": {"off": True}}
        reply: Reply = import_module("frugal_plugins.litellm").complete(
            recipe, messages=messages, model=front.model, metadata=metadata, **dict(front.params)
        )
        return reply

    failures = (FrugalError, import_module("openai").OpenAIError) if decided.pays else (FrugalError,)
    return WarmFront(decided, ask, warm=warm, failures=failures)
