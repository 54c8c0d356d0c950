"""`frugal calibrate` and `frugal feedback`: from labels to a file the recipe names, with the price of labels said first."""

from __future__ import annotations

import inspect
import json
import random
import sqlite3
from pathlib import Path

import pytest

from frugal_plugins import Recipe
from frugal_plugins.calibrate.fit import CONFIDENCE
from frugal_plugins.cli import learning_commands
from frugal_plugins.learned.artifact import read_ladder
from tests.chromium import CONTRAST, PATIENCE_MS, PHONE, chromium, too_wide
from tests.cli.conftest import ROOT, Cli

OWN = """\
recipe: own
tiers:
  simple: {models: [openai/gpt-4o-mini]}
  standard: {models: [openai/gpt-4o]}
route: {outcomes: outcomes.sqlite}
ledger: {path: ledger.sqlite}
"""


@pytest.fixture
def own(folder: Path) -> Path:
    (folder / "own.yaml").write_text(OWN)
    return folder


def labels(folder: Path, count: int) -> Path:
    """Sums the cheap model can do and proofs it cannot."""
    dice = random.Random(3)
    rows = []
    for _ in range(count):
        n, m, hard = dice.randint(3, 99), dice.randint(3, 99), dice.random() < 0.5
        prompt = f"Prove that every group of order {n} with {m} subgroups is solvable." if hard else f"What is {n} plus {m}?"
        cheap = dice.random() < (0.2 if hard else 0.97)
        rows.append({"prompt": prompt, "scores": {"gpt-4o-mini": cheap, "openai/gpt-4o": dice.random() < 0.97}})
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "labels.jsonl"


def test_labels_become_a_file_the_recipe_can_name_and_explain_uses_it(cli: Cli, own: Path) -> None:
    labels(own, 240)
    said = cli.json("calibrate", "own.yaml", "--labels", "labels.jsonl")
    assert said["rows"] == 240
    assert said["models"] == ["openai/gpt-4o-mini", "openai/gpt-4o"]
    line = next(line for line in said["held_out"] if line["keep_percent"] == 95)
    assert line["saving_percent"] > 25
    assert line["kept_interval"][0] <= line["kept_percent"] <= line["kept_interval"][1]
    assert read_ladder(said["output"]).rows == 240
    (own / "own.yaml").write_text(OWN.replace("outcomes:", "learned: own-ladder.json, outcomes:"))
    for prompt, model in (
        ("What is 12 plus 30?", "openai/gpt-4o-mini"),
        ("Prove that every group of order 8 is solvable.", "openai/gpt-4o"),
    ):
        (own / "r.json").write_text(json.dumps({"model": "own", "messages": [{"role": "user", "content": prompt}]}))
        assert cli.json("explain", "r.json", "--recipe", "own.yaml")["sent"]["model"] == model
        assert cli("explain", "r.json", "--recipe", "own.yaml").exit_code == 0


def test_too_few_labels_are_said_and_nothing_is_written(cli: Cli, own: Path) -> None:
    labels(own, 12)
    ran = cli("calibrate", "own.yaml", "--labels", "labels.jsonl")
    assert ran.exit_code == 2
    assert "200 requests with a verdict" in ran.stderr
    assert "gpt-4o-mini 12" in ran.stderr
    assert not (own / "own-ladder.json").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "labels.jsonl:1: the line is not JSON"),
        ('{"prompt": "x"}', 'labels.jsonl:1: a row needs "prompt"'),
        ('{"prompt": "x", "scores": {"gpt-4o": 3}}', "labels.jsonl:1: the score of gpt-4o is 3"),
        ("", "no labels in this file"),
    ],
)
def test_a_bad_line_is_named(cli: Cli, own: Path, text: str, words: str) -> None:
    (own / "labels.jsonl").write_text(text)
    ran = cli("calibrate", "own.yaml", "--labels", "labels.jsonl")
    assert ran.exit_code == 2
    assert words in ran.stderr


def test_what_is_missing_is_named_with_its_remedy(cli: Cli, own: Path, folder: Path) -> None:
    assert "--judge" in cli("calibrate", "own.yaml").stderr
    assert "route: {outcomes:" in cli("calibrate", "recipe.yaml").stderr
    assert "--requests" in cli("calibrate", "own.yaml", "--judge", "5").stderr
    assert "in no tier" in cli("calibrate", "own.yaml", "--labels", str(labels(own, 3)), "--model", "openai/o1").stderr


