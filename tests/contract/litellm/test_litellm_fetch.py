"""A stub that is read whole again in the middle of a call: through the SDK and the proxy, streamed or not, the caller sees the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import litellm
import litellm.anthropic_interface
import pytest

from frugal_plugins.litellm import install
from frugal_plugins.text.stubs import read_again
from tests.contract.litellm.conftest import BASE, MakeRecipe, booked_picousd, invoiced_picousd, rows
from tests.contract.litellm.proxies import RunningProxy, running
from tests.techniques.test_history import items
from tests.techniques.test_history_fetch import THIRD, looked_up

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

HISTORY: dict[str, Any] = {
    "cache": "off",
    "route": "off",
    "cap": "off",
    "history": {"when": "always", "every_turns": 1},
    "prompt_cache": {},
}
TOOL: dict[str, Any] = {"name": "look_up", "description": "Looks an order up.", "parameters": {"type": "object", "properties": {}}}
OPENAI_TOOLS = [{"type": "function", "function": TOOL}]
ANTHROPIC_TOOLS = [{"name": "look_up", "description": "Looks an order up.", "input_schema": TOOL["parameters"]}]
BODY, NATIVE = looked_up(12), looked_up(12, "anthropic")[1:]
ITEMS = [item for item in items(BODY) if item.get("type") != "reasoning"]
ANSWER = "It was damaged in G2-hall, so I look for another."
CALL = {"name": "look_up", "arguments": {"order": "W999"}}


def teach(sandbox: Sandbox) -> None:
    """A model that wants to read the third order's result, and then says where it was damaged and calls a tool."""
    for place, body in ((THIRD, BODY), (THIRD - 1, NATIVE)):
        wish, whole = read_again(body, [place])
        answered = {"content": ANSWER, "tool_calls": [CALL]}
        sandbox.record({"user": whole["content"], "outputs": {"*": answered}})
        system = "Be brief." if body is BODY else ""
        asked = {"user": "Look all the orders up.", "after": ["result"] * 12, "outputs": {"*": wish["content"]}}
        sandbox.record({**asked, "system_contains": system})


def texts_of(sandbox: Sandbox) -> list[str]:
    return [json.dumps(request.body) for request in sandbox.requests() if request.body is not None]


def seen_twice(sandbox: Sandbox) -> None:
    """The first call had a stub, the second all of it behind the same words."""
    first, second = texts_of(sandbox)
    assert "facts: " in first
    assert "damaged" not in first
    assert "damaged" in second


def chat_stream(chunks: list[Any]) -> tuple[str, str]:
    """The text of a stream and the arguments of its tool calls."""
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    return "".join(delta.content or "" for delta in deltas), "".join(call.function.arguments or "" for call in calls)


@pytest.fixture
def curious(sandbox: Sandbox) -> Sandbox:
    teach(sandbox)
    return sandbox


@pytest.mark.parametrize("stream", [False, True])
def test_sdk(curious: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe, stream: bool) -> None:
    recipe = install(make_recipe(**HISTORY))
    answer = litellm.completion(model="openai/gpt-4o", messages=BODY, tools=OPENAI_TOOLS, stream=stream, **openai)
    if stream:
        text, arguments = chat_stream(list(answer))
    else:
        text, arguments = answer.choices[0].message.content, answer.choices[0].message.tool_calls[0].function.arguments
    assert (text, json.loads(arguments)) == (ANSWER, CALL["arguments"])
    seen_twice(curious)
    assert booked_picousd(recipe) == invoiced_picousd(curious)
    (row,) = rows(recipe)
    assert row["outcome"] == "answered"


@pytest.mark.parametrize("stream", [False, True])
async def test_sdk_awaited(curious: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe, stream: bool) -> None:
    recipe = install(make_recipe(**HISTORY))
    answer = await litellm.acompletion(model="openai/gpt-4o", messages=BODY, tools=OPENAI_TOOLS, stream=stream, **openai)
    text = chat_stream([chunk async for chunk in answer])[0] if stream else answer.choices[0].message.content
    assert text == ANSWER
    seen_twice(curious)
    assert booked_picousd(recipe) == invoiced_picousd(curious)


