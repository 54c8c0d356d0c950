"""Chains through the providers' batches: the same answers at half the price, or a refusal before anything is paid."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from pydantic import BaseModel

from frugal_plugins import Recipe
from frugal_plugins.errors import FrugalError
from frugal_plugins.langchain import BatchExecutor, FrugalRouter, batch_lane
from frugal_plugins.langchain import batch as batch_module
from frugal_plugins.langchain.batch import RowFailed
from frugal_plugins.ledger import open_reader, summarize
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
def test_a_sample_of_a_chain_with_structured_output_is_judged_in_plain_words(
    executor: Make, models: dict[str, Any], sandbox: Sandbox, clock: VirtualClock, tmp_path: Path, model: str
) -> None:
    said = {
        "recipe": "judged", "tiers": {"one": {"models": [model]}}, "judge": {"percent": 100, "usd_per_day": 5},
        "ledger": {"path": str(tmp_path / "ledger.sqlite")},
    }  # fmt: skip
    recipe = Recipe.load(said, clock=clock.now)
    router = FrugalRouter.from_recipe(recipe, models=models)
    found = executor(router, PROMPT | router.with_structured_output(Item)).invoke([{"n": n} for n in range(3)])
    assert all(isinstance(one, Item) for one in found)
    assert len(sandbox.invoice().lines) == 6
    recipe.close()
    with open_reader(tmp_path / "ledger.sqlite") as reader:
        judged = reader.db.rows("SELECT finish_reason, output_tokens FROM calls WHERE purpose = 'judge' AND lane = 'batch'")
        assert len(judged) == 3
        assert summarize(tmp_path / "ledger.sqlite").spent_usd == sandbox.invoice().total_usd


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


@pytest.fixture
def lane(tmp_path: Path, clock: VirtualClock, executor: Make, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The config of a batch that goes through the batch lane, on a clock that nobody waits for."""
    monkeypatch.setenv("FRUGAL_BATCH_STORE", str(tmp_path / "lane.sqlite"))
    monkeypatch.setattr(batch_lane, "time", SimpleNamespace(sleep=clock.advance))
    return {"metadata": {"frugal": {"lane": "batch"}}}


@pytest.mark.parametrize("model", MODELS)
def test_a_chains_own_batch_costs_half_in_the_batch_lane(
    router_of: Callable[..., FrugalRouter], sandbox: Sandbox, lane: dict[str, Any], model: str
) -> None:
    chain = PROMPT | router_of(model).bind(max_tokens=300) | StrOutputParser()
    inputs = [{"n": n} for n in range(6)]
    at_once = chain.batch(inputs)
    price = sandbox.invoice().total_usd
    heard = UsageMetadataCallbackHandler()
    assert chain.batch(inputs, {**lane, "callbacks": [heard]}) == at_once
    assert (sandbox.invoice().total_usd - price) * 2 == price
    assert {line.lane for line in sandbox.invoice().lines[6:]} == {"batch"}
    counted = sum(one["input_tokens"] + one["output_tokens"] for one in heard.usage_metadata.values())
    assert counted == sum(line.usage.input_tokens + line.usage.output_tokens for line in sandbox.invoice().lines[6:])


async def test_structured_output_in_the_batch_lane_awaited_with_errors_in_their_places(
    router_of: Callable[..., FrugalRouter], sandbox: Sandbox, lane: dict[str, Any]
) -> None:
    sandbox.faults.add(Fault("batch_line_refused", probability=0.4))
    chain = PROMPT | router_of(MODELS[0]).with_structured_output(Item)
    found = await chain.abatch([{"n": n} for n in range(10)], lane, return_exceptions=True)
    assert {type(one) for one in found} == {Item, RowFailed}
    assert len(sandbox.invoice().lines) == sum(isinstance(one, Item) for one in found)


def test_what_was_answered_is_not_paid_again_when_the_call_is_made_again(
    router_of: Callable[..., FrugalRouter], sandbox: Sandbox, lane: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = PROMPT | router_of(MODELS[0]) | StrOutputParser()
    inputs = [{"n": n} for n in range(4)]
    waited = batch_lane.time.sleep

    def killed(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch_lane.time, "sleep", killed)
    with pytest.raises(KeyboardInterrupt):
        chain.batch(inputs, lane)
    monkeypatch.setattr(batch_lane.time, "sleep", waited)
    assert len(chain.batch(inputs, lane)) == 4
    assert len(sandbox.invoice().lines) == 4
    chain.batch(inputs, lane)
    assert len(sandbox.invoice().lines) == 8, "what was handed over is asked anew"


def test_a_single_request_or_a_parallel_map_in_the_batch_lane_is_refused_before_anything_is_paid(
    router_of: Callable[..., FrugalRouter], sandbox: Sandbox, lane: dict[str, Any]
) -> None:
    router = router_of(MODELS[0])
    with pytest.raises(FrugalError, match="for lists"):
        router.invoke("hi", lane)
    with pytest.raises(FrugalError, match="for lists"):
        (PROMPT | RunnableParallel(a=router, b=router)).batch([{"n": 1}], lane)
    with pytest.raises(FrugalError, match="some do not"):
        router.batch(["a", "b"], [lane, {}])
    assert not sandbox.requests()


def test_many_structured_rows_cost_half_of_batch_by_invoice(
    router_of: Callable[..., FrugalRouter], executor: Make, sandbox: Sandbox
) -> None:
    chain = PROMPT | router_of(MODELS[0]).with_structured_output(Item)
    inputs = [{"n": n} for n in range(150)]
    assert len(chain.batch(inputs)) == 150
    price = sandbox.invoice().total_usd
    found = executor(router_of(MODELS[0]), chain).invoke(inputs)
    assert len(found) == 150
    assert all(isinstance(one, Item) for one in found)
    assert (sandbox.invoice().total_usd - price) * 2 == price


def test_the_examples_in_its_description_run(
    sandbox: Sandbox, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {"OPENAI_BASE_URL": sandbox.openai_base_url, "OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch_module, "time", SimpleNamespace(sleep=clock.advance))
    monkeypatch.setattr(Recipe, "load", partial(Recipe.load, clock=clock.now))
    blocks = re.findall(r"```python\n(.*?)```", BatchExecutor.__doc__ or "", re.DOTALL)
    assert len(blocks) == 6
    told: dict[str, Any] = {"__name__": "examples"}
    for block in blocks:
        code = compile(textwrap.dedent(block), "BatchExecutor", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waits = FunctionType(code, told)()
        if inspect.iscoroutine(waits):
            asyncio.run(waits)
    assert {line.lane for line in sandbox.invoice().lines} == {"batch"}
    said = capsys.readouterr().out
    assert "input_tokens" in said
    assert "0 of 2" in said or "2 of 2" in said
    assert told["costs"].saved_usd > 0
    told["executor"].close()


def test_several_lists_are_worked_on_one_after_the_other(router_of: Callable[..., FrugalRouter], executor: Make) -> None:
    one = executor(router_of(MODELS[0]), PROMPT | router_of(MODELS[0]) | StrOutputParser())
    found = one.batch([[{"n": 1}, {"n": 2}], [{"n": 3}]])
    assert [len(answers) for answers in found] == [2, 1]
    assert found[0] == one.invoke([{"n": 1}, {"n": 2}])
