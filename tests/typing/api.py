"""The public face as a promise: read by mypy, never run. A change here is a change for every user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, assert_type

from langchain.agents.middleware.types import AgentMiddleware

from frugal_plugins import (
    Call,
    Context,
    Decision,
    Flow,
    FrugalError,
    Ledger,
    Next,
    PriceBook,
    Recipe,
    Reply,
    Request,
    Technique,
    Usage,
    response_format,
)
from frugal_plugins.batch import BatchJobs, BatchSettings, JobStatus, NewRow, RowResult
from frugal_plugins.langchain import (
    BatchExecutor,
    FaissSemanticCache,
    FrugalRouter,
    SummarizingMemory,
    frugal_middleware,
    get_frugal_callback,
)
from frugal_plugins.ledger import Summary, summarize
from frugal_plugins.litellm import FrugalCallback, install, uninstall
from frugal_plugins.recipe.explain import Explanation
from frugal_plugins.recipe.feedback import Heard

recipe = Recipe.load("support")
assert_type(recipe, Recipe)
assert_type(Recipe.load({"recipe": "x"}).name, str)
assert_type(recipe.ledger, Ledger | None)
assert_type(recipe.complete({"question": "?"}), Reply)
assert_type(recipe.explain(Request("gpt-4o", ())), Explanation)

request = Request("gpt-4o", ({"role": "user", "content": "hi"},), {"temperature": 0})
assert_type(request.with_(model="gpt-4o-mini"), Request)
assert_type(request.last_user_text, str)
assert_type(request.params, Mapping[str, Any])

reply = Reply({"role": "assistant", "content": "hello"}, "gpt-4o", Usage(input_tokens=8, output_tokens=2))
assert_type(reply.text, str)
assert_type(reply.usage + Usage(), Usage)
assert_type(PriceBook().cost("gpt-4o", reply.usage), Decimal | None)
assert_type(response_format({"type": "object"}, endpoint="messages"), dict[str, Any])
assert_type(summarize("frugal-ledger.sqlite"), Summary)
assert_type(summarize("frugal-ledger.sqlite").saved_usd, Decimal)

jobs = BatchJobs(Recipe.load("nightly"), "jobs.sqlite", BatchSettings(window_hours=12))
job = jobs.add([NewRow(request, "my-id")])
assert_type(jobs.run(job), JobStatus)
assert_type([row.reply for row in jobs.results(job)], list[Reply | None])
assert_type(next(iter(jobs.results(job))), RowResult)


class Shout:
    """A technique anyone can write."""

    name = "shout"

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Ask twice."""
        ctx.note(self.name, "asked", "to show how")
        yield Call(request, "judge", technique=self.name)
        return (yield from rest(request))


technique: Technique = Shout()
decision: Decision = Decision("shout", "asked", "to show how")
error: type[Exception] = FrugalError

heard = recipe.feedback("a-request", good=False)
assert_type(heard, Heard)
assert_type((heard.in_ledger, heard.in_outcomes, heard.answer_rejected), tuple[bool, bool, bool])
assert_type(reply.request_id, str | None)

router = FrugalRouter.from_recipe(recipe, model="openai/gpt-4o")
memory = SummarizingMemory.from_recipe(recipe)
assert_type(router, FrugalRouter)
assert_type(memory, SummarizingMemory)
assert_type(FaissSemanticCache.from_recipe(recipe), FaissSemanticCache)
assert_type(BatchExecutor.from_recipe(recipe), BatchExecutor)
middleware: Sequence[AgentMiddleware[Any, Any, Any]] = frugal_middleware(recipe)
with get_frugal_callback() as costs:
    assert_type(costs.cost_usd, Decimal)
    assert_type(costs.saved_usd, Decimal)

callback: FrugalCallback = FrugalCallback(recipe)
install(recipe)
uninstall()
