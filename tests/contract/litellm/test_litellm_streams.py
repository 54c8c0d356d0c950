"""Streams: chunks as LiteLLM gives them, hits replayed, and every way of ending booked."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import litellm
import pytest

from frugal_plugins.litellm import install, uninstall
from frugal_plugins.sandbox import Fault, Sandbox
from tests.contract.litellm.conftest import MakeRecipe, booked_picousd, invoiced_picousd, rows, user

if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture
def slow() -> Iterator[Sandbox]:
    """A provider that takes its time between pieces, so that a reader can leave."""
    with Sandbox(chunk_seconds=0.01) as running:
        yield running


def text(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def shape(chunks: list[Any]) -> list[Any]:
    """Chunks without what differs from call to call."""
    return [chunk.model_dump(exclude={"id", "created"}) for chunk in chunks]


@pytest.mark.parametrize("options", [{}, USAGE], ids=["not asked for usage", "asked for usage"])
async def test_the_caller_sees_the_chunks_he_would_have_seen(
    options: dict[str, Any], openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    asked = {"model": "gpt-4o", "messages": user("Tell me about tides."), "stream": True, **options, **openai}
    plain = list(litellm.completion(**asked))
    install(make_recipe(cache="off"))
    through = list(litellm.completion(**asked))
    later = [chunk async for chunk in await litellm.acompletion(**asked)]
    assert shape(through) == shape(plain)
    assert shape(later) == shape(plain)
    if not options:
        assert through[-1]._hidden_params["usage"].completion_tokens > 0


def test_it_is_liteLLMs_stream_to_those_who_ask(openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    stream = litellm.completion(model="gpt-4o", messages=user("Tell me."), stream=True, **openai)
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert stream.custom_llm_provider == "openai"
    assert stream._hidden_params["frugal"]["model"] == "gpt-4o"
    assert litellm.stream_chunk_builder(list(stream)).choices[0].message.content
    assert stream._hidden_params["frugal"]["id"] == rows(recipe)[0]["id"]


@pytest.mark.parametrize("options", [{}, USAGE], ids=["not asked for usage", "asked for usage"])
async def test_a_hit_is_replayed_as_chunks(
    options: dict[str, Any], sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = install(make_recipe())
    asked = {"model": "gpt-4o", "messages": user("Tell me about tides."), **openai}
    first = litellm.completion(**asked)
    stream = litellm.completion(**asked, stream=True, **options)
    assert stream._hidden_params["cache_hit"] is True
    replayed = list(stream)
    later = [chunk async for chunk in await litellm.acompletion(**asked, stream=True, **options)]
    for chunks in (replayed, later):
        assert all(isinstance(chunk, litellm.ModelResponseStream) for chunk in chunks)
        assert text(chunks) == first.choices[0].message.content
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
        usage = [chunk.usage.total_tokens for chunk in chunks if getattr(chunk, "usage", None)]
        assert usage == ([0] if options else [])
        assert len({chunk.id for chunk in chunks}) == 1
    assert len(sandbox.requests()) == 1
    assert [row["outcome"] for row in rows(recipe)] == ["answered", "hit", "hit"]


def test_a_streamed_answer_is_a_hit_for_the_next(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    install(make_recipe())
    streamed = text(list(litellm.completion(model="gpt-4o", messages=user("Tell me."), stream=True, **openai)))
    whole = litellm.completion(model="gpt-4o", messages=user("Tell me."), **openai)
    assert whole.choices[0].message.content == streamed
    assert len(sandbox.requests()) == 1


async def test_tool_calls_and_choices_are_booked(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    sandbox.provider.book.add({"user": "Where?", "outputs": {"*": {"tool_calls": [{"name": "look_up", "arguments": {"order": "7"}}]}}})
    recipe = install(make_recipe())
    tool = {
        "type": "function",
        "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"order": {"type": "string"}}}},
    }
    asked = {"model": "gpt-4o", "messages": user("Where?"), "tools": [tool], "stream": True, **openai}
    calls = [c for chunk in litellm.completion(**asked) for c in chunk.choices[0].delta.tool_calls or ()]
    assert "".join(call.function.arguments or "" for call in calls) == '{"order":"7"}'
    two = [chunk async for chunk in await litellm.acompletion(model="gpt-4o", messages=user("Names"), n=2, stream=True, **openai)]
    assert {choice.index for chunk in two for choice in chunk.choices} == {0, 1}
    assert [row["finish_reason"] for row in rows(recipe)] == ["tool_calls", "stop"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def test_a_caller_who_wants_no_usage_is_obeyed(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    asked = {"model": "gpt-4o", "messages": user("Tell me."), "stream": True, "stream_options": {"include_usage": False}}
    list(litellm.completion(**asked, **openai))
    assert sandbox.requests()[0].body.get("stream_options") == {"include_usage": False}
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def _read_three(stream: Any) -> None:
    for count, _ in enumerate(stream):
        if count == 3:
            break


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-haiku-4-5"])
@pytest.mark.parametrize("how", ["close", "drop"])
def test_leaving_a_stream_early(how: str, model: str, slow: Sandbox, make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    base = slow.openai_base_url if model.startswith("openai") else slow.anthropic_base_url
    long = user("Write a long story about the harbour, the tide and the keeper of the light, in many sentences.")
    stream = litellm.completion(model=model, messages=long, max_tokens=400, stream=True, api_base=base, api_key="k")
    _read_three(stream)
    if how == "close":
        stream.close()
        assert list(stream) == []
    del stream
    gc.collect()
    slow.settle()
    row, line = rows(recipe)[0], slow.invoice().lines[0]
    assert (row["outcome"], line.closed) == ("closed", True)
    assert row["input_tokens"] == pytest.approx(line.usage.input_tokens, abs=8)
    assert 1 <= row["output_tokens"] <= line.usage.output_tokens + 2


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-haiku-4-5"])
async def test_leaving_an_async_stream_early(model: str, slow: Sandbox, make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    base = slow.openai_base_url if model.startswith("openai") else slow.anthropic_base_url
    long = user("Write a long story about the harbour, the tide and the keeper of the light, in many sentences.")
    stream = await litellm.acompletion(model=model, messages=long, max_tokens=400, stream=True, api_base=base, api_key="k")
    async for _ in stream:
        break
    await stream.aclose()
    await asyncio.sleep(0.05)  # the loop hangs up
    slow.settle()
    assert slow.invoice().lines[0].closed
    assert [row["outcome"] for row in rows(recipe)] == ["closed"]
    assert rows(recipe)[0]["input_tokens"] > 0


def test_a_stream_nobody_reads(slow: Sandbox, make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    stream = litellm.completion(model="gpt-4o", messages=user("Hello"), stream=True, api_base=slow.openai_base_url, api_key="k")
    stream.close()
    assert [row["outcome"] for row in rows(recipe)] == ["closed"]


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-haiku-4-5"])
async def test_a_stream_cut_by_the_provider_is_never_kept(
    model: str, sandbox: Sandbox, openai: dict[str, Any], anthropic: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = install(make_recipe())
    asked = {"model": model, "messages": user("Tell me about tides."), **(openai if model.startswith("openai") else anthropic)}
    for _ in range(2):
        sandbox.faults.add(Fault("truncated_stream"))
        with suppress(litellm.exceptions.APIError):
            list(litellm.completion(**asked, stream=True))
    sandbox.faults.add(Fault("truncated_stream"))
    with suppress(litellm.exceptions.APIError):
        [_ async for _ in await litellm.acompletion(**asked, stream=True)]
    assert len(sandbox.requests()) == 3
    assert not {row["finish_reason"] for row in rows(recipe)} & {"stop"}


def test_an_error_in_the_middle_is_liteLLMs_own(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    seen = []
    recipe = make_recipe()
    for through in (False, True):
        if through:
            install(recipe)
        sandbox.faults.add(Fault("disconnect", after_chunks=2))
        with pytest.raises(Exception) as caught:  # noqa: PT011
            list(litellm.completion(model="gpt-4o", messages=user("Tell me."), stream=True, **openai))
        seen.append((type(caught.value), getattr(caught.value, "status_code", None)))
    assert seen[0] == seen[1]
    uninstall()
    row = rows(recipe)
    assert len(row) == 1
    assert row[0]["error"] == seen[0][0].__name__
