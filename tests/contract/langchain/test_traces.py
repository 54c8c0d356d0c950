"""What traces say, and what of a tier's own stays alive behind the router."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter, SummarizingMemory, frugal_middleware
from frugal_plugins.sandbox import Sandbox

YES_NO: Any = {"metadata": {"frugal": {"task": "yes_no"}}}


class Traces(BaseTracer):
    """Keeps every run."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        pass

    def _on_llm_start(self, run: Run) -> None:
        self.models.append(run)


class Turnstile(BaseRateLimiter):
    """Counts who came through."""

    def __init__(self) -> None:
        self.passed = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.passed += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


@pytest.mark.parametrize("cached", [False, True])
def test_a_runs_metadata_names_the_model_and_the_reason(router_of: Callable[..., FrugalRouter], cached: bool) -> None:
    router, traces = router_of(route={}, cache={}), Traces()
    if cached:
        router.invoke("Is it raining?", YES_NO)
    answer = router.invoke("Is it raining?", {**YES_NO, "callbacks": [traces]})
    (run,) = traces.models
    note = answer.response_metadata["frugal"]
    said = run.extra["metadata"]
    assert (said["frugal_id"], said["frugal_recipe"], said["frugal_model"]) == (note["id"], "desk", "openai/gpt-4o-mini")
    assert ("cache hit" if cached else "yes_no") in said["frugal_why"]
    assert "raining" not in said["frugal_why"]


def test_an_agents_runs_say_so_too(recipe_of: Callable[..., Recipe], models: dict[str, Any]) -> None:
    agent: Any = create_agent(models["openai/gpt-4o"], middleware=frugal_middleware(recipe_of(route={}), models=models))
    traces = Traces()
    agent.invoke({"messages": [HumanMessage("Is it raining?")]}, {**YES_NO, "callbacks": [traces]})
    (run,) = traces.models
    assert run.extra["metadata"]["frugal_model"] == "openai/gpt-4o-mini"
    assert run.extra["metadata"]["ls_model_name"] == "gpt-4o-mini"


def test_where_somebody_traces_the_answer_says_what_it_cost_and_saved(
    recipe_of: Callable[..., Recipe], models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(route={})
    router = FrugalRouter.from_recipe(recipe, models=models)
    assert "cost_usd" not in router.invoke("Is it late?", YES_NO).response_metadata["frugal"]
    monkeypatch.setattr(sys.modules["frugal_plugins.langchain.replies"], "tracing_is_enabled", lambda: True)
    note = router.invoke("Is it raining?", YES_NO).response_metadata["frugal"]
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        row = ledger.execute("SELECT actual_picousd / 1e12, baseline_picousd / 1e12 FROM requests WHERE id = ?", (note["id"],)).fetchone()
    assert note["cost_usd"] == pytest.approx(row[0])
    assert note["saved_usd"] == pytest.approx(row[1] - row[0])
    assert note["saved_usd"] > 0


async def test_a_tiers_rate_limiter_is_asked_for_every_call_but_not_for_hits(recipe_of: Callable[..., Recipe], sandbox: Sandbox) -> None:
    gate = Turnstile()
    model = ChatOpenAI(model="gpt-4o", base_url=sandbox.openai_base_url, api_key="k", rate_limiter=gate)  # type: ignore[arg-type]
    recipe = recipe_of(tiers={"only": {"models": ["openai/gpt-4o"]}}, tasks={}, cache={})
    router = FrugalRouter.from_recipe(recipe, models={"openai/gpt-4o": model})
    router.invoke("One?")
    list(router.stream("Two?"))
    await router.ainvoke("Three?")
    assert [chunk async for chunk in router.astream("Four?")]
    router.generate([[HumanMessage("Five?")]])
    router.invoke("One?")
    assert gate.passed == 5


def test_a_graph_that_streams_the_routers_tokens_has_its_usage(
    recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox
) -> None:
    recipe = recipe_of(route={}, cap={})
    router = FrugalRouter.from_recipe(recipe, models=models, model="openai/gpt-4o")
    graph = StateGraph(MessagesState)
    graph.add_node("say", lambda state: {"messages": [router.invoke(state["messages"])]})
    graph.add_edge(START, "say")
    shown = [chunk for chunk, _ in graph.compile().stream({"messages": [HumanMessage("Tell me of Oslo.")]}, stream_mode="messages")]
    assert len(shown) > 2
    recipe.close()
    invoice = sandbox.invoice().usage
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        booked = ledger.execute("SELECT input_tokens, output_tokens, stream FROM requests").fetchall()
    assert booked == [(invoice.input_tokens, invoice.output_tokens, 1)]


async def test_chains_with_assign_and_memory_stream_their_events(recipe_of: Callable[..., Recipe], models: dict[str, Any]) -> None:
    recipe = recipe_of(route={}, history={})
    router = FrugalRouter.from_recipe(recipe, models=models)
    ask = RunnableLambda(lambda given: [HumanMessage(given["question"])]) | SummarizingMemory.from_recipe(recipe) | router
    chain = RunnablePassthrough.assign(answer=ask)
    events = [event async for event in chain.astream_events({"question": "Is it late?"}, YES_NO, version="v2")]
    assert [event["event"] for event in events].count("on_chat_model_start") == 1
    assert chain.invoke({"question": "Is it late?"}, YES_NO)["answer"].text
