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

    Only the router's calls are batched; what stands before and after it runs here. A job lives in a file and goes on after any crash;
    nothing is paid twice. A chain that cannot be batched is refused before anything is sent.

    Setup:
        `pip install 'frugal-plugins[langchain]'` and `OPENAI_API_KEY` or `ANTHROPIC_API_KEY`. The recipe's cache, router and caps act on
        each input; its `batch:` section says by when everything must be there, and what it may cost.

    Key init args:
        chain: a chain with one FrugalRouter in it. Without one: messages in, AIMessages out.
        store: the file jobs are kept in, or postgresql://... for several workers.
        settings: `BatchSettings` instead of the recipe's `batch:` section (deadline, dollar limit, size of a batch).

    Instantiate:
        ```python
        from langchain_core.prompts import ChatPromptTemplate
        from frugal_plugins import Recipe
        from frugal_plugins.langchain import BatchExecutor, FrugalRouter

        recipe = Recipe.load("nightly")
        chain = ChatPromptTemplate.from_messages([("user", "Summarize in one sentence: {text}")]) | FrugalRouter.from_recipe(recipe)
        executor = BatchExecutor.from_recipe(recipe, chain=chain)
        ```

    Invoke:
        Waits for every answer, which comes in the order of the inputs. One that failed raises RowFailed, or stands in its place:

        ```python
        inputs = [{"text": "The desk arrived late, but it is lovely."}, {"text": "The lamp is too bright."}]
        answers = executor.invoke(inputs, return_exceptions=True)
        print(answers[0].content, answers[0].usage_metadata)
        ```

    Async:
        ```python
        answers = await executor.ainvoke(inputs)
        ```

    Submit, poll, results:
        In steps, for a program that does not wait. A process that was started anew goes on with the job's name and the same chain:

        ```python
        job = executor.submit(inputs, job="reviews")
        status = executor.poll(job)  # does what can be done now; call it every few minutes
        print(status.done, "of", status.rows, status.spent_usd)
        answers = executor.results(job, inputs, return_exceptions=True)  # what is not there yet stands as a RowFailed
        ```

    Structured output:
        ```python
        from pydantic import BaseModel

        class Review(BaseModel):
            mood: str
            stars: int

        router = FrugalRouter.from_recipe(recipe).with_structured_output(Review)
        chain = ChatPromptTemplate.from_messages([("user", "Read this review: {text}")]) | router
        reviews = BatchExecutor.from_recipe(recipe, chain=chain).invoke(inputs)
        print(reviews[0].stars)
        ```

    Callbacks and usage:
        Callbacks in the config hear each item with its usage when its answer is there:

        ```python
        from frugal_plugins.langchain import get_frugal_callback

        with get_frugal_callback() as costs:
            executor.invoke([{"text": "The chair wobbles."}])
        print(costs.cost_usd, costs.saved_usd)
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
        sleep: Callable[[float], None] | None = None,
    ) -> BatchExecutor:
        """An executor for a chain; without one, messages go in and AIMessages come out. `sleep` waits between looks."""
        whole = chain if chain is not None else FrugalRouter.from_recipe(recipe)
        take_apart(whole)
        return cls(whole, BatchJobs(recipe, store, settings, sleep=sleep or time.sleep))

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

    def batch(
        self,
        inputs: list[Sequence[Any]],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Any]]:
        """Several lists, one job after another: one process works on a store at a time."""
        configs = get_config_list(config, len(inputs))
        return [self.invoke(one, own, return_exceptions=return_exceptions, **kwargs) for one, own in zip(inputs, configs, strict=True)]

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
