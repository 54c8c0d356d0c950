"""`litellm.anthropic.messages` and a Router's own Responses and Messages functions, with a recipe installed."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import litellm
import litellm.anthropic_interface
import pytest

from frugal_plugins.litellm import install, uninstall
from frugal_plugins.sandbox import Fault
from tests.contract.litellm.conftest import MakeRecipe, booked_picousd, invoiced_picousd, rows, user

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

_REQUEST_ID = re.compile(r"req_\w+")
YES_NO = {"frugal": {"task": "yes_no"}}
ASKED = {"messages": user("Is it open?"), "max_tokens": 90}


def text_of_events(chunks: list[bytes]) -> str:
    lines = [line for line in b"".join(chunks).split(b"\n") if line.startswith(b"data:")]
    events = [json.loads(line[5:]) for line in lines]
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


@pytest.fixture(params=["before", "after"])
def made(request: pytest.FixtureRequest) -> str:
    """Whether a Router is made before `install` or after."""
    name: str = request.param
    return name


def make_router(openai: dict[str, Any], anthropic: dict[str, Any]) -> litellm.Router:
    models = {
        "big": "openai/gpt-4o",
        "small": "openai/gpt-4o-mini",
        "claude": "anthropic/claude-sonnet-4-5",
        "cheap": "anthropic/claude-haiku-4-5",
    }
    connections = {name: anthropic if model.startswith("anthropic/") else openai for name, model in models.items()}
    listed = [{"model_name": name, "litellm_params": {"model": model, **connections[name]}} for name, model in models.items()]
    return litellm.Router(model_list=listed, num_retries=1, retry_after=0, disable_cooldowns=True)


async def test_sdk_messages(sandbox: Sandbox, anthropic: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    first = await litellm.anthropic.messages.acreate(model="anthropic/claude-sonnet-4-5", metadata=YES_NO, **ASKED, **anthropic)
    again = await litellm.anthropic_messages(model="anthropic/claude-sonnet-4-5", metadata=YES_NO, **ASKED, **anthropic)
    (sent,) = [request.body for request in sandbox.requests()]
    assert (sent["model"], sent["max_tokens"]) == ("claude-haiku-4-5", 5)
    assert "frugal" not in json.dumps(sent)
    assert (again["content"], again["usage"]["output_tokens"]) == (first["content"], 0)
    assert [row["outcome"] for row in rows(recipe)] == ["answered", "hit"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_sdk_messages_stream(sandbox: Sandbox, anthropic: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    ask = {"model": "anthropic/claude-sonnet-4-5", "messages": user("Tell me of Rome."), "max_tokens": 900, "stream": True, **anthropic}
    events = [chunk async for chunk in await litellm.anthropic.messages.acreate(**ask)]
    stored = [chunk async for chunk in await litellm.anthropic.messages.acreate(**ask)]
    assert text_of_events(stored) == text_of_events(events) != ""
    assert [(row["outcome"], row["stream"]) for row in rows(recipe)] == [("answered", 1), ("hit", 1)]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_sdk_messages_closed_early(sandbox: Sandbox, anthropic: dict[str, Any], make_recipe: MakeRecipe) -> None:
    sandbox.provider.chunk_seconds = 0.002
    sandbox.record({"user": "A story.", "outputs": {"*": "and then " * 300}})
    recipe = install(make_recipe())
    stream = await litellm.anthropic.messages.acreate(
        model="anthropic/claude-sonnet-4-5", messages=user("A story."), max_tokens=900, stream=True, **anthropic
    )
    await anext(stream)
    await stream.aclose()
    assert [row["outcome"] for row in rows(recipe)] == ["closed"]


async def test_sdk_messages_exceptions_are_the_hosts(sandbox: Sandbox, anthropic: dict[str, Any], make_recipe: MakeRecipe) -> None:
    async def raised() -> Exception:
        sandbox.faults.add(Fault("rate_limit"))
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the host raises
            await litellm.anthropic.messages.acreate(model="anthropic/claude-sonnet-4-5", **ASKED, **anthropic)
        return caught.value

    alone = await raised()
    recipe = install(make_recipe())
    ours = await raised()
    assert (type(ours), _REQUEST_ID.sub("", str(ours))) == (type(alone), _REQUEST_ID.sub("", str(alone)))
    assert [row["outcome"] for row in rows(recipe)] == ["error"]


async def test_sdk_messages_of_another_provider_are_one_request(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    """LiteLLM asks an OpenAI model's Responses API for it; that call belongs to the one under way."""
    recipe = install(make_recipe())
    answer = await litellm.anthropic.messages.acreate(model="openai/gpt-4o", **ASKED, **openai)
    assert answer["content"][0]["text"]
    assert len(sandbox.requests()) == 1
    assert [(row["endpoint"], row["outcome"]) for row in rows(recipe)] == [("messages", "answered")]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_router_responses_route_and_cache(
    sandbox: Sandbox, openai: dict[str, Any], anthropic: dict[str, Any], make_recipe: MakeRecipe, made: str
) -> None:
    recipe = install(make_recipe()) if made == "after" else None
    router = make_router(openai, anthropic)
    recipe = recipe or install(make_recipe())
    first = await router.aresponses(model="big", input="Is it open?", metadata=YES_NO)
    again = await router.aresponses(model="big", input="is it open", metadata=YES_NO)
    (sent,) = [request.body for request in sandbox.requests()]
    assert (sent["model"], sent["max_output_tokens"], "metadata" in sent) == ("gpt-4o-mini", 16, False)
    assert again.output_text == first.output_text
    assert [(row["host"], row["outcome"]) for row in rows(recipe)] == [("litellm-router", "answered"), ("litellm-router", "hit")]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_router_responses_retries_are_one_row(
    sandbox: Sandbox, openai: dict[str, Any], anthropic: dict[str, Any], make_recipe: MakeRecipe, made: str
) -> None:
    recipe = install(make_recipe()) if made == "after" else None
    router = make_router(openai, anthropic)
    recipe = recipe or install(make_recipe())
    sandbox.faults.add(Fault("server_error", model="gpt-4o"))
    events = [event async for event in await router.aresponses(model="big", input="Tell me of Oslo.", stream=True)]
    assert events[-1].response.output_text
    assert [request.body["model"] for request in sandbox.requests()] == ["gpt-4o", "gpt-4o"]
    assert [row["outcome"] for row in rows(recipe)] == ["answered"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


@pytest.fixture
def _no_worker_left() -> Iterator[None]:
    """LiteLLM's log writers ran on loops of the calls' own, which are shut; a later test's garbage collection must not find them."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    yield
    task = getattr(GLOBAL_LOGGING_WORKER, "_worker_task", None)
    if task is not None:
        with suppress(RuntimeError):
            task.get_coro().close()
    del task
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("_no_worker_left")
def test_router_responses_blocking(sandbox: Sandbox, openai: dict[str, Any], anthropic: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    router = make_router(openai, anthropic)
    answers = [router.responses(model="big", input="Tell me of Rome.").output_text for _ in range(2)]
    assert answers[0] == answers[1] != ""
    assert [row["outcome"] for row in rows(recipe)] == ["answered", "hit"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_router_messages_route_and_cache(
    sandbox: Sandbox, openai: dict[str, Any], anthropic: dict[str, Any], make_recipe: MakeRecipe, made: str
) -> None:
    recipe = install(make_recipe()) if made == "after" else None
    router = make_router(openai, anthropic)
    recipe = recipe or install(make_recipe())
    first = await router.aanthropic_messages(model="claude", metadata=YES_NO, **ASKED)
    again = await router.aanthropic_messages(model="claude", metadata=YES_NO, **ASKED)
    (sent,) = [request.body for request in sandbox.requests()]
    assert (sent["model"], sent["max_tokens"]) == ("claude-haiku-4-5", 5)
    assert "frugal" not in json.dumps(sent)
    assert again["content"] == first["content"]
    assert [(row["host"], row["outcome"]) for row in rows(recipe)] == [("litellm-router", "answered"), ("litellm-router", "hit")]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_uninstall_restores_every_entry(
    sandbox: Sandbox, openai: dict[str, Any], anthropic: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    names = ("completion", "acompletion", "responses", "aresponses", "anthropic_messages")
    routers = ("completion", "acompletion", "responses", "aresponses", "anthropic_messages", "aanthropic_messages")
    messages = litellm.anthropic_interface

    def standing() -> list[Any]:
        own = [vars(litellm.Router).get(name) for name in routers]
        return [*(getattr(litellm, name) for name in names), messages.acreate, messages.messages.acreate, *own]

    before = standing()
    recipe = install(make_recipe())
    router = make_router(openai, anthropic)
    kept = litellm.anthropic.messages.acreate
    assert all(now is not was for now, was in zip(standing(), before, strict=True))
    uninstall()
    assert all(now is was for now, was in zip(standing(), before, strict=True))
    assert (await router.aresponses(model="big", input="Tell me of Oslo.")).output_text
    assert (await kept(model="anthropic/claude-sonnet-4-5", **ASKED, **anthropic))["content"]
    assert rows(recipe) == []
    assert len(sandbox.requests()) == 2
