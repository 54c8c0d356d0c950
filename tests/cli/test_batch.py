"""`frugal batch` as a user has it."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from frugal_plugins.cli import batch_work
from frugal_plugins.sandbox import Sandbox, VirtualClock
from tests.cli.conftest import Cli, environment, frugal, read_lines, requests, write_lines


@pytest.fixture
def questions(folder: Path) -> Path:
    return write_lines(folder / "in.jsonl", requests(6, model="gpt-4o-mini"))


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A provider whose day passes while nobody sleeps."""
    clock = VirtualClock(time.time())
    with Sandbox(clock=clock) as sandbox:
        for name, value in environment(sandbox.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(batch_work, "time", SimpleNamespace(time=clock.now, sleep=clock.advance))
        yield sandbox


def test_a_plan_costs_nothing_and_says_half(cli: Cli, questions: Path) -> None:
    plan = cli.json("batch", "plan", "recipe.yaml", "-i", str(questions))
    assert (plan["rows"], plan["batches"]) == (6, 1)
    assert plan["at_most_usd"] * 2 == pytest.approx(plan["at_most_realtime_usd"])
    assert not Path("frugal-batch.sqlite").exists()
    text = cli("batch", "plan", "recipe.yaml", "-i", str(questions)).stdout
    assert "gpt-4o-mini" in text


def test_a_rehearsal_runs_to_its_end_and_results_come_in_order(cli: Cli, questions: Path, folder: Path) -> None:
    status = cli.json("batch", "submit", "recipe.yaml", "-i", str(questions), "--job", "first")
    assert (status["state"], status["done"]) == ("done", 6)
    store = str(folder / "frugal-batch-sandbox.sqlite")
    assert cli.json("batch", "status", "first", "--store", store)["done"] == 6
    assert [one["job"] for one in cli.json("batch", "status", "--store", store)["jobs"]] == ["first"]
    out = cli.json("batch", "results", "first", "--store", store, "-o", "out.jsonl")
    assert (out["rows"], out["answered"]) == (6, 6)
    found = read_lines(folder / "out.jsonl")
    assert [one["custom_id"] for one in found] == [f"q{n}" for n in range(6)]
    assert all(one["response"]["choices"][0]["message"]["content"] for one in found)
    cli.json("batch", "results", "first", "--store", store, "-o", "out.csv")
    with (folder / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["custom_id"] for row in table] == [f"q{n}" for n in range(6)]
    assert sum(float(row["usd"]) for row in table) == pytest.approx(status["spent_usd"])
    assert sum(one["frugal"]["usd"] for one in found) == pytest.approx(status["spent_usd"])
    assert cli.json("batch", "forget", "first", "--store", store) == {"forgotten": "first"}


def test_submit_then_watch_with_real_looking_keys(cli: Cli, questions: Path, fast: Sandbox) -> None:
    status = cli.json("batch", "submit", "recipe.yaml", "-i", str(questions), "--job", "night", "--live")
    assert (status["state"], status["batches"][0]["state"]) == ("open", "submitted")
    assert not fast.invoice().lines
    early = cli.json("batch", "results", "night", "-o", "early.jsonl", code=1)
    assert early["under_way"] == 6
    assert cli.json("batch", "reconcile", "night")["state"] == "open"
    watched = cli.json("batch", "watch", "night")
    assert (watched["state"], watched["done"]) == ("done", 6)
    assert watched["spent_usd"] == pytest.approx(float(fast.invoice().total_usd))
    assert {line.lane for line in fast.invoice().lines} == {"batch"}
    assert cli.json("batch", "watch", "night")["done"] == 6, "watching a finished job changes nothing"


def test_ctrl_c_while_watching_stops_here_and_not_at_the_provider(
    cli: Cli, questions: Path, fast: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.json("batch", "submit", "recipe.yaml", "-i", str(questions), "--job", "night", "--live")

    def ctrl_c(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(batch_work.time, "sleep", ctrl_c)
        watched = cli("batch", "watch", "night")
    assert watched.exit_code == 130
    assert "goes on at the provider; run the same command again" in " ".join(watched.stderr.split())
    assert cli.json("batch", "watch", "night")["done"] == 6
    assert len(fast.invoice().lines) == 6


def test_cancel_keeps_what_was_done(cli: Cli, questions: Path, fast: Sandbox) -> None:
    cli.json("batch", "submit", "recipe.yaml", "-i", str(questions), "--job", "night", "--live")
    fast.clock.advance(305)
    status = cli.json("batch", "cancel", "night")
    assert (status["state"], status["done"], status["failed"]) == ("cancelled", 3, 3)
    assert len(fast.invoice().lines) == 3


def test_cancelled_from_another_process_the_watcher_stops_and_both_say_what_happened(
    cli: Cli, questions: Path, folder: Path, fast: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.json("batch", "submit", "recipe.yaml", "-i", str(questions), "--job", "night", "--live")
    asking: list[subprocess.Popen[str]] = []

    def sleep(seconds: float) -> None:
        if not asking:
            fast.clock.advance(305)
            asking.append(frugal(folder, "batch", "cancel", "night", "--json", url=fast.url))
            assert asking[0].stderr is not None
            assert "has been asked to stop it; waiting for that" in asking[0].stderr.readline()
        fast.clock.advance(seconds)

    monkeypatch.setattr(batch_work.time, "sleep", sleep)
    watched = cli("batch", "watch", "night")
    assert watched.exit_code == 1
    words = "cancelled on request: 3 of 6 rows are answered and kept, 3 have an error instead"
    assert words in watched.stderr
    said, note = asking[0].communicate(timeout=60)
    assert (asking[0].returncode, json.loads(said)["state"], json.loads(said)["done"]) == (0, "cancelled", 3)
    assert words in note
    out = cli.json("batch", "results", "night", "-o", "out.jsonl", code=1)
    assert (out["answered"], out["failed"], out["under_way"]) == (3, 3, 0)
    assert len(fast.invoice().lines) == 3


def test_cancelling_what_is_over_or_was_never_there(cli: Cli, questions: Path, fast: Sandbox) -> None:
    cli.json("batch", "submit", "recipe.yaml", "-i", str(questions), "--job", "night", "--live")
    assert "there is no job 'day'" in cli("batch", "cancel", "day").stderr
    cli.json("batch", "watch", "night")
    ran = cli("batch", "cancel", "night")
    assert (ran.exit_code, "'night' was done before; nothing was left to cancel" in ran.stderr) == (0, True)


def test_a_job_held_at_its_limit_says_so_and_goes_on_with_more(cli: Cli, questions: Path, fast: Sandbox) -> None:
    plan = cli.json("batch", "plan", "recipe.yaml", "-i", str(questions))
    limit = f"{plan['at_most_usd'] / 2:.8f}"
    cli.json("batch", "submit", "recipe.yaml", "-i", str(questions), "--job", "night", "--live", "--max-usd", limit)
    held = cli.json("batch", "watch", "night", code=1)
    assert held["state"] == "held"
    assert 0 < held["planned"] == 6 - held["done"]
    assert "not handed in yet" in cli("batch", "status", "night").stdout
    assert float(fast.invoice().total_usd) <= float(limit)
    assert cli.json("batch", "watch", "night", "--max-usd", "1")["done"] == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["batch", "status", "nobody"], "does not exist"),
        (["batch", "submit", "recipe.yaml", "-i", "missing.jsonl"], "cannot be read"),
        (["batch", "submit", "recipe.yaml", "-i", "twice.jsonl"], "was used in line 1"),
        (["batch", "submit", "recipe.yaml", "-i", "half.jsonl"], "half-written"),
        (["batch", "submit", "recipe.yaml", "-i", "empty.jsonl"], "no rows"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(cli: Cli, folder: Path, words: list[str], said: str) -> None:
    row = requests(1)[0]
    write_lines(folder / "twice.jsonl", [row, row])
    write_lines(folder / "half.jsonl", [row, '{"custom_id": "x", "bo'])
    write_lines(folder / "empty.jsonl", [])
    ran = cli(*words)
    assert ran.exit_code == 2
    assert said in ran.stderr


def test_no_key_is_said_before_anything_is_paid(cli: Cli, questions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ran = cli("batch", "submit", "recipe.yaml", "-i", str(questions), "--live")
    assert ran.exit_code == 2
    assert "OPENAI_API_KEY" in ran.stderr


@pytest.mark.parametrize("usd", ["nan", "inf", "-3", "three"])
def test_a_limit_that_is_no_dollars_is_refused_before_anything_is_written(cli: Cli, folder: Path, usd: str) -> None:
    write_lines(folder / "in.jsonl", requests(2))
    ran = cli("batch", "submit", "recipe.yaml", "--input", "in.jsonl", "--max-usd", usd)
    assert ran.exit_code == 2
    assert "give dollars as a number" in ran.stderr
    assert not list(folder.glob("frugal-batch*"))


def test_where_nobody_watches_each_change_of_a_job_is_a_line(cli: Cli, folder: Path) -> None:
    """A job of a day in a container's log must not look like one that hangs."""
    write_lines(folder / "in.jsonl", requests(3))
    said = cli("batch", "submit", "recipe.yaml", "--input", "in.jsonl").stderr
    assert "of 3 rows, $0.00 spent; openai" in said
    assert said.count("spent; ") <= 6
