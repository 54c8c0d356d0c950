"""SummarizingMemory: alone, in chains, before the router, behind LangChain's older interfaces."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from frugal_plugins import Recipe
from frugal_plugins.errors import FrugalError
from frugal_plugins.langchain import FrugalRouter, SummarizedChatHistory, SummarizingMemory
from frugal_plugins.sandbox import Fault, Sandbox
from tests.contract.langchain.conftest import bodies

ALWAYS = {"when": "always", "every_turns": 4, "keep_turns": 2, "recall_tokens": 0}
THREAD: Any = {"configurable": {"thread_id": "7"}}


def talk(turns: int, *, opened: str = "Order A-17 came broken.") -> list[BaseMessage]:
    """A conversation of so many user turns, the last one unanswered."""
    said: list[BaseMessage] = [SystemMessage("You help a shop's customers.")]
    for turn in range(turns):
        said.append(HumanMessage(opened if turn == 0 else f"And what about parcel P-{turn}? " + f"It left the depot {turn} days ago. " * 6))
        said.append(AIMessage(f"Parcel P-{turn} reached the hub in town {turn}. " + "It will be delivered soon, we promise you that. " * 8))
    return said[:-1]


@pytest.fixture
def memory(recipe_of: Callable[..., Recipe]) -> SummarizingMemory:
    return SummarizingMemory.from_recipe(recipe_of(history=ALWAYS))


def test_alone_it_sums_up_once_it_is_due_and_keeps_the_last_turns(memory: SummarizingMemory) -> None:
    early, late = talk(3), talk(7)
    assert [m.content for m in memory.invoke(early, THREAD)] == [m.content for m in early]
    shown = memory.invoke(late, THREAD)
    assert len(shown) < len(late)
    assert shown[0].content == late[0].content
    assert "<earlier" in shown[1].text
    assert "A-17" in shown[1].text
    assert [m.content for m in shown[-3:]] == [m.content for m in late[-3:]]
    assert late == talk(7)


async def test_every_way_in_gives_the_same(memory: SummarizingMemory) -> None:
    late = talk(7)
    one = [m.content for m in memory.invoke(late, THREAD)]
    assert [m.content for m in await memory.ainvoke(late, THREAD)] == one
    assert [m.content for m in memory.batch([late], THREAD)[0]] == one
    assert [m.content for m in list(memory.stream(late, THREAD))[-1]] == one
    assert [m.content for m in [x async for x in memory.astream(late, THREAD)][-1]] == one
    assert memory.invoke("Hello.")[0].content == "Hello."
    prompt = ChatPromptTemplate.from_messages([("user", "{x}")]).invoke({"x": "Hi."})
    assert memory.invoke(prompt)[0].content == "Hi."
    assert memory.invoke([]) == []


def test_between_two_summaries_the_prefix_stays_byte_for_byte(memory: SummarizingMemory) -> None:
    first = [m.content for m in memory.invoke(talk(7), THREAD)]
    second = [m.content for m in memory.invoke(talk(8), THREAD)]
    assert second[: len(first)] == first


def test_a_session_outlives_the_process(recipe_of: Callable[..., Recipe], tmp_path: Path) -> None:
    kept = {**ALWAYS, "path": str(tmp_path / "sessions.sqlite")}
    before = SummarizingMemory.from_recipe(recipe_of(history=kept))
    before.invoke(talk(3), THREAD)
    shown = before.invoke(talk(7), THREAD)
    after = SummarizingMemory.from_recipe(recipe_of(history={**kept, "every_turns": 50}))  # it would never sum up by itself
    assert [m.content for m in after.invoke(talk(7), THREAD)] == [m.content for m in shown]
    assert len(after.invoke(talk(7, opened="Another conversation."), THREAD)) == len(talk(7))


def test_tool_calls_stay_with_their_results(memory: SummarizingMemory) -> None:
    call = {"name": "look", "args": {"id": "P-1"}, "id": "c1"}
    said = talk(7)
    said[3:3] = [AIMessage("", tool_calls=[call]), ToolMessage("found", tool_call_id="c1")]
    shown = memory.invoke(said, THREAD)
    calls = [c["id"] for m in shown if isinstance(m, AIMessage) for c in m.tool_calls]
    assert calls == [m.tool_call_id for m in shown if isinstance(m, ToolMessage)]


def test_in_a_chain_before_any_model(memory: SummarizingMemory, sandbox: Sandbox) -> None:
    model = ChatOpenAI(model="gpt-4o", base_url=sandbox.openai_base_url, api_key="k")  # type: ignore[arg-type]
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("user", "{question}")])
    chain = prompt | memory | model
    assert chain.invoke({"history": talk(7)[:-1], "question": "Where is P-6?"}, THREAD).text
    (body,) = bodies(sandbox)
    assert len(body["messages"]) < len(talk(7))
    assert "frugal" not in json.dumps(body)


def test_before_the_router_it_is_summed_up_once_and_booked_with_the_routers_request(
    recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox
) -> None:
    recipe = recipe_of(history=ALWAYS, route={})
    memory, router = SummarizingMemory.from_recipe(recipe), FrugalRouter.from_recipe(recipe, models=models)
    answer = (memory | router).invoke(talk(7), THREAD)
    assert "history compacted" in answer.response_metadata["frugal"]["why"]
    assert "frugal_memory" not in json.dumps(bodies(sandbox))
    assert json.dumps(bodies(sandbox)).count("<earlier") == 1
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        assert ledger.execute("SELECT count(*) FROM requests").fetchone() == (1,)
        decided = ledger.execute("SELECT action, tokens_before > tokens_after FROM decisions WHERE technique = 'history'").fetchall()
        saved = ledger.execute("SELECT picousd FROM savings WHERE technique = 'history'").fetchone()
    assert decided == [("compacted", 1)]
    assert saved[0] > 0


def test_a_models_summary_is_written_in_the_background_checked_and_booked(
    recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox
) -> None:
    recipe = recipe_of(history={**ALWAYS, "summarizer": "simple"}, route={})
    memory = SummarizingMemory.from_recipe(recipe, models=models)
    router = FrugalRouter.from_recipe(recipe, models=models)
    spoken = [f"{'user' if m.type == 'human' else 'assistant'}: {m.text}" for m in talk(7)[1:-3]]
    asked = "<conversation>\n" + "\n".join(spoken) + "\n</conversation>"
    sandbox.provider.book.add({"user": asked, "outputs": {"*": "The customer's order A-17 came broken."}})
    assert len(memory.invoke(talk(7), THREAD)) == len(talk(7))  # nobody waits for the model
    assert memory.wait(10)
    assert [body["model"] for body in bodies(sandbox)] == ["gpt-4o-mini"]
    answer = (memory | router).invoke(talk(8), THREAD)
    assert answer.text
    assert "The customer's order A-17 came broken." in bodies(sandbox)[-1]["messages"][0]["content"][0]["text"]
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        calls = ledger.execute("SELECT purpose, technique, picousd > 0 FROM calls ORDER BY n").fetchall()
        booked = ledger.execute("SELECT sum(picousd) FROM calls").fetchone()[0]
    assert calls == [("summarise", "history", 1), ("answer", None, 1)]
    assert booked == int(sandbox.invoice().total_usd * 10**12)


def test_a_summarizer_that_fails_changes_nothing(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox) -> None:
    memory = SummarizingMemory.from_recipe(recipe_of(history={**ALWAYS, "summarizer": "simple"}), models=models)
    sandbox.faults.add(Fault("server_error"))
    assert [m.content for m in memory.invoke(talk(7), THREAD)] == [m.content for m in talk(7)]
    assert memory.wait(10)
    assert [m.content for m in memory.invoke(talk(7), THREAD)] == [m.content for m in talk(7)]


@pytest.mark.parametrize("sections", [{"mode": "shadow"}, {"mode": "off"}])
def test_off_and_shadow_change_nothing(recipe_of: Callable[..., Recipe], sections: dict[str, Any]) -> None:
    memory = SummarizingMemory.from_recipe(recipe_of(history=ALWAYS, **sections))
    assert [m.content for m in memory.invoke(talk(9), THREAD)] == [m.content for m in talk(9)]


def test_the_caller_and_the_control_group_are_left_alone(recipe_of: Callable[..., Recipe]) -> None:
    memory = SummarizingMemory.from_recipe(recipe_of(history=ALWAYS, control_percent=50))
    lengths = {len(memory.invoke(talk(9), {"configurable": {"thread_id": str(n)}})) for n in range(12)}
    assert len(lengths) == 2
    assert len(memory.invoke(talk(9), {**THREAD, "metadata": {"frugal": {"off": True}}})) == len(talk(9))


def test_a_recipe_without_history_says_what_to_add(recipe_of: Callable[..., Recipe]) -> None:
    with pytest.raises(FrugalError, match="add a 'history:' section"):
        SummarizingMemory.from_recipe(recipe_of())


def test_it_writes_summaries_for_langchains_own_middleware(memory: SummarizingMemory, sandbox: Sandbox, models: dict[str, Any]) -> None:
    model = models["openai/gpt-4o"]
    own = SummarizationMiddleware(
        model, trigger=("messages", 8), keep=("messages", 2), trim_tokens_to_summarize=None, summarizer=memory.summary
    )
    agent: Any = create_agent(model, middleware=[own], checkpointer=InMemorySaver())
    state = agent.invoke({"messages": talk(6)[1:]}, THREAD)
    assert "A-17" in state["messages"][0].text
    assert len(bodies(sandbox)) == 1  # no call for the summary


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated", "ignore:.*InMemoryChatMessageHistory")
def test_behind_the_older_chat_history(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox) -> None:
    warnings.simplefilter("ignore")
    recipe = recipe_of(history=ALWAYS, route={})
    memory, router = SummarizingMemory.from_recipe(recipe), FrugalRouter.from_recipe(recipe, models=models)
    kept = InMemoryChatMessageHistory()
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), MessagesPlaceholder("history"), ("user", "{question}")])
    chain = RunnableWithMessageHistory(
        prompt | router,
        lambda session_id: SummarizedChatHistory(kept, memory, session=session_id),
        input_messages_key="question",
        history_messages_key="history",
    )
    config: Any = {"configurable": {"session_id": "9"}}
    for turn in range(9):
        chain.invoke({"question": f"What about parcel P-{turn}? " + "It is late. " * 20}, config)
    list(chain.stream({"question": "And P-10?"}, config))
    assert [type(message).__name__ for message in kept.messages] == ["HumanMessage", "AIMessage"] * 10
    sent = [len(body["messages"]) for body in bodies(sandbox)]
    assert max(sent) < 20
    history = SummarizedChatHistory(kept, memory, session="9")
    assert history.messages == history.messages
    assert len(history.messages) < 20
    history.clear()
    assert history.messages == []


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated", "ignore:.*InMemoryChatMessageHistory")
async def test_with_message_history_around_memory_and_router(
    recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox
) -> None:
    warnings.simplefilter("ignore")
    recipe = recipe_of(history=ALWAYS)
    kept = InMemoryChatMessageHistory()
    chain = RunnableWithMessageHistory(
        SummarizingMemory.from_recipe(recipe) | FrugalRouter.from_recipe(recipe, models=models), lambda session_id: kept
    )
    config: Any = {"configurable": {"session_id": "9"}}
    for turn in range(8):
        await chain.ainvoke([HumanMessage(f"What about parcel P-{turn}? " + "It is late. " * 20)], config)
    assert len(kept.messages) == 16
    assert max(len(body["messages"]) for body in bodies(sandbox)) < 15
