"""The hosts people really use: LiteLLM and LangChain."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from frugal_plugins.sandbox import Fault, Sandbox

HI = [{"role": "user", "content": "How do bees find home?"}]


@pytest.fixture
def llm(sandbox: Sandbox) -> dict[str, Any]:
    """Keyword arguments of LiteLLM for each provider."""
    return {
        "openai": {"model": "openai/gpt-4o-mini", "api_base": sandbox.openai_base_url, "api_key": "k"},
        "anthropic": {"model": "anthropic/claude-haiku-4-5", "api_base": sandbox.anthropic_base_url, "api_key": "k"},
    }


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_litellm_completes_streams_and_prices_as_billed(sandbox: Sandbox, llm: dict[str, Any], provider: str) -> None:
    import litellm

    plain = litellm.completion(**llm[provider], messages=HI)
    chunks = list(litellm.completion(**llm[provider], messages=HI, stream=True, stream_options={"include_usage": True}))
    whole = litellm.stream_chunk_builder(chunks, messages=HI)
    assert whole.choices[0].message.content == plain.choices[0].message.content
    assert whole.usage.total_tokens == plain.usage.total_tokens
    assert [line.usage.output_tokens for line in sandbox.invoice().lines] == [plain.usage.completion_tokens] * 2
    assert litellm.completion_cost(plain) == pytest.approx(float(sandbox.invoice().lines[0].usd))


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_litellm_raises_its_own_errors(sandbox: Sandbox, llm: dict[str, Any], provider: str) -> None:
    import litellm

    sandbox.faults.add(Fault("rate_limit"))
    with pytest.raises(litellm.RateLimitError):
        litellm.completion(**llm[provider], messages=HI, num_retries=0, max_retries=0)
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**llm[provider], messages=[{"role": "user", "content": "word " * 210_000}])


def test_litellm_tools_embeddings_and_responses(sandbox: Sandbox, llm: dict[str, Any]) -> None:
    import litellm

    function = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
    for provider in ("openai", "anthropic"):
        answer = litellm.completion(
            **llm[provider], messages=HI, tools=[{"type": "function", "function": function}], tool_choice="required"
        )
        assert answer.choices[0].message.tool_calls[0].function.name == "weather"
    vectors = litellm.embedding(**{**llm["openai"], "model": "openai/text-embedding-3-small"}, input=["a", "b"])
    assert len(vectors.data) == 2
    assert litellm.responses(**llm["openai"], input="hello").output


class City(BaseModel):
    """A city."""

    name: str
    people: int


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def models(sandbox: Sandbox) -> list[Any]:
    return [
        ChatOpenAI(model="gpt-4o-mini", base_url=sandbox.openai_base_url, api_key="k", max_retries=0),
        ChatOpenAI(model="gpt-4o-mini", base_url=sandbox.openai_base_url, api_key="k", max_retries=0, use_responses_api=True),
        ChatAnthropic(model="claude-haiku-4-5", base_url=sandbox.anthropic_base_url, api_key="k", max_retries=0, max_tokens=900),
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_langchain_invokes_streams_calls_tools_and_parses(sandbox: Sandbox, place: int) -> None:
    model = models(sandbox)[place]
    plain = model.invoke("How do bees find home?")
    assert plain.usage_metadata["output_tokens"] == sandbox.invoice().lines[0].usage.output_tokens
    assert plain.usage_metadata["input_tokens"] == sandbox.invoice().lines[0].usage.input_tokens
    assert "".join(chunk.text for chunk in model.stream("How do bees find home?")) == plain.text
    city = model.with_structured_output(City).invoke("Oslo has 700000 people")
    assert city.people == 700000
    sandbox.record(
        {"user": "Oslo?", "outputs": {"*": {"content": None, "tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}}}
    )
    sandbox.record({"user": "Oslo?", "after": ["rain in Oslo"], "outputs": {"*": "It rains in Oslo."}})
    armed = model.bind_tools([weather])
    asked = armed.invoke("Oslo?")
    result = weather.invoke(asked.tool_calls[0])
    assert armed.invoke([HumanMessage("Oslo?"), asked, result]).text == "It rains in Oslo."


def test_langchain_embeddings(sandbox: Sandbox) -> None:
    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=sandbox.openai_base_url, api_key="k", check_embedding_ctx_length=False
    )
    same, other = embeddings.embed_query("cats purr"), embeddings.embed_query("stocks fell")
    assert same == embeddings.embed_query("cats purr") != other
