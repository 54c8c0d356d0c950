"""Chains through the providers' batches: the same answers at half the price, or a refusal before anything is paid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from pydantic import BaseModel

from frugal_plugins.errors import FrugalError
from frugal_plugins.langchain import BatchExecutor, FrugalRouter
from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.sandbox.faults import Fault

PROMPT = ChatPromptTemplate.from_messages([("system", "Answer in a few words."), ("human", "What is item {n} for?")])
MODELS = ("openai/gpt-4o-mini", "anthropic/claude-haiku-4-5")
Make = Callable[..., BatchExecutor]


class Item(BaseModel):
    """An item of the store."""

    name: str
    price: int


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1_795_000_000)


@pytest.fixture
def executor(tmp_path: Path, clock: VirtualClock, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes an executor for a chain; what it opened is closed."""
    keys = {"OPENAI_BASE_URL": sandbox.openai_base_url, "ANTHROPIC_API_BASE": sandbox.anthropic_base_url}
    for name, value in {**keys, "OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}.items():
        monkeypatch.setenv(name, value)
    made: list[BatchExecutor] = []

    def make(router: FrugalRouter, chain: Runnable[Any, Any], **how: Any) -> BatchExecutor:
        one = BatchExecutor.from_recipe(router.recipe, chain=chain, store=tmp_path / "jobs.sqlite", sleep=clock.advance, **how)
        made.append(one)
        return one

    yield make
    for one in made:
        one.jobs.recipe.close()
        one.close()


@pytest.mark.parametrize("model", MODELS)
def test_a_chain_gives_what_it_gives_one_by_one_at_half_the_price(
    router_of: Callable[..., FrugalRouter], executor: Make, sandbox: Sandbox, model: str
) -> None:
    inputs = [{"n": n} for n in range(8)]
    chain = PROMPT | router_of(model).bind(max_tokens=300) | StrOutputParser()
    one_by_one = [chain.invoke(value) for value in inputs]
    price = sandbox.invoice().total_usd
    batched = executor(router_of(model), PROMPT | router_of(model).bind(max_tokens=300) | StrOutputParser()).invoke(inputs)
    assert batched == one_by_one
    assert (sandbox.invoice().total_usd - price) * 2 == price
    assert {line.lane for line in sandbox.invoice().lines[8:]} == {"batch"}


@pytest.mark.parametrize("model", MODELS)
def test_structured_output_over_a_batch(router_of: Callable[..., FrugalRouter], executor: Make, sandbox: Sandbox, model: str) -> None:
    chain = PROMPT | router_of(model).with_structured_output(Item)
    found = executor(router_of(model), chain).invoke([{"n": n} for n in range(4)])
    assert all(isinstance(one, Item) for one in found)
    raw = executor(router_of(model), PROMPT | router_of(model).with_structured_output(Item, include_raw=True)).invoke([{"n": 9}])
    assert isinstance(raw[0]["parsed"], Item)
    assert raw[0]["parsing_error"] is None
    assert {line.lane for line in sandbox.invoice().lines} == {"batch"}


@pytest.mark.parametrize("model", MODELS)
def test_messages_carry_usage_and_our_note_and_callbacks_hear_them(
    router_of: Callable[..., FrugalRouter], executor: Make, sandbox: Sandbox, model: str
) -> None:
    heard = UsageMetadataCallbackHandler()
    found = executor(router_of(model), PROMPT | router_of(model)).invoke([{"n": n} for n in range(3)], {"callbacks": [heard]})
    assert all(message.response_metadata["frugal"]["model"] == model for message in found)
    used = sandbox.invoice().usage
    total = sum(one["input_tokens"] + one["output_tokens"] for one in heard.usage_metadata.values())
    assert total == used.input_tokens + used.output_tokens


def test_tools_are_called_in_a_batch(router_of: Callable[..., FrugalRouter], executor: Make) -> None:
    tool = {
        "type": "function",
        "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}}},
    }
    for model in MODELS:
        chain = PROMPT | router_of(model).bind_tools([tool], tool_choice="any")
        found = executor(router_of(model), chain).invoke([{"n": 1}])
        assert found[0].tool_calls[0]["name"] == "look_up"


async def test_awaited_and_in_steps(router_of: Callable[..., FrugalRouter], executor: Make, clock: VirtualClock) -> None:
    router = router_of("openai/gpt-4o-mini")
    one = executor(router, PROMPT | router | StrOutputParser())
    inputs = [{"n": n} for n in range(3)]
    job = one.submit(inputs)
    assert not one.poll(job).over
    with pytest.raises(FrugalError, match="under way"):
        one.results(job, inputs)
    clock.advance(700)
    assert one.poll(job).over
    assert len(one.results(job, inputs)) == 3
    with pytest.raises(FrugalError, match="3 rows and 1 inputs"):
        one.results(job, inputs[:1])
    assert await one.ainvoke(inputs, job=job) == one.results(job, inputs), "a job that is over is not run again"


def test_errors_stand_in_their_places_or_are_raised_once_all_is_kept(
    router_of: Callable[..., FrugalRouter], executor: Make, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault("batch_line_refused", probability=0.5))
    router = router_of("openai/gpt-4o-mini")
    one = executor(router, PROMPT | router | StrOutputParser())
    inputs = [{"n": n} for n in range(12)]
    with pytest.raises(FrugalError, match="refused"):
        one.invoke(inputs, job="night")
    found = one.invoke(inputs, job="night", return_exceptions=True)
    assert {isinstance(value, Exception) for value in found} == {True, False}
    assert len(sandbox.invoice().lines) == sum(isinstance(value, str) for value in found)


def test_what_cannot_be_batched_is_refused_before_anything_is_sent(
    router_of: Callable[..., FrugalRouter], executor: Make, sandbox: Sandbox
) -> None:
    router = router_of("openai/gpt-4o-mini")
    other = FakeListChatModel(responses=["x"])
    chains: list[Runnable[Any, Any]] = [
        PROMPT | other,
        PROMPT | RunnableParallel(a=router, b=router),
        PROMPT | router | RunnableLambda(lambda message: [message]) | other,
        PROMPT | router.with_fallbacks([other]),
        PROMPT | router | (lambda message: [message]) | router,
    ]
    for chain in chains:
        with pytest.raises(FrugalError, match="Nothing was sent"):
            executor(router, chain)
    assert not sandbox.requests()
