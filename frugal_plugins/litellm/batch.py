"""Many completions through the providers' batches, from LiteLLM's side: its bodies in, its responses out, at half the price."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from litellm import ModelResponse
from litellm.types.utils import Choices
from litellm.types.utils import Message as LiteLLMMessage
from litellm.types.utils import Usage as LiteLLMUsage

from frugal_plugins.batch import BatchJobs, BatchSettings, NewRow, RowResult
from frugal_plugins.batch.once import RowFailed, done_with, error_of, run_once
from frugal_plugins.errors import InputError
from frugal_plugins.litellm.reach import CONNECTION
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Request
from frugal_plugins.told import read_told

_NOT_SENT: Final = frozenset({"model", "messages", "metadata", "stream", "stream_options"})


def batch_completion(
    recipe: Recipe,
    requests: Sequence[Mapping[str, Any]],
    *,
    store: str | os.PathLike[str] = "frugal-batch.sqlite",
    settings: BatchSettings | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[ModelResponse | RowFailed]:
    """Ask many completions at half the price, and wait for all: minutes to hours. `litellm.batch_completion` is at the full price.

    Each request is the keyword arguments of `litellm.completion` (`messages`, `model`, ..., `metadata={"frugal": {...}}`); without
    a model the recipe chooses. Returns LiteLLM's responses in the order of the requests, and in the place of one that failed its
    RowFailed, as `litellm.batch_completion` does. What the recipe did is in `response._hidden_params["frugal"]`.

    The job lives in `store`: after a crash or Ctrl-C the same call goes on with it and pays nothing twice.
    """
    jobs = BatchJobs(recipe, store, settings, sleep=sleep)
    try:
        job, found = run_once(jobs, [_row(recipe, number, asked) for number, asked in enumerate(requests)])
        state = jobs.store.job(job)
        answers: list[ModelResponse | RowFailed] = [
            error_of(row, state["state"], state["why"]) if row.reply is None else _response(recipe, row) for row in found
        ]
        done_with(jobs, job)
    finally:
        jobs.close()
    return answers


async def abatch_completion(
    recipe: Recipe,
    requests: Sequence[Mapping[str, Any]],
    *,
    store: str | os.PathLike[str] = "frugal-batch.sqlite",
    settings: BatchSettings | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[ModelResponse | RowFailed]:
    """`batch_completion`, in a thread of its own."""
    return await asyncio.to_thread(partial(batch_completion, recipe, requests, store=store, settings=settings, sleep=sleep))


def _row(recipe: Recipe, number: int, asked: Mapping[str, Any]) -> NewRow:
    messages = asked.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise InputError(f"request {number} has no messages; give each the arguments of litellm.completion")
    own = sorted(CONNECTION & asked.keys())
    if own:
        raise InputError(f"request {number} sets {own[0]}; keys and addresses of a batch come from the environment")
    params = {name: value for name, value in asked.items() if name not in _NOT_SENT and value is not None}
    return NewRow(Request(asked.get("model") or recipe.name, tuple(messages), params), None, read_told(asked.get("metadata")))


def _response(recipe: Recipe, row: RowResult) -> ModelResponse:
    """A row's answer as LiteLLM would have given it."""
    reply = row.reply
    assert reply is not None
    usage = reply.usage
    counted = LiteLLMUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        prompt_tokens_details={"cached_tokens": usage.cache_read_tokens},
        completion_tokens_details={"reasoning_tokens": usage.reasoning_tokens},
    )
    choices = [
        Choices(index=index, finish_reason=reply.finish or "stop", message=LiteLLMMessage(**message))
        for index, message in enumerate((reply.message, *reply.others))
    ]
    response = ModelResponse(id=reply.id or row.frugal["id"], model=reply.model, created=int(time.time()), choices=choices, usage=counted)
    cost = recipe.prices.cost(str(row.frugal["model"]), usage, lane=reply.lane)
    response._hidden_params = {"frugal": dict(row.frugal), "response_cost": None if cost is None else float(cost)}
    return response
