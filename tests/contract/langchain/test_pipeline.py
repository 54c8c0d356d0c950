"""A recipe's whole pipeline as a Runnable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter, runnable
from frugal_plugins.sandbox import Sandbox
from tests.contract.langchain.conftest import bodies

PROMPT = [{"system": "Answer as {{json}} or text."}, {"user": "Is {thing} late?"}]


async def test_a_prompt_becomes_a_chain(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox) -> None:
    recipe = recipe_of(route={}, cap={}, pipeline={"prompt": PROMPT, "task": "yes_no", "params": {"temperature": 0.1}})
    chain = recipe.runnable(models=models)
    assert chain.invoke({"thing": "the train"}).text
    assert (await chain.ainvoke({"thing": "the bus"})).text
    first, second = (body for body in bodies(sandbox) if body["max_completion_tokens"] == 5)
    assert [message["content"] for message in first["messages"]] == ["Answer as {json} or text.", "Is the train late?"]
    assert (first["model"], first["temperature"]) == ("gpt-4o-mini", 0.1)
    assert second["messages"][1]["content"] == "Is the bus late?"


def test_the_caller_may_still_name_another_task(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox) -> None:
    chain = runnable(recipe_of(route={}, pipeline={"prompt": PROMPT, "task": "yes_no"}), models=models)
    chain.invoke({"thing": "it"}, {"metadata": {"frugal": {"task": "support_reply"}}})
    assert bodies(sandbox)[0]["model"] == "claude-sonnet-4-5"


@pytest.mark.parametrize("task", ["extraction", "support_reply"])
def test_an_output_schema_gives_a_dict(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox, task: str) -> None:
    output = {"type": "object", "properties": {"late": {"type": "boolean"}}, "required": ["late"], "additionalProperties": False}
    pipeline = {"prompt": PROMPT, "task": task, "output": output, "output_name": "lateness", "params": {"temperature": 0}}
    chain = runnable(recipe_of(route={}, cache={}, pipeline=pipeline), models=models)
    answers = chain.batch([{"thing": "the train"}, {"thing": "the bus"}])
    assert [set(answer) for answer in answers] == [{"late"}, {"late"}]
    assert chain.invoke({"thing": "the bus"}) == answers[1]
    assert len(sandbox.requests()) == 2
    assert bodies(sandbox)[0]["temperature"] == 0


def test_flex_is_asked_for_and_booked_as_flex(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox) -> None:
    tiers = {"only": {"models": ["openai/o4-mini"]}}
    o4 = ChatOpenAI(model="o4-mini", base_url=sandbox.openai_base_url, api_key="k")
    recipe = recipe_of(tiers=tiers, tasks={}, pipeline={"prompt": PROMPT, "lane": "flex"})
    runnable(recipe, models={"openai/o4-mini": o4}).invoke({"thing": "it"})
    assert bodies(sandbox)[0]["service_tier"] == "flex"
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        lane, reasoning = ledger.execute("SELECT lane, reasoning_tokens FROM calls").fetchone()
    assert lane == "flex"
    assert reasoning == sandbox.invoice().usage.reasoning_tokens > 0


def test_without_a_pipeline_it_is_the_router(recipe_of: Callable[..., Recipe], models: dict[str, Any]) -> None:
    chain = recipe_of().runnable(models=models)
    assert isinstance(chain, FrugalRouter)
    assert chain.invoke("Is it late?").text
