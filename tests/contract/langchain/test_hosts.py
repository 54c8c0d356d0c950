"""The router inside what people build with LangChain."""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, trim_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableParallel
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.sandbox import Fault, Sandbox
from tests.contract.langchain.conftest import bodies

YES_NO = {"metadata": {"frugal": {"task": "yes_no"}}}
HARD = "Compare the two proposals and say which risks the board should weigh."


@tool
def weather(city: str) -> str:
    """What the weather is."""
    return f"Sunny in {city}."


def test_chains_and_parallels(router_of: Callable[..., FrugalRouter]) -> None:
    router = router_of(route={}, cache={})
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{text}")]) | router | StrOutputParser()
    text = chain.invoke({"text": HARD})
    assert text
    assert "".join(chain.stream({"text": HARD})) == text
    assert RunnableParallel(a=chain, b=chain).invoke({"text": HARD}) == {"a": text, "b": text}


def test_retries_and_fallbacks(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(model="openai/gpt-4o", route={})
    sandbox.faults.add(Fault("server_error", model="gpt-4o"))
    assert router.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke(HARD).text
    sandbox.faults.add(Fault("server_error", model="gpt-4o"))
    assert router.with_fallbacks([router_of(model="anthropic/claude-haiku-4-5")]).invoke(HARD).text
    assert [body["model"] for body in bodies(sandbox)] == ["gpt-4o", "gpt-4o", "gpt-4o", "claude-haiku-4-5"]


def test_the_model_may_be_a_configurable_field(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(route={}).configurable_fields(model=ConfigurableField(id="model"))
    router.invoke(HARD)
    router.invoke(HARD, {"configurable": {"model": "openai/gpt-4o-mini"}})
    assert [body["model"] for body in bodies(sandbox)] == ["claude-sonnet-4-5", "gpt-4o-mini"]


@pytest.mark.parametrize("cached", [False, True])
async def test_events_show_one_run_of_the_real_model(router_of: Callable[..., FrugalRouter], cached: bool) -> None:
    router = router_of(route={}, cache={})
    if cached:
        router.invoke("Is it late?", YES_NO)
    events = [event async for event in router.astream_events("Is it late?", YES_NO, version="v2")]
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("on_chat_model_start", "on_chat_model_end")
    assert kinds.count("on_chat_model_start") == 1
    assert kinds.count("on_chat_model_stream") >= 1
    assert {event["name"] for event in events} == {"StoredAnswer" if cached else "ChatOpenAI"}


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
async def test_the_engine_level_ways_in_count_once_too(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox) -> None:
    recipe = recipe_of(route={}, cap={})
    router = FrugalRouter.from_recipe(recipe, models=models)
    messages: list[BaseMessage] = [HumanMessage(HARD)]
    with get_usage_metadata_callback() as counted:
        texts = [
            router.generate([messages], metadata={"frugal": {"task": "yes_no"}}).generations[0][0].text,
            (await router.agenerate([messages])).generations[0][0].text,
            router.stream_events(HARD, version="v3").output.text,
        ]
        seen = sandbox.invoice().usage
    texts.append((await (await router.astream_events(HARD, version="v3")).output).text)  # LangChain's counting callback misses these
    assert all(texts)
    assert [body["model"] for body in bodies(sandbox)] == ["gpt-4o-mini"] * 2 + ["claude-sonnet-4-5"] * 3
    invoice = sandbox.invoice().usage
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        booked = ledger.execute("SELECT sum(input_tokens), sum(output_tokens) FROM calls").fetchone()
    assert booked == (invoice.input_tokens, invoice.output_tokens)
    first = sandbox.invoice().lines[0].usage  # a retry inside one run of LangChain's: it sees the answer it got
    tokens = sum(usage["total_tokens"] for usage in counted.usage_metadata.values())
    assert tokens == seen.input_tokens + seen.output_tokens - first.input_tokens - first.output_tokens


def test_a_graph_keeps_every_answer(router_of: Callable[..., FrugalRouter]) -> None:
    router = router_of(cache={"scope": ["tenant"]})
    graph = StateGraph(MessagesState)
    graph.add_node("say", lambda state: {"messages": [router.invoke(state["messages"][-1:])]})
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    app = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    for _ in range(3):
        state = app.invoke({"messages": [HumanMessage(HARD)]}, config)
    assert [message.type for message in state["messages"]] == ["human", "ai"] * 3
    assert [m.response_metadata["frugal"]["cache"] for m in state["messages"] if m.type == "ai"] == ["miss", "hit", "hit"]
    shown = list(app.stream({"messages": [HumanMessage(HARD)]}, config, stream_mode="messages"))
    assert "".join(chunk.text for chunk, _ in shown) == state["messages"][-1].text


class Turns(TypedDict):
    texts: Annotated[list[str], add]


async def test_a_session_is_the_graphs_thread(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(route={})

    async def say(state: Turns) -> Turns:
        config: Any = {"metadata": {"frugal": {"task": state["texts"][-1]}}}
        return {"texts": [(await router.ainvoke("Please help me.", config)).response_metadata["frugal"]["model"]]}

    graph = StateGraph(Turns)
    graph.add_node("say", say)
    graph.add_edge(START, "say")
    app = graph.compile()
    for task in ("support_reply", "yes_no"):
        await app.ainvoke({"texts": [task]}, {"configurable": {"thread_id": "9"}})
    await app.ainvoke({"texts": ["yes_no"]}, {"configurable": {"thread_id": "10"}})
    assert [body["model"] for body in bodies(sandbox)] == ["claude-sonnet-4-5", "claude-sonnet-4-5", "gpt-4o-mini"]


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"])
def test_an_agent_runs_its_tools(router_of: Callable[..., FrugalRouter], sandbox: Sandbox, model: str) -> None:
    question = "What is the weather in Oslo?"
    call = {"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}
    sandbox.provider.book.add({"user": question, "outputs": {"*": call}})
    sandbox.provider.book.add({"user": question, "after": ["Sunny in Oslo."], "outputs": {"*": "It is sunny."}})
    router = router_of(model=model, route={}, cap={}, cache={})
    agent = create_agent(router, [weather], system_prompt="Be brief.")
    messages = agent.invoke({"messages": [HumanMessage(question)]})["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[-1].text == "It is sunny."


def test_an_agent_gives_a_structured_response(router_of: Callable[..., FrugalRouter]) -> None:
    from pydantic import BaseModel

    class Report(BaseModel):
        """A weather report."""

        city: str

    for model in ("openai/gpt-4o", "anthropic/claude-sonnet-4-5"):
        agent: Any = create_agent(router_of(model=model), [weather], response_format=Report)
        assert isinstance(agent.invoke({"messages": [HumanMessage("Report on Oslo.")]})["structured_response"], Report)


def test_messages_are_trimmed_by_a_local_count(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of()
    history: list[BaseMessage] = [HumanMessage(HARD), AIMessage("Both."), HumanMessage("Why?")]
    tokens = router.get_num_tokens_from_messages(history[2:])
    assert trim_messages(history, max_tokens=tokens, token_counter=router, strategy="last") == history[2:]
    assert not sandbox.requests()


def test_the_profile_is_what_every_model_can_do(router_of: Callable[..., FrugalRouter]) -> None:
    profile = router_of().profile
    assert profile is not None
    assert profile["max_input_tokens"] == 128_000
    assert profile["tool_calling"] is True