async def test_sdk_messages_stream(curious: Sandbox, anthropic: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe(**HISTORY))
    asked = {"model": "anthropic/claude-sonnet-4-5", "messages": NATIVE, "tools": ANTHROPIC_TOOLS, "max_tokens": 900, "stream": True}
    frames = b"".join([chunk async for chunk in await litellm.anthropic.messages.acreate(**asked, **anthropic)])
    assert b"recall" not in frames
    assert b"damaged" in frames
    assert frames.count(b'"type": "message_start"') + frames.count(b'"type":"message_start"') == 1
    seen_twice(curious)
    assert booked_picousd(recipe) == invoiced_picousd(curious)


@pytest.mark.parametrize("stream", [False, True])
def test_sdk_responses(curious: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe, stream: bool) -> None:
    recipe = install(make_recipe(**HISTORY))
    answer = litellm.responses(model="openai/gpt-4o", input=ITEMS, tools=[{"type": "function", **TOOL}], stream=stream, **openai)
    events = list(answer) if stream else []
    whole = events[-1].response if stream else answer
    assert whole.output_text == ANSWER
    assert [item.type for item in whole.output] == ["message", "function_call"]
    assert "recall" not in "".join(event.delta for event in events if event.type == "response.output_text.delta")
    seen_twice(curious)
    assert booked_picousd(recipe) == invoiced_picousd(curious)


async def test_a_stream_of_litellms_own_hooks_is_left_without_stubs(
    curious: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    from frugal_plugins.litellm.callback import FrugalCallback

    litellm.callbacks = [FrugalCallback(make_recipe(**HISTORY))]
    answer = await litellm.acompletion(model="openai/gpt-4o", messages=BODY, tools=OPENAI_TOOLS, stream=True, **openai)
    assert [chunk async for chunk in answer]
    (sent,) = texts_of(curious)
    assert "facts: " not in sent


@pytest.fixture(scope="module")
def proxy_with_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    folder: Path = tmp_path_factory.mktemp("fetch")
    recipe = folder / "agent.json.yaml"
    recipe.write_text(json.dumps({**BASE, **HISTORY, "ledger": {"path": str(folder / "ledger.sqlite")}}))
    with running(folder, str(recipe), callbacks=["frugal_plugins.litellm.proxy"]) as up:
        teach(up.sandbox)
        yield up


# Each of these is another tenant's, since what one has paid to read again keeps the next from having stubs.


def named(session: str) -> dict[str, Any]:
    return {"metadata": {"frugal": {"session": session, "tenant": session}}}


@pytest.fixture
def proxied(proxy_with_history: RunningProxy) -> RunningProxy:
    proxy_with_history.new_rows(0)
    proxy_with_history.sandbox.reset()
    teach(proxy_with_history.sandbox)
    return proxy_with_history


@pytest.mark.parametrize("stream", [False, True])
def test_proxy(proxied: RunningProxy, stream: bool) -> None:
    asked: dict[str, Any] = {"model": "gpt-4o", "messages": BODY, "tools": OPENAI_TOOLS, "stream": stream}
    asked["extra_body"] = named(f"chat {stream}")
    answer: Any = proxied.client.chat.completions.create(**asked)
    if stream:
        text, arguments = chat_stream(list(answer))
    else:
        text, arguments = answer.choices[0].message.content, answer.choices[0].message.tool_calls[0].function.arguments
    assert (text, json.loads(arguments)) == (ANSWER, CALL["arguments"])
    seen_twice(proxied.sandbox)
    proxied.books_agree(1)


@pytest.mark.parametrize("stream", [False, True])
def test_proxy_responses(proxied: RunningProxy, stream: bool) -> None:
    asked: dict[str, Any] = {"model": "gpt-4o", "input": ITEMS, "tools": [{"type": "function", **TOOL}]}
    asked["extra_body"] = named(f"responses {stream}")
    answer: Any = proxied.client.responses.create(**asked, stream=stream)
    whole = list(answer)[-1].response if stream else answer
    assert whole.output_text == ANSWER
    seen_twice(proxied.sandbox)
    proxied.books_agree(1)


@pytest.mark.parametrize("stream", [False, True])
def test_proxy_messages(proxied: RunningProxy, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": "sonnet",
        "messages": NATIVE,
        "tools": ANTHROPIC_TOOLS,
        "max_tokens": 900,
        "extra_body": named(stream),
    }
    if stream:
        with proxied.claude.messages.stream(**asked) as events:
            message = events.get_final_message()
    else:
        message = proxied.claude.messages.create(**asked)
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert message.content[0].text == ANSWER  # type: ignore[union-attr]
    assert message.content[1].input == CALL["arguments"]  # type: ignore[union-attr]
    seen_twice(proxied.sandbox)
    proxied.books_agree(1)
