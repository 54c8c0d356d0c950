"""The Responses API, as the real openai client sees it."""

from __future__ import annotations

import pytest
from openai import BadRequestError, OpenAI
from pydantic import BaseModel

from frugal_plugins.sandbox import Sandbox
from frugal_plugins.tokens import count_messages, count_text

WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    "strict": True,
}


def test_a_plain_response(openai_client: OpenAI, sandbox: Sandbox) -> None:
    response = openai_client.responses.create(model="gpt-4o-mini", instructions="Be brief.", input="Why do lighthouses rotate?")
    assert response.id.startswith("resp_")
    assert response.status == "completed"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why do lighthouses rotate?"}]
    assert response.usage.input_tokens == count_messages(messages)
    assert response.usage.output_tokens == count_text(response.output_text)
    assert sandbox.invoice().lines[0].id == response.id


def test_a_conversation_can_be_continued_by_id(openai_client: OpenAI, sandbox: Sandbox) -> None:
    sandbox.record({"user": "And then?", "context_contains": "lighthouse", "outputs": {"*": "Then the light came on."}})
    first = openai_client.responses.create(model="gpt-4o-mini", input="Tell me about the lighthouse.")
    second = openai_client.responses.create(model="gpt-4o-mini", input="And then?", previous_response_id=first.id)
    assert second.output_text == "Then the light came on."
    assert second.usage.input_tokens > first.usage.input_tokens
    assert openai_client.responses.retrieve(first.id).output_text == first.output_text
    with pytest.raises(BadRequestError, match="not found"):
        openai_client.responses.create(model="gpt-4o-mini", input="And then?", previous_response_id="resp_unknown")


def test_the_least_output_limit_is_sixteen(openai_client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="Expected a value >= 16"):
        openai_client.responses.create(model="gpt-4o-mini", input="hi", max_output_tokens=5)


def test_an_answer_that_is_cut_is_incomplete(openai_client: OpenAI, sandbox: Sandbox) -> None:
    sandbox.record({"user": "count", "outputs": {"*": " ".join(map(str, range(100)))}})
    response = openai_client.responses.create(model="gpt-4o-mini", input="count", max_output_tokens=16)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.usage.output_tokens == 16


def test_a_starved_reasoning_model_says_nothing(openai_client: OpenAI) -> None:
    response = openai_client.responses.create(model="gpt-5", input="hi", max_output_tokens=16)
    assert [item.type for item in response.output] == ["reasoning"]
    assert response.usage.output_tokens_details.reasoning_tokens == 16
    assert response.output_text == ""


def test_streamed_events_add_up_to_the_response(openai_client: OpenAI) -> None:
    plain = openai_client.responses.create(model="gpt-5-mini", input="How do bees find home?")
    deltas, kinds, numbers = [], [], []
    with openai_client.responses.stream(model="gpt-5-mini", input="How do bees find home?") as stream:
        for event in stream:
            kinds.append(event.type)
            numbers.append(event.sequence_number)
            if event.type == "response.output_text.delta":
                deltas.append(event.delta)
        final = stream.get_final_response()
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert numbers == list(range(len(numbers)))
    assert "".join(deltas) == final.output_text == plain.output_text
    assert final.usage == plain.usage


def test_function_calls_and_their_outputs(openai_client: OpenAI, sandbox: Sandbox) -> None:
    call = {"content": None, "tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}
    sandbox.record({"user": "Oslo?", "outputs": {"*": call}})
    sandbox.record({"user": "Oslo?", "after": ["rain"], "outputs": {"*": "It rains."}})
    with openai_client.responses.stream(model="gpt-4o", input="Oslo?", tools=[WEATHER]) as stream:
        asked = stream.get_final_response().output[0]
    assert (asked.type, asked.arguments) == ("function_call", '{"city":"Oslo"}')
    items = [
        {"role": "user", "content": "Oslo?"},
        {"type": "function_call", "call_id": asked.call_id, "name": asked.name, "arguments": asked.arguments},
        {"type": "function_call_output", "call_id": asked.call_id, "output": "rain"},
    ]
    assert openai_client.responses.create(model="gpt-4o", input=items, tools=[WEATHER]).output_text == "It rains."
    with pytest.raises(BadRequestError, match="No tool output found for function call"):
        openai_client.responses.create(model="gpt-4o", input=items[:2], tools=[WEATHER])


class City(BaseModel):
    name: str
    people: int


def test_structured_output(openai_client: OpenAI) -> None:
    response = openai_client.responses.parse(model="gpt-4o", input="Oslo has 700000 people", text_format=City)
    assert response.output_parsed.people == 700000


def test_images_are_taken(openai_client: OpenAI) -> None:
    content = [{"type": "input_text", "text": "What?"}, {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}]
    response = openai_client.responses.create(model="gpt-4o", input=[{"role": "user", "content": content}])
    assert response.usage.input_tokens > 85


def test_unknown_fields_are_refused_in_this_apis_words(openai_client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="Unknown parameter: 'messages'") as error:
        openai_client.responses.create(model="gpt-4o", input="x", extra_body={"messages": []})
    assert error.value.code == "unknown_parameter"
