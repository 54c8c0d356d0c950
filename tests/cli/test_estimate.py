"""`frugal estimate` as a user has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frugal_plugins.cli import estimate_command
from tests.cli.conftest import Cli, write_lines
from tests.estimate.conftest import chat


@pytest.fixture
def logs(folder: Path) -> Path:
    records = [chat(f"Answer yes or no: is {n % 9} even?", at=1_793_500_000 + 50_000 * n) for n in range(30)]
    return write_lines(folder / "log.jsonl", records)


def test_from_logs_to_a_recipe_that_passes_check(cli: Cli, logs: Path) -> None:
    ran = cli("estimate", str(logs), "--write-recipe", "fitted.yaml", "--html", "page.html")
    assert ran.exit_code == 0, ran.stderr
    for words in ("raw requests and responses (30)", "at this pace a month", "Where it leaks", "nothing counted", "route"):
        assert words in ran.stdout
    assert "<!doctype html>" in Path("page.html").read_text()
    checked = cli("check", "fitted.yaml")
    assert checked.exit_code == 0
    assert "error" not in checked.stdout
    assert "mode: on" in Path("fitted.yaml").read_text()


def test_json_is_one_object_with_the_figures(cli: Cli, logs: Path) -> None:
    found = cli.json("estimate", str(logs))
    assert found["requests"] == 30
    assert found["spend_usd"] == pytest.approx(30 * 0.0035)
    assert set(found["techniques"]) == {"route", "prompt_cache", "cap", "history", "cache", "batch", "shorten"}
    saved = sum(one["combined_usd"]["likely"] for one in found["techniques"].values() if one["visible"])
    assert saved == pytest.approx(found["spend_usd"] - found["after_usd"]["likely"], abs=1e-6)


def test_a_named_recipe_is_what_is_assumed(cli: Cli, logs: Path) -> None:
    assert cli.json("estimate", str(logs), "--recipe", "recipe.yaml")["plan"]["source"] == "tested"


def test_a_recipe_can_price_what_nobody_knows(cli: Cli, folder: Path) -> None:
    path = write_lines(folder / "own.jsonl", [chat(model="house-7b")])
    ran = cli("estimate", str(path))
    assert ran.exit_code == 2
    assert "house-7b" in ran.stderr
    more = (folder / "recipe.yaml").read_text() + "prices:\n  house-7b: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}\n"
    (folder / "priced.yaml").write_text(more)
    assert cli.json("estimate", str(path), "--recipe", "priced.yaml")["spend_usd"] == pytest.approx(0.0012)


def test_numbers_instead_of_logs(cli: Cli) -> None:
    numbers = ("--requests-per-month", "1000", "--input-tokens", "1000", "--output-tokens", "100")
    found = cli.json("estimate", *numbers, "--model", "gpt-4o=80", "--model", "gpt-4o-mini")
    assert found["month_usd"] == pytest.approx(800 * 0.0035 + 200 * 0.00021)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name log files"),
        (("--model", "gpt-4o"), "--requests-per-month"),
        (("--requests-per-month", "5", "--input-tokens", "5", "--output-tokens", "5", "--model", "a=90"), "not 100"),
        (("--requests-per-month", "5", "--input-tokens", "5", "--output-tokens", "5", "--model", "a=many"), "NAME=PERCENT"),
        (("nothing.jsonl",), "check the path"),
        (("recipe.yaml",), "Expected"),
        (("log.jsonl", "--model", "gpt-4o"), "not both"),
        (("log.jsonl", "--html", "no/where.html"), "does not exist"),
        (("log.jsonl", "--recipe", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be_estimated_is_an_error_that_says_what_to_do(cli: Cli, logs: Path, words: tuple[str, ...], said: str) -> None:
    ran = cli("estimate", *words)
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert ran.stdout == ""


def test_questions_on_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_command, "on_a_terminal", lambda: True)
    ran = cli("estimate", "--json", given="1000\n0\n1000\n100\nnobody-knows\ngpt-4o=50 gpt-4o-mini=50\n")
    assert ran.exit_code == 0, ran.stderr
    printed = ran.stdout[ran.stdout.index("{") :]  # the runner echoes what was typed
    assert json.loads(printed)["month_usd"] == pytest.approx(500 * 0.0035 + 500 * 0.00021)
    assert "at least 1" in ran.stderr
    assert "no known price for nobody-knows" in ran.stderr


def test_bad_lines_are_named_in_the_text(cli: Cli, folder: Path) -> None:
    path = write_lines(folder / "log.jsonl", [chat(), "{half\n"])
    ran = cli("estimate", str(path))
    assert ran.exit_code == 0
    assert "log.jsonl:2: it is not a whole JSON object" in ran.stdout


def test_no_prompt_text_leaves_the_command(cli: Cli, folder: Path) -> None:
    path = write_lines(
        folder / "log.jsonl", [chat("the secret word is heron", system="codename osprey", at=1_793_500_000 + n) for n in range(5)]
    )
    ran = cli("estimate", str(path), "--html", "page.html", "--write-recipe", "fitted.yaml")
    for text in (ran.stdout, ran.stderr, Path("page.html").read_text(), Path("fitted.yaml").read_text()):
        assert "heron" not in text
        assert "osprey" not in text
