"""`litellm.responses` and `aresponses` with a recipe installed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import litellm
import pytest

from frugal_plugins.litellm import install, uninstall
from frugal_plugins.sandbox import Fault
from tests.contract.litellm.conftest import MakeRecipe, booked_picousd, invoiced_picousd, rows

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

TASK = {"frugal": {"task": "yes_no"}}


def said(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def test_sdk_responses(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    first = litellm.responses(model="openai/gpt-4o", input="Is it open?", metadata=TASK, **openai)
    again = litellm.responses(model="openai/gpt-4o", input="is it open", metadata=TASK, **openai)
    assert [request.body for request in sandbox.requests()] == [{"model": "gpt-4o-mini", "input": "Is it open?", "max_output_tokens": 16}]
    assert (again.output_text, again.usage.total_tokens, again.id) == (first.output_text, 0, first.id)
    assert "route simple" in first._hidden_params["frugal"]["why"]
    assert [row["outcome"] for row in rows(recipe)] == ["answered", "hit"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_sdk_responses_async(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    first = await litellm.aresponses(model="openai/gpt-4o", input="Tell me of Oslo.", **openai)
    events = [event async for event in await litellm.aresponses(model="openai/gpt-4o", input="Tell me of Oslo.", stream=True, **openai)]
    assert said(events) == first.output_text
    assert events[-1].response.output_text == first.output_text
    assert [row["outcome"] for row in rows(recipe)] == ["answered", "hit"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def test_sdk_responses_stream(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    events = list(litellm.responses(model="openai/gpt-4o", input="Tell me of Rome.", stream=True, **openai))
    stored = list(litellm.responses(model="openai/gpt-4o", input="Tell me of Rome.", stream=True, **openai))
    assert said(stored) == said(events) == events[-1].response.output_text
    assert [event.type for event in stored[:3]] == [event.type for event in events[:3]]
    assert [(row["outcome"], row["stream"]) for row in rows(recipe)] == [("answered", 1), ("hit", 1)]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def test_sdk_responses_go_on_from_a_hit(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    install(make_recipe())
    for _ in range(2):
        named = litellm.responses(model="openai/gpt-4o", input="Tell me of Rome.", **openai).id
    further = litellm.responses(model="openai/gpt-4o", input="And more?", previous_response_id=named, **openai)
    assert further.output_text
    assert len(sandbox.requests()) == 2


def test_sdk_responses_closed_early(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    sandbox.provider.chunk_seconds = 0.002
    sandbox.record({"user": "A story.", "outputs": {"*": "and then " * 300}})
    recipe = install(make_recipe())
    stream = litellm.responses(model="openai/gpt-4o", input="A story.", stream=True, **openai)
    next(stream)
    stream.close()
    sandbox.settle()
    (row,) = rows(recipe)
    assert (row["outcome"], row["input_tokens"] > 0) == ("closed", True)


async def test_sdk_responses_cancelled(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    sandbox.faults.add(Fault("timeout", hold_seconds=5))
    recipe = install(make_recipe())
    task = asyncio.create_task(litellm.aresponses(model="openai/gpt-4o", input="Wait.", **openai))
    while not sandbox.requests():  # noqa: ASYNC110 - the sandbox lives in another thread
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [row["outcome"] for row in rows(recipe)] == ["error"]


def test_sdk_responses_exceptions_are_the_hosts(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    seen = []
    recipe = make_recipe()
    for through in (False, True):
        if through:
            install(recipe)
        for stream in (False, True):
            sandbox.faults.add(Fault("unauthorized"))
            with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is the question
                litellm.responses(model="openai/gpt-4o", input="Hello", stream=stream, **openai)
            seen.append((type(caught.value), str(caught.value)))
    assert seen[:2] == seen[2:]
    assert [row["outcome"] for row in rows(recipe)] == ["error", "error"]
    uninstall()
    assert not hasattr(litellm.responses, "frugal_door")


def test_sdk_responses_in_the_background_are_left_alone(make_recipe: MakeRecipe) -> None:
    from frugal_plugins.litellm.convert import read_call

    assert read_call({"model": "gpt-4o", "input": "Hello", "background": True}, "responses") is None


def _conversation(rounds: int) -> list[dict[str, Any]]:
    """A long one, its answers in the shape the Responses API gives them."""
    told = "The parcel of order {n} left the warehouse in Oslo on a rainy Monday and was carried over the fjord by ferry. " * 12
    items: list[dict[str, Any]] = []
    for n in range(rounds):
        items.append({"role": "user", "content": [{"type": "input_text", "text": f"Where is order {n}? " + told.format(n=n)}]})
        part = {"type": "output_text", "text": f"Order {n} is on its way. " + told.format(n=n), "annotations": []}
        items.append({"type": "message", "id": f"msg_{n}", "role": "assistant", "status": "completed", "content": [part]})
    return [*items, {"role": "user", "content": [{"type": "input_text", "text": "And what of order 0?"}]}]


HISTORY = {"every_turns": 3, "keep_turns": 1, "when": "always"}


def test_sdk_responses_long_conversations_are_summed_up(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe(history=HISTORY, cap="off"))
    given = _conversation(8)
    before = [dict(item) for item in given]
    answer = litellm.responses(model="openai/gpt-4o", input=given, instructions="You help customers.", **openai)
    (sent,) = [request.body for request in sandbox.requests()]
    assert answer.output_text
    assert given == before
    assert len(sent["input"]) < len(given)
    assert sent["input"][-1]["content"][0] == given[-1]["content"][0]
    assert {block["type"] for block in sent["input"][-1]["content"]} == {"input_text"}
    assert "history" in answer._hidden_params["frugal"]["why"]
    assert [row["outcome"] for row in rows(recipe)] == ["answered"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def test_sdk_responses_calls_are_summed_up_with_their_turn(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    install(make_recipe(history=HISTORY, cap="off", cache="off"))
    call = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"order": "A-17"}'}
    found = {"type": "function_call_output", "call_id": "c1", "output": '[{"order": "A-17"}]'}
    litellm.responses(model="openai/gpt-4o", input=[_conversation(8)[0], call, found, *_conversation(8)[1:]], **openai)
    sent = sandbox.requests()[-1].body["input"]
    assert not any("call_id" in item for item in sent)
    assert "A-17" in str(sent[0]["content"])


@pytest.mark.parametrize("kept", ["at the provider", "by reference"])
def test_sdk_responses_other_conversations_go_on_as_they_are(
    sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe, kept: str
) -> None:
    install(make_recipe(history=HISTORY, cap="off", cache="off"))
    named = litellm.responses(model="openai/gpt-4o", input="Tell me of Rome.", **openai).id
    given = _conversation(8)
    if kept == "by reference":
        given[1:1] = [{"type": "item_reference", "id": "msg_1"}]
    more = {"previous_response_id": named} if kept == "at the provider" else {}
    answer = litellm.responses(model="openai/gpt-4o", input=given, **more, **openai)
    assert sandbox.requests()[-1].body["input"] == given
    assert "history left" in answer._hidden_params["frugal"]["why"]
