"""`frugal evaluate`: rows whose right answer is known, asked of recipes and models and scored; with recorded answers."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frugal_plugins.cli import run_batch
from frugal_plugins.sandbox import Sandbox, VirtualClock
from tests.cli.conftest import Cli, environment, read_lines, write_lines

KINDS = ("refund", "delivery", "praise")


def rows(count: int = 12, *, expected: str = "expected", **frugal: str) -> list[dict[str, Any]]:
    """Messages to sort; every fourth is answered wrongly by the small model, none by the large one."""
    made = []
    for n in range(count):
        asked = [{"role": "user", "content": f"Ticket {n}: is this a refund, delivery or praise?"}]
        made.append({"custom_id": f"t{n}", "body": {"messages": asked}, expected: KINDS[n % 3], "frugal": frugal})
    return made


def recorded(count: int = 12) -> list[dict[str, Any]]:
    return [
        {
            "user": f"Ticket {n}: is this a refund, delivery or praise?",
            "outputs": {"gpt-4o": f"{KINDS[n % 3].title()}.", "gpt-4o-mini": KINDS[n % 3] if n % 4 else "spam"},
        }
        for n in range(count)
    ]


@pytest.fixture
def asked(folder: Path) -> Path:
    write_lines(folder / "rows.jsonl", rows())
    write_lines(folder / "recorded.jsonl", recorded())
    return folder


@pytest.fixture
def live(asked: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A provider whose answers are recorded and whose day passes while nobody sleeps."""
    clock = VirtualClock(time.time())
    with Sandbox(clock=clock, recorded=[asked / "recorded.jsonl"]) as sandbox:
        for name, value in environment(sandbox.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(run_batch, "time", SimpleNamespace(time=clock.now, sleep=clock.advance))
        yield sandbox


WORDS = ("-i", "rows.jsonl", "--recorded", "recorded.jsonl")


def test_two_models_side_by_side_with_ranges_and_cost(cli: Cli, asked: Path) -> None:
    said = cli.json("evaluate", "openai/gpt-4o-mini", "openai/gpt-4o", *WORDS)
    small, large = said["candidates"]
    assert (small["right"], small["rows"], large["right"]) == (9, 12, 12)
    assert small["interval_percent"] == [pytest.approx(46.77, abs=0.01), pytest.approx(91.11, abs=0.01)]
    assert 0 < small["usd"] < large["usd"]
    (pair,) = said["comparisons"]
    assert (pair["only_first"], pair["only_second"], pair["points"], pair["clear"]) == (0, 3, -25.0, False)
    assert [kind["rows"] for kind in small["by_model"].values()] == [12]
    verdicts = read_lines(asked / said["verdicts"])
    assert [one["custom_id"] for one in verdicts] == [f"t{n}" for n in range(12)]
    assert verdicts[0]["candidates"]["openai/gpt-4o-mini"] == {
        "right": False, "why": "expected 'refund'", "answer": "spam", "model": "gpt-4o-mini-2024-07-18",
    }  # fmt: skip


def test_it_leaves_with_1_below_the_minimum_and_when_the_first_is_too_much_worse(cli: Cli, asked: Path) -> None:
    names = ("evaluate", "openai/gpt-4o-mini", "openai/gpt-4o", *WORDS)
    assert cli.json(*names, "--minimum", "75", "--most-drop", "25")["passed"]
    low = cli(*names, "--minimum", "76")
    assert low.exit_code == 1
    assert "openai/gpt-4o-mini has 75.0 % right (46.8 to 91.1), below the minimum of 76 %" in low.stderr
    worse = cli(*names, "--most-drop", "24")
    assert worse.exit_code == 1
    assert "openai/gpt-4o-mini is 25.0 points worse than openai/gpt-4o" in worse.stderr


def test_the_batch_lane_costs_half_and_scores_the_same(cli: Cli, asked: Path) -> None:
    at_once = cli.json("evaluate", "openai/gpt-4o-mini", *WORDS)["candidates"][0]
    batched = cli.json("evaluate", "openai/gpt-4o-mini", *WORDS, "--lane", "batch")["candidates"][0]
    assert batched["right"] == at_once["right"] == 9
    assert batched["usd"] == pytest.approx(at_once["usd"] / 2)


def test_a_recipe_says_what_is_compared_and_a_changed_recipe_is_asked_anew(cli: Cli, asked: Path) -> None:
    recipe = (asked / "recipe.yaml").read_text()
    (asked / "recipe.yaml").write_text(recipe + "evaluate: {expected: label, compare: exact, minimum_percent: 50}\n")
    write_lines(asked / "rows.jsonl", rows(expected="label"))
    first = cli.json("evaluate", "recipe.yaml", *WORDS, code=1)
    assert (first["expected"], first["compare"], first["candidates"][0]["right"]) == ("label", "exact", 0)
    assert (
        cli.json("evaluate", "recipe.yaml", *WORDS, "--compare", "normalised")["candidates"][0]["answers"]
        == first["candidates"][0]["answers"]
    )
    (asked / "recipe.yaml").write_text((asked / "recipe.yaml").read_text().replace("openai/gpt-4o]", "openai/gpt-4o-mini]"))
    changed = cli.json("evaluate", "recipe.yaml", *WORDS)
    assert changed["candidates"][0]["right"] == 9
    assert changed["candidates"][0]["answers"] != first["candidates"][0]["answers"]


def test_the_recipes_cache_neither_answers_nor_learns(cli: Cli, asked: Path, live: Sandbox) -> None:
    same = [one | {"custom_id": f"u{n}"} for n, one in enumerate(rows(3))]
    write_lines(asked / "rows.jsonl", rows(3) + same)
    cli.json("evaluate", "recipe.yaml", "-i", "rows.jsonl", "--provider", "live", "--concurrency", "1")
    assert len(live.invoice().lines) == 6


def test_what_it_says_it_cost_is_what_was_billed_and_a_second_run_pays_nothing(cli: Cli, live: Sandbox) -> None:
    words = ("evaluate", "openai/gpt-4o-mini", "-i", "rows.jsonl", "--judge", "openai/gpt-4o", "--provider", "live", "--yes")
    for lane in ("batch", "realtime"):
        before = live.invoice().total_usd
        said = cli.json(*words, "--lane", lane)["candidates"][0]
        assert said["usd"] > 0
        assert said["judge_usd"] > 0
        assert said["usd"] + said["judge_usd"] == pytest.approx(float(live.invoice().total_usd - before))
        lines = len(live.invoice().lines)
        assert cli.json(*words, "--lane", lane)["candidates"][0] == said
        assert len(live.invoice().lines) == lines


def test_a_judge_is_asked_only_after_its_price_was_agreed_to(cli: Cli, live: Sandbox) -> None:
    refused = cli("evaluate", "openai/gpt-4o-mini", "-i", "rows.jsonl", "--judge", "openai/gpt-4o", "--provider", "live")
    assert refused.exit_code == 2
    assert "To judge: 12 answers by openai/gpt-4o, at most about $0.00" in refused.stderr
    assert "add --yes" in refused.stderr
    assert {line.model for line in live.invoice().lines} == {"gpt-4o-mini"}


def test_answers_that_are_there_are_scored_without_asking(cli: Cli, asked: Path) -> None:
    cli.json("run", "recipe.yaml", *WORDS, "-o", "mine.jsonl")
    said = cli.json("evaluate", "--answers", "mine.jsonl", "-i", "rows.jsonl")
    assert said["candidates"][0]["name"] == "mine"
    assert said["candidates"][0]["right"] == 12
    lines = (asked / "mine.jsonl").read_text().splitlines(keepends=True)
    (asked / "short.jsonl").write_text("".join(lines[:-2]))
    short = cli.json("evaluate", "--answers", "mine.jsonl", "--answers", "short.jsonl", "-i", "rows.jsonl")
    assert [one["unanswered"] for one in short["candidates"]] == [0, 2]
    assert short["comparisons"][0]["only_first"] == 2


def test_json_answers_are_scored_by_field_and_rows_may_be_variables_of_the_pipeline(cli: Cli, folder: Path) -> None:
    write_lines(folder / "rows.jsonl", [{"text": f"Invoice {n}", "expected": {"invoice_number": str(n)}} for n in range(3)])
    said = cli.json("evaluate", "extract", "-i", "rows.jsonl", "--field", "invoice_number")
    assert said["candidates"][0]["by_field"]["invoice_number"]["rows"] == 3
    assert said["candidates"][0]["by_task"]


def test_tables_keep_the_right_answer_as_it_is_written(cli: Cli, folder: Path) -> None:
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "prompt", "code"], ["a", "Say the code.", "0012"]])
    write_lines(folder / "recorded.jsonl", [{"user": "Say the code.", "outputs": {"gpt-4o": "0012"}}])
    words = ("evaluate", "openai/gpt-4o", "-i", "rows.csv", "--expected", "code", "--compare", "exact", "--recorded", "recorded.jsonl")
    assert cli.json(*words)["candidates"][0]["right"] == 1


