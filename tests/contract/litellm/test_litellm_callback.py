"""`litellm.callbacks = [FrugalCallback(recipe)]` without a proxy."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import litellm
import pytest

from frugal_plugins import Recipe, Usage
from frugal_plugins.answers import StoredAnswer
from frugal_plugins.litellm import FrugalCallback, complete, install
from frugal_plugins.litellm.callback import FrugalCallback as TheClass
from frugal_plugins.litellm.convert import read_call
from frugal_plugins.litellm.live import UNDERWAY
from frugal_plugins.techniques.cache import Cache
from tests.contract.litellm.conftest import MakeRecipe, booked_picousd, invoiced_picousd, rows, user

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

YES_NO = {"frugal": {"task": "yes_no"}}


def callback_for(recipe: Recipe) -> FrugalCallback:
    callback = FrugalCallback(recipe)
    litellm.callbacks = [callback]
    return callback


async def until_rows(recipe: Recipe, count: int) -> list[Any]:
    """LiteLLM logs a stream in a task of its own."""
    for _ in range(200):
        found = rows(recipe)
        if len(found) >= count:
            return found
        await asyncio.sleep(0.02)
    return rows(recipe)


def test_every_hook_is_on_the_class_itself() -> None:
    named = [name for name in vars(TheClass) if name.startswith("async_")]
    assert {
        "async_pre_call_hook",
        "async_post_call_success_hook",
        "async_post_call_streaming_iterator_hook",
        "async_post_call_failure_hook",
        "async_post_call_response_headers_hook",
        "async_pre_call_deployment_hook",
    } <= set(named)


async def test_it_caps_keeps_the_named_model_and_books(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    callback_for(recipe)
    await litellm.acompletion(model="gpt-4o", messages=user("Is water wet?"), metadata=dict(YES_NO), **openai)
    assert sandbox.requests()[0].body == {"model": "gpt-4o", "messages": user("Is water wet?"), "max_tokens": 5}
    assert [(row["outcome"], row["task"]) for row in rows(recipe)] == [("answered", "yes_no")]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)
    assert len(UNDERWAY) == 0


async def test_an_answer_cut_short_is_asked_again(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    callback_for(recipe)
    said = {"frugal": {"task": "extraction"}}
    answer = await litellm.acompletion(model="gpt-4o", messages=user("All the names in this long text."), metadata=said, **openai)
    assert [request.body["max_tokens"] for request in sandbox.requests()] == [3, 256]
    assert answer.choices[0].finish_reason == "stop"
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)
    assert len(rows(recipe)) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hit_costs_nothing(stream: bool, sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    callback_for(recipe)
    first = await litellm.acompletion(model="gpt-4o", messages=user("Do you ship?"), **openai)
    again = await litellm.acompletion(model="gpt-4o", messages=user("Do you ship?"), stream=stream, **openai)
    text = "".join([c.choices[0].delta.content or "" async for c in again]) if stream else again.choices[0].message.content
    assert text == first.choices[0].message.content
    assert len(sandbox.requests()) == 1
    assert [row["outcome"] for row in rows(recipe)] == ["answered", "hit"]
    assert len(UNDERWAY) == 0


@pytest.mark.parametrize("options", [{"stream_options": {"include_usage": True}}, {}], ids=["usage", "no usage"])
async def test_a_stream_is_booked_when_it_ends(
    options: dict[str, Any], sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe()
    callback_for(recipe)
    asked = {"model": "gpt-4o", "messages": user("Tell me."), "stream": True, **options}
    assert [chunk async for chunk in await litellm.acompletion(**asked, **openai)]
    assert [row["outcome"] for row in await until_rows(recipe, 1)] == ["answered"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)
    assert len(UNDERWAY) == 0


async def test_with_a_cache_of_the_users_own_a_hit_travels_beside_it(
    sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    """The proxy's hook, where `litellm.cache` is taken: the answer comes as a mock response and is kept out of that cache."""
    recipe = make_recipe()
    callback = FrugalCallback(recipe)
    kept: list[Any] = []

    class TheirCache(litellm.Cache):  # type: ignore[misc, name-defined]
        async def async_add_cache(self, result: Any, *args: Any, **kwargs: Any) -> None:
            kept.append(result)

    litellm.cache = TheirCache(type="local")
    complete(recipe, messages=user("Do you ship?"), model="gpt-4o", **openai)
    for stream in (False, True):
        data: dict[str, Any] = {"model": "gpt-4o", "messages": user("Do you ship?"), "stream": stream, **openai}
        log = SimpleNamespace()
        first = {**data, "litellm_logging_obj": log, "litellm_call_id": f"call-{stream}"}
        recipe.answers.put(_for_everyone(recipe, first))
        changed = await callback.async_pre_call_hook(SimpleNamespace(api_key="k"), None, first, "acompletion")
        assert changed is first
        del first["litellm_logging_obj"]
        answer = await litellm.acompletion(**first)
        text = "".join([c.choices[0].delta.content or "" async for c in answer]) if stream else answer.choices[0].message.content
        assert text == "We do."
        UNDERWAY.drop(first)
    await asyncio.sleep(0.05)
    assert kept == []
    assert len(sandbox.requests()) == 1


