"""Refusals, as the clients' own exception classes."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import openai
import pytest

from frugal_plugins.sandbox import Sandbox

HI = [{"role": "user", "content": "hi"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def schema(**more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {**OBJECT, **more}}}


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"messages": None}, "missing_required_parameter", "Missing required parameter: 'messages'"),
        ({"messages": []}, "empty_array", "Invalid 'messages': empty array"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", "Invalid value: 'robot'. Supported values are: 'system'"),
        ({"messages": [{"role": "user", "content": None}]}, None, "expected a string, got null"),
        ({"messages": [{"role": "user", "content": 5}]}, "invalid_type", "messages[0].content"),
        ({"max_tokens": 0}, "integer_below_min_value", "Expected a value >= 1, but got 0 instead"),
        ({"max_tokens": 99_999}, "invalid_value", "supports at most 16384 completion tokens"),
        ({"temperature": 3}, "decimal_above_max_value", "Expected a value <= 2"),
        ({"n": 0}, "integer_below_min_value", "'n'"),
        ({"verbose": True}, None, "Unrecognized request argument supplied: verbose"),
        ({"model": "o3-mini", "max_tokens": 5}, "unsupported_parameter", "Use 'max_completion_tokens' instead"),
        ({"model": "gpt-5", "temperature": 0.2}, "unsupported_value", "Only the default (1) value is supported"),
        ({"model": "gpt-5", "stop": ["x"]}, "unsupported_parameter", "'stop' is not supported"),
        ({"reasoning_effort": "low"}, None, "Unrecognized request argument supplied: reasoning_effort"),
        ({"model": "o1-mini", "messages": [{"role": "system", "content": "x"}, *HI]}, "unsupported_value", "does not support 'system'"),
        ({"service_tier": "flex"}, "invalid_service_tier", "Flex is not available"),
        ({"tool_choice": "auto"}, None, "only allowed when 'tools' are specified"),
        ({"tools": []}, "empty_array", "Invalid 'tools'"),
        ({"response_format": {"type": "json_object"}}, None, "must contain the word 'json'"),
        ({"response_format": schema()}, None, "'additionalProperties' is required to be supplied and to be false"),
        ({"response_format": schema(additionalProperties=False, required=[])}, None, "Missing 'a'"),
        ({"top_logprobs": 2}, None, "only allowed when 'logprobs' is enabled"),
        ({"messages": [*HI, {"role": "tool", "tool_call_id": "x", "content": "y"}]}, None, "must be a response to a preceeding message"),
        (
            {"messages": [*HI, {"role": "assistant", "content": None, "tool_calls": [CALL]}, *HI]},
            None,
            "did not have response messages: call_1",
        ),
    ],
)
def test_openai_says_no_in_its_own_words(openai_client: openai.OpenAI, body: dict[str, Any], code: str | None, words: str) -> None:
    sent = {"model": "gpt-4o-mini", "messages": HI, **body}
    sent = {name: value for name, value in sent.items() if value is not None}
    with pytest.raises(openai.BadRequestError) as error:
        openai_client.post("/chat/completions", body=sent, cast_to=object)
    assert words in error.value.message
    assert error.value.code == code
    assert error.value.type == "invalid_request_error"
    assert error.value.request_id.startswith("req_")


def test_a_prompt_longer_than_the_context(openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
    long = [{"role": "user", "content": "word " * 130_000}]
    with pytest.raises(openai.BadRequestError, match="maximum context length is 128000 tokens") as error:
        openai_client.chat.completions.create(model="gpt-4o", messages=long)
    assert error.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as error:
        openai_client.responses.create(model="gpt-4o", input="word " * 130_000)
    assert error.value.code == "context_length_exceeded"
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 200000 maximum"):
        anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=long * 1 + long)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: must be greater than or equal to 1"),
        ({"max_tokens": 70_000}, "70000 > 64000, which is the maximum allowed number of output tokens"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "system", "content": "x"}, *HI]}, 'Unexpected role "system"'),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be 'user' or 'assistant'"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'first message must use the "user" role'),
        ({"messages": [{"role": "user", "content": ""}]}, "must have non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "text content blocks must be non-empty"),
        ({"messages": [*HI, {"role": "assistant", "content": "so "}]}, "cannot end with trailing whitespace"),
        ({"n": 2}, "n: Extra inputs are not permitted"),
        ({"temperature": 1.5}, "temperature: range: 0..1"),
        ({"temperature": 0.5, "top_p": 0.5}, "cannot both be specified"),
        ({"tool_choice": {"type": "any"}}, "tool_choice may only be specified while providing tools"),
        ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "`max_tokens` must be greater than"),
        (
            {"messages": [*HI, {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}, *HI]},
            "`tool_use` ids were found without `tool_result` blocks immediately after: t1",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t9", "content": "x"}]}]},
            "unexpected `tool_use_id` found in `tool_result` blocks: t9",
        ),
    ],
)
def test_anthropic_says_no_in_its_own_words(anthropic_client: anthropic.Anthropic, body: dict[str, Any], words: str) -> None:
    sent = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": HI, **body}
    sent = {name: value for name, value in sent.items() if value is not None}
    with pytest.raises(anthropic.BadRequestError) as error:
        anthropic_client.post("/v1/messages", body=sent, cast_to=object)
    assert words in error.value.message
    assert error.value.body["error"]["type"] == "invalid_request_error"
    assert error.value.request_id.startswith("req_")


def test_unknown_models(openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
    with pytest.raises(openai.NotFoundError, match="`gpt-9` does not exist") as error:
        openai_client.chat.completions.create(model="gpt-9", messages=HI)
    assert error.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        openai_client.chat.completions.create(model="openai/gpt-4o", messages=HI)
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("gpt-9")
    with pytest.raises(anthropic.NotFoundError, match="model: gpt-4o"):
        anthropic_client.messages.create(model="gpt-4o", max_tokens=5, messages=HI)
    with pytest.raises(openai.NotFoundError, match="not a chat model"):
        openai_client.chat.completions.create(model="text-embedding-3-small", messages=HI)


def test_keys(sandbox: Sandbox) -> None:
    assert httpx.post(f"{sandbox.url}/v1/chat/completions", json={}).status_code == 401
    answer = httpx.post(f"{sandbox.url}/v1/messages", json={}, headers={"anthropic-version": "2023-06-01"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
    with Sandbox(keys={"sk-good"}) as closed:
        with pytest.raises(openai.AuthenticationError) as error:
            openai.OpenAI(base_url=closed.openai_base_url, api_key="sk-bad-but-long-enough", max_retries=0).models.list()
        assert error.value.code == "invalid_api_key"
        assert "bad-but-long" not in error.value.message
        with pytest.raises(anthropic.AuthenticationError):
            anthropic.Anthropic(base_url=closed.url, api_key="no", max_retries=0).messages.create(
                model="claude-haiku-4-5", max_tokens=5, messages=HI
            )
        assert openai.OpenAI(base_url=closed.openai_base_url, api_key="sk-good").chat.completions.create(model="gpt-4o", messages=HI).id


def test_bodies_that_are_not_json_and_urls_that_do_not_exist(sandbox: Sandbox) -> None:
    headers = {"authorization": "Bearer k"}
    broken = httpx.post(f"{sandbox.url}/v1/chat/completions", content=b"{not json", headers=headers)
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request_error")
    assert httpx.get(f"{sandbox.url}/v1/nowhere", headers=headers).status_code == 404
    unversioned = httpx.post(f"{sandbox.url}/v1/messages", json={"model": "claude-haiku-4-5"}, headers={"x-api-key": "k"})
    assert unversioned.json()["error"]["message"] == "anthropic-version: header is required"


def test_errors_are_not_billed(openai_client: openai.OpenAI, sandbox: Sandbox) -> None:
    with pytest.raises(openai.BadRequestError):
        openai_client.chat.completions.create(model="gpt-4o", messages=[])
    assert sandbox.invoice().lines == ()
    assert len(sandbox.requests()) == 1


def test_rate_limit_headers_are_there(openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
    answer = openai_client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HI)
    assert int(answer.headers["x-ratelimit-remaining-requests"]) > 0
    message = anthropic_client.messages.with_raw_response.create(model="claude-haiku-4-5", max_tokens=5, messages=HI)
    assert int(message.headers["anthropic-ratelimit-requests-remaining"]) > 0
    assert message.headers["request-id"].startswith("req_")
