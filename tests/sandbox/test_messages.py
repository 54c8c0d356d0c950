"""Anthropic messages, as the real anthropic client sees them."""

from __future__ import annotations

import json

from anthropic import Anthropic
from pydantic import BaseModel

from frugal_plugins.sandbox import Sandbox
from frugal_plugins.tokens import count_messages, count_text

WEATHER = {
    "name": "weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_plain_message_has_the_shape_and_the_counts_of_the_api(anthropic_client: Anthropic) -> None:
    message = anthropic_client.messages.create(
        model="claude-haiku-4-5", max_tokens=1000, system="Be brief.", messages=ask("Why do lighthouses rotate?")
    )
    assert message.id.startswith("msg_01")
    assert (message.type, message.role, message.model) == ("message", "assistant", "claude-haiku-4-5-20251001")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    expected = count_messages(ask("Why do lighthouses rotate?"), params={"system": "Be brief."})
    assert message.usage.input_tokens == expected
    assert message.usage.output_tokens == count_text(message.content[0].text)
    assert message.usage.service_tier == "standard"


def test_counting_is_free_and_agrees_with_the_bill(anthropic_client: Anthropic, sandbox: Sandbox) -> None:
    counted = anthropic_client.messages.count_tokens(model="claude-haiku-4-5", messages=ask("hello"), tools=[WEATHER])
    assert sandbox.invoice().lines == ()
    message = anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=ask("hello"), tools=[WEATHER])
    assert message.usage.input_tokens == counted.input_tokens


def test_the_token_limit_and_stop_sequences(anthropic_client: Anthropic, sandbox: Sandbox) -> None:
    sandbox.record({"user": "count", "outputs": {"*": "one two three; four five six"}})
    cut = anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=2, messages=ask("count"))
    assert (cut.stop_reason, cut.content[0].text, cut.usage.output_tokens) == ("max_tokens", "one two", 2)
    stopped = anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=20, messages=ask("count"), stop_sequences=[";"])
    assert (stopped.stop_reason, stopped.stop_sequence, stopped.content[0].text) == ("stop_sequence", ";", "one two three")


def test_a_stream_says_the_same_as_one_piece(anthropic_client: Anthropic) -> None:
    plain = anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=500, messages=ask("How do bees find home?"))
    kinds = []
    with anthropic_client.messages.stream(model="claude-haiku-4-5", max_tokens=500, messages=ask("How do bees find home?")) as stream:
        kinds.extend(event.type for event in stream)
        final = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert {"content_block_start", "content_block_delta", "content_block_stop", "message_delta"} <= set(kinds)
    assert final.content[0].text == plain.content[0].text
    assert final.usage.output_tokens == plain.usage.output_tokens
    assert final.usage.input_tokens == plain.usage.input_tokens


def test_raw_events_come_in_the_order_of_the_api(anthropic_client: Anthropic, sandbox: Sandbox) -> None:
    sandbox.record({"user": "hi", "outputs": {"*": "hello"}})
    response = anthropic_client.messages.with_raw_response.create(model="claude-haiku-4-5", max_tokens=50, messages=ask("hi"), stream=True)
    lines = response.http_response.read().decode().splitlines()
    assert [line.removeprefix("event: ") for line in lines if line.startswith("event: ")] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_tools_recorded_forced_and_streamed(anthropic_client: Anthropic, sandbox: Sandbox) -> None:
    calls = [{"name": "weather", "arguments": {"city": city}} for city in ("Oslo", "Rome")]
    sandbox.record({"user": "compare", "outputs": {"*": {"content": "Looking.", "tool_calls": calls}}})
    with anthropic_client.messages.stream(model="claude-haiku-4-5", max_tokens=500, messages=ask("compare"), tools=[WEATHER]) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    assert [block.input for block in final.content[1:]] == [{"city": "Oslo"}, {"city": "Rome"}]
    forced = anthropic_client.messages.create(
        model="claude-haiku-4-5", max_tokens=500, messages=ask("hi"), tools=[WEATHER], tool_choice={"type": "any"}
    )
    assert forced.content[0].name == "weather"
    assert isinstance(forced.content[0].input["city"], str)


def test_an_agent_loop_goes_on_after_tool_results(anthropic_client: Anthropic, sandbox: Sandbox) -> None:
    call = {"content": None, "tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}
    sandbox.record({"user": "Oslo?", "outputs": {"*": call}})
    sandbox.record({"user": "Oslo?", "after": ["rain"], "outputs": {"*": "It rains in Oslo."}})
    first = anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=99, messages=ask("Oslo?"), tools=[WEATHER])
    result = {"type": "tool_result", "tool_use_id": first.content[0].id, "content": "rain"}
    turns = [*ask("Oslo?"), {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=99, messages=turns, tools=[WEATHER])
    assert second.content[0].text == "It rains in Oslo."


def test_thinking_is_shown_counted_and_streamed(anthropic_client: Anthropic) -> None:
    given = {"model": "claude-haiku-4-5", "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    plain = anthropic_client.messages.create(**given, messages=ask("Why is glass clear?"))
    with anthropic_client.messages.stream(**given, messages=ask("Why is glass clear?")) as stream:
        streamed = stream.get_final_message()
    assert [block.type for block in plain.content] == ["thinking", "text"]
    assert streamed.content[0] == plain.content[0]
    assert streamed.content[1].text == plain.content[1].text
    assert plain.usage.output_tokens == count_text(plain.content[0].thinking) + count_text(plain.content[1].text)


class City(BaseModel):
    name: str
    people: int


def test_structured_output(anthropic_client: Anthropic) -> None:
    message = anthropic_client.messages.parse(
        model="claude-haiku-4-5", max_tokens=500, messages=ask("Oslo has 700000 people"), output_format=City
    )
    assert message.parsed_output == City(name=json.loads(message.content[0].text)["name"], people=700000)


def test_models_are_listed_in_the_clients_own_shape(anthropic_client: Anthropic) -> None:
    names = {model.id for model in anthropic_client.models.list()}
    assert {"claude-haiku-4-5", "claude-haiku-4-5-20251001"} <= names
    assert not any(name.startswith("gpt") for name in names)
    assert anthropic_client.models.retrieve("claude-haiku-4-5").max_input_tokens == 200_000
