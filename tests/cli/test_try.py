"""`frugal try`: the month, without and with a recipe, to the last digit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.cli.trial import START_UNIX_SECONDS, run_trial
from frugal_plugins.workload import load_month
from tests.cli.conftest import ROOT, Cli

KEYS = (
    "requests",
    "baseline_usd",
    "actual_usd",
    "saved_percent",
    "techniques",
    "ledger_minus_invoice_usd",
    "wrong_answers",
    "stood_down",
    "tier_share",
)


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The whole month once, for all tests that only read."""
    folder = tmp_path_factory.mktemp("month")
    before = dict(os.environ)
    shown: list[tuple[str, int]] = []
    trial = run_trial("support", load_month(), folder / "ledger.sqlite", lambda name, done: shown.append((name, done)))
    return {"trial": trial, "environment": (before, dict(os.environ)), "shown": shown}


def test_the_ledger_agrees_with_the_invoice_call_by_call(month: dict[str, Any]) -> None:
    checked = month["trial"].evidence.reconciliation
    assert checked.agrees
    assert checked.difference_usd == 0
    assert checked.ledger_calls == checked.invoice_lines > 100


def test_the_saving_is_the_difference_of_the_two_invoices(month: dict[str, Any]) -> None:
    trial = month["trial"]
    summary = trial.evidence.summary
    assert summary.baseline_usd == trial.baseline_invoice.total_usd
    assert summary.actual_usd == trial.invoice.total_usd
    assert sum(line.saved_usd for line in summary.techniques) == summary.saved_usd > 0


def test_no_answer_that_was_right_is_wrong_with_the_recipe(month: dict[str, Any]) -> None:
    assert month["trial"].evidence.wrong_answers == ()
    assert month["trial"].errors == 0
    assert month["trial"].passed


def test_nearly_every_answer_is_right_without_the_recipe(month: dict[str, Any]) -> None:
    assert month["trial"].evidence.wrong_in_baseline <= len(load_month()) // 50


def test_the_ledgers_own_estimate_is_close_to_what_was_measured(month: dict[str, Any]) -> None:
    evidence = month["trial"].evidence
    assert evidence.estimated_usd is not None
    assert abs(evidence.estimated_usd - evidence.summary.baseline_usd) < evidence.summary.baseline_usd / 10
    assert evidence.summary.measured > evidence.summary.requests * 0.9


def test_every_answer_has_a_tier(month: dict[str, Any]) -> None:
    assert sum(month["trial"].tier_share.values()) == pytest.approx(100, abs=0.1)


def test_the_month_passes_in_its_own_time(month: dict[str, Any]) -> None:
    first, last = (month["trial"].invoice.lines[at].at_unix_seconds - START_UNIX_SECONDS for at in (0, -1))
    items = load_month()
    assert items[0].at_seconds <= first < 86_400
    assert 20 * 86_400 < last <= items[-1].at_seconds


def test_each_tenant_has_a_key_of_its_own(month: dict[str, Any]) -> None:
    tenants = {item.frugal["tenant"] for item in load_month()}
    assert len({line.key for line in month["trial"].invoice.lines}) == len(tenants) > 1


def test_both_passes_are_shown_request_by_request(month: dict[str, Any]) -> None:
    count = len(load_month())
    assert month["shown"] == [(name, n) for name in ("without the recipe", "with the recipe") for n in range(1, count + 1)]


def test_the_environment_is_as_it_was(month: dict[str, Any]) -> None:
    before, after = month["environment"]
    mine = {name for name in before.keys() | after.keys() if name.startswith(("OPENAI", "ANTHROPIC", "FRUGAL"))}
    assert {name: before.get(name) for name in mine} == {name: after.get(name) for name in mine}


def test_the_command_prints_what_it_promises(cli: Cli, folder: Path) -> None:
    said = cli.json("try", "--limit", "40")
    assert list(said)[: len(KEYS)] == list(KEYS)
    assert said["requests"] == 40
    assert said["ledger_minus_invoice_usd"] == said["wrong_answers"] == said["calls_unmatched"] == 0
    assert set(said["tier_share"]) == {"simple", "standard", "complex"}
    assert said["baseline_usd"] == said["baseline_invoice_usd"]
    assert (folder / "frugal-report.html").stat().st_size > 1_000_000
    report = cli.json("report", "--ledger", said["ledger"])
    assert report["actual_usd"] == said["actual_usd"]


def test_the_command_in_words_shows_reasons_and_the_next_step(cli: Cli) -> None:
    text = cli("try", "--limit", "40", "--no-html").stdout
    assert "ledger minus invoice" in text
    assert "they agree" in text
    assert "Three examples" in text
    assert "frugal report --ledger frugal-try.sqlite --requests" in text
    assert "frugal-report.html" not in text


def test_twice_is_the_same_twice(cli: Cli) -> None:
    first, second = (cli.json("try", "--limit", "30", "--no-html") for _ in range(2))
    assert first == second


def test_a_ledger_of_the_user_is_never_overwritten(cli: Cli, folder: Path) -> None:
    (folder / "mine.sqlite").write_text("precious")
    assert "exists" in cli.json("try", "--ledger", "mine.sqlite", code=2)["error"]
    assert (folder / "mine.sqlite").read_text() == "precious"


@pytest.mark.parametrize("name", ["embed", "off.yaml"])
def test_a_recipe_without_a_technique_has_nothing_to_be_tried(cli: Cli, folder: Path, name: str) -> None:
    (folder / "off.yaml").write_text("mode: off\n" + (folder / "recipe.yaml").read_text())
    assert "has no technique on, so there is nothing to compare" in cli.json("try", "--recipe", name, code=2)["error"]


def test_a_recipe_that_makes_answers_worse_is_found_out(cli: Cli, folder: Path) -> None:
    (folder / "greedy.yaml").write_text(
        "tiers:\n  simple: {models: [openai/gpt-4o-mini, anthropic/claude-haiku-4-5]}\n"
        "  standard: {models: [openai/gpt-4o, anthropic/claude-sonnet-4-5]}\n"
        "  complex: {models: [openai/o3-mini, anthropic/claude-opus-4-5]}\n"
        "tasks:\n" + "".join(f"  {name}: {{tier: simple}}\n" for name in ("reasoning", "code", "document", "drafting")) + "route: {}\n"
    )
    said = cli.json("try", "--recipe", "greedy.yaml", "--no-html", code=1)
    assert said["wrong_answers"] == len(said["wrong"]) > 0
    assert "route simple" in said["wrong"][0]["why"]
    assert said["ledger_minus_invoice_usd"] == 0


def test_without_the_sandboxs_packages_it_says_what_to_install(folder: Path) -> None:
    """A plain `pip install frugal-plugins` has no web server; the first command a new user types must not be a traceback."""
    without = (
        "import importlib.machinery as m, sys; find = m.PathFinder.find_spec; "
        "m.PathFinder.find_spec = classmethod(lambda c, name, *a: None if name in ('uvicorn', 'starlette') else find(name, *a)); "
        "from frugal_plugins.cli import main; sys.argv = ['frugal', 'try', '--quick']; main()"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", without], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == "frugal: starlette is not installed. Install it with: pip install 'frugal-plugins[sandbox]'\n"