def test_a_row_may_be_a_prompt_with_its_right_answer(cli: Cli, folder: Path) -> None:
    write_lines(folder / "rows.jsonl", [{"prompt": "Say the code.", "system": "You are brief.", "expected": "0012"}])
    write_lines(folder / "recorded.jsonl", [{"user": "Say the code.", "system_contains": "brief", "outputs": {"gpt-4o": "0012"}}])
    assert cli.json("evaluate", "openai/gpt-4o", *WORDS)["candidates"][0]["right"] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("openai/gpt-4o", "-i", "rows.jsonl", "--expected", "gold"), "rows.jsonl:1: there is no 'gold' with the right answer"),
        (("-i", "rows.jsonl"), "name what is evaluated"),
        (("openai/gpt-4o", "-i", "rows.jsonl", "--answers", "rows.jsonl"), "not both"),
        (("--answers", "rows.jsonl", "-i", "rows.jsonl"), "this is not a line of answers"),
        (("suport", "-i", "rows.jsonl"), "did you mean 'support'"),
        (("--answers", "none.jsonl", "-i", "rows.jsonl"), "the answers cannot be read"),
    ],
)
def test_what_cannot_be_evaluated_is_named(cli: Cli, asked: Path, words: tuple[str, ...], says: str) -> None:
    ran = cli("evaluate", *words)
    assert ran.exit_code == 2
    assert says in " ".join(ran.stderr.split())


