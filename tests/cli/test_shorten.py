"""`frugal shorten`: prompt files in fewer tokens, nothing lost, nothing written unless told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, write_lines
from tests.text.test_kept import GOOD, PROMPT

LONGER = (
    f"{PROMPT}The tone in which you write your answers should be kind and friendly to the customer at all times, whatever may happen.\n"
)
BULLETS = f"{GOOD}\n- Tone should be kind and friendly to the customer at all times."
WORDY = PROMPT + "\n\nPlease note that you should answer in order to help.\n\n\n**Be kind.**\n"


@pytest.fixture
def prompt(folder: Path) -> Path:
    (folder / "prompt.md").write_text(WORDY)
    return folder / "prompt.md"


def test_rules_say_what_they_save_and_write_nothing(cli: Cli, prompt: Path) -> None:
    said = cli.json("shorten", "prompt.md", "--requests-per-month", "100000")
    (file,) = said["files"]
    assert file["tokens_after"] < file["tokens_before"]
    assert said["saved_usd_per_month"] == pytest.approx((file["tokens_before"] - file["tokens_after"]) * 100_000 * 2.5e-6)
    assert 0 < said["saved_usd_per_month_if_cached"] < said["saved_usd_per_month"]
    assert all(not one["lost"] for kind, one in file["constraints"].items() if kind != "statements")
    assert "20" in file["constraints"]["numbers"]["kept"]
    assert "-**Be kind.**" in file["diff"]
    assert not file["written"]
    assert prompt.read_text() == WORDY


def test_write_overwrites_and_a_second_time_finds_nothing(cli: Cli, prompt: Path) -> None:
    (file,) = cli.json("shorten", "prompt.md", "--write")["files"]
    assert file["written"]
    assert prompt.read_text() != WORDY
    (again,) = cli.json("shorten", "prompt.md", "--write")["files"]
    assert not again["written"]
    assert again["diff"] == ""


def recorded(folder: Path, section: str, answer: str) -> None:
    write_lines(folder / "recorded.jsonl", [{"user": f"<prompt>\n{section}\n</prompt>", "outputs": {"*": answer}}])


def test_a_model_rewrites_behind_the_constraint_list(cli: Cli, folder: Path) -> None:
    (folder / "p.txt").write_text(LONGER)
    rules = cli.json("shorten", "p.txt", "--write")["files"][0]
    assert rules["written"]
    recorded(folder, (folder / "p.txt").read_text().strip(), BULLETS)
    said = cli.json("shorten", "p.txt", "--rewrite", "--recorded", "recorded.jsonl", "--recipe", "recipe.yaml", "--write")
    (file,) = said["files"]
    assert file["rewrite"] == {"sections": 1, "rewritten": 1, "refused": []}
    assert (folder / "p.txt").read_text() == BULLETS + "\n"
    assert said["calls"] == 1
    assert said["spent_usd"] > 0
    assert (folder / "ledger-sandbox.sqlite").exists()


def test_a_rewrite_that_loses_a_number_is_refused_with_the_reason(cli: Cli, folder: Path) -> None:
    (folder / "p.txt").write_text(LONGER)
    cli.json("shorten", "p.txt", "--write")
    before = (folder / "p.txt").read_text()
    recorded(folder, before.strip(), BULLETS.replace("20", "25"))
    said = cli.json("shorten", "p.txt", "--rewrite", "--recorded", "recorded.jsonl", "--recipe", "recipe.yaml", "--write")
    (file,) = said["files"]
    assert file["rewrite"]["rewritten"] == 0
    assert file["rewrite"]["refused"]
    assert (folder / "p.txt").read_text() == before


def cases(folder: Path, *rows: dict[str, Any]) -> None:
    write_lines(folder / "cases.jsonl", rows)


def test_an_eval_that_stays_right_lets_the_file_be_written(cli: Cli, folder: Path, prompt: Path) -> None:
    write_lines(folder / "recorded.jsonl", [{"user": "Where is it?", "outputs": {"*": "On shelf 7."}}])
    cases(folder, {"input": "Where is it?", "expected": "shelf 7"}, {"input": "Where is it?"})
    ran = ("shorten", "prompt.md", "--eval", "cases.jsonl", "--recorded", "recorded.jsonl", "--recipe", "recipe.yaml", "--write")
    (file,) = cli.json(*ran)["files"]
    assert file["eval"]["right_before"] == file["eval"]["right_after"] == 1
    assert file["eval"]["same_percent"] == 100
    assert file["written"]


def test_an_eval_that_got_worse_writes_nothing_and_leaves_with_1(cli: Cli, folder: Path, prompt: Path) -> None:
    answers = [
        {"user": "Where is it?", "system_contains": "**Be kind.**", "outputs": {"*": "On shelf 7."}},
        {"user": "Where is it?", "outputs": {"*": "No idea."}},
    ]
    write_lines(folder / "recorded.jsonl", answers)
    cases(folder, {"input": "Where is it?", "expected": "shelf 7"})
    ran = ("shorten", "prompt.md", "--eval", "cases.jsonl", "--recorded", "recorded.jsonl", "--recipe", "recipe.yaml", "--write")
    (file,) = cli.json(*ran, code=1)["files"]
    assert file["eval"]["worse"]
    assert prompt.read_text() == WORDY


def test_a_request_body_loses_schema_and_tool_words(cli: Cli, folder: Path) -> None:
    schema = {"type": "object", "properties": {"total": {"type": "number"}, "vendor": {"type": "string"}}, "required": ["total", "vendor"]}
    tool = {"type": "function", "function": {"name": "find_order", "description": "Find the order.", "parameters": {"type": "object"}}}
    system = f"You read letters. Respond with JSON following this schema:\n{json.dumps(schema, indent=2)}\n"
    body = {"model": "gpt-4o", "messages": [{"role": "system", "content": system}, {"role": "user", "content": "Dear sirs"}], "seed": 7}
    (folder / "body.json").write_text(json.dumps(body))
    (folder / "tools.json").write_text(json.dumps({"model": "gpt-4o", "tools": [tool]}))
    (folder / "plain.txt").write_text(system)
    cli.json("shorten", "body.json", "plain.txt", "tools.json", "--write")
    written = json.loads((folder / "body.json").read_text())
    assert written["response_format"]["json_schema"]["schema"]["required"] == ["total", "vendor"]
    assert written["messages"][1] == body["messages"][1]
    assert written["seed"] == 7
    assert "{total: num, vendor: str}" in (folder / "plain.txt").read_text().replace("\n", "")


def test_a_prompt_that_would_fall_below_the_cached_length_is_warned_about(cli: Cli, folder: Path) -> None:
    filler = "".join(f"**Rule {number}**: answer question {number} about shelf {number}.\n\n\n" for number in range(72))
    (folder / "long.txt").write_text(filler)
    (file,) = cli.json("shorten", "long.txt", "--model", "openai/gpt-5")["files"]
    assert file["tokens_after"] < 1024 <= file["tokens_before"]
    assert "1,024" in file["warning"]


BAD: list[tuple[str, bytes, str]] = [
    ("empty.txt", b"  \n", "is empty"),
    ("latin.txt", "Grüße".encode("latin-1"), "not UTF-8"),
    ("zero.txt", b"a\0b", "zero byte"),
    ("recipe2.yaml", b"recipe: x", "no prompt file"),
    ("broken.json", b"{", "not JSON"),
    ("list.json", b"[1]", "no request body"),
]


@pytest.mark.parametrize(("name", "content", "words"), BAD)
def test_what_is_no_prompt_is_named(cli: Cli, folder: Path, name: str, content: bytes, words: str) -> None:
    (folder / name).write_bytes(content)
    said = cli.json("shorten", name, code=2)
    assert words in said["error"]
    assert name in said["error"]


def test_a_bad_eval_line_is_named(cli: Cli, folder: Path, prompt: Path) -> None:
    (folder / "cases.jsonl").write_text('{"input": "a"}\n{"in": 3}\n')
    assert "cases.jsonl:2" in cli.json("shorten", "prompt.md", "--eval", "cases.jsonl", code=2)["error"]
    assert "missing.txt" in cli.json("shorten", "missing.txt", code=2)["error"]
    assert "--write" in cli("shorten", "prompt.md").stdout


def test_a_file_keeps_its_windows_line_ends_and_its_permissions(cli: Cli, folder: Path, prompt: Path) -> None:
    theirs = folder / "theirs.md"
    theirs.write_bytes(prompt.read_bytes().replace(b"\n", b"\r\n"))
    theirs.chmod(0o600)
    for file in (prompt, theirs):
        assert cli.json("shorten", str(file), "--write")["files"][0]["written"]
    assert theirs.read_bytes() == prompt.read_bytes().replace(b"\n", b"\r\n")
    assert theirs.stat().st_mode & 0o777 == 0o600
