"""Taking a chain apart at its router: what runs before it, the router with what is bound to it, and what reads its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.runnables.base import RunnableBinding

from frugal_plugins.errors import FrugalError
from frugal_plugins.langchain.output import Output
from frugal_plugins.langchain.router import FrugalRouter

_INSIDE: Final = ("steps", "steps__", "bound", "mapper", "runnable", "fallbacks", "branches", "default", "deps")
_INSTEAD: Final = "a batch takes one chain of the form prompt | router | parser. Nothing was sent."


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain in three parts. `kwargs` is what is bound to the router, `output` the schema its answers have."""

    before: Runnable[Any, Any] | None
    router: FrugalRouter
    kwargs: Mapping[str, Any]
    output: Output | None
    after: Runnable[Any, Any] | None


def take_apart(chain: Runnable[Any, Any]) -> Chain:
    """Find the one router in a chain.

    Raises FrugalError, before anything is sent, for a chain without a router, with further models in it, or with the router
    inside of something (a parallel map, a branch, a fallback, a function) where its calls cannot be gathered.
    """
    steps = list(chain.steps) if isinstance(chain, RunnableSequence) else [chain]
    places = [place for place, step in enumerate(steps) if isinstance(_unwrapped(step)[0], FrugalRouter)]
    if len(places) != 1:
        inside = any(isinstance(model, FrugalRouter) for step in steps for model in _models(step))
        why = "the router is inside of another step" if inside and not places else f"the chain has {len(places)} routers"
        raise FrugalError(f"{why}: {_INSTEAD}")
    place = places[0]
    router, kwargs = _unwrapped(steps[place])
    assert isinstance(router, FrugalRouter)
    for step in (*steps[:place], *steps[place + 1 :]):
        other = next(_models(step), None)
        if other is not None:
            raise FrugalError(f"{type(other).__name__} is another model of the chain, and would be called at the full price: {_INSTEAD}")
    output = kwargs.pop("frugal_output", None)
    return Chain(_joined(steps[:place]), router, kwargs, output, _joined(steps[place + 1 :]))


def _unwrapped(step: Runnable[Any, Any]) -> tuple[Runnable[Any, Any], dict[str, Any]]:
    """What is bound, and the arguments bound to it; a step with other wrappings stays as it is."""
    kwargs: dict[str, Any] = {}
    while isinstance(step, RunnableBinding):
        kwargs = {**step.kwargs, **kwargs}
        step = step.bound
    return step, kwargs


def _joined(steps: list[Runnable[Any, Any]]) -> Runnable[Any, Any] | None:
    if len(steps) > 1:
        return RunnableSequence(*steps)
    return steps[0] if steps else None


def _models(step: Any) -> Iterator[BaseLanguageModel[Any]]:
    """Every model in a step, however deep."""
    if isinstance(step, BaseLanguageModel):
        yield step
    elif isinstance(step, Mapping):
        for inner in step.values():
            yield from _models(inner)
    elif isinstance(step, (list, tuple)):
        for inner in step:
            yield from _models(inner)
    elif isinstance(step, Runnable):
        for name in _INSIDE:
            yield from _models(getattr(step, name, None))
