"""Things that go wrong on order."""

from __future__ import annotations

import anthropic
import httpx
import openai
import pytest

from frugal_plugins.errors import InputError
from frugal_plugins.sandbox import Fault, Sandbox

HI = [{"role": "user", "content": "hi"}]
COUNT = [{"role": "user", "content": "count"}]
COUNTED = {"user": "count", "outputs": {"*": "one two three four five six seven eight nine ten"}}


def chat(client: openai.OpenAI, **more: object) -> object:
    return client.chat.completions.create(model="gpt-4o", messages=HI, **more)


@pytest.mark.parametrize(
    ("kind", "openai_error", "anthropic_error"),
    [
        ("rate_limit", openai.RateLimitError, anthropic.RateLimitError),
        ("server_error", openai.InternalServerError, anthropic.InternalServerError),
        ("overloaded", openai.InternalServerError, anthropic.InternalServerError),
        ("unauthorized", openai.AuthenticationError, anthropic.AuthenticationError),
        ("disconnect", openai.APIConnectionError, anthropic.APIConnectionError),
    ],
)
def test_each_hits_once_and_is_not_billed(
    sandbox: Sandbox,
    openai_client: openai.OpenAI,
    anthropic_client: anthropic.Anthropic,
    kind: str,
    openai_error: type[Exception],
    anthropic_error: type[Exception],
) -> None:
    sandbox.faults.add(Fault(kind, endpoint="chat"), Fault(kind, endpoint="messages"))  # type: ignore[arg-type]
    with pytest.raises(openai_error):
        chat(openai_client)
    with pytest.raises(anthropic_error):
        anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=HI)
    assert sandbox.invoice().lines == ()
    assert chat(openai_client)
    assert anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=HI)


def test_a_rate_limit_says_how_long_to_wait_and_clients_retry(sandbox: Sandbox, openai_client: openai.OpenAI) -> None:
    sandbox.faults.add(Fault("rate_limit", retry_after_seconds=0.01, times=2))
    assert openai_client.with_options(max_retries=2).chat.completions.create(model="gpt-4o", messages=HI).id
    assert [one.headers["x-stainless-retry-count"] for one in sandbox.requests()] == ["0", "1", "2"]
    sandbox.faults.add(Fault("rate_limit", retry_after_seconds=7))
    with pytest.raises(openai.RateLimitError) as error:
        chat(openai_client)
    assert error.value.response.headers["retry-after"] == "7"


def test_anthropic_overload_is_529(sandbox: Sandbox, anthropic_client: anthropic.Anthropic) -> None:
    sandbox.faults.add(Fault("overloaded"))
    with pytest.raises(anthropic.InternalServerError) as error:
        anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=HI)
    assert error.value.status_code == 529
    assert error.value.body["error"]["type"] == "overloaded_error"


def test_a_timeout_holds_the_call_until_the_caller_gives_up(sandbox: Sandbox, openai_client: openai.OpenAI) -> None:
    sandbox.faults.add(Fault("timeout"))
    with pytest.raises(openai.APITimeoutError):
        chat(openai_client.with_options(timeout=0.2))
    sandbox.settle()
    assert sandbox.invoice().lines == ()
    assert chat(openai_client)


def test_stopping_does_not_wait_for_a_held_call() -> None:
    with Sandbox() as sandbox, httpx.Client() as client:
        sandbox.faults.add(Fault("timeout"))
        with pytest.raises(httpx.ReadTimeout):
            client.post(f"{sandbox.url}/v1/chat/completions", json={}, headers={"authorization": "Bearer k"}, timeout=0.1)
    assert sandbox.provider.in_flight == 0


def test_a_malformed_body_is_200_and_broken(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("malformed_body"))
    answer = httpx.post(
        f"{sandbox.url}/v1/chat/completions", json={"model": "gpt-4o", "messages": HI}, headers={"authorization": "Bearer k"}
    )
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"\w+"):
        answer.json()


@pytest.mark.parametrize("pieces", [0, 3])
def test_a_truncated_stream_ends_without_its_end_and_bills_what_was_sent(
    sandbox: Sandbox, openai_client: openai.OpenAI, pieces: int
) -> None:
    sandbox.record(COUNTED)
    sandbox.faults.add(Fault("truncated_stream", after_chunks=pieces))
    given = {"model": "gpt-4o", "messages": COUNT}
    assert openai_client.chat.completions.create(**given).usage.completion_tokens == 10
    chunks = list(openai_client.chat.completions.create(**given, stream=True))
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) == pieces
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
    sandbox.settle()
    line = sandbox.invoice().lines[1]
    assert (line.closed, line.usage.output_tokens) == (True, pieces)
    assert len(list(openai_client.chat.completions.create(**given, stream=True))) == 12


def test_a_truncated_message_has_no_end_either(sandbox: Sandbox, anthropic_client: anthropic.Anthropic) -> None:
    sandbox.record(COUNTED)
    sandbox.faults.add(Fault("truncated_stream", after_chunks=1))
    kinds = [event.type for event in anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=COUNT, stream=True)]
    assert kinds == ["message_start", "content_block_start", "content_block_delta"]
    sandbox.settle()
    assert sandbox.invoice().lines[0].usage.output_tokens == 4


def test_a_stream_can_break_off(sandbox: Sandbox, openai_client: openai.OpenAI) -> None:
    sandbox.record(COUNTED)
    sandbox.faults.add(Fault("disconnect", after_chunks=2))
    stream = openai_client.chat.completions.create(model="gpt-4o", messages=COUNT, stream=True)
    with pytest.raises((openai.APIConnectionError, httpx.TransportError)):
        list(stream)
    sandbox.settle()
    assert sandbox.invoice().lines[0].closed


def test_a_fault_can_be_for_one_model_only(sandbox: Sandbox, openai_client: openai.OpenAI) -> None:
    sandbox.faults.add(Fault("server_error", model="gpt-4o-mini"))
    assert chat(openai_client)
    with pytest.raises(openai.InternalServerError):
        openai_client.chat.completions.create(model="gpt-4o-mini", messages=HI)


def test_a_share_of_calls_can_fail_the_same_way_every_time(sandbox: Sandbox, openai_client: openai.OpenAI) -> None:
    def failures() -> list[bool]:
        sandbox.reset()
        sandbox.faults.add(Fault("server_error", times=1000, probability=0.3, seed=5))
        failed = []
        for _ in range(40):
            try:
                chat(openai_client)
                failed.append(False)
            except openai.InternalServerError:
                failed.append(True)
        return failed

    first = failures()
    assert first == failures()
    assert 4 < sum(first) < 24


def test_a_fault_from_json_is_checked() -> None:
    assert Fault.from_json({"kind": "rate_limit", "times": 2}) == Fault("rate_limit", times=2)
    for wrong in ({"kind": "earthquake"}, {"kind": "timeout", "tims": 2}, []):
        with pytest.raises(InputError, match="not a fault"):
            Fault.from_json(wrong)
