"""What the README says is what happens: its code runs against the sandbox, its recipe loads, its help texts are the program's."""

from __future__ import annotations

import doctest
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from frugal_plugins import Recipe
from frugal_plugins.cli.help_texts import help_texts
from frugal_plugins.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def at_the_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sandbox: Sandbox) -> Sandbox:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRUGAL_LEDGER", str(tmp_path / "ledger.sqlite"))
    for provider, url in (("OPENAI", sandbox.openai_base_url), ("ANTHROPIC", sandbox.anthropic_base_url)):
        monkeypatch.setenv(f"{provider}_API_KEY", "sk-readme")
        monkeypatch.setenv(f"{provider}_API_BASE", url)
        monkeypatch.setenv(f"{provider}_BASE_URL", url)
    return sandbox


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[0])
def test_every_python_block_runs(code: str, at_the_sandbox: Sandbox) -> None:
    from frugal_plugins.litellm import uninstall

    try:
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    finally:
        uninstall()


def test_the_litellm_example_is_answered_by_the_model_it_says(at_the_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from frugal_plugins.litellm import uninstall

    monkeypatch.setattr("frugal_plugins.recipe.recipe.Recipe.group_of", lambda *_: "treated")  # the control group is drawn by lot
    code = next(block for block in blocks("python") if "install(" in block)
    try:
        exec(code, {})
    finally:
        uninstall()
    assert [line.model for line in at_the_sandbox.invoice().lines] == ["gpt-4o-mini"]


def test_the_recipe_in_the_readme_loads_and_the_proxy_lines_are_yaml() -> None:
    import yaml

    for text in blocks("yaml"):
        data = yaml.safe_load(text.replace(": on ", ": 'on' "))
        if "recipe" in data:
            assert Recipe.load(data).name == "support"
        else:
            assert data["litellm_settings"]["callbacks"] == ["frugal_plugins.litellm.proxy"]


def test_the_help_in_the_readme_is_the_programs() -> None:
    written = README.split("<!-- help -->\n```text\n", 1)[1].split("\n```", 1)[0]
    assert written.strip() == "\n".join(f"$ {name} --help\n\n{text}" for name, text in help_texts().items()).strip()


def test_every_command_in_the_readme_exists() -> None:
    known = {name.removeprefix("frugal ") for name in help_texts()}
    for line in README.splitlines():
        if line.startswith("frugal "):
            assert shlex.split(line, comments=True)[1] in known | {"--help"}, line


def test_every_shipped_recipe_and_technique_is_named() -> None:
    for file in (ROOT / "recipes").glob("*.yaml"):
        assert f"`{file.stem}`" in README, file.stem
    for file in (ROOT / "frugal_plugins" / "techniques").glob("[a-z]*.py"):
        assert f"`{file.stem}`" in README, file.stem


def test_the_architecture_names_every_room() -> None:
    rooms = {path.name for path in (ROOT / "frugal_plugins").iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    rooms |= {path.name for path in (ROOT / "frugal_plugins").glob("*.py")} - {"__init__.py"}
    assert not [room for room in rooms if f"`{room}`" not in README and f"`{room}/`" not in README]


WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "frugal_plugins").rglob("*.py"))
    if "\n    >>> " in path.read_text()
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_are_true(module: str) -> None:
    result = doctest.testmod(import_module(module))
    assert result.attempted
    assert not result.failed
