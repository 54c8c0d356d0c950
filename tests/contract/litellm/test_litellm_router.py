"""`litellm.Router`, sync and async, with retries and fallbacks, and what else a call of the SDK may be, with a recipe installed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import litellm
import pytest

from frugal_plugins.litellm import FrugalCallback, install
from frugal_plugins.sandbox import Fault
from tests.contract.litellm.conftest import MakeRecipe, booked_picousd, invoiced_picousd, rows, user

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

YES_NO = {"frugal": {"task": "yes_no"}}


@pytest.fixture
def router(sandbox: Sandbox, openai: dict[str, Any], anthropic: dict[str, Any]) -> litellm.Router:
    """Names that are the user's own; a fallback from the big model to Claude."""
    models = {"big": "openai/gpt-4o", "small": "openai/gpt-4o-mini", "claude": "anthropic/claude-sonnet-4-5"}
    connections = {name: anthropic if model.startswith("anthropic/") else openai for name, model in models.items()}
    listed = [{"model_name": name, "litellm_params": {"model": model, **connections[name]}} for name, model in models.items()]
    return litellm.Router(model_list=listed, fallbacks=[{"big": ["claude"]}], num_retries=1, retry_after=0, disable_cooldowns=True)


def models_sent(sandbox: Sandbox) -> list[str]:
    return [request.body["model"] for request in sandbox.requests()]


def test_router_routes_and_caches(sandbox: Sandbox, router: litellm.Router, make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    first = router.completion(model="big", messages=user("Is it open?"), metadata=YES_NO)
    again = router.completion("big", user("is it open"), metadata=YES_NO)
    assert [request.body for request in sandbox.requests()] == [{"model": "gpt-4o-mini", "messages": user("Is it open?"), "max_tokens": 5}]
    assert again.choices[0].message.content == first.choices[0].message.content
    assert [(row["host"], row["outcome"]) for row in rows(recipe)] == [("litellm-router", "answered"), ("litellm-router", "hit")]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


@pytest.mark.parametrize("stream", [False, True])
async def test_router_async_routes(sandbox: Sandbox, router: litellm.Router, make_recipe: MakeRecipe, stream: bool) -> None:
    recipe = install(make_recipe())
    answer = await router.acompletion(model="big", messages=user("Is it open, yes or no?"), stream=stream)
    if stream:
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in answer])
    assert models_sent(sandbox) == ["gpt-4o-mini"]
    assert len(rows(recipe)) == 1
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def test_router_retries_are_one_row(sandbox: Sandbox, router: litellm.Router, make_recipe: MakeRecipe) -> None:
    sandbox.faults.add(Fault("server_error", model="gpt-4o"))
    recipe = install(make_recipe())
    assert router.completion(model="big", messages=user("Tell me of Oslo.")).choices[0].message.content
    assert models_sent(sandbox) == ["gpt-4o", "gpt-4o"]
    assert [row["outcome"] for row in rows(recipe)] == ["answered"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


@pytest.mark.parametrize("callback_too", [False, True])
async def test_router_fallbacks_are_one_row(sandbox: Sandbox, router: litellm.Router, make_recipe: MakeRecipe, callback_too: bool) -> None:
    """Retries and fallbacks share the caller's metadata; the callback may be there as well, even twice."""
    sandbox.faults.add(*(Fault("server_error", model="gpt-4o") for _ in range(4)))
    recipe = install(make_recipe())
    if callback_too:
        litellm.callbacks = [FrugalCallback(recipe), FrugalCallback(recipe)]
    metadata: dict[str, Any] = {"frugal": {"tenant": "acme"}, "trace": "t"}
    answer = await router.acompletion(model="big", messages=user("Tell me of Oslo."), metadata=metadata)
    assert answer.model.startswith("claude-sonnet-4-5")
    (row,) = rows(recipe)
    assert (row["outcome"], row["model_answered"]) == ("answered", "claude-sonnet-4-5-20250929")
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def test_router_sync_fallbacks_are_one_row(sandbox: Sandbox, router: litellm.Router, make_recipe: MakeRecipe) -> None:
    sandbox.faults.add(*(Fault("server_error", model="gpt-4o") for _ in range(4)))
    recipe = install(make_recipe())
    assert router.completion(model="big", messages=user("Tell me of Oslo.")).model.startswith("claude-sonnet-4-5")
    assert [row["outcome"] for row in rows(recipe)] == ["answered"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def test_router_exceptions_are_the_hosts(sandbox: Sandbox, router: litellm.Router, make_recipe: MakeRecipe) -> None:
    seen = []
    recipe = make_recipe()
    for through in (False, True):
        if through:
            install(recipe)
        sandbox.reset()
        sandbox.faults.add(*(Fault("unauthorized") for _ in range(20)))
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is the question
            router.completion(model="small", messages=user("Hello"))
        seen.append((type(caught.value), getattr(caught.value, "status_code", None)))
    assert seen[0] == seen[1]
    assert [row["outcome"] for row in rows(recipe)] == ["error"]


def test_router_names_it_does_not_have_are_its_own_business(router: litellm.Router, make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    with pytest.raises(litellm.BadRequestError):
        router.completion(model="nobody", messages=user("Hello"))
    assert rows(recipe) == []


def test_sdk_choices_logprobs_and_images(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    two = litellm.completion(model="gpt-4o", messages=user("A name, yes or no?"), n=2, logprobs=True, top_logprobs=2, **openai)
    assert len(two.choices) == 2
    assert two.choices[1].logprobs.content[0].top_logprobs
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    seen = [{"role": "user", "content": [{"type": "text", "text": "Is it a cat, yes or no?"}, picture]}]
    litellm.completion(model="gpt-4o", messages=seen, **openai)
    assert sandbox.requests()[-1].body["messages"] == seen
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_sdk_cancelled(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    sandbox.faults.add(Fault("timeout", hold_seconds=5))
    recipe = install(make_recipe())
    task = asyncio.create_task(litellm.acompletion(model="gpt-4o", messages=user("Wait."), **openai))
    while not sandbox.requests():  # noqa: ASYNC110 - the sandbox lives in another thread
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [row["outcome"] for row in rows(recipe)] == ["error"]


async def test_sdk_async_iterator_closed_early(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    sandbox.provider.chunk_seconds = 0.002
    sandbox.record({"user": "A story.", "outputs": {"*": "and then " * 300}})
    recipe = install(make_recipe())
    stream = await litellm.acompletion(model="gpt-4o", messages=user("A story."), stream=True, **openai)
    await anext(stream)
    await stream.aclose()
    sandbox.settle()
    (row,) = rows(recipe)
    assert (row["outcome"], row["input_tokens"] > 0) == ("closed", True)
