"""A chat completion request as Anthropic writes it, and the refusals for what has no counterpart there."""

from __future__ import annotations

from typing import Any

import pytest

from frugal_plugins import Request
from frugal_plugins.batch.bodies import Wording
from frugal_plugins.errors import InputError
from frugal_plugins.usage import Usage

CLAUDE = "anthropic/claude-haiku-4-5"
USER = {"role": "user", "content": "hi"}


def body(*messages: dict[str, Any], model: str = CLAUDE, **params: Any) -> dict[str, Any]:
    return Wording().body(0, Request(model, messages or (USER,), params))


def test_roles_tools_and_results_find_their_places() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"id": 7}'}}
    made = body(
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "found"},
        {"role": "user", "content": [{"type": "text", "text": "and?"}]},
        tools=[{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}],
        tool_choice="required",
        parallel_tool_calls=False,
        stop="END",
        max_completion_tokens=9,
        user="u1",
    )
    assert made == {
        "model": "claude-haiku-4-5",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"id": 7}}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "found"}, {"type": "text", "text": "and?"}],
            },
        ],
        "tools": [{"name": "look", "input_schema": {"type": "object"}, "description": "Looks."}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
    }


def test_schemas_images_and_thinking() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    made = body(
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}, reasoning_effort="low", max_tokens=5
    )
    assert made["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert made["thinking"]["budget_tokens"] < made["max_tokens"]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    source = body({"role": "user", "content": [image]})["messages"][0]["content"][0]["source"]
    assert source == {"type": "base64", "media_type": "image/png", "data": "AAAA"}


@pytest.mark.parametrize("params", [{"logprobs": True}, {"n": 2}, {"seed": 1}, {"response_format": {"type": "json_object"}}])
def test_what_has_no_counterpart_is_named_and_refused(params: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="no counterpart"):
        body(**params)


def test_openai_takes_the_body_as_it_is_and_reasoning_models_their_own_limit() -> None:
    assert body(model="openai/gpt-4o", max_tokens=5, stream=True) == {"model": "gpt-4o", "messages": [USER], "max_tokens": 5}
    assert body(model="openai/o3-mini", max_tokens=5) == {"model": "o3-mini", "messages": [USER], "max_completion_tokens": 5}


def test_a_message_is_read_with_its_cache_counts_and_tool_calls() -> None:
    usage = {
        "input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 50,
        "cache_creation": {"ephemeral_1h_input_tokens": 50, "ephemeral_5m_input_tokens": 0}, "service_tier": "batch",
    }  # fmt: skip
    blocks = [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "t", "name": "look", "input": {"b": 1, "a": 2}}]
    said = {"id": "msg_1", "model": "claude-haiku-4-5", "content": blocks, "stop_reason": "tool_use", "usage": usage}
    reply = Wording().reply(0, CLAUDE, said, "batch")
    assert reply.usage == Usage(input_tokens=155, cache_read_tokens=100, cache_write_1h_tokens=50, output_tokens=3)
    assert (reply.finish, reply.lane, reply.billed_as, reply.id) == ("tool_calls", "batch", CLAUDE, "msg_1")
    assert reply.message["tool_calls"][0]["function"]["arguments"] == '{"a":2,"b":1}'


@pytest.mark.parametrize("said", [{}, {"choices": []}, {"choices": [{}]}, {"choices": None, "usage": {}}])
def test_an_answer_that_is_none_is_an_error_with_words(said: dict[str, Any]) -> None:
    for model in (CLAUDE, "openai/gpt-4o"):
        with pytest.raises(InputError, match="cannot be read"):
            Wording().reply(0, model, said, "batch")
