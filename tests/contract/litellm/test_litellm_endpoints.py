"""/v1/messages and /v1/responses of the real proxy, asked by the real Anthropic and OpenAI clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from frugal_plugins.sandbox import Fault
from tests.contract.litellm.conftest import user
from tests.contract.litellm.proxies import RunningProxy

YES_NO = {"metadata": {"frugal": {"task": "yes_no"}}}


@pytest.fixture(autouse=True)
def _nothing_left(proxy: RunningProxy) -> Iterator[None]:
    proxy.new_rows(0)
    proxy.sandbox.reset()
    yield
    proxy.sandbox.reset()


def said(events: list[Any]) -> str:
    """The text of a stream of either API."""
    pieces = []
    for event in events:
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            pieces.append(event.delta.text)
        elif event.type == "response.output_text.delta":
            pieces.append(event.delta)
    return "".join(pieces)


STORY = "Write a very long story about the harbour."


def tell_a_long_story(proxy: RunningProxy) -> None:
    proxy.sandbox.record({"user": STORY, "outputs": {"*": "and then " * 500}})


def bodies(proxy: RunningProxy) -> list[Any]:
    return [request.body for request in proxy.sandbox.requests() if request.body is not None]


class TestProxyMessages:
    def test_proxy_messages_plain(self, proxy: RunningProxy) -> None:
        answer, ours = proxy.message("Tell me about the harbour.", extra_body={"temperature": 0.2}, system="Be kind.")
        assert answer.content[0].text
        (sent,) = bodies(proxy)
        assert sent == {
            "model": "claude-sonnet-4-5",
            "max_tokens": 200,
            "messages": user("Tell me about the harbour."),
            "system": "Be kind.",
            "temperature": 0.2,
            "stream": False,  # LiteLLM's own
        }
        billed = proxy.sandbox.invoice().total_usd
        (row,) = proxy.books_agree(1)
        assert (row["id"], row["endpoint"], row["outcome"]) == (ours["x-frugal-id"], "messages", "answered")
        assert float(ours["x-litellm-response-cost"]) == pytest.approx(float(billed))

    def test_proxy_messages_stream(self, proxy: RunningProxy) -> None:
        events, ours = proxy.message("Tell me about tides.", stream=True)
        assert said(events)
        assert events[-1].type == "message_stop"
        (row,) = proxy.books_agree(1)
        assert (row["id"], row["stream"], row["finish_reason"]) == (ours["x-frugal-id"], 1, "stop")

    def test_proxy_messages_cache(self, proxy: RunningProxy) -> None:
        first, _ = proxy.message("Do you ship to Norway?", model="haiku")
        again, ours = proxy.message("do you ship to Norway", model="haiku")
        streamed, _ = proxy.message("Do you ship to Norway?", model="haiku", stream=True)
        assert again.content[0].text == said(streamed) == first.content[0].text
        assert again.id != first.id
        assert (again.usage.input_tokens, again.usage.output_tokens, again.stop_reason) == (0, 0, "end_turn")
        assert (streamed[0].type, streamed[-1].type) == ("message_start", "message_stop")
        assert (ours["x-frugal-cache"], ours["x-litellm-response-cost"]) == ("hit", "0")
        assert len(bodies(proxy)) == 1
        assert [row["outcome"] for row in proxy.books_agree(3)] == ["answered", "hit", "hit"]

    def test_proxy_messages_cache_of_a_stream(self, proxy: RunningProxy) -> None:
        streamed, _ = proxy.message("Do you ship to Chile?", model="haiku", stream=True)
        plain, ours = proxy.message("Do you ship to Chile?", model="haiku")
        assert plain.content[0].text == said(streamed)
        assert ours["x-frugal-cache"] == "hit"
        proxy.books_agree(2)

    def test_proxy_messages_route(self, proxy: RunningProxy) -> None:
        answer, ours = proxy.message("May it be returned?", **YES_NO)
        (sent,) = bodies(proxy)
        assert (sent["model"], sent["max_tokens"]) == ("claude-haiku-4-5", 5)
        assert "metadata" not in sent
        assert ours["x-frugal-model"] == "anthropic/claude-haiku-4-5"
        assert float(ours["x-frugal-saved-usd"]) > 0
        assert answer.model == "sonnet"
        billed = proxy.sandbox.invoice().total_usd
        assert float(ours["x-litellm-response-cost"]) == pytest.approx(float(billed))
        proxy.books_agree(1)

    def test_proxy_messages_stays_with_its_provider(self, proxy: RunningProxy) -> None:
        proxy.message("May it be returned, yes or no?", model="gpt-4o")
        assert bodies(proxy)[0]["model"] == "gpt-4o-mini"
        proxy.books_agree(1)

    def test_proxy_messages_cap(self, proxy: RunningProxy) -> None:
        answer, ours = proxy.message("Every name in this long list.", metadata={"user_id": "u1", "frugal": {"task": "outline"}})
        assert [(sent["max_tokens"], sent["metadata"]) for sent in bodies(proxy)] == [(3, {"user_id": "u1"}), (200, {"user_id": "u1"})]
        assert answer.stop_reason == "end_turn"
        assert "cap retry" in ours["x-frugal-why"]
        billed = proxy.sandbox.invoice().total_usd
        assert float(ours["x-litellm-response-cost"]) == pytest.approx(float(billed))
        proxy.books_agree(1)

    def test_proxy_messages_prompt_cache(self, proxy: RunningProxy) -> None:
        handbook = "Rule: answer kindly and truly, as the handbook has it. " * 150
        for number in range(3):
            proxy.message(f"Question {number} of a customer?", system=handbook)
        marked = [isinstance(sent["system"], list) and "cache_control" in sent["system"][-1] for sent in bodies(proxy)]
        assert marked == [False, True, True]
        rows = proxy.books_agree(3)
        assert [row["cache_read_tokens"] > 0 for row in rows] == [False, False, True]

    def test_proxy_messages_tools_and_marks_arrive_as_they_were(self, proxy: RunningProxy) -> None:
        tool = {"name": "look_up", "input_schema": {"type": "object", "properties": {"order": {"type": "string"}}}}
        system = [{"type": "text", "text": "Handbook. " * 3000, "cache_control": {"type": "ephemeral"}}]
        answer, _ = proxy.message("Where is order 7?", tools=[tool], tool_choice={"type": "tool", "name": "look_up"}, system=system)
        (sent,) = bodies(proxy)
        assert (sent["tools"], sent["system"]) == ([tool], system)
        assert answer.content[0].type == "tool_use"
        events, _ = proxy.message("Where is order 8?", tools=[tool], tool_choice={"type": "tool", "name": "look_up"}, stream=True)
        assert [event.content_block.type for event in events if event.type == "content_block_start"] == ["tool_use"]
        assert [row["finish_reason"] for row in proxy.books_agree(2)] == ["tool_calls", "tool_calls"]

    def test_proxy_messages_thinking_leaves_room(self, proxy: RunningProxy) -> None:
        thinking = {"type": "enabled", "budget_tokens": 4000}
        proxy.message("Is it prime, yes or no?", thinking=thinking, max_tokens=9000, **YES_NO)
        assert bodies(proxy)[0]["max_tokens"] > 4000
        proxy.books_agree(1)

    def test_proxy_messages_errors(self, proxy: RunningProxy) -> None:
        with pytest.raises(anthropic.BadRequestError):
            proxy.message("Hello", extra_body={"temperature": 7})
        proxy.sandbox.faults.add(*(Fault("overloaded") for _ in range(20)))
        with pytest.raises(anthropic.APIStatusError):
            proxy.message("Hello to the limit")
        assert [row["outcome"] for row in proxy.books_agree(2)] == ["error"] * 2

    def test_proxy_messages_a_reader_who_leaves(self, proxy: RunningProxy) -> None:
        tell_a_long_story(proxy)
        stream = proxy.claude.messages.create(model="sonnet", max_tokens=4000, stream=True, messages=user(STORY))
        next(iter(stream))
        stream.close()
        (row,) = proxy.new_rows(1)
        assert row["outcome"] == "closed"
        assert row["input_tokens"] > 0

    def test_proxy_messages_off(self, proxy: RunningProxy) -> None:
        for _ in range(2):
            _, ours = proxy.message("Is it, yes or no?", metadata={"frugal": {"off": True}})
        assert [sent["model"] for sent in bodies(proxy)] == ["claude-sonnet-4-5"] * 2
        assert ours["x-frugal-cache"] == "bypass"
        assert [row["grp"] for row in proxy.books_agree(2)] == ["bypassed"] * 2


class TestProxyResponses:
    def test_proxy_responses_plain(self, proxy: RunningProxy) -> None:
        answer, ours = proxy.response("Tell me about the harbour.", temperature=0.2, instructions="Be kind.")
        assert answer.output_text
        (sent,) = bodies(proxy)
        assert sent == {"model": "gpt-4o", "input": "Tell me about the harbour.", "instructions": "Be kind.", "temperature": 0.2}
        billed = proxy.sandbox.invoice().total_usd
        (row,) = proxy.books_agree(1)
        assert (row["id"], row["endpoint"], row["outcome"]) == (ours["x-frugal-id"], "responses", "answered")
        assert float(ours["x-litellm-response-cost"]) == pytest.approx(float(billed))

    def test_proxy_responses_stream(self, proxy: RunningProxy) -> None:
        events, ours = proxy.response("Tell me about tides.", stream=True)
        assert said(events) == events[-1].response.output_text
        (row,) = proxy.books_agree(1)
        assert (row["id"], row["stream"], row["finish_reason"]) == (ours["x-frugal-id"], 1, "stop")

    def test_proxy_responses_cache(self, proxy: RunningProxy) -> None:
        first, _ = proxy.response("Do you ship to Norway?")
        again, ours = proxy.response("do you ship to Norway")
        streamed, _ = proxy.response("Do you ship to Norway?", stream=True)
        assert again.output_text == said(streamed) == streamed[-1].response.output_text == first.output_text
        assert (again.usage.total_tokens, again.status) == (0, "completed")
        assert (ours["x-frugal-cache"], ours["x-litellm-response-cost"]) == ("hit", "0")
        assert len(bodies(proxy)) == 1
        assert [row["outcome"] for row in proxy.books_agree(3)] == ["answered", "hit", "hit"]

    @pytest.mark.parametrize("stream", [False, True])
    def test_proxy_responses_a_conversation_goes_on_from_a_hit(self, proxy: RunningProxy, stream: bool) -> None:
        text = f"Name a boat for {'a stream' if stream else 'a letter'}."
        proxy.response(text, stream=stream)
        hit, ours = proxy.response(text, stream=stream)
        assert ours["x-frugal-cache"] == "hit"
        named = hit[-1].response.id if stream else hit.id
        further, _ = proxy.response("And another one?", previous_response_id=named)
        assert further.output_text
        assert bodies(proxy)[-1]["previous_response_id"].startswith("resp_")
        proxy.books_agree(3)

    @pytest.mark.parametrize("frugal", [{"task": "yes_no"}, '{"task": "yes_no"}'], ids=["object", "text"])
    def test_proxy_responses_route_and_cap(self, proxy: RunningProxy, frugal: Any) -> None:
        _, ours = proxy.response(f"May {type(frugal).__name__} be returned?", metadata={"frugal": frugal, "trace": "t"})
        (sent,) = bodies(proxy)
        assert (sent["model"], sent["max_output_tokens"], sent["metadata"]) == ("gpt-4o-mini", 16, {"trace": "t"})
        assert ours["x-frugal-model"] == "openai/gpt-4o-mini"
        billed = proxy.sandbox.invoice().total_usd
        assert float(ours["x-litellm-response-cost"]) == pytest.approx(float(billed))
        proxy.books_agree(1)

    def test_proxy_responses_tools(self, proxy: RunningProxy) -> None:
        tool = {"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}, "strict": False}
        for stream in (False, True):
            answer, _ = proxy.response(f"Where is order {stream}?", tools=[tool], tool_choice="required", stream=stream)
            whole = answer[-1].response if stream else answer
            assert whole.output[0].type == "function_call"
        assert [row["finish_reason"] for row in proxy.books_agree(2)] == ["tool_calls", "tool_calls"]

    def test_proxy_responses_of_a_claude(self, proxy: RunningProxy) -> None:
        answer, _ = proxy.response("Tell me about moons.", model="haiku")
        events, _ = proxy.response("Tell me about other moons.", model="haiku", stream=True)
        assert answer.output_text
        assert said(events)
        assert {row["model_answered"] for row in proxy.books_agree(2)} == {"anthropic/claude-haiku-4-5"}

    def test_proxy_responses_errors(self, proxy: RunningProxy) -> None:
        with pytest.raises(openai.BadRequestError):
            proxy.response("Hello", temperature=77)
        proxy.sandbox.faults.add(*(Fault("rate_limit") for _ in range(20)))
        with pytest.raises(openai.RateLimitError):
            proxy.response("Hello to the limit")
        assert [row["outcome"] for row in proxy.books_agree(2)] == ["error"] * 2

    def test_proxy_responses_a_reader_who_leaves(self, proxy: RunningProxy) -> None:
        tell_a_long_story(proxy)
        stream = proxy.client.responses.create(model="gpt-4o", stream=True, input=STORY)
        next(iter(stream))
        stream.close()
        (row,) = proxy.new_rows(1)
        assert row["outcome"] == "closed"
        assert row["input_tokens"] > 0


def test_spend_logs_and_ledger_say_the_same(proxy: RunningProxy) -> None:
    """What LiteLLM books for a call is what the provider bills, whichever endpoint and technique."""
    proxy.message("Is it dry, yes or no?")
    proxy.response("Is it dry, yes or no?")
    proxy.ask("Is it dry, yes or no?")
    billed = float(proxy.sandbox.invoice().total_usd)
    spent = proxy.spent(proxy.call_ids[-3:])
    assert sum(cost for _, cost in spent) == pytest.approx(billed)
    assert {model for model, _ in spent} == {"anthropic/claude-haiku-4-5", "openai/gpt-4o-mini"}
    proxy.books_agree(3)
