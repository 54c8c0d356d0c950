"""The server itself: its life, its log, its admin pages, many callers at once."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI

from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.sandbox.__main__ import main
from frugal_plugins.sandbox.counting import spell, token_ids

HI = [{"role": "user", "content": "hi"}]
KEY = {"authorization": "Bearer sk-secret-key"}


def test_it_starts_on_a_free_port_and_can_be_stopped_and_started_again() -> None:
    others = set(threading.enumerate())  # a sandbox of another module may be running in this process
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.url
    for _ in range(2):
        with sandbox:
            assert httpx.get(f"{sandbox.url}/v1/models", headers=KEY).status_code == 200
            url = sandbox.url
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
    assert not any(thread.name == "sandbox" for thread in set(threading.enumerate()) - others)


def test_two_live_side_by_side() -> None:
    with Sandbox() as one, Sandbox() as other:
        OpenAI(base_url=one.openai_base_url, api_key="k").chat.completions.create(model="gpt-4o", messages=HI)
        assert (len(one.invoice().lines), len(other.invoice().lines)) == (1, 0)


def test_requests_are_kept_byte_for_byte(sandbox: Sandbox) -> None:
    raw = b'{ "messages" : [{"role":"user","content":"caf\xc3\xa9"}],\n "model":"gpt-4o" }'
    httpx.post(f"{sandbox.url}/v1/chat/completions", content=raw, headers={**KEY, "content-type": "application/json", "x-mine": "1"})
    received = sandbox.requests()[0]
    assert received.raw == raw
    assert received.body["messages"][0]["content"] == "café"
    assert (received.method, received.path, received.api_key) == ("POST", "/v1/chat/completions", "sk-secret-key")
    assert received.headers["content-type"] == "application/json"
    assert "sk-secret-key" not in repr(received).replace(received.headers["authorization"], "")


def test_another_process_can_read_and_steer_it(sandbox: Sandbox, clock: VirtualClock) -> None:
    admin = f"{sandbox.url}/_sandbox"
    httpx.post(f"{sandbox.url}/v1/chat/completions", json={"model": "gpt-4o", "messages": HI}, headers=KEY)
    bill = httpx.get(f"{admin}/invoice").json()
    assert Decimal(bill["total_usd"]) == sandbox.invoice().total_usd == Decimal(bill["by_model_usd"]["gpt-4o"])
    assert bill["lines"][0]["usage"]["input_tokens"] == 8
    log = httpx.get(f"{admin}/requests")
    assert log.json()["requests"][0]["body"]["messages"] == HI
    assert "sk-secret-key" not in log.text
    assert httpx.post(f"{admin}/faults", json={"kind": "server_error"}).json() == {"ok": True}
    assert httpx.get(f"{sandbox.url}/v1/models", headers=KEY).status_code == 500
    assert httpx.post(f"{admin}/faults", json={"kind": "nonsense"}).status_code == 400
    assert httpx.post(f"{admin}/clock", json={"advance_seconds": 60}).json() == {"now_unix_seconds": 1_750_000_060}
    assert clock.now() == 1_750_000_060
    assert httpx.post(f"{admin}/clock", json={}).status_code == 400
    httpx.post(f"{admin}/reset")
    assert httpx.get(f"{admin}/invoice").json()["lines"] == []


def test_it_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text('{"user": "ping", "outputs": {"*": "pong"}}\n')
    prices = tmp_path / "prices.json"
    prices.write_text('{"models": {"house-model": {"input": "1", "output": "1"}}}')
    command = [sys.executable, "-m", "frugal_plugins.sandbox", "--port", "0", "--recorded", str(recorded), "--prices", str(prices)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        url = re.search(r"http://127\.0\.0\.1:\d+", lines[0])
        assert url is not None
        client = OpenAI(base_url=f"{url[0]}/v1", api_key="k")
        answer = client.chat.completions.create(model="house-model", messages=[{"role": "user", "content": "ping"}])
        assert answer.choices[0].message.content == "pong"
        process.terminate()
        assert process.wait(10) in (0, -15)


def test_files_and_ports_that_cannot_be_used_are_reported_not_thrown(
    tmp_path: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("[]\n")
    port = sandbox.url.rpartition(":")[2]
    for arguments, words in (
        (["--recorded", str(bad)], "bad.jsonl:1: not a JSON object"),
        (["--recorded", str(tmp_path / "none.jsonl")], "no such file of recorded answers"),
        (["--prices", str(bad)], "not a price file"),
        (["--prices", str(tmp_path / "none.json")], "cannot be read"),
        (["--port", port], "choose another with --port"),
    ):
        assert main(arguments) == 1
        assert words in capsys.readouterr().err


async def test_two_hundred_streams_at_once_are_all_whole_and_all_billed(sandbox: Sandbox) -> None:
    async def read(client: AsyncOpenAI, number: int) -> tuple[str, int]:
        text, tokens = "", 0
        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": f"Tell me about number {number}."}],
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
            if chunk.usage:
                tokens = chunk.usage.completion_tokens
        return text, tokens

    async with AsyncOpenAI(base_url=sandbox.openai_base_url, api_key="k", max_retries=0) as client:
        answers = await asyncio.gather(*(read(client, number) for number in range(200)))
    assert all(text and tokens for text, tokens in answers)
    invoice = sandbox.invoice()
    assert len({line.id for line in invoice.lines}) == 200
    assert invoice.usage.output_tokens == sum(tokens for _, tokens in answers)
    assert not any(line.closed for line in invoice.lines)


def test_the_bill_is_there_when_the_reader_has_the_last_chunk(sandbox: Sandbox, openai_client: OpenAI) -> None:
    for number in range(20):
        for _ in openai_client.chat.completions.create(model="gpt-4o", messages=HI, stream=True):
            pass
        assert len(sandbox.invoice().lines) == number + 1


@pytest.mark.parametrize("text", ["plain words", "snö 🎿🎿 日本語", "👩‍👩‍👧‍👦"])
def test_pieces_spell_the_text_and_count_every_token(text: str) -> None:
    ids = token_ids(text, "gpt-4o")
    pieces = spell(ids, "gpt-4o")
    assert "".join(piece for piece, _ in pieces) == text
    assert sum(tokens for _, tokens in pieces) == len(ids)


def test_importing_the_sandbox_brings_in_nothing_heavy() -> None:
    code = "import sys, frugal_plugins.sandbox as s; s.Sandbox(); print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"litellm", "langchain_core", "numpy", "pydantic", "tiktoken", "fastapi", "genai_prices"}
