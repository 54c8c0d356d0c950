"""A request whose flow is spread over several hooks of LiteLLM: where it stands, and how the hooks find it again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from frugal_plugins.drivers import Run
from frugal_plugins.flow import Call
from frugal_plugins.litellm.convert import Asked, from_proxy
from frugal_plugins.litellm.dialects import OF_ENDPOINT, Dialect
from frugal_plugins.litellm.streams import counted
from frugal_plugins.prices import PriceBook
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply

MARK: Final = "_frugal_live"
"""The attribute of LiteLLM's logging object (one for each request, from the first hook to the last) that holds the flow."""

_MOST: Final = 10_000
_OLDEST_SECONDS: Final = 7_200.0


@dataclass(slots=True)
class Live:
    """One request under way.

    Attributes:
        reply: what the flow came to, once it is over.
        hit: the stored answer that is still to be handed to the caller.
        streaming: its chunks are being passed on.
        prices: the recipe's with those of the host, where the host has some.
        of_proxy: it came through the Proxy, whose own hooks look after it.
    """

    recipe: Recipe
    asked: Asked
    run: Run
    name_for: Callable[[str], str | None] = field(default=lambda _model: None)
    asked_name: str = ""
    hit: Reply | None = None
    reply: Reply | None = None
    streaming: bool = False
    prices: PriceBook | None = None
    at_seconds: float = field(default_factory=time.monotonic)
    of_proxy: bool = field(init=False)

    def __post_init__(self) -> None:
        self.of_proxy = from_proxy(self.asked.kwargs)

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done for it."""
        return self.run.call is None

    @property
    def dialect(self) -> Dialect:
        """The API it was asked through."""
        return OF_ENDPOINT[self.asked.request.endpoint]

    def __deepcopy__(self, memo: object) -> Live:
        return self

    def kwargs_for(self, call: Call) -> dict[str, Any]:
        """The arguments of a call, with the model under the name the proxy has for it."""
        kwargs = self.asked.kwargs_for(call)
        same = call.request.model == self.asked.request.model
        kwargs["model"] = self.asked_name if same else self.name_for(call.request.model) or self.asked_name
        return kwargs

    def finish(self, reply: Reply) -> None:
        """Tell the flow what came back; where it is over, keep what it came to."""
        self.run.answer(reply)
        if self.run.call is None:
            self.reply = self.run.result()
            self.let_go()

    def fail(self, error: BaseException) -> None:
        """Tell the flow that the call failed. What it would ask instead cannot be asked any more."""
        trace = error.__traceback__
        with suppress(type(error)), self.run:
            raise error
        error.__traceback__ = trace
        self.end()

    def leave(self) -> None:
        """Nobody has come back for it: book the input it was sent with, as a reader who has gone."""
        call = self.run.call
        if call is not None:
            self.run.leave(Reply({"role": "assistant", "content": None}, call.request.model, counted(call.request, ""), finish="closed"))

    def end(self) -> None:
        """Make no further call."""
        if self.run.call is not None:
            self.run.flow.close()
            self.run.call = None
        self.let_go()

    def let_go(self) -> None:
        """It is over: LiteLLM's logging object holds this, and the arguments hold the logging object.

        Without the arguments, all of it is freed at once and need not be looked for by the garbage collector.
        """
        if not self.run.ctx.later:
            self.asked = replace(self.asked, kwargs={})


class Underway:
    """The requests under way, by LiteLLM's call id, for the hooks that get nothing else. Bounded in number and age."""

    def __init__(self) -> None:
        self._live: OrderedDict[str, Live] = OrderedDict()

    def add(self, data: Mapping[str, Any], live: Live) -> None:
        """Remember a request."""
        log, call_id = data.get("litellm_logging_obj"), data.get("litellm_call_id")
        if log is not None:
            setattr(log, MARK, live)
        if isinstance(call_id, str):
            self._live[call_id] = live
        self._tidy()

    def find(self, data: Mapping[str, Any]) -> Live | None:
        """The flow of a request: by its logging object, or by call id where LiteLLM has taken that away."""
        live = marked(data)
        call_id = data.get("litellm_call_id")
        return live if live is not None or not isinstance(call_id, str) else self._live.get(call_id)

    def drop(self, data: Mapping[str, Any]) -> None:
        """Forget a request that is over."""
        live, call_id = marked(data), data.get("litellm_call_id")
        if isinstance(call_id, str) and (live is None or self._live.get(call_id) is live):
            self._live.pop(call_id, None)

    def __len__(self) -> int:
        return len(self._live)

    def _tidy(self) -> None:
        """Book and forget what no hook came back for."""
        while self._live:
            oldest = next(iter(self._live))
            if len(self._live) <= _MOST and time.monotonic() - self._live[oldest].at_seconds < _OLDEST_SECONDS:
                return
            self._live.pop(oldest).leave()


UNDERWAY: Final = Underway()
"""One for the process: LiteLLM may hand a request's later hooks to another instance of the same callback class."""


def marked(data: Mapping[str, Any]) -> Live | None:
    """The flow that has been started for a call already, if any."""
    live = getattr(data.get("litellm_logging_obj"), MARK, None)
    return live if isinstance(live, Live) else None
