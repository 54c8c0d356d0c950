"""What a repeated prompt costs, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError
from anthropic.types import Usage as AnthropicUsage
from openai import OpenAI

from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.tokens import count_messages

LONG = " ".join(f"rule {number}: keep calm." for number in range(400))
pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")

SONNET = "claude-3-7-sonnet-20250219"


def cached(client: OpenAI, messages: list[dict[str, Any]], **more: Any) -> int:
    answer = client.chat.completions.create(model=more.pop("model", "gpt-4o-mini"), messages=messages, max_completion_tokens=400, **more)
    return answer.usage.prompt_tokens_details.cached_tokens


def chat(*texts: str, system: str = LONG) -> list[dict[str, Any]]:
    return [{"role": "system", "content": system}, *({"role": "user", "content": text} for text in texts)]


class TestOpenAI:
    def test_a_repeated_prefix_is_cached_in_steps_of_128(self, openai_client: OpenAI) -> None:
        assert cached(openai_client, chat("first")) == 0
        again = cached(openai_client, chat("second"))
        prefix_tokens = count_messages(chat())
        assert again % 128 == 0
        assert prefix_tokens - 128 - 6 < again <= prefix_tokens

    def test_a_short_prompt_is_never_cached(self, openai_client: OpenAI) -> None:
        short = chat("hi", system="word " * 900)
        assert cached(openai_client, short) == cached(openai_client, short) == 0

    def test_the_cache_forgets_after_five_minutes_without_use(self, openai_client: OpenAI, clock: VirtualClock) -> None:
        cached(openai_client, chat("a"))
        for _ in range(3):
            clock.advance(290)
            assert cached(openai_client, chat("b")) > 0
        clock.advance(301)
        assert cached(openai_client, chat("c")) == 0

    def test_asking_for_24_hours_keeps_it_a_day(self, openai_client: OpenAI, clock: VirtualClock) -> None:
        cached(openai_client, chat("a"), prompt_cache_retention="24h")
        clock.advance(80_000)
        assert cached(openai_client, chat("b")) > 0

    def test_one_changed_word_at_the_front_loses_everything(self, openai_client: OpenAI) -> None:
        cached(openai_client, chat("a"))
        assert cached(openai_client, chat("a", system="Note: " + LONG)) == 0

    def test_other_models_keys_and_cache_keys_do_not_share(self, openai_client: OpenAI, sandbox: Sandbox) -> None:
        cached(openai_client, chat("a"))
        assert cached(openai_client, chat("a"), model="gpt-4o") == 0
        assert cached(openai_client, chat("a"), prompt_cache_key="tenant-7") == 0
        assert cached(openai_client, chat("a"), prompt_cache_key="tenant-7") > 0
        with OpenAI(base_url=sandbox.openai_base_url, api_key="sk-two", max_retries=0) as other:
            assert cached(other, chat("a")) == 0

    def test_a_dated_name_is_the_same_model(self, openai_client: OpenAI) -> None:
        cached(openai_client, chat("a"))
        assert cached(openai_client, chat("a"), model="gpt-4o-mini-2024-07-18") > 0

    def test_changed_tools_stand_before_the_messages(self, openai_client: OpenAI) -> None:
        def tool(name: str) -> dict[str, Any]:
            return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}

        cached(openai_client, chat("a"), tools=[tool("one"), tool("two")])
        assert cached(openai_client, chat("b"), tools=[tool("one"), tool("two")]) > 0
        assert cached(openai_client, chat("b"), tools=[tool("two"), tool("one")]) == 0

    def test_the_responses_api_caches_too(self, openai_client: OpenAI) -> None:
        openai_client.responses.create(model="gpt-5-mini", instructions=LONG, input="a")
        again = openai_client.responses.create(model="gpt-5-mini", instructions=LONG, input="b")
        assert again.usage.input_tokens_details.cached_tokens >= 1024

    def test_the_invoice_charges_the_cached_price(self, openai_client: OpenAI, sandbox: Sandbox) -> None:
        for text in ("a", "b"):
            cached(openai_client, chat(text))
        first, second = sandbox.invoice().lines
        assert second.usage.cache_read_tokens > 1024
        assert first.usage.cache_read_tokens == 0


def block(text: str, ttl: str | None = None, *, marked: bool = True) -> dict[str, Any]:
    mark = {"type": "ephemeral", "ttl": ttl} if ttl else {"type": "ephemeral"}
    return {"type": "text", "text": text, **({"cache_control": mark} if marked else {})}


def send(client: Anthropic, content: Any, *, system: Any = None, model: str = SONNET, **more: Any) -> AnthropicUsage:
    messages = [{"role": "user", "content": content}] if not isinstance(content, list) or "role" not in content[0] else content
    given = {"system": system} if system is not None else {}
    return client.messages.create(model=model, max_tokens=10, messages=messages, **given, **more).usage


class TestAnthropic:
    def test_without_a_breakpoint_nothing_is_cached(self, anthropic_client: Anthropic) -> None:
        for _ in range(2):
            usage = send(anthropic_client, "hi", system=LONG)
            assert (usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (0, 0)

    def test_a_marked_prefix_is_written_once_and_then_read(self, anthropic_client: Anthropic) -> None:
        first = send(anthropic_client, "one", system=[block(LONG)])
        second = send(anthropic_client, "two", system=[block(LONG)])
        size = first.cache_creation_input_tokens
        assert size > 1024
        assert (first.cache_read_input_tokens, first.cache_creation.ephemeral_5m_input_tokens) == (0, size)
        assert (second.cache_read_input_tokens, second.cache_creation_input_tokens) == (size, 0)
        assert first.input_tokens == second.input_tokens < 20

    def test_the_minimum_depends_on_the_model(self, anthropic_client: Anthropic) -> None:
        assert send(anthropic_client, "x", system=[block(LONG)], model="claude-haiku-4-5").cache_creation_input_tokens == 0
        assert send(anthropic_client, "x", system=[block(LONG * 2)], model="claude-haiku-4-5").cache_creation_input_tokens > 4096
        assert send(anthropic_client, "x", system=[block("word " * 1500)], model=SONNET).cache_creation_input_tokens > 1024
        assert (
            send(anthropic_client, "x", system=[block("word " * 1500)], model="claude-3-5-haiku-20241022").cache_creation_input_tokens == 0
        )

    def test_five_minutes_are_refreshed_by_reading(self, anthropic_client: Anthropic, clock: VirtualClock) -> None:
        send(anthropic_client, "a", system=[block(LONG)])
        for _ in range(3):
            clock.advance(299)
            assert send(anthropic_client, "b", system=[block(LONG)]).cache_read_input_tokens > 0
        clock.advance(300)
        assert send(anthropic_client, "c", system=[block(LONG)]).cache_read_input_tokens == 0

    def test_an_hour_costs_another_price_and_lasts(self, anthropic_client: Anthropic, sandbox: Sandbox, clock: VirtualClock) -> None:
        first = send(anthropic_client, "a", system=[block(LONG, "1h")])
        assert first.cache_creation.ephemeral_1h_input_tokens == first.cache_creation_input_tokens > 0
        clock.advance(3_500)
        assert send(anthropic_client, "b", system=[block(LONG, "1h")]).cache_read_input_tokens > 0
        assert sandbox.invoice().lines[0].usage.cache_write_1h_tokens == first.cache_creation_input_tokens

    def test_both_lifetimes_in_one_request(self, anthropic_client: Anthropic) -> None:
        usage = send(anthropic_client, [block(LONG)], system=[block(LONG, "1h")])
        made = usage.cache_creation
        assert made.ephemeral_1h_input_tokens > 1024
        assert abs(made.ephemeral_1h_input_tokens - made.ephemeral_5m_input_tokens) < 10
        with pytest.raises(BadRequestError, match="must not come after a ttl='5m'"):
            send(anthropic_client, [block(LONG, "1h")], system=[block(LONG)])

    def test_a_growing_conversation_reads_the_turn_before_and_writes_the_rest(self, anthropic_client: Anthropic) -> None:
        turns: list[dict[str, Any]] = [{"role": "user", "content": [block(LONG)]}]
        first = send(anthropic_client, turns)
        turns[0]["content"] = [block(LONG, marked=False)]
        turns += [{"role": "assistant", "content": "Noted."}, {"role": "user", "content": [block("And " + LONG)]}]
        second = send(anthropic_client, turns)
        assert second.cache_read_input_tokens == first.cache_creation_input_tokens
        assert second.cache_creation_input_tokens > 1024

    def test_a_breakpoint_looks_back_twenty_blocks_and_no_further(self, anthropic_client: Anthropic) -> None:
        def parts(extra: int) -> list[dict[str, Any]]:
            return [block(LONG, marked=False), *(block(f"note {number}", marked=False) for number in range(extra - 1)), block("end")]

        send(anthropic_client, [block(LONG)])
        assert send(anthropic_client, parts(19)).cache_read_input_tokens > 0
        assert send(anthropic_client, [*parts(40)[:-1], block("other end")]).cache_read_input_tokens == 0

    def test_tools_come_first_and_changing_them_loses_the_rest(self, anthropic_client: Anthropic) -> None:
        def tools(*names: str) -> list[dict[str, Any]]:
            return [{"name": name, "input_schema": {"type": "object"}} for name in names]

        send(anthropic_client, "a", system=[block(LONG)], tools=tools("one", "two"))
        assert send(anthropic_client, "b", system=[block(LONG)], tools=tools("one", "two")).cache_read_input_tokens > 0
        assert send(anthropic_client, "b", system=[block(LONG)], tools=tools("two", "one")).cache_read_input_tokens == 0

    def test_another_tool_choice_keeps_the_system_but_not_the_messages(self, anthropic_client: Anthropic) -> None:
        given = {"system": [block(LONG)], "tools": [{"name": "one", "input_schema": {"type": "object"}}]}
        first = send(anthropic_client, [block(LONG)], **given)
        second = send(anthropic_client, [block(LONG)], **given, tool_choice={"type": "any"})
        assert 0 < second.cache_read_input_tokens < first.cache_creation_input_tokens
        assert second.cache_creation_input_tokens > 0

    def test_at_most_four_breakpoints(self, anthropic_client: Anthropic) -> None:
        send(anthropic_client, [block(f"part {number}") for number in range(4)])
        with pytest.raises(BadRequestError, match=r"A maximum of 4 blocks with cache_control may be provided\. Found 5\."):
            send(anthropic_client, [block(f"part {number}") for number in range(5)])

    def test_a_mark_on_the_request_itself_caches_all_of_it(self, anthropic_client: Anthropic) -> None:
        given = {"system": LONG, "cache_control": {"type": "ephemeral"}}
        first = send(anthropic_client, "same", **given)
        assert first.cache_creation_input_tokens > 1024
        assert send(anthropic_client, "same", **given).cache_read_input_tokens == first.cache_creation_input_tokens

    def test_other_keys_and_models_do_not_share(self, anthropic_client: Anthropic, sandbox: Sandbox) -> None:
        send(anthropic_client, "a", system=[block(LONG)])
        assert send(anthropic_client, "a", system=[block(LONG)], model="claude-opus-4-1").cache_read_input_tokens == 0
        with Anthropic(base_url=sandbox.anthropic_base_url, api_key="other", max_retries=0) as other:
            assert send(other, "a", system=[block(LONG)]).cache_read_input_tokens == 0

    def test_streams_report_the_cache_in_their_first_event(self, anthropic_client: Anthropic) -> None:
        send(anthropic_client, "a", system=[block(LONG)])
        messages = [{"role": "user", "content": "a"}]
        with anthropic_client.messages.stream(model=SONNET, max_tokens=9, system=[block(LONG)], messages=messages) as stream:
            starts = [event.message.usage for event in stream if event.type == "message_start"]
            assert starts[0].cache_read_input_tokens > 1024
            assert stream.get_final_message().usage.cache_read_input_tokens > 1024
