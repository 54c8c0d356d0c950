"""Chat completions, as the real openai client sees them."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from openai import OpenAI
from pydantic import BaseModel

from frugal_plugins.sandbox import Sandbox
from frugal_plugins.tokens import count_messages, count_text

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_plain_answer_has_the_shape_and_the_counts_of_the_api(openai_client: OpenAI) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *ask("Why do lighthouses rotate?")]
    answer = openai_client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model, answer.service_tier) == ("chat.completion", "gpt-4o-mini-2024-07-18", "default")
    assert answer.created == 1_750_000_000
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == count_messages(messages)
    assert answer.usage.completion_tokens == count_text(answer.choices[0].message.content)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_tools_and_schema_are_counted_as_input(openai_client: OpenAI) -> None:
    messages = ask("Weather in Oslo?")
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}}
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=messages, tools=[WEATHER], response_format=form)
    assert answer.usage.prompt_tokens == count_messages(messages, params={"tools": [WEATHER], "response_format": form})


def test_the_same_question_gets_the_same_answer_and_another_model_another(openai_client: OpenAI) -> None:
    def say(model: str) -> str:
        return openai_client.chat.completions.create(model=model, messages=ask("How do tides work?")).choices[0].message.content

    assert say("gpt-4o-mini") == say("gpt-4o-mini") != say("gpt-4o")


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_the_token_limit_cuts_at_exactly_that_many_tokens(openai_client: OpenAI, sandbox: Sandbox, limit: int) -> None:
    sandbox.record({"user": "count", "outputs": {"*": "one two three four five six seven eight nine ten"}})
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=ask("count"), max_tokens=limit)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == limit == count_text(answer.choices[0].message.content)


def test_a_limit_that_is_just_enough_does_not_cut(openai_client: OpenAI, sandbox: Sandbox) -> None:
    sandbox.record({"user": "count", "outputs": {"*": "one two three"}})
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=ask("count"), max_tokens=3)
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("stop", "one two three")


def test_text_ends_before_a_stop_sequence(openai_client: OpenAI, sandbox: Sandbox) -> None:
    sandbox.record({"user": "count", "outputs": {"*": "one, two; three"}})
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=ask("count"), stop=[";", ","])
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("stop", "one")


def test_n_answers_differ_and_the_prompt_is_counted_once(openai_client: OpenAI, sandbox: Sandbox) -> None:
    answer = openai_client.chat.completions.create(model="gpt-4o-mini", messages=ask("Name a good hobby for winter."), n=3)
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) == 3
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage.completion_tokens == sum(map(count_text, texts))
    assert sandbox.invoice().lines[0].usage.input_tokens == count_messages(ask("Name a good hobby for winter."))


def test_logprobs_spell_the_text(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="gpt-4o-mini", messages=ask("Hello there"), logprobs=True, top_logprobs=2)
    entries = answer.choices[0].logprobs.content
    assert "".join(entry.token for entry in entries) == answer.choices[0].message.content
    assert all(len(entry.top_logprobs) == 2 and entry.logprob <= 0 for entry in entries)
    assert entries[0].top_logprobs[0].token == entries[0].token


def test_a_stream_says_the_same_as_one_piece_and_ends_with_usage(openai_client: OpenAI) -> None:
    plain = openai_client.chat.completions.create(model="gpt-4o-mini", messages=ask("How do bees find home?"))
    chunks = list(
        openai_client.chat.completions.create(
            model="gpt-4o-mini", messages=ask("How do bees find home?"), stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == plain.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_without_include_usage_no_chunk_has_usage(openai_client: OpenAI) -> None:
    chunks = list(openai_client.chat.completions.create(model="gpt-4o-mini", messages=ask("hi"), stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_several_answers_can_be_streamed_with_logprobs(openai_client: OpenAI) -> None:
    chunks = list(openai_client.chat.completions.create(model="gpt-4o-mini", messages=ask("hi"), stream=True, n=2, logprobs=True))
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}
    said = [chunk.choices[0] for chunk in chunks if chunk.choices[0].delta.content]
    assert all(choice.logprobs.content[0].token == choice.delta.content for choice in said)


def test_a_required_tool_is_called_with_arguments_of_its_schema(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="gpt-4o", messages=ask("Weather in Oslo?"), tools=[WEATHER], tool_choice="required"
    )
    call = answer.choices[0].message.tool_calls[0]
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"city", "unit"}
    assert arguments["unit"] in ("c", "f")
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None


def test_a_named_tool_ends_with_stop_as_the_api_does(openai_client: OpenAI) -> None:
    choice = {"type": "function", "function": {"name": "weather"}}
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=ask("Oslo"), tools=[WEATHER], tool_choice=choice)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"


def test_offered_tools_are_not_called_unless_recorded(openai_client: OpenAI, sandbox: Sandbox) -> None:
    assert openai_client.chat.completions.create(model="gpt-4o", messages=ask("hi"), tools=[WEATHER]).choices[0].message.content
    calls = [{"name": "weather", "arguments": {"city": city, "unit": "c"}} for city in ("Oslo", "Rome")]
    sandbox.record({"user": "compare", "outputs": {"*": {"content": "Looking.", "tool_calls": calls}}})
    message = openai_client.chat.completions.create(model="gpt-4o", messages=ask("compare"), tools=[WEATHER]).choices[0].message
    assert message.content == "Looking."
    assert [json.loads(call.function.arguments)["city"] for call in message.tool_calls] == ["Oslo", "Rome"]


def test_streamed_tool_calls_can_be_put_together(openai_client: OpenAI, sandbox: Sandbox) -> None:
    calls = [{"name": "weather", "arguments": {"city": city, "unit": "c"}} for city in ("Oslo", "Rome")]
    sandbox.record({"user": "compare", "outputs": {"*": {"content": None, "tool_calls": calls}}})
    with openai_client.chat.completions.stream(model="gpt-4o", messages=ask("compare"), tools=[WEATHER]) as stream:
        message = stream.get_final_completion().choices[0].message
    assert [call.function.parsed_arguments["city"] for call in message.tool_calls] == ["Oslo", "Rome"]
    assert len({call.id for call in message.tool_calls}) == 2


class Address(BaseModel):
    street: str
    country: Literal["NO", "SE"]


class Person(BaseModel):
    name: str
    age: int
    address: Address
    tags: list[str]
    nickname: str | None


def test_structured_output_parses_into_the_callers_model(openai_client: OpenAI) -> None:
    messages = ask("Ann Lee is 33 and lives in Oslo.")
    answer = openai_client.chat.completions.parse(model="gpt-4o", messages=messages, response_format=Person)
    person = answer.choices[0].message.parsed
    assert isinstance(person, Person)
    assert person.age == 33


def test_json_mode_answers_an_object(openai_client: OpenAI) -> None:
    messages = ask('Answer in JSON like\n{"reason": "...", "score": 1}')
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=messages, response_format={"type": "json_object"})
    assert set(json.loads(answer.choices[0].message.content)) == {"reason", "score"}


def test_a_reasoning_model_thinks_first_and_bills_it(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="gpt-5-mini", messages=ask("How many moons has Mars?"))
    thought = answer.usage.completion_tokens_details.reasoning_tokens
    assert thought >= 64
    assert answer.usage.completion_tokens == thought + count_text(answer.choices[0].message.content)


def test_a_budget_smaller_than_the_thinking_leaves_nothing_to_say(openai_client: OpenAI, sandbox: Sandbox) -> None:
    sandbox.record({"user": "ok?", "outputs": {"*": {"content": "Yes.", "reasoning_tokens": 100}}})
    starved = openai_client.chat.completions.create(model="o3-mini", messages=ask("ok?"), max_completion_tokens=40)
    assert (starved.choices[0].message.content, starved.choices[0].finish_reason) == ("", "length")
    assert starved.usage.completion_tokens == starved.usage.completion_tokens_details.reasoning_tokens == 40
    fed = openai_client.chat.completions.create(model="o3-mini", messages=ask("ok?"), max_completion_tokens=102)
    assert (fed.choices[0].message.content, fed.choices[0].finish_reason) == ("Yes.", "stop")


def test_more_effort_means_more_thinking(openai_client: OpenAI) -> None:
    def thought(effort: str) -> int:
        answer = openai_client.chat.completions.create(model="gpt-5", messages=ask("2+2"), reasoning_effort=effort)
        return answer.usage.completion_tokens_details.reasoning_tokens

    assert thought("minimal") == 0 < thought("low") < thought("medium") < thought("high")


def test_images_and_seeds_are_taken(openai_client: OpenAI) -> None:
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    messages = [{"role": "user", "content": content}]
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=messages, seed=7)
    assert answer.usage.prompt_tokens == count_messages(messages)


def test_embeddings_are_unit_vectors_and_similar_texts_are_near(openai_client: OpenAI, sandbox: Sandbox) -> None:
    texts = ["How do I reset my password?", "How can I reset the password?", "Tomatoes need full sun."]
    found = openai_client.embeddings.create(model="text-embedding-3-small", input=texts)
    first, near, far = (row.embedding for row in found.data)

    def product(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert len(first) == 1536
    assert product(first, first) == pytest.approx(1, abs=1e-4)
    assert product(first, near) > product(first, far) + 0.3
    assert found.usage.prompt_tokens == sum(count_text(text, "text-embedding-3-small") for text in texts)
    assert sandbox.invoice().lines[0].usage.input_tokens == found.usage.prompt_tokens
    short = openai_client.embeddings.create(model="text-embedding-3-large", input="hello", dimensions=64, encoding_format="float")
    assert len(short.data[0].embedding) == 64


def test_models_are_listed_and_found(openai_client: OpenAI) -> None:
    names = {model.id for model in openai_client.models.list()}
    assert {"gpt-4o-mini", "gpt-4o-mini-2024-07-18", "o3-mini"} <= names
    assert openai_client.models.retrieve("gpt-5-nano").owned_by == "system"
