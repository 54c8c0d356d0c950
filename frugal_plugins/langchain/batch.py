"""`BatchExecutor`: a chain over many inputs through the providers' batches, at half the price."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list

from frugal_plugins.batch import BatchJobs, BatchSettings, JobStatus, NewRow, RowResult
from frugal_plugins.batch.once import RowFailed, done_with, error_of, run_once
from frugal_plugins.errors import FrugalError
from frugal_plugins.langchain.batch_chain import take_apart
from frugal_plugins.langchain.batch_wording import ChainWording
from frugal_plugins.langchain.calls import request_of
from frugal_plugins.langchain.hearing import hear
from frugal_plugins.langchain.messages import Conversation
from frugal_plugins.langchain.replies import marked, stored_message
from frugal_plugins.langchain.router import FrugalRouter
from frugal_plugins.langchain.voices import StoredAnswer
from frugal_plugins.recipe.recipe import Recipe

__all__ = ["BatchExecutor", "RowFailed"]

Configs = RunnableConfig | list[RunnableConfig] | None


class BatchExecutor(Runnable[Sequence[Any], list[Any]]):
    """Runs `prompt | router | parser` over a list of inputs as one batch job: same answers, half the price, hours later.

    `invoke` waits for everything. `submit`, `poll` and `results` do it in steps: a job lives in a SQLite file and goes on after
    any crash, with the same chain. What stands before and after the router runs here; only the router's calls are batched.
    Callbacks in the config hear each item with its usage, when its answer is there.

    Args:
        chain: a chain with one FrugalRouter in it; a chain that cannot be batched is refused before anything is sent.
        jobs: the job store.

    ```python
    rows = BatchExecutor.from_recipe(recipe, chain=prompt | llm | parser).invoke([{"text": "..."}, {"text": "..."}])
    ```
    """

    def __init__(self, chain: Runnable[Any, Any], jobs: BatchJobs) -> None:
        self.chain = take_apart(chain)
        self.jobs = jobs
        self.wording = ChainWording(self.chain)
        jobs.wording = self.wording

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        *,
        chain: Runnable[Any, Any] | None = None,
        store: str | os.PathLike[str] = "frugal-batch.sqlite",
        settings: BatchSettings | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> BatchExecutor:
        """An executor for a chain; without one, messages go in and AIMessages come out. `sleep` waits between looks."""
        whole = chain if chain is not None else FrugalRouter.from_recipe(recipe)
        take_apart(whole)
        return cls(whole, BatchJobs(recipe, store, settings, sleep=sleep))

    def invoke(
        self,
        input: Sequence[Any],  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        job: str | None = None,
        return_exceptions: bool = False,
        **_kwargs: Any,
    ) -> list[Any]:
        """Everything at once: submit, wait, read. A `job` that exists already is gone on with."""
        name = self._known(job) or self.submit(input, config, job=job)
        self.jobs.run(name)
        return self.results(name, input, config, return_exceptions=return_exceptions)

    async def ainvoke(
        self,
        input: Sequence[Any],  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        job: str | None = None,
        return_exceptions: bool = False,
        **_kwargs: Any,
    ) -> list[Any]:
        """`invoke`, in a thread of its own."""
        return await asyncio.to_thread(partial(self.invoke, input, config, job=job, return_exceptions=return_exceptions))

    def once(self, inputs: Sequence[Any], config: Configs = None, *, return_exceptions: bool = False) -> list[Any]:
        """`invoke` without a job to name: the same inputs after a crash go on with the job they began, which is removed in the end.

        Where a row failed and errors are raised, the job stays, so that what was answered is not paid again.
        """
        name, _ = run_once(self.jobs, self._rows(inputs, config))
        found = self.results(name, inputs, config, return_exceptions=return_exceptions)
        done_with(self.jobs, name)
        return found

    def submit(self, inputs: Sequence[Any], config: Configs = None, *, job: str | None = None) -> str:
        """Write the job down and hand its batches in. Returns the job's name."""
        name = self.jobs.add(self._rows(inputs, config), job)
        self.jobs.submit(name)
        return name

    def _rows(self, inputs: Sequence[Any], config: Configs) -> list[NewRow]:
        router = self.chain.router
        kwargs = dict(self.chain.kwargs)
        model: str = kwargs.pop("model", None) or router.model or self.jobs.recipe.name
        scope = (router.tiers_in_use.fingerprint,)
        rows = []
        for messages, one in zip(self._messages(inputs, config), get_config_list(config, len(inputs)), strict=True):
            told = hear(one.get("metadata") or {}, one.get("configurable") or {}, router.task, in_batch=True)
            asked = request_of(Conversation.of(messages), model, kwargs, self.chain.output, scope=scope, stream=False)
            rows.append(NewRow(asked, None, told))
        return rows

    def poll(self, job: str) -> JobStatus:
        """Do what can be done for a job now, and say how far it is. `status.over` tells when to read the results."""
        self.jobs.step(job)
        return self.jobs.status(job)

    def results(self, job: str, inputs: Sequence[Any], config: Configs = None, *, return_exceptions: bool = False) -> list[Any]:
        """What the chain makes of each answer, in the order of the inputs.

        Raises RowFailed for the first row without an answer, unless `return_exceptions` puts the errors in their places.
        Everything that was answered stays in the store.
        """
        asked = self._messages(inputs, config)
        rows = list(self.jobs.results(job))
        if len(rows) != len(asked):
            raise FrugalError(f"job '{job}' has {len(rows)} rows and {len(asked)} inputs were given; give those it was submitted with")
        state, found = self.jobs.store.job(job), []
        for row, messages, one in zip(rows, asked, get_config_list(config, len(asked)), strict=True):
            if row.reply is None:
                error = error_of(row, state["state"], state["why"])
                if not return_exceptions:
                    raise error
                found.append(error)
                continue
            message = StoredAnswer.of(self._message(row)).invoke(messages, one)
            found.append(self._after(message, one, return_exceptions=return_exceptions))
        return found

    def close(self) -> None:
        """Close the job store."""
        self.jobs.close()

    def _after(self, message: AIMessage, config: RunnableConfig | None, *, return_exceptions: bool) -> Any:
        if self.chain.after is None:
            return message
        return self.chain.after.batch([message], config, return_exceptions=return_exceptions)[0]

    def _message(self, row: RowResult) -> AIMessage:
        """A row's answer as a message, with our note on it."""
        reply = row.reply
        assert reply is not None
        tiers = self.chain.router.tiers_in_use
        note = {**row.frugal, "recipe": self.jobs.recipe.name, "model": tiers.closest(str(row.frugal["model"]))}
        if row.frugal["cache"] == "hit" or not isinstance(reply.raw, dict):
            return stored_message(reply, {**note, "cache": "hit"})
        return marked(self.wording.message(note["model"], reply.raw), note)

    def _messages(self, inputs: Sequence[Any], config: Configs) -> list[Any]:
        """Each input as the messages the router is asked with."""
        values = list(inputs) if self.chain.before is None else self.chain.before.batch(list(inputs), config)
        return [self.chain.router._convert_input(value).to_messages() for value in values]

    def _known(self, job: str | None) -> str | None:
        if job is None or self.jobs.store.one("SELECT id FROM jobs WHERE id = ?", job) is None:
            return None
        return job
