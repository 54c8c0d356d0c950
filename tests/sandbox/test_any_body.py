"""Whatever JSON a caller sends, the answer is a completion or a refusal, never a crash."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from frugal_plugins.sandbox.api_errors import ApiError
from frugal_plugins.sandbox.codec import dumps
from frugal_plugins.sandbox.dice import Dice
from frugal_plugins.sandbox.endpoints import ENDPOINTS
from frugal_plugins.sandbox.provider import Call, Provider, StreamReply

OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
MARK = {"cache_control": {"type": "ephemeral"}}

CHAT = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "system", "content": "json"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:x"}}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": OBJECT, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": OBJECT}},
    "n": 2,
    "stop": ["x"],
    "max_tokens": 20,
    "logprobs": True,
    "top_logprobs": 1,
    "service_tier": "auto",
}
RESPONSES = {
    "model": "gpt-5",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi json"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "r"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": OBJECT}],
    "text": {"format": {"type": "json_schema", "name": "n", "schema": OBJECT}},
    "reasoning": {"effort": "low"},
    "max_output_tokens": 50,
    "stream": True,
}
MESSAGES = {
    "model": "claude-haiku-4-5",
    "max_tokens": 3000,
    "system": [{"type": "text", "text": "s", **MARK}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi", **MARK}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r", **MARK}]}]},
    ],
    "tools": [{"name": "f", "input_schema": OBJECT, **MARK}],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"format": {"type": "json_schema", "schema": OBJECT}},
    "stream": True,
}
EMBEDDINGS = {"model": "text-embedding-3-small", "input": ["a"], "dimensions": 8, "encoding_format": "base64"}

ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**18,
    "",
    "x",
    "user",
    "auto",
    [],
    {},
    [1],
    ["x"],
    [None],
    [[]],
    [{}],
    {"type": "text"},
    {"a": 1},
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


def spoiled(body: dict[str, Any], dice: Dice) -> dict[str, Any]:
    """The body with one to three of its parts replaced or left out."""
    body = copy.deepcopy(body)
    for _ in range(dice.between(1, 3)):
        path = dice.pick(list(places(body)) or [("model",)])
        inside: Any = body
        for step in path[:-1]:
            inside = inside[step]
        if dice.below(3):
            inside[path[-1]] = copy.deepcopy(dice.pick(ODD))
        elif path[-1] in inside or isinstance(inside, list):
            del inside[path[-1]]
    return body


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [("chat", CHAT), ("responses", RESPONSES), ("messages", MESSAGES), ("count_tokens", MESSAGES), ("embeddings", EMBEDDINGS)],
)
def test_every_body_is_answered_or_refused(endpoint: str, body: dict[str, Any]) -> None:
    provider, dice = Provider(), Dice(7)
    answer = next(one.answer for one in ENDPOINTS if one.name == endpoint and one.method == "POST")
    refused = 0
    for _ in range(1500):
        call = Call(endpoint, spoiled(body, dice), "key", "req_1", {"anthropic-version": "2023-06-01"})
        try:
            reply = answer(provider, call)
        except ApiError as error:
            refused += 1
            assert 400 <= error.status < 500
            assert error.message
        else:
            assert reply.events[-1].closing if isinstance(reply, StreamReply) else dumps(reply.body)
    assert refused > 100