def test_a_dollar_limit_holds_for_all_candidates_together(cli: Cli, live: Sandbox) -> None:
    words = ("-i", "rows.jsonl", "--provider", "live", "--concurrency", "1")
    small = cli.json("evaluate", "openai/gpt-4o-mini", *words)["candidates"][0]["usd"]
    ran = cli(
        "evaluate", "openai/gpt-4o-mini", "openai/gpt-4o", *words, "--folder", "again", "--max-usd", str(round(small * 1.5 + 0.01, 6))
    )
    assert ran.exit_code == 1
    assert "could cross --max-usd" in ran.stderr
    billed = live.invoice().by_model()
    assert float(billed["gpt-4o-mini"]) == pytest.approx(2 * small)
    assert len([line for line in live.invoice().lines if line.model == "gpt-4o"]) < 12


def test_batches_of_several_candidates_run_side_by_side(cli: Cli, live: Sandbox) -> None:
    words = ("evaluate", "openai/gpt-4o-mini", "openai/gpt-4o", "-i", "rows.jsonl", "--provider", "live", "--lane", "batch")
    said = cli.json(*words, "--judge", "openai/gpt-4o-mini", "--yes")
    asked = [request.path for request in live.requests() if request.path == "/v1/batches" or request.path.startswith("/v1/batches/")]
    assert [one["rows"] for one in said["candidates"]] == [12, 12]
    made = [place for place, path in enumerate(asked) if path == "/v1/batches"]
    assert made[:2] == [0, 1], "both are handed in before either is looked at"
    assert made[3] == made[2] + 1, "and so are both for the judge"
    assert len(live.invoice().lines) == 48


def limited(folder: Path) -> None:
    """Rows that say how long an answer may get: their worst case is known."""
    write_lines(folder / "rows.jsonl", [{**one, "body": {**one["body"], "max_tokens": 20}} for one in rows()])


