"""`frugal sandbox`: a provider to play with."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path

from tests.cli.conftest import Cli, Provider, frugal


def test_it_answers_and_bills(provider: Provider) -> None:
    body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}).encode()
    request = urllib.request.Request(
        f"{provider.url}/v1/chat/completions", body, {"authorization": "Bearer any", "content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        assert json.load(response)["choices"][0]["message"]["content"]
    assert len(provider.invoice()["lines"]) == 1


def test_ctrl_c_ends_it_with_the_sum(folder: Path) -> None:
    process = frugal(folder, "sandbox", "--port", "0")
    assert process.stdout is not None
    assert "export OPENAI_BASE_URL=http://127.0.0.1:" in process.stdout.readline()
    while "Ctrl-C" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert "0 calls billed, $0.00." in said
    assert "Traceback" not in said


def test_a_taken_port_says_what_to_do(cli: Cli, provider: Provider) -> None:
    ran = cli("sandbox", "--port", provider.url.rpartition(":")[2])
    assert ran.exit_code == 2
    assert "choose another with --port" in ran.stderr


def test_recorded_answers_must_be_there(cli: Cli) -> None:
    assert "there is no file nothing.jsonl" in cli("sandbox", "--recorded", "nothing.jsonl").stderr