def requests(folder: Path, count: int) -> None:
    lines = [{"messages": [{"role": "user", "content": f"Tell me about lamp number {n}, please."}]} for n in range(count)]
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_rehearsal_of_the_judge_labels_only_its_own_file_and_goes_on_where_it_stopped(cli: Cli, own: Path) -> None:
    requests(own, 30)
    few = cli("calibrate", "own.yaml", "--judge", "10", "--requests", "requests.jsonl")
    assert few.exit_code == 2
    assert "20 answers to 10 requests from gpt-4o-mini, gpt-4o, each judged by gpt-4o: about $" in few.stderr
    assert "openai/gpt-4o" not in few.stdout
    assert not (own / "outcomes.sqlite").exists()
    more = cli("calibrate", "own.yaml", "--judge", "12", "--requests", "requests.jsonl")
    assert "4 answers to 2 requests" in more.stderr
    with sqlite3.connect(own / "outcomes-sandbox.sqlite") as store:
        assert store.execute("SELECT count(*) FROM verdicts WHERE voice = 'judge'").fetchone() == (24,)
        assert "lamp" not in "".join(store.iterdump())
    with sqlite3.connect(own / "ledger-sandbox.sqlite") as ledger:
        rows = ledger.execute("SELECT count(*), sum(technique = 'route'), sum(purpose = 'judge'), sum(picousd > 0) FROM calls").fetchone()
        assert rows == (48, 48, 48, 48)
        paid = ledger.execute("SELECT sum(picousd) FROM calls").fetchone()[0]
        assert ledger.execute("SELECT technique, sum(picousd) FROM savings GROUP BY 1").fetchall() == [("route", -paid)]


def test_nothing_is_paid_before_somebody_agreed(cli: Cli, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests(own, 3)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nobody")
    ran = cli("calibrate", "own.yaml", "--judge", "3", "--requests", "requests.jsonl", "--provider", "live")
    assert ran.exit_code == 2
    assert "add --yes" in ran.stderr
    assert "Nothing was sent" in ran.stderr


def test_feedback_is_heard_by_the_ledger_and_the_store_of_outcomes(cli: Cli, own: Path) -> None:
    from frugal_plugins.drivers import drive
    from tests.support import ask_for, reply_with

    recipe = Recipe.load("own.yaml")
    flow, ctx = recipe.flow(ask_for())
    drive(flow, ctx, lambda call: reply_with("Yes.", model=call.request.model))
    recipe.close()
    said = cli.json("feedback", "own.yaml", ctx.id, "--bad")
    assert said == {"request_id": ctx.id, "good": 0.0, "in_ledger": True, "in_outcomes": True, "answer_rejected": False}
    assert "The ledger has it." in cli("feedback", "own.yaml", ctx.id, "--bad").stdout
    unknown = cli("feedback", "own.yaml", "nobody", "--good").stdout
    assert "learns nothing" in unknown
    assert "has no request nobody: check the id" in unknown
    assert "nobody who can give a verdict" in cli("feedback", "own.yaml", ctx.id, "--good", "--source", "boss").stderr


def test_the_page_has_the_reports_look_and_the_figures_of_the_terminal(cli: Cli, own: Path) -> None:
    labels(own, 240)
    said = cli.json("calibrate", "own.yaml", "--labels", "labels.jsonl", "--html", "page.html")
    page = (own / "page.html").read_text()
    for line in said["held_out"]:
        assert f"<dt>saved, keeping {line['keep_percent']:g} %</dt><dd>{line['saving_percent']:.1f} %</dd>" in page
    assert "default-src 'none'" in page
    with chromium() as browser:
        shown = browser.new_context(viewport=PHONE, color_scheme="dark").new_page()  # type: ignore[arg-type]
        shown.set_default_timeout(PATIENCE_MS)
        shown.goto((own / "page.html").as_uri())
        assert too_wide(shown) <= 0
        assert shown.evaluate(CONTRAST) == []
        assert shown.locator("#plot-targets svg").count() > 0


def test_the_command_is_as_sure_as_the_library_and_the_readme_say() -> None:
    """What a target is worth must not depend on whether it was typed or called."""
    option = inspect.signature(learning_commands.calibrate).parameters["confidence"]
    assert option.default == CONFIDENCE
    assert f"with {CONFIDENCE:.0%} confidence".replace("%", " %") in (ROOT / "README.md").read_text()
