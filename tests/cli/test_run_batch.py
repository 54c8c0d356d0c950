"""`frugal run --lane batch`: the files of `frugal run`, answered at half the price; and documents as tables in and out."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from frugal_plugins.batch.store import JobStore
from frugal_plugins.cli import run_batch
from frugal_plugins.sandbox import Sandbox, VirtualClock
from tests.cli.conftest import Cli, Provider, environment, frugal, read_lines, requests, write_lines


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A provider whose day passes while nobody sleeps."""
    clock = VirtualClock(time.time())
    with Sandbox(clock=clock) as sandbox:
        for name, value in environment(sandbox.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(run_batch, "time", SimpleNamespace(time=clock.now, sleep=clock.advance))
        yield sandbox


def test_a_rehearsed_run_has_the_lines_of_a_run(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", [*requests(5), "{}\n"])
    said = cli.json("run", "recipe.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--lane", "batch", "--on-bad-line", "skip", code=1)
    assert (said["requests"], said["answered"], said["bad_lines"]) == (6, 5, 1)
    assert 0 < said["actual_usd"] < said["baseline_usd"]
    found = {one["line"]: one for one in read_lines(folder / "out.jsonl")}
    assert [found[n]["custom_id"] for n in range(1, 6)] == [f"q{n}" for n in range(5)]
    assert all(found[n]["response"]["choices"][0]["message"]["content"] for n in range(1, 6))
    assert found[6]["error"]["type"] == "BadLine"
    assert not list(folder.glob(".out.jsonl*")), "prompts do not stay behind"


def test_it_costs_half_and_a_second_run_pays_nothing(cli: Cli, folder: Path, night: Sandbox) -> None:
    write_lines(folder / "in.jsonl", requests(6, model="gpt-4o-mini"))
    words = ("run", "recipe.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--lane", "batch", "--provider", "live")
    said = cli.json(*words)
    assert said["actual_usd"] == pytest.approx(float(night.invoice().total_usd))
    assert said["baseline_usd"] == pytest.approx(2 * said["actual_usd"])
    again = cli.json(*words)
    assert (again["already_done"], again["answered"], len(night.invoice().lines)) == (6, 0, 6)
    write_lines(folder / "in.jsonl", requests(8, model="gpt-4o-mini"))
    assert cli.json(*words)["answered"] == 2
    assert len(night.invoice().lines) == 8


def test_an_input_that_changed_under_way_is_refused_with_its_line(cli: Cli, folder: Path, night: Sandbox) -> None:
    write_lines(folder / "in.jsonl", requests(3))
    words = ("run", "recipe.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--lane", "batch", "--provider", "live")
    cli.json(*words)
    write_lines(folder / "in.jsonl", requests(3, start=5))
    ran = cli(*words)
    assert ran.exit_code == 2
    assert "in.jsonl:1" in ran.stderr
    assert "has changed" in ran.stderr


def test_a_limit_in_dollars_stops_before_it_is_crossed_and_more_goes_on(cli: Cli, folder: Path, night: Sandbox) -> None:
    write_lines(folder / "in.jsonl", requests(6, model="gpt-4o-mini"))
    plan = cli.json("batch", "plan", "recipe.yaml", "-i", "in.jsonl")
    words = ("run", "recipe.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--lane", "batch", "--provider", "live", "--max-usd")
    limit = f"{plan['at_most_usd'] / 2:.8f}"
    held = cli.json(*words, limit, code=1)
    assert "max_usd" in held["stopped"]
    assert float(night.invoice().total_usd) <= float(limit)
    assert cli.json(*words, "1")["done"] == 6
    assert len(night.invoice().lines) == 6


def test_cancelled_meanwhile_it_delivers_what_is_there_and_the_next_run_asks_the_rest(
    cli: Cli, folder: Path, night: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(folder / "in.jsonl", requests(6, model="gpt-4o-mini"))
    words = ("run", "recipe.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--lane", "batch", "--provider", "live")

    asking: list[subprocess.Popen[str]] = []
    store = ".out.jsonl.batch.sqlite"

    def sleep(seconds: float) -> None:
        if not asking:
            night.clock.advance(305)
            kept = JobStore(folder / store)
            job = kept.all("SELECT id FROM jobs")[0]["id"]
            kept.close()
            asking.append(frugal(folder, "batch", "cancel", job, "--store", store, "--json", url=night.url))
            assert asking[0].stderr is not None
            assert "has been asked to stop it" in asking[0].stderr.readline()
        night.clock.advance(seconds)

    monkeypatch.setattr(run_batch.time, "sleep", sleep)
    said = cli.json(*words, code=1)
    assert "cancelled on request: 3 of 6 rows" in said["stopped"]
    out, note = asking[0].communicate(timeout=60)
    assert (asking[0].returncode, json.loads(out)["state"], "3 of 6 rows" in note) == (0, "cancelled", True)
    assert len(read_lines(folder / "out.jsonl")) == len(night.invoice().lines) == 3
    assert cli.json(*words)["done"] == 6
    assert len(night.invoice().lines) == 6
    assert not list(folder.glob(".out.jsonl*"))


def test_interrupted_and_run_again_nothing_is_paid_twice(folder: Path, provider: Provider) -> None:
    write_lines(folder / "in.jsonl", requests(4))
    words = ("run", "recipe.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--lane", "batch", "--provider", "live", "--json")
    first = frugal(folder, *words, url=provider.url)
    try:
        _until(lambda: provider_batches(provider) > 0)
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=30)
    finally:
        first.kill()
    assert first.returncode == 130, err
    assert "go on at the provider" in json.loads(out)["stopped"]
    _advance(provider, 700)
    second = frugal(folder, *words, url=provider.url)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert json.loads(out)["done"] == 4
    assert len(provider.invoice()["lines"]) == 4
    assert sorted(one["line"] for one in read_lines(folder / "out.jsonl")) == [1, 2, 3, 4]


def provider_batches(provider: Provider) -> int:
    import urllib.request

    asked = urllib.request.Request(f"{provider.url}/v1/batches", headers={"authorization": "Bearer k"})
    with urllib.request.urlopen(asked) as response:
        return len(json.load(response)["data"])


def _advance(provider: Provider, seconds: float) -> None:
    import urllib.request

    data = json.dumps({"advance_seconds": seconds}).encode()
    asked = urllib.request.Request(f"{provider.url}/_sandbox/clock", data, {"content-type": "application/json"})
    with urllib.request.urlopen(asked):
        pass


def _until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_documents_from_a_table_become_vectors_in_a_table(cli: Cli, folder: Path) -> None:
    import duckdb

    texts = [f"Item {n}, oak, {n} drawers" for n in range(12)]
    with (folder / "docs.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("id", "text", "dimensions"))
        out.writerows((f"doc-{n}", text, 16) for n, text in enumerate(texts))
    duckdb.sql("COPY (SELECT * FROM read_csv('docs.csv')) TO 'docs.parquet' (FORMAT parquet)")
    for source in ("docs.csv", "docs.parquet"):
        assert cli.json("batch", "plan", "embed", "-i", source)["models"]["openai/text-embedding-3-small"]["rows"] == 12
        status = cli.json("batch", "submit", "embed", "-i", source, "--job", source)
        assert (status["state"], status["done"]) == ("done", 12)
    for output in ("vectors.parquet", "vectors.csv", "vectors.jsonl"):
        cli.json("batch", "results", "docs.parquet", "--store", "frugal-batch-sandbox.sqlite", "-o", output)
    table = duckdb.sql("SELECT custom_id, embedding FROM 'vectors.parquet' ORDER BY line").fetchall()
    assert [name for name, _ in table] == [f"doc-{n}" for n in range(12)]
    with (folder / "vectors.csv").open(newline="") as file:
        cells = [json.loads(row["embedding"]) for row in csv.DictReader(file)]
    lines = [one["response"]["data"][0]["embedding"] for one in read_lines(folder / "vectors.jsonl")]
    assert [pytest.approx(vector) for _, vector in table] == cells == [pytest.approx(one) for one in lines]
    assert {len(vector) for vector in cells} == {16}


def test_prompts_from_a_table_and_answers_in_one(cli: Cli, folder: Path) -> None:
    import duckdb

    (folder / "in.csv").write_text('custom_id,system,prompt,max_tokens,task\na,Be brief.,What is oak?,30,\nb,,"Yes, or no?",40,yes_no\n')
    cli.json("batch", "submit", "recipe.yaml", "-i", "in.csv", "--job", "one")
    cli.json("batch", "results", "one", "--store", "frugal-batch-sandbox.sqlite", "-o", "out.parquet")
    found = duckdb.sql("SELECT custom_id, answer, model FROM 'out.parquet' ORDER BY line").fetchall()
    assert [name for name, _, _ in found] == ["a", "b"]
    assert all(answer for _, answer, _ in found)
    assert found[1][2] == "openai/gpt-4o-mini", "the task in the table chose the tier"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "x,y\n1,2\n", "no column"),
        ("b.csv", "prompt,model\nhi\n", "b.csv:2"),
        ("c.parquet", "not parquet", "not Parquet"),
        ("d.csv", "prompt\n\xff", "not UTF-8"),
        ("e.jsonl", '{"url": "/v1/audio/speech", "body": {}}\n', "/v1/embeddings"),
        ("f.jsonl", '{"input": []}\n', "not empty"),
        ("g.jsonl", '{"custom_id": "", "messages": [{"role": "user", "content": "x"}]}\n', "custom_id is empty"),
    ],
)
def test_a_table_or_line_that_cannot_be_used_is_named(cli: Cli, folder: Path, name: str, text: str, words: str) -> None:
    (folder / name).write_bytes(text.encode("latin-1"))
    ran = cli("batch", "plan", "recipe.yaml", "-i", name)
    assert ran.exit_code == 2
    assert words in ran.stderr


def test_a_realtime_run_refuses_documents_with_words(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", [{"url": "/v1/embeddings", "body": {"input": "x"}}])
    ran = cli("run", "recipe.yaml", "-i", "in.jsonl", "-o", "out.jsonl")
    assert ran.exit_code == 2
    assert "frugal batch" in ran.stderr
