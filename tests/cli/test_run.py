"""`frugal run`: every line gets its answer, once, and bad input is named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from frugal_plugins.sandbox import Fault, Sandbox
from tests.cli.conftest import RECIPE, Cli, environment, read_lines, requests, write_lines

RUN = ("run", "recipe.yaml", "--input", "in.jsonl", "--output", "out.jsonl")
Start = Callable[..., Sandbox]


def test_every_line_is_answered_with_what_the_recipe_did(cli: Cli, folder: Path) -> None:
    lines = requests(3)
    lines.append(
        {"messages": [{"role": "user", "content": "Is Oslo in Norway? Answer yes or no."}], "model": "gpt-4o", "frugal": {"tenant": "a"}}
    )
    write_lines(folder / "in.jsonl", lines)
    said = cli.json(*RUN)
    written = {one["line"]: one for one in read_lines(folder / "out.jsonl")}
    assert said["answered"] == said["done"] == 4
    assert [written[n]["custom_id"] for n in (1, 2, 3)] == ["q0", "q1", "q2"]
    assert "custom_id" not in written[4]
    assert written[4]["response"]["object"] == "chat.completion"
    assert written[4]["frugal"]["model"].startswith("gpt-4o-mini")
    assert "yes_no (rules) needs simple" in written[4]["frugal"]["why"]
    assert {one["frugal"]["cache"] for one in written.values()} == {"miss"}


def test_the_dollars_are_the_ledgers(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", requests(3))
    ran = cli.json(*RUN)
    report = cli.json("report", "--ledger", ran["ledger"])
    assert ran["actual_usd"] == report["actual_usd"] > 0
    assert ran["baseline_usd"] == report["baseline_usd"]


def test_made_up_answers_touch_neither_the_real_ledger_nor_the_real_cache(cli: Cli, folder: Path) -> None:
    (folder / "recipe.yaml").write_text(RECIPE.replace("cache: {}", "cache: {path: answers.sqlite}"))
    write_lines(folder / "in.jsonl", requests(1))
    assert cli.json(*RUN)["ledger"] == "ledger-sandbox.sqlite"
    assert not (folder / "ledger.sqlite").exists()
    assert not (folder / "answers.sqlite").exists()


def test_the_same_question_is_answered_from_the_store(cli: Cli, folder: Path) -> None:
    body = {"messages": [{"role": "user", "content": "Where is the shelf?"}]}
    write_lines(folder / "in.jsonl", [body, body])
    cli.json(*RUN, "--concurrency", "1")
    first, second = read_lines(folder / "out.jsonl")
    assert (first["frugal"]["cache"], second["frugal"]["cache"]) == ("miss", "hit")
    assert second["response"]["choices"][0]["message"]["content"] == first["response"]["choices"][0]["message"]["content"]


def test_recorded_answers_are_used(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", [{"messages": [{"role": "user", "content": "ping"}]}])
    write_lines(folder / "recorded.jsonl", [{"user": "ping", "outputs": {"*": "pong"}}])
    cli.json(*RUN, "--recorded", "recorded.jsonl")
    assert read_lines(folder / "out.jsonl")[0]["response"]["choices"][0]["message"]["content"] == "pong"


def test_requests_come_from_stdin_too_and_a_stream_is_answered_whole(cli: Cli, folder: Path) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "stream": True, "stream_options": {"include_usage": True}}
    cli.json("run", "recipe.yaml", "--input", "-", "--output", "out.jsonl", given=json.dumps(body))
    assert read_lines(folder / "out.jsonl")[0]["response"]["object"] == "chat.completion"


def test_a_finished_run_asks_nothing_again(cli: Cli, folder: Path, slow_sandbox: Start) -> None:
    sandbox = slow_sandbox()
    write_lines(folder / "in.jsonl", requests(4))
    cli.json(*RUN, "--provider", "live")
    before = (folder / "out.jsonl").read_bytes()
    said = cli.json(*RUN, "--provider", "live")
    assert (said["already_done"], said["answered"]) == (4, 0)
    assert len(sandbox.invoice().lines) == 4
    assert (folder / "out.jsonl").read_bytes() == before
    assert not (folder / "out.jsonl.journal").exists() or said["maybe_paid"] == 0


def test_a_longer_input_goes_on_behind_the_old_answers(cli: Cli, folder: Path, slow_sandbox: Start) -> None:
    sandbox = slow_sandbox()
    write_lines(folder / "in.jsonl", requests(5))
    cli.json(*RUN, "--provider", "live", "--limit", "2")
    said = cli.json(*RUN, "--provider", "live")
    assert (said["already_done"], said["answered"]) == (2, 3)
    assert len(sandbox.invoice().lines) == 5


def test_a_half_written_answer_is_dropped_and_asked_again(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", requests(3))
    cli.json(*RUN, "--concurrency", "1")
    whole = (folder / "out.jsonl").read_bytes()
    (folder / "out.jsonl").write_bytes(whole[:-30])
    said = cli.json(*RUN)
    assert (said["already_done"], said["answered"]) == (2, 1)
    assert [one["custom_id"] for one in read_lines(folder / "out.jsonl")] == ["q0", "q1", "q2"]


def test_an_input_that_changed_is_refused_before_anything_is_sent(cli: Cli, folder: Path, slow_sandbox: Start) -> None:
    sandbox = slow_sandbox()
    write_lines(folder / "in.jsonl", requests(2))
    cli.json(*RUN, "--provider", "live")
    write_lines(folder / "in.jsonl", requests(3, start=7))
    said = cli.json(*RUN, "--provider", "live", code=2)
    assert "in.jsonl:1: this line is not the one" in said["stopped"]
    assert "name another --output" in said["stopped"]
    assert len(sandbox.invoice().lines) == 2


def test_a_file_of_someone_else_is_never_written_to(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", requests(1))
    (folder / "out.jsonl").write_text("my notes\n")
    said = cli.json(*RUN, code=2)
    assert "was not written by frugal run" in said["error"]
    assert (folder / "out.jsonl").read_text() == "my notes\n"


BAD_LINES = [
    ('{"messages": [{"role"', "not JSON"),
    ("[1, 2]\n", "list, not an object"),
    ('{"model": "gpt-4o"}\n', "there is no request"),
    ('{"messages": []}\n', "at least one message"),
    ('{"messages": ["hi"]}\n', "messages[0] must be an object with a role"),
    ('{"messages": [{"role": "user", "content": "x"}], "model": 5}\n', "model must be text"),
    ('{"messages": [{"role": "user", "content": "x"}], "api_base": "http://elsewhere"}\n', "api_base does not belong in a request"),
    ('{"custom_id": "q0", "body": {"messages": [{"role": "user", "content": "x"}]}}\n', "custom_id 'q0' was used in line 1 already"),
    ('{"custom_id": 5, "body": {"messages": [{"role": "user", "content": "x"}]}}\n', "custom_id must be text"),
    ('{"url": "/v1/embeddings", "body": {"messages": [{"role": "user", "content": "x"}]}}\n', "is not /v1/chat/completions"),
    ('{"messages": [{"role": "user", "content": NaN}]}\n', "NaN is not JSON"),
    ("[" * 100_000 + "\n", "not JSON"),
]


@pytest.mark.parametrize(("bad", "words"), BAD_LINES)
def test_a_bad_line_stops_the_run_there_with_its_place(cli: Cli, folder: Path, bad: str, words: str) -> None:
    write_lines(folder / "in.jsonl", [*requests(2), bad, *requests(1, start=5)])
    said = cli.json(*RUN, code=2)
    assert said["stopped"].startswith("in.jsonl:3: ")
    assert words in said["stopped"]
    assert "--on-bad-line skip" in said["stopped"]
    assert sorted(one["line"] for one in read_lines(folder / "out.jsonl")) == [1, 2]


def test_a_bad_line_can_be_skipped_and_is_never_lost(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", [*requests(2), "{ half\n", "\n", *requests(1, start=5), '{"messages"'])
    said = cli.json(*RUN, "--on-bad-line", "skip", code=1)
    assert (said["answered"], said["bad_lines"], said["done"]) == (3, 2, 5)
    written = {one["line"]: one for one in read_lines(folder / "out.jsonl")}
    assert sorted(written) == [1, 2, 3, 5, 6]
    assert written[3]["error"]["type"] == "BadLine"
    assert "half-written" in written[6]["error"]["message"]


def test_an_unknown_model_is_an_error_line_and_the_rest_goes_on(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", [*requests(1), *requests(1, model="openai/gpt-nobody", start=1), *requests(1, start=2)])
    said = cli.json(*RUN, code=1)
    assert (said["answered"], said["failed"]) == (2, 1)
    error = {one["line"]: one for one in read_lines(folder / "out.jsonl")}[2]["error"]
    assert error["status"] == 404
    assert "gpt-nobody" in error["message"]


def test_a_rate_limit_is_waited_out(cli: Cli, folder: Path, slow_sandbox: Start) -> None:
    sandbox = slow_sandbox()
    sandbox.faults.add(Fault("rate_limit", times=3, retry_after_seconds=0.1))
    write_lines(folder / "in.jsonl", requests(4))
    said = cli.json(*RUN, "--provider", "live")
    assert said["answered"] == 4
    assert said["retries"] == 3
    assert len(sandbox.invoice().lines) == 4


def test_a_passing_failure_of_the_provider_is_tried_again(cli: Cli, folder: Path, slow_sandbox: Start) -> None:
    sandbox = slow_sandbox()
    sandbox.faults.add(Fault("server_error"), Fault("overloaded"))
    write_lines(folder / "in.jsonl", requests(1))
    assert cli.json(*RUN, "--provider", "live")["retries"] == 2
    assert len(sandbox.invoice().lines) == 1


def test_a_refused_key_stops_at_once_and_names_the_key(cli: Cli, folder: Path, slow_sandbox: Start) -> None:
    sandbox = slow_sandbox(keys=["another"])
    write_lines(folder / "in.jsonl", requests(30))
    said = cli.json(*RUN, "--provider", "live", "--concurrency", "2", code=1)
    assert "refuses the key" in said["stopped"]
    assert said["retries"] == 0
    assert len(sandbox.requests()) <= 3


def test_live_without_a_key_names_the_variable_and_sends_nothing(
    cli: Cli, folder: Path, slow_sandbox: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = slow_sandbox()
    monkeypatch.delenv("OPENAI_API_KEY")
    write_lines(folder / "in.jsonl", requests(2))
    said = cli.json(*RUN, "--provider", "live", code=2)
    assert "OPENAI_API_KEY is not set" in said["error"]
    assert sandbox.requests() == ()
    assert not (folder / "out.jsonl").exists()


def test_a_provider_that_is_down_stops_the_run_and_the_same_command_goes_on(
    cli: Cli, folder: Path, slow_sandbox: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(folder / "in.jsonl", requests(3))
    for name, value in environment("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    ran = cli(*RUN, "--provider", "live", "--concurrency", "1")
    assert ran.exit_code == 1
    assert "cannot be reached" in ran.stderr
    assert "Run the same command again" in ran.stderr
    sandbox = slow_sandbox()
    said = cli.json(*RUN, "--provider", "live")
    assert (said["answered"], said["maybe_paid"]) == (3, 0)
    assert len(sandbox.invoice().lines) == 3


def test_the_run_stops_before_it_could_cost_more_than_allowed(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", requests(40))
    said = cli.json(*RUN, "--max-usd", "0.002", code=1)
    assert 0 < said["answered"] < 40
    assert Decimal(str(said["actual_usd"])) <= Decimal("0.002")
    assert "--max-usd" in said["stopped"]
    assert cli.json(*RUN, "--max-usd", "1")["done"] == 40


def test_a_limit_in_dollars_needs_prices(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", requests(1, model="openai/gpt-nobody"))
    assert "has no known price" in cli.json(*RUN, "--max-usd", "1", code=2)["stopped"]


@pytest.mark.parametrize("written", ["lots", "-1", "1.2.3"])
def test_dollars_are_a_number(cli: Cli, written: str) -> None:
    ran = cli(*RUN, f"--max-usd={written}")
    assert ran.exit_code == 2
    assert "2.50" in ran.stderr


def test_a_full_disk_stops_the_run_and_says_so(cli: Cli, folder: Path) -> None:
    write_lines(folder / "in.jsonl", requests(3))
    ran = cli("run", "recipe.yaml", "--input", "in.jsonl", "--output", "/dev/full", "--concurrency", "1")
    assert ran.exit_code == 1
    assert "No space left on device" in ran.stderr
    assert "free some space" in ran.stderr


def test_a_locked_ledger_costs_rows_and_never_answers(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frugal_plugins.ledger.file._GIVE_UP_SECONDS", 0.2)
    write_lines(folder / "in.jsonl", requests(2))
    cli.json(*RUN, "--limit", "1")
    with sqlite3.connect(folder / "ledger-sandbox.sqlite", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        said = cli.json(*RUN)
        other.execute("ROLLBACK")
    assert said["done"] == 2
    assert said["ledger_rows_lost"] == 1


def test_two_runs_never_write_to_one_output(cli: Cli, folder: Path) -> None:
    from frugal_plugins.cli.delivered import Delivered

    write_lines(folder / "in.jsonl", requests(1))
    with Delivered(folder / "out.jsonl"):
        said = cli.json(*RUN, code=2)
    assert "another frugal run is writing" in said["error"]


def test_the_input_must_be_there(cli: Cli) -> None:
    assert "the input cannot be read" in cli.json(*RUN, code=2)["error"]