def _for_everyone(recipe: Recipe, data: dict[str, Any]) -> StoredAnswer:
    """The answer a proxy's key would find for this call."""
    asked = read_call({name: value for name, value in data.items() if not name.startswith("litellm_")}, scope=("proxy", "k"))
    assert asked is not None
    cache = next(step for step, _ in recipe.steps if step.name == "cache")
    assert isinstance(cache, Cache)
    return StoredAnswer(cache.key(asked.request), {"role": "assistant", "content": "We do."}, "gpt-4o", Usage(9, output_tokens=3), 0, 9e9)


async def test_an_error_is_booked_and_passed_on(openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    callback_for(recipe)
    with pytest.raises(litellm.BadRequestError):
        await litellm.acompletion(model="gpt-4o", messages=user("Hello"), temperature=77, **openai)
    assert [(row["outcome"], row["error"]) for row in await until_rows(recipe, 1)] == [("error", "BadRequestError")]
    assert len(UNDERWAY) == 0


async def test_listed_twice_and_installed_too_it_is_one_row(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    callback = callback_for(recipe)
    litellm.callbacks = [callback, callback, FrugalCallback(recipe)]
    await litellm.acompletion(model="gpt-4o", messages=user("One?"), **openai)
    install(recipe)
    await litellm.acompletion(model="gpt-4o", messages=user("Two?"), **openai)
    litellm.completion(model="gpt-4o", messages=user("Three?"), **openai)
    await asyncio.sleep(0.1)
    assert [row["outcome"] for row in rows(recipe)] == ["answered"] * 3
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_the_own_name_means_the_baseline(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    callback_for(make_recipe())
    await litellm.acompletion(model="support", messages=user("Is it, yes or no?"), custom_llm_provider="openai", **openai)
    assert sandbox.requests()[0].body["model"] == "gpt-4o"


async def test_without_a_recipe_nothing_happens(sandbox: Sandbox, openai: dict[str, Any]) -> None:
    litellm.callbacks = [FrugalCallback(None)]
    await litellm.acompletion(model="gpt-4o", messages=user("Hello"), **openai)
    assert sandbox.requests()[0].body == {"model": "gpt-4o", "messages": user("Hello")}


async def test_what_no_hook_comes_back_for_is_booked_as_closed(monkeypatch: pytest.MonkeyPatch, make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    callback = callback_for(recipe)
    assert len(UNDERWAY) == 0
    monkeypatch.setattr("frugal_plugins.litellm.live._MOST", 1)
    for number in range(3):
        kwargs = {"model": "gpt-4o", "messages": user(f"Question {number}"), "litellm_call_id": str(number)}
        assert await callback.async_pre_call_deployment_hook(kwargs, "acompletion") is not None
    assert len(UNDERWAY) == 1
    assert [(row["outcome"], row["input_tokens"] > 0) for row in rows(recipe)] == [("closed", True)] * 2
    UNDERWAY.drop({"litellm_call_id": "2"})
