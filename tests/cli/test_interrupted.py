"""Ctrl-C and kill -9 in the middle of `frugal run`: the same command goes on, and nothing that was delivered is paid twice."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from frugal_plugins.sandbox import Sandbox
from tests.cli.conftest import Provider, frugal, read_lines, requests, write_lines

COUNT = 150
RUN = ("run", "recipe.yaml", "--input", "in.jsonl", "--output", "out.jsonl", "--provider", "live", "--concurrency", "4")


def started(folder: Path, provider: Provider, *, at_least: int) -> subprocess.Popen[str]:
    """A run that has delivered a few answers."""
    process = frugal(folder, *RUN, url=provider.url)
    output = folder / "out.jsonl"
    while not output.exists() or output.read_bytes().count(b"\n") < at_least:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    return process


def finished(folder: Path, provider: Provider) -> str:
    process = frugal(folder, *RUN, url=provider.url)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def asked(provider: Provider) -> Counter[str]:
    return Counter(body["messages"][0]["content"] for body in provider.bodies())


def delivered(folder: Path) -> list[str]:
    return sorted(one["custom_id"] for one in read_lines(folder / "out.jsonl") if "response" in one)


def test_ctrl_c_lets_what_is_in_flight_finish_and_the_next_run_pays_nothing_twice(folder: Path, provider: Provider) -> None:
    write_lines(folder / "in.jsonl", requests(COUNT))
    process = started(folder, provider, at_least=5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Run the same command again to go on where it stopped" in said
    assert "Traceback" not in said
    before = len(delivered(folder))
    assert 5 <= before < COUNT
    assert len(provider.invoice()["lines"]) == before
    finished(folder, provider)
    assert delivered(folder) == sorted(f"q{n}" for n in range(COUNT))
    assert set(asked(provider).values()) == {1}


def test_a_second_ctrl_c_does_not_wait_and_says_later_what_may_be_paid(folder: Path, provider: Provider) -> None:
    write_lines(folder / "in.jsonl", requests(10))
    with Sandbox(latency_seconds=120) as slow:
        process = frugal(folder, *RUN, url=slow.url)
        while len(slow.requests()) < 4:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "Waiting for 4 requests in flight" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert "4 were in flight when the last run was cut off: they may have been paid" in finished(folder, provider)
    assert delivered(folder) == sorted(f"q{n}" for n in range(10))


def test_kill_9_delivers_each_once_and_pays_again_only_what_was_in_flight(folder: Path, provider: Provider) -> None:
    write_lines(folder / "in.jsonl", requests(COUNT))
    for at_least in (5, 60):
        process = started(folder, provider, at_least=at_least)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    said = finished(folder, provider)
    assert delivered(folder) == sorted(f"q{n}" for n in range(COUNT))
    times = asked(provider)
    assert set(times) == {line["body"]["messages"][0]["content"] for line in requests(COUNT)}
    assert sum(times.values()) - COUNT <= 2 * 4  # four in flight at each of two kills
    assert "requests have an answer in out.jsonl already" in said
