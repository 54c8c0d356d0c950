"""The command line as a user has it: in this process for most tests, in one of its own where signals and kills matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from frugal_plugins.cli.app import app
from frugal_plugins.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]

RECIPE = """\
recipe: tested
tiers:
  simple: {models: [openai/gpt-4o-mini]}
  standard: {models: [openai/gpt-4o]}
tasks:
  yes_no: {tier: simple, output_tokens: 40}
cache: {}
route: {}
cap: {}
ledger: {path: ledger.sqlite}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own, with a recipe in it and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    for name in ("FRUGAL_LEDGER", "FRUGAL_OFF", "FRUGAL_MODE", "FRUGAL_RECIPE", "OPENAI_API_BASE", "ANTHROPIC_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


@dataclass(frozen=True)
class Cli:
    """`frugal` in this process."""

    runner: CliRunner

    def __call__(self, *words: str, given: str | None = None) -> Result:
        return self.runner.invoke(app, words, input=given)

    def json(self, *words: str, code: int = 0, given: str | None = None) -> dict[str, Any]:
        """Run with --json; stdout is one object and nothing else."""
        ran = self(*words, "--json", given=given)
        assert ran.exit_code == code, ran.stderr + ran.stdout
        found = json.loads(ran.stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def cli() -> Cli:
    return Cli(CliRunner())


def requests(count: int, *, model: str | None = "gpt-4o", start: int = 0) -> list[dict[str, Any]]:
    """Different questions in the batch form, each with its own id."""
    named = {"model": model} if model else {}
    return [
        {
            "custom_id": f"q{number}",
            "body": {
                **named,
                "messages": [{"role": "user", "content": f"Question number {number}: which shelf is it on?"}],
                "max_tokens": 20,
            },
        }
        for number in range(start, start + count)
    ]


def write_lines(path: Path, lines: Sequence[Mapping[str, Any] | str]) -> Path:
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def environment(sandbox_url: str) -> dict[str, str]:
    """What a user with keys has set, pointing at a provider on loopback."""
    return {
        "OPENAI_API_KEY": "k",
        "ANTHROPIC_API_KEY": "k",
        "OPENAI_BASE_URL": f"{sandbox_url}/v1",
        "ANTHROPIC_API_BASE": sandbox_url,
        "NO_COLOR": "1",
    }


def frugal(folder: Path, *words: str, url: str = "http://127.0.0.1:9") -> subprocess.Popen[str]:
    """`frugal` in a process of its own."""
    env = {**os.environ, **environment(url), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "frugal_plugins.cli", *words],
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@dataclass(frozen=True)
class Provider:
    """A sandbox in another process; its bill outlives whoever is billed."""

    url: str

    def invoice(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_sandbox/invoice") as response:
            return dict(json.load(response))

    def bodies(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/_sandbox/requests") as response:
            return [one["body"] for one in json.load(response)["requests"] if one["method"] == "POST"]


@pytest.fixture
def provider(folder: Path) -> Iterator[Provider]:
    """`frugal sandbox` on a free port."""
    process = frugal(folder, "sandbox", "--port", "0", "--json")
    assert process.stdout is not None
    text = ""
    while not text.rstrip().endswith("}"):
        text += process.stdout.readline()
    yield Provider(json.loads(text)["anthropic_base_url"])
    process.terminate()
    process.wait(10)
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()


@pytest.fixture
def slow_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sandbox]]:
    """A sandbox of this process whose answers take a moment, reached with `--provider live`."""
    running: list[Sandbox] = []

    def start(**how: Any) -> Sandbox:
        sandbox = Sandbox(**how).start()
        running.append(sandbox)
        for name, value in environment(sandbox.url).items():
            monkeypatch.setenv(name, value)
        return sandbox

    yield start
    for sandbox in running:
        sandbox.stop()
