"""`frugal_middleware` in `create_agent`: routing, cache, history, prompt cache and budget around other people's middleware."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.middleware.types import AgentMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, HumanMessage, convert_to_messages
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from frugal_plugins import Recipe
from frugal_plugins.errors import RecipeError
from frugal_plugins.langchain import FrugalRouter, frugal_middleware
from frugal_plugins.sandbox import Fault, Sandbox, VirtualClock
from frugal_plugins.text.stubs import read_again
from tests.contract.langchain.conftest import bodies
from tests.contract.langchain.test_memory import ALWAYS, talk
from tests.techniques.test_history_fetch import THIRD, looked_up

QUESTION = "What is the weather in Oslo?"
HARD = "Compare the two proposals and say which risks the board should weigh."
YES_NO: Any = {"metadata": {"frugal": {"task": "yes_no"}}}


@tool
def weather(city: str) -> str:
    """What the weather is."""
    return f"Sunny in {city}."


class City(BaseModel):
    """A city."""

    name: str


def ask(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


@pytest.fixture
def with_weather(sandbox: Sandbox) -> None:
    call = {"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}
    sandbox.provider.book.add({"user": QUESTION, "outputs": {"*": call}})
    sandbox.provider.book.add({"user": QUESTION, "after": ["Sunny in Oslo."], "outputs": {"*": "It is sunny."}})


@pytest.fixture
def agent_of(recipe_of: Callable[..., Recipe], models: dict[str, Any]) -> Callable[..., Any]:
    """Makes an agent with the middleware of a recipe with these sections; `agent.recipe` is the recipe."""

    def make(
        *,
        model: str = "anthropic/claude-sonnet-4-5",
        before: Any = (),
        behind: Any = (),
        checkpointer: Any = None,
        how: Any = None,
        **sections: Any,
    ) -> Any:
        recipe = recipe_of(**sections)
        own = frugal_middleware(recipe, models=models)
        how = {"tools": [weather], **(how or {})}
        agent = create_agent(models[model], middleware=[*before, *own, *behind], checkpointer=checkpointer, **how)
        return agent, recipe

    return make


def rows(recipe: Recipe, query: str) -> list[tuple[Any, ...]]:
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        return ledger.execute(query).fetchall()


@pytest.mark.usefixtures("with_weather")
@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"])
def test_tools_run_and_every_call_is_booked_once(agent_of: Any, sandbox: Sandbox, model: str) -> None:
    agent, recipe = agent_of(model=model, cache={}, history={}, route={}, cap={}, prompt_cache={})
    with get_usage_metadata_callback() as counted:
        messages = agent.invoke(ask(QUESTION))["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[-1].text == "It is sunny."
    assert messages[-1].response_metadata["frugal"]["model"] == model
    invoice = sandbox.invoice()
    booked = rows(recipe, "SELECT count(*), sum(actual_picousd), sum(input_tokens + output_tokens) FROM requests")
    tokens = invoice.usage.input_tokens + invoice.usage.output_tokens
    assert booked == [(2, int(invoice.total_usd * 10**12), tokens)]
    assert sum(usage["total_tokens"] for usage in counted.usage_metadata.values()) == tokens


@pytest.mark.usefixtures("with_weather")
async def test_async_is_the_same(agent_of: Any, sandbox: Sandbox) -> None:
    agent, recipe = agent_of(cache={}, history={}, route={}, cap={}, prompt_cache={}, budget={"run_usd": 1.0})
    messages = (await agent.ainvoke(ask(QUESTION)))["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert (await agent.ainvoke(ask(QUESTION)))["messages"][-1].text == "It is sunny."
    assert len(rows(recipe, "SELECT id FROM requests")) == 4


def test_a_recipe_without_techniques_changes_no_byte(agent_of: Any, models: dict[str, Any], sandbox: Sandbox) -> None:
    for model in ("openai/gpt-4o", "anthropic/claude-sonnet-4-5"):
        create_agent(models[model], [weather], system_prompt="Be brief.").invoke(ask(HARD))
        agent_of(model=model, how={"system_prompt": "Be brief."})[0].invoke(ask(HARD))
    first, second, third, fourth = [request.raw for request in sandbox.requests()]
    assert first == second
    assert third == fourth


def test_simple_work_goes_to_the_cheap_tier_with_its_cap(agent_of: Any, sandbox: Sandbox) -> None:
    agent, _ = agent_of(route={}, cap={}, model="openai/gpt-4o", how={"tools": []})
    answer = agent.invoke(ask("Is it late?"), YES_NO)["messages"][-1]
    assert answer.response_metadata["frugal"]["model"] == "openai/gpt-4o-mini"
    (body,) = bodies(sandbox)
    assert (body["model"], body["max_completion_tokens"]) == ("gpt-4o-mini", 5)


def test_a_model_no_tier_knows_is_left_alone(agent_of: Any, models: dict[str, Any], sandbox: Sandbox) -> None:
    from langchain_openai import ChatOpenAI

    models["mine"] = ChatOpenAI(model="gpt-4.1", base_url=sandbox.openai_base_url, api_key="k")  # type: ignore[arg-type]
    agent, recipe = agent_of(route={}, cap={}, model="mine", how={"tools": []})
    agent.invoke(ask("Is it late?"), YES_NO)
    assert bodies(sandbox)[0]["model"] == "gpt-4.1"
    assert rows(recipe, "SELECT model_asked, model_answered FROM requests") == [("openai/gpt-4.1", "openai/gpt-4.1")]


def test_an_answer_is_served_from_the_cache_with_an_id_of_its_own(agent_of: Any, sandbox: Sandbox) -> None:
    agent, recipe = agent_of(cache={}, checkpointer=InMemorySaver(), how={"name": "desk"})
    first = agent.invoke(ask(HARD), {"configurable": {"thread_id": "1"}})["messages"][-1]
    with get_usage_metadata_callback() as counted:
        state = agent.invoke(ask(HARD), {"configurable": {"thread_id": "2"}})
    answer = state["messages"][-1]
    assert (answer.text, answer.response_metadata["frugal"]["cache"], answer.name) == (first.text, "hit", "desk")
    assert answer.id != first.id
    assert sum(usage["total_tokens"] for usage in counted.usage_metadata.values()) == 0
    assert len(bodies(sandbox)) == 1
    assert rows(recipe, "SELECT outcome FROM requests ORDER BY at_seconds, outcome") == [("answered",), ("hit",)]


@pytest.mark.parametrize("strategy", [City, ProviderStrategy(City), ToolStrategy(City)])
@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"])
def test_structured_responses_come_from_any_model_and_from_the_cache(agent_of: Any, sandbox: Sandbox, model: str, strategy: Any) -> None:
    by_tool = isinstance(strategy, ToolStrategy)
    agent, _ = agent_of(cache={}, route={}, cap={}, model=model, how={"response_format": strategy, "tools": [] if by_tool else [weather]})
    first = agent.invoke(ask("Name a city."))["structured_response"]
    again = agent.invoke(ask("Name a city."))["structured_response"]
    assert isinstance(first, City)
    assert again == first
    assert len(bodies(sandbox)) == (2 if by_tool else 1)  # an answer given as a tool call is not stored


def test_a_stub_is_read_whole_again_in_the_middle_of_an_agents_loop_and_a_reader_along_never_has_stubs(
    agent_of: Any, sandbox: Sandbox
) -> None:
    body = looked_up(12)[1:]
    wish, whole = read_again(body, [THIRD - 1])
    results = {"user": body[0]["content"], "after": ["result"] * 12}
    for asked, answer in ((results, wish["content"]), ({"user": whole["content"]}, "It was damaged in G2-hall.")):
        sandbox.record({**asked, "outputs": {"*": answer}})
    agent, recipe = agent_of(history={"when": "always", "every_turns": 1})
    said = agent.invoke({"messages": convert_to_messages(body)})["messages"]
    assert said[-1].content == "It was damaged in G2-hall."
    assert len(said) == len(body) + 1
    first, second = bodies(sandbox)
    assert "facts: " in json.dumps(first)
    assert "damaged" not in json.dumps(first)
    assert "damaged" in json.dumps(second)
    assert rows(recipe, "SELECT count(*) FROM decisions WHERE technique = 'history' AND action = 'fetched'")[0][0] == 1
    other = [{**message, "content": "Look them all up."} if place == 0 else message for place, message in enumerate(body)]
    list(agent.stream({"messages": convert_to_messages(other)}, stream_mode="messages"))
    assert "facts: " not in json.dumps(bodies(sandbox)[2:])


def test_history_is_sent_shorter_and_kept_whole(agent_of: Any, sandbox: Sandbox) -> None:
    agent, recipe = agent_of(history=ALWAYS, checkpointer=InMemorySaver(), how={"system_prompt": "Be brief."})
    config: Any = {"configurable": {"thread_id": "1"}}
    for n in range(9):
        state = agent.invoke(ask(f"What about parcel P-{n}? " + "It is late. " * 20), config)
    assert len(state["messages"]) == 18
    assert max(len(body["messages"]) for body in bodies(sandbox)) < 16
    assert rows(recipe, "SELECT count(*) FROM decisions WHERE technique = 'history' AND action = 'compacted'")[0][0] >= 1


@pytest.mark.usefixtures("with_weather")
def test_a_graphs_reader_sees_the_tokens_of_the_chosen_model_once(agent_of: Any, sandbox: Sandbox) -> None:
    agent, recipe = agent_of(route={}, cap={}, cache={}, model="openai/gpt-4o")
    for _ in range(2):
        shown = [chunk for chunk, _ in agent.stream(ask(QUESTION), stream_mode="messages")]
        assert "".join(chunk.text for chunk in shown if chunk.type in ("ai", "AIMessageChunk")) == "It is sunny."
    invoice = sandbox.invoice().usage
    assert rows(recipe, "SELECT sum(input_tokens), sum(output_tokens) FROM calls") == [(invoice.input_tokens, invoice.output_tokens)]


async def test_event_streams_show_the_real_model(agent_of: Any) -> None:
    agent, _ = agent_of(route={}, model="openai/gpt-4o", how={"tools": []})
    events = [event async for event in agent.astream_events(ask("Is it late?"), YES_NO, version="v2")]
    starts = [event for event in events if event["event"] == "on_chat_model_start"]
    assert [start["metadata"]["ls_model_name"] for start in starts] == ["gpt-4o-mini"]


def test_errors_reach_the_caller_as_they_are(agent_of: Any, sandbox: Sandbox) -> None:
    import anthropic

    agent, recipe = agent_of(route={}, cache={})
    sandbox.faults.add(Fault("rate_limit"))
    with pytest.raises(anthropic.RateLimitError):
        agent.invoke(ask(HARD))
    assert rows(recipe, "SELECT outcome, error FROM requests") == [("error", "AnthropicRateLimitError")]


# Other people's middleware.


@pytest.mark.usefixtures("with_weather")
def test_others_middleware_in_front_and_behind(agent_of: Any, sandbox: Sandbox) -> None:
    seen: list[str] = []

    class Looks(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            seen.append(request.model._llm_type)
            return handler(request)

    before = [PIIMiddleware("email", strategy="redact"), ModelCallLimitMiddleware(run_limit=5)]
    agent, _ = agent_of(route={}, cap={}, model="openai/gpt-4o", before=before, behind=[ModelRetryMiddleware(initial_delay=0), Looks()])
    sandbox.faults.add(Fault("server_error"))
    messages = agent.invoke(ask(QUESTION))["messages"]
    assert messages[-1].text == "It is sunny."
    assert set(seen) == {"openai-chat"}
    assert len(seen) == 3


def test_a_fallback_behind_is_billed_as_the_model_that_answered(agent_of: Any, models: dict[str, Any], sandbox: Sandbox) -> None:
    agent, recipe = agent_of(model="openai/gpt-4o", behind=[ModelFallbackMiddleware(models["anthropic/claude-haiku-4-5"])])
    sandbox.faults.add(Fault("server_error", model="gpt-4o"))
    agent.invoke(ask(HARD))
    assert rows(recipe, "SELECT sum(actual_picousd) FROM requests") == [(int(sandbox.invoice().total_usd * 10**12),)]


def test_anthropics_markers_are_taken_out_when_the_recipe_goes_to_openai(agent_of: Any, sandbox: Sandbox) -> None:
    before = [AnthropicPromptCachingMiddleware()]
    tiers = {"simple": {"models": ["openai/gpt-4o-mini"]}, "standard": {"models": ["anthropic/claude-sonnet-4-5"]}}
    agent, _ = agent_of(route={}, tiers=tiers, before=before, how={"system_prompt": "Be brief. " * 200})
    agent.invoke(ask("Is it late?"), YES_NO)
    agent.invoke(ask(HARD))
    to_openai, to_anthropic = [json.dumps(body) for body in bodies(sandbox)]
    assert "gpt-4o-mini" in to_openai
    assert "cache_control" not in to_openai
    assert "cache_control" in to_anthropic


def test_langchains_own_summaries_may_come_first(agent_of: Any, models: dict[str, Any], sandbox: Sandbox) -> None:
    own = SummarizationMiddleware(models["openai/gpt-4o-mini"], trigger=("messages", 10), keep=("messages", 4))
    agent, _ = agent_of(before=[own], history={}, checkpointer=InMemorySaver())
    state = agent.invoke({"messages": talk(7)[1:]}, {"configurable": {"thread_id": "1"}})
    assert state["messages"][-1].type == "ai"
    assert len(state["messages"]) < 10


def test_a_router_as_the_agents_model_does_the_work_itself(recipe_of: Callable[..., Recipe], models: dict[str, Any]) -> None:
    recipe = recipe_of(route={}, cache={}, budget={"run_usd": 1.0})
    agent: Any = create_agent(FrugalRouter.from_recipe(recipe, models=models), middleware=frugal_middleware(recipe, models=models))
    state = agent.invoke(ask("Is it late?"), YES_NO)
    assert state["messages"][-1].response_metadata["frugal"]["model"] == "openai/gpt-4o-mini"
    assert rows(recipe, "SELECT count(*) FROM requests") == [(1,)]


# The budget.


def test_a_run_stops_between_two_steps_and_says_why(agent_of: Any, sandbox: Sandbox, with_weather: None) -> None:
    agent, _ = agent_of(budget={"run_tokens": 30}, model="openai/gpt-4o")
    messages = agent.invoke(ask(QUESTION))["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert "this run has used" in messages[-1].text
    assert messages[-1].response_metadata["frugal"]["stopped"] == "run_tokens"
    assert len(bodies(sandbox)) == 1
    again = agent.invoke(ask(QUESTION))["messages"]
    assert len(again) == 4


def test_a_prompt_that_cannot_fit_is_not_sent(agent_of: Any, sandbox: Sandbox) -> None:
    agent, _ = agent_of(budget={"run_tokens": 30})
    assert agent.invoke(ask("word " * 200))["messages"][-1].response_metadata["frugal"]["stopped"] == "run_tokens"
    assert not bodies(sandbox)


def test_a_thread_spends_across_runs_and_restarts(agent_of: Any, sandbox: Sandbox) -> None:
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "1"}}
    budget = {"thread_usd": 0.0005}
    answers = []
    for n in range(6):
        agent, _ = agent_of(budget=budget, checkpointer=saver, model="openai/gpt-4o")  # a new process each time
        state = agent.invoke(ask(f"{HARD} Number {n}."), config)
        answers.append("stopped" in state["messages"][-1].response_metadata["frugal"])
    assert answers == sorted(answers)
    assert answers[0] is False
    assert answers[-1] is True
    kept = agent.get_state(config).values["frugal_budget"]
    assert json.loads(json.dumps(kept)) == kept
    assert float(kept["thread"]["usd"]) == float(sandbox.invoice().total_usd)
    assert "frugal_budget" not in state
    other = agent.invoke(ask(HARD), {"configurable": {"thread_id": "2"}})
    assert "stopped" not in other["messages"][-1].response_metadata["frugal"]


def test_a_users_budget_holds_over_threads_and_comes_back(agent_of: Any, clock: VirtualClock, tmp_path: Any) -> None:
    budget = {"user_usd": 0.0001, "user_hours": 2, "path": str(tmp_path / "users.sqlite")}

    def stopped(user: str | None, thread: str) -> bool:
        agent, _ = agent_of(budget=budget, model="openai/gpt-4o")
        who = {} if user is None else {"user_id": user}
        state = agent.invoke(ask(HARD), {"configurable": {"thread_id": thread, **who}})
        return "stopped" in state["messages"][-1].response_metadata["frugal"]

    assert [stopped("ann", "1"), stopped("ann", "2"), stopped("bob", "3"), stopped(None, "4"), stopped(None, "5")] == [
        False,
        True,
        False,
        False,
        True,
    ]
    clock.advance(3 * 3600)
    assert not stopped("ann", "6")


def test_hits_cost_no_budget(agent_of: Any) -> None:
    agent, _ = agent_of(budget={"user_tokens": 400}, cache={}, model="openai/gpt-4o")
    answers = [agent.invoke(ask(HARD))["messages"][-1].response_metadata["frugal"] for _ in range(12)]
    assert [answer.get("cache") for answer in answers] == ["miss"] + ["hit"] * 11


def test_a_budget_with_structured_output_ends_instead_of_asking_forever(agent_of: Any) -> None:
    agent, _ = agent_of(budget={"run_tokens": 5}, how={"response_format": ToolStrategy(City), "tools": []}, model="openai/gpt-4o")
    state = agent.invoke(ask("Name a city."))
    assert state["messages"][-1].response_metadata["frugal"]["stopped"] == "run_tokens"


def test_dollars_need_prices(recipe_of: Callable[..., Recipe]) -> None:
    recipe = recipe_of(tiers={"only": {"models": ["hosted_vllm/mine"]}}, tasks={}, budget={"run_usd": 1})
    with pytest.raises(RecipeError, match="no price is known for hosted_vllm/mine"):
        frugal_middleware(recipe)
    with pytest.raises(RecipeError, match="names no limit"):
        recipe_of(budget={})


def test_a_kill_switch_lets_the_agent_be(agent_of: Any, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    agent, _ = agent_of(route={}, budget={"run_tokens": 5})
    monkeypatch.setenv("FRUGAL_OFF", "1")
    answer = agent.invoke(ask("Is it late?"), YES_NO)["messages"][-1]
    assert isinstance(answer, AIMessage)
    assert "frugal" not in answer.response_metadata
    assert bodies(sandbox)[0]["model"] == "claude-sonnet-4-5"
