"""The command line as a whole: help, version, errors, exit codes, JSON, no heavy imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from frugal_plugins import __version__
from frugal_plugins.cli.app import commands
from tests.cli.conftest import ROOT, Cli, frugal, requests, write_lines

NAMES = list(commands())


def test_the_version_is_the_packages(cli: Cli) -> None:
    assert cli("--version").stdout.strip() == f"frugal-plugins {__version__}"


def test_help_names_every_command(cli: Cli) -> None:
    text = cli("--help").stdout
    assert {"try", "run", "check", "explain", "estimate", "report", "calibrate", "feedback", "shorten", "schema", "sandbox"} <= set(NAMES)
    assert all(name in text for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_for_itself_and_its_options(cli: Cli, name: str) -> None:
    ran = cli(name, "--help")
    assert ran.exit_code == 0
    assert f"frugal {name}" in ran.stdout
    assert "--json" in ran.stdout


def test_no_arguments_show_the_help(cli: Cli) -> None:
    assert "Usage" in cli().output


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from frugal_plugins.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'litellm', 'plotly', 'numpy', 'torch', 'openai', 'pydantic', 'starlette', 'httpx'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "HEAVY []" in ran.stdout


def test_an_error_is_one_line_without_a_traceback(cli: Cli) -> None:
    ran = cli("explain", "there-is-no-such.json")
    assert ran.exit_code == 2
    assert ran.stderr.count("\n") == 1
    assert "frugal: there-is-no-such.json: the request cannot be read" in ran.stderr
    assert ran.stdout == ""


def test_debug_shows_the_traceback_wherever_it_is_written(folder: Path) -> None:
    process = frugal(folder, "explain", "nothing.json", "--debug")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" in said
    assert "InputError" in said


def test_an_error_under_json_is_one_object(cli: Cli) -> None:
    found = cli.json("report", code=2)
    assert found["exit_code"] == 2
    assert "there is no ledger" in found["error"]


@pytest.mark.parametrize("name", ["check", "explain", "schema", "report", "run"])
def test_json_is_one_object_on_stdout(cli: Cli, folder: Path, name: str) -> None:
    write_lines(folder / "in.jsonl", requests(2))
    run = ["run", "recipe.yaml", "--input", "in.jsonl", "--output", "out.jsonl"]
    cli.json(*run)
    write_lines(folder / "one.json", requests(1))
    words = {
        "check": ["check", "recipe.yaml"],
        "explain": ["explain", "one.json", "--recipe", "recipe.yaml"],
        "schema": ["schema"],
        "report": ["report", "--ledger", "ledger-sandbox.sqlite"],
        "run": run,
    }
    assert cli.json(*words[name])


def test_a_reader_that_leaves_early_is_no_error_with_a_traceback(folder: Path) -> None:
    process = frugal(folder, "schema")
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert "Traceback" not in said


def test_the_help_texts_are_the_same_every_time() -> None:
    words = [sys.executable, "-m", "frugal_plugins.cli.help_texts"]
    first, second = (subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second
    assert all(f"$ frugal {name} --help" in first for name in NAMES)
    assert "\x1b" not in first
    assert max(map(len, first.splitlines())) <= 100


def test_the_schema_is_the_shipped_one(cli: Cli, folder: Path) -> None:
    printed = cli("schema").stdout
    assert json.loads(printed)["title"] == "A frugal-plugins recipe"
    assert cli("schema", "--output", "mine.json").exit_code == 0
    assert (folder / "mine.json").read_text() == printed


def test_a_long_line_is_never_cut_off(cli: Cli, folder: Path) -> None:
    """A path or a reason that lacks its end is worse than one that goes on in the next line."""
    far = folder / ("a_folder_with_a_long_name_" * 6)
    far.mkdir()
    recipe = far / "recipe.yaml"
    recipe.write_text((folder / "recipe.yaml").read_text())
    assert str(recipe) in cli("check", str(recipe)).stdout
