"""`llm.batch(...)` through the providers' batches: where the config says so, every request of the list is a row of one job."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list

from frugal_plugins.errors import FrugalError


class BatchLane(BaseChatModel):
    """A chat model whose `batch` and `abatch` take `{"metadata": {"frugal": {"lane": "batch"}}}`: half the price, hours later.

    In a chain (`prompt | llm | parser`) the whole list arrives here at once, so the chain's own `batch` does it as well. The job
    lives in `frugal-batch.sqlite`, or where FRUGAL_BATCH_STORE says; the same call after a crash goes on with it.
    """

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Ask many at once, in real time or, where the config's metadata says `{"frugal": {"lane": "batch"}}`, as a batch job."""
        if not inputs or not _in_batch(config, len(inputs)):
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        return _run(self, inputs, config, return_exceptions=return_exceptions, kwargs=kwargs)

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """`batch`, awaited; a batch job waits in a thread of its own."""
        if not inputs or not _in_batch(config, len(inputs)):
            return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        return await asyncio.to_thread(partial(_run, self, inputs, config, return_exceptions=return_exceptions, kwargs=kwargs))


def lane_said(metadata: Mapping[str, Any] | None) -> bool:
    """Whether a request asks for the batch lane."""
    said = (metadata or {}).get("frugal")
    return isinstance(said, Mapping) and said.get("lane") == "batch"


def _in_batch(config: RunnableConfig | Sequence[RunnableConfig] | None, count: int) -> bool:
    """Whether a list goes through the batch lane. Raises FrugalError when its requests do not agree."""
    wanted = [lane_said(one.get("metadata")) for one in get_config_list(config, count)]
    if any(wanted) and not all(wanted):
        raise FrugalError("some requests of this batch ask for the batch lane and some do not; call batch for each kind. Nothing was sent.")
    return all(wanted)


def _run(
    router: BatchLane,
    inputs: list[Any],
    config: RunnableConfig | list[RunnableConfig] | None,
    *,
    return_exceptions: bool,
    kwargs: Mapping[str, Any],
) -> list[Any]:
    chain: Runnable[Any, Any] = router.bind(**kwargs) if kwargs else router
    recipe = cast("Any", router).recipe
    store = os.environ.get("FRUGAL_BATCH_STORE") or "frugal-batch.sqlite"
    executor = import_module("frugal_plugins.langchain.batch").BatchExecutor.from_recipe(recipe, chain=chain, store=store, sleep=time.sleep)
    try:
        found: list[Any] = executor.once(inputs, config, return_exceptions=return_exceptions)
        return found
    finally:
        executor.close()