def test_under_a_limit_batches_of_several_candidates_run_side_by_side_too(cli: Cli, live: Sandbox, asked: Path) -> None:
    limited(asked)
    words = ("evaluate", "openai/gpt-4o-mini", "openai/gpt-4o", "-i", "rows.jsonl", "--provider", "live", "--lane", "batch")
    said = cli.json(*words, "--judge", "openai/gpt-4o-mini", "--yes", "--max-usd", "0.05")
    paths = [request.path for request in live.requests() if request.path == "/v1/batches" or request.path.startswith("/v1/batches/")]
    made = [place for place, path in enumerate(paths) if path == "/v1/batches"]
    assert (made[:2], made[3] - made[2]) == ([0, 1], 1), "both are handed in before either is looked at, and so are both for the judge"
    assert [one["rows"] for one in said["candidates"]] == [12, 12]
    assert live.invoice().total_usd <= Decimal("0.05")


def test_what_one_candidate_leaves_over_is_another_ones(cli: Cli, live: Sandbox, asked: Path) -> None:
    limited(asked)
    words = ("evaluate", "openai/gpt-4o", "openai/gpt-4.1", "-i", "rows.jsonl", "--provider", "live", "--lane", "batch", "--max-usd")
    plan = Decimal(str(cli.json("batch", "plan", str(model_recipe(asked)), "-i", "rows.jsonl")["at_most_usd"]))
    limit = plan * Decimal("1.3")  # the worst of both does not fit, what they come to does
    said = cli.json(*words, str(limit))
    assert [(one["rows"], one["unanswered"]) for one in said["candidates"]] == [(12, 0), (12, 0)]
    assert plan / 2 < live.invoice().total_usd <= limit
    small = cli(*words, str(plan / 3), "--folder", "again")
    assert small.exit_code == 1
    assert "could cross --max-usd" in small.stderr
    before = live.invoice().total_usd
    assert before <= limit + plan / 3
    again = cli.json(*words, "1", "--folder", "again")
    assert [one["unanswered"] for one in again["candidates"]] == [0, 0]
    assert len(live.invoice().lines) == 48, "what was answered before the limit is not asked again"


def model_recipe(folder: Path) -> Path:
    path = folder / "alone.yaml"
    path.write_text("recipe: alone\ntiers: {one: {models: [openai/gpt-4o]}}\nledger: {path: off}\n")
    return path


def test_interrupted_under_a_limit_it_goes_on_and_pays_nothing_twice(
    cli: Cli, live: Sandbox, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(asked)
    words = ("evaluate", "openai/gpt-4o-mini", "openai/gpt-4o", "-i", "rows.jsonl", "--provider", "live", "--lane", "batch")

    def ctrl_c(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(run_batch.time, "sleep", ctrl_c)
        assert cli(*words, "--max-usd", "0.05").exit_code == 130
    said = cli.json(*words, "--max-usd", "0.05")
    assert [one["unanswered"] for one in said["candidates"]] == [0, 0]
    assert len(live.invoice().lines) == 24


def test_the_report_is_the_same_however_many_are_in_flight(cli: Cli, live: Sandbox, asked: Path) -> None:
    limited(asked)
    words = ("evaluate", "openai/gpt-4o-mini", "openai/gpt-4o", "-i", "rows.jsonl", "--provider", "live", "--max-usd", "0.05")
    found = []
    for folder, many in (("one", "1"), ("many", "8")):
        said = cli.json(*words, "--concurrency", many, "--folder", folder)
        verdicts = (asked / said.pop("verdicts")).read_text()
        found.append(([{**one, "answers": None} for one in said["candidates"]], said["comparisons"], verdicts))
    assert found[0] == found[1]
    assert live.invoice().total_usd <= Decimal("0.1")


def test_a_file_given_as_the_folder_is_named(cli: Cli, folder: Path) -> None:
    (folder / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "Is 2 even?"}], "expected": "Yes"}\n')
    said = cli.json("evaluate", "openai/gpt-4o", "--input", "rows.jsonl", "--folder", "rows.jsonl", code=2)["error"]
    assert said == "--folder rows.jsonl is a file; name a folder for the answers and verdicts"
