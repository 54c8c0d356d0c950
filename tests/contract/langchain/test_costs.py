"""get_frugal_callback: the sums of a block are the ledger's and the provider's."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableParallel

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter, frugal_middleware, get_frugal_callback
from frugal_plugins.sandbox import Fault, Sandbox

YES_NO: Any = {"metadata": {"frugal": {"task": "yes_no"}}}
HARD = "Compare the two proposals and say which risks the board should weigh."


def test_the_sums_are_the_ledgers_and_the_invoices(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox) -> None:
    recipe = recipe_of(cache={}, route={}, cap={})
    router = FrugalRouter.from_recipe(recipe, models=models)
    with get_frugal_callback() as costs:
        router.invoke(HARD)
        router.invoke(HARD)
        router.invoke("Is it late?", YES_NO)
        list(router.stream("Is it early?", YES_NO))
        RunnableParallel(a=router, b=router).invoke("Will it be soon?", YES_NO)
    invoice = sandbox.invoice()
    assert (costs.requests, costs.unpriced) == (6, 0)
    assert costs.hits == 6 - len(invoice.lines) >= 1
    assert costs.cost_usd == invoice.total_usd
    assert (costs.input_tokens, costs.output_tokens) == (invoice.usage.input_tokens, invoice.usage.output_tokens)
    assert costs.calls == len(invoice.lines)
    assert costs.saved_usd == costs.baseline_usd - costs.cost_usd > 0
    assert {"cache", "route"} <= set(costs.saved_by_usd)
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        row = ledger.execute("SELECT sum(actual_picousd), sum(baseline_picousd), count(*) FROM requests").fetchone()
    assert row == (int(costs.cost_usd * 10**12), int(costs.baseline_usd * 10**12), 6)
    assert f"saved: ${costs.saved_usd:.6f}" in repr(costs)
    assert costs.as_json()["saved_usd"] == float(costs.saved_usd)


async def test_async_agents_and_models_without_a_recipe_count_too(
    recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox
) -> None:
    recipe = recipe_of(route={}, ledger="off")
    agent: Any = create_agent(models["openai/gpt-4o"], middleware=frugal_middleware(recipe, models=models))
    with get_frugal_callback() as costs:
        await agent.ainvoke({"messages": [HumanMessage("Is it late?")]}, YES_NO)
        await models["anthropic/claude-haiku-4-5"].ainvoke(HARD)
        chunks = [chunk async for chunk in models["anthropic/claude-haiku-4-5"].astream(HARD)]
    assert chunks
    assert (costs.requests, costs.calls) == (3, 3)
    assert costs.cost_usd == sandbox.invoice().total_usd
    assert list(costs.saved_by_usd) == ["route"]


def test_blocks_nest_and_end(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox) -> None:
    router = FrugalRouter.from_recipe(recipe_of(), models=models)
    with get_frugal_callback() as outer:
        router.invoke(HARD)
        with get_frugal_callback() as inner:
            router.invoke("Who?")
    router.invoke("When?")
    assert (outer.requests, inner.requests) == (2, 1)
    sandbox.faults.add(Fault("rate_limit"))
    with get_frugal_callback() as costs:
        answers = router.batch(["One?"], return_exceptions=True)
    assert isinstance(answers[0], Exception)
    assert (costs.requests, costs.cost_usd, costs.saved_usd) == (1, Decimal(0), Decimal(0))
