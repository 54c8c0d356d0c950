"""`frugal check --traffic`: what breaks the cached prefix, where, what it costs, and no prompt text unless asked for."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, write_lines

STEADY = "".join(f"Rule {number}: answer questions of kind {number} kindly and briefly.\n" for number in range(130))
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"a": {}, "b": {}}}}}
    for name in ("find", "buy", "sell")
]
SECRET = "the launch code is tangerine"


def log(folder: Path, make: Callable[[int], dict[str, Any]], count: int = 12) -> str:
    rows = [{"body": make(number), "at_seconds": 1_790_000_000 + 40 * number} for number in range(count)]
    write_lines(folder / "log.jsonl", rows)
    return "log.jsonl"


def chat(system: str, user: str = "Where is it?", model: str = "gpt-4o", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}], **more}


def only_family(cli: Cli, source: str, *words: str) -> dict[str, Any]:
    (family,) = cli.json("check", "--traffic", source, *words)["families"]
    return dict(family)


def kinds(family: dict[str, Any]) -> set[str]:
    return {found["kind"] for found in family["breaks"]}


def shuffled_tools(number: int) -> list[dict[str, Any]]:
    return random.Random(number).sample(TOOLS, len(TOOLS))


def shuffled_keys(number: int) -> list[dict[str, Any]]:
    turned = [{"function": tool["function"], "type": "function"} for tool in TOOLS]
    return turned if number % 2 else TOOLS


def documents(number: int) -> str:
    dice = random.Random(number)
    return "".join(f"Paragraph about {dice.choice('abcdefgh') * 6} and {dice.choice('klmnop') * 7} in the town.\n" for _ in range(12))


def lines(number: int) -> str:
    return "".join(random.Random(number).sample(STEADY.splitlines(keepends=True), 130))


CASES: list[tuple[str, Callable[[int], dict[str, Any]]]] = [
    ("clock", lambda n: chat(f"It is 2026-11-22 10:{n:02d}.\n{STEADY}")),
    ("uuid", lambda n: chat(f"Trace 123e4567-e89b-12d3-a456-4266141740{n:02d}\n{STEADY}")),
    ("request_id", lambda n: chat(f"Request id: req_{n:012d}ab\n{STEADY}")),
    ("other", lambda n: chat(f"You help {['Anna', 'Bert', 'Cleo', 'Dora'][n % 4]}.\n{STEADY}")),
    ("documents", lambda n: chat(f"Use these:\n{documents(n)}\nInstructions:\n{STEADY}")),
    ("documents", lambda n: {"model": "gpt-4o", "messages": [{"role": "user", "content": f"Use:\n{documents(n)}\nRules:\n{STEADY}"}]}),
    ("tools_order", lambda n: chat(STEADY, tools=shuffled_tools(n))),
    ("json_keys", lambda n: chat(STEADY, tools=shuffled_keys(n))),
    ("lines_order", lambda n: chat(lines(n))),
]


@pytest.mark.parametrize(("kind", "make"), CASES, ids=[f"{place}-{kind}" for place, (kind, _) in enumerate(CASES)])
def test_each_kind_is_found_with_its_price_and_what_to_do(cli: Cli, folder: Path, kind: str, make: Callable[[int], dict[str, Any]]) -> None:
    family = only_family(cli, log(folder, make))
    assert kind in kinds(family)
    found = next(one for one in family["breaks"] if one["kind"] == kind)
    assert found["usd_per_month"] > 0
    assert found["what_to_do"]
    assert family["possible_percent"] > max(70, family["cached_percent"])
    assert family["possible_usd_per_month"] < family["usd_per_month"]


def test_the_place_is_named_and_text_only_when_asked(cli: Cli, folder: Path) -> None:
    source = log(folder, lambda n: chat(f"You are kind. \n{SECRET} 10:{n:02d}.\n{STEADY}"))
    (found,) = only_family(cli, source)["breaks"]
    assert (found["part"], found["message"], found["offset"], found["line"]) == ("messages[0]", 0, 15, 1)
    assert SECRET not in json.dumps(only_family(cli, source))
    assert SECRET not in cli("check", "--traffic", source).stdout
    assert f"{SECRET} <clock>." == only_family(cli, source, "--show-text")["breaks"][0]["text"]


def test_a_steady_log_has_nothing_to_say(cli: Cli, folder: Path) -> None:
    family = only_family(cli, log(folder, lambda n: chat(STEADY, f"Question {n}?", tools=TOOLS)))
    assert family["breaks"] == []
    assert family["usd_per_month"] == family["possible_usd_per_month"]
    assert "Nothing in front of what stays changes." in cli("check", "--traffic", "log.jsonl").stdout


def test_what_changes_behind_everything_steady_is_where_it_belongs(cli: Cli, folder: Path) -> None:
    family = only_family(cli, log(folder, lambda n: chat(f"{STEADY}It is 2026-11-22 10:{n:02d}.")))
    assert family["breaks"] == []


def test_claude_without_marks_is_told_so_and_with_marks_not(cli: Cli, folder: Path) -> None:
    def make(number: int, mark: dict[str, Any] | None = None) -> dict[str, Any]:
        block = {"type": "text", "text": STEADY, **({"cache_control": mark} if mark else {})}
        return {"model": "anthropic/claude-sonnet-4-5", "system": [block], "messages": [{"role": "user", "content": f"Question {number}?"}]}

    family = only_family(cli, log(folder, make))
    assert kinds(family) == {"no_marks"}
    assert family["cached_percent"] == 0
    assert family["breaks"][0]["usd_per_month"] > 0
    assert only_family(cli, log(folder, lambda n: make(n, {"type": "ephemeral"})))["breaks"] == []


def test_a_conversation_whose_beginning_is_rewritten_is_found(cli: Cli, folder: Path) -> None:
    def make(number: int) -> dict[str, Any]:
        turns = [{"role": "assistant" if place % 2 else "user", "content": f"Turn {place}"} for place in range(2 * number + 1)]
        return {"model": "gpt-4o", "messages": [{"role": "system", "content": STEADY}, *turns[-5:]]}

    rows = [{"body": make(number), "session": "s1", "created": 1_790_000_000 + 40 * number} for number in range(8)]
    write_lines(folder / "log.jsonl", rows)
    found = next(one for one in only_family(cli, "log.jsonl")["breaks"] if one["kind"] == "history")
    assert found["calls"] == 5
    assert found["usd_per_month"] is None


def test_templates_are_told_apart_and_a_recipes_prices_count(cli: Cli, folder: Path) -> None:
    def make(number: int) -> dict[str, Any]:
        return chat(f"It is 10:{number:02d}.\n{STEADY}") if number % 2 else chat("Translate to French.\n" * 3, f"Text {number}")

    source = log(folder, make, 20)
    said = cli.json("check", "--traffic", source)
    assert [family["calls"] for family in said["families"]] == [10, 10]
    price = "prices:\n  gpt-4o: {input_usd_per_mtok: 250, output_usd_per_mtok: 1, cache_read_usd_per_mtok: 125}\n"
    (folder / "dear.yaml").write_text((folder / "recipe.yaml").read_text() + price)
    dear = cli.json("check", "dear.yaml", "--traffic", source)
    assert dear["lost_usd_per_month"] == pytest.approx(100 * said["lost_usd_per_month"], rel=0.01)


def test_other_shapes_of_logs_are_read(cli: Cli, folder: Path) -> None:
    bodies = [chat(f"It is 10:{n:02d}.\n{STEADY}") for n in range(4)]
    rows = [
        bodies[0] | {"timestamp": "2026-11-22T10:00:00Z"},
        {"request": bodies[1], "startTime": "2026-11-22T10:01:00+00:00"},
        {"request": {"body": bodies[2]}, "created_at": 1_795_341_720_000},
        {"custom_id": "4", "body": bodies[3], "frugal": {"session": "s"}},
    ]
    with gzip.open(folder / "log.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, rows)))
    said = cli.json("check", "--traffic", "log.jsonl.gz")
    assert said["requests"] == 4
    assert said["days"] < 1
    text = "\n".join(map(json.dumps, bodies))
    assert cli.json("check", "--traffic", "-", given=text)["requests"] == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no requests"),
        (b"{}\n", "log.jsonl:1: no request body"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1]\n", "no request body"),
    ],
)
def test_what_is_no_log_is_named(cli: Cli, folder: Path, content: bytes, words: str) -> None:
    (folder / "log.jsonl").write_bytes(content)
    assert words in cli.json("check", "--traffic", "log.jsonl", code=2)["error"]


def test_nothing_to_check_says_what_to_give(cli: Cli) -> None:
    assert "--traffic" in cli.json("check", code=2)["error"]
    assert "cannot be read" in cli.json("check", "--traffic", "nowhere.jsonl", code=2)["error"]


def test_odd_requests_do_not_stop_it(cli: Cli, folder: Path) -> None:
    odd = [
        {"model": "gpt-4o", "messages": []},
        {"model": "gpt-4o", "messages": [{"role": "user", "content": None}, "x", {"content": 3}], "tools": [None, {"function": 3}]},
        {"model": "who/knows", "messages": [{"role": "tool", "content": [{"type": "image"}]}]},
        {"model": "gpt-4o", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "system": [3]},
    ]
    write_lines(folder / "log.jsonl", odd)
    assert cli.json("check", "--traffic", "log.jsonl")["requests"] == 4


def test_a_log_without_times_says_that_its_months_are_a_guess(cli: Cli, folder: Path) -> None:
    write_lines(folder / "log.jsonl", [chat(STEADY, f"Where is {number}?") for number in range(3)])
    assert cli.json("check", "--traffic", "log.jsonl")["untimed"] == 3
    said = cli("check", "--traffic", "log.jsonl").stdout
    assert said.startswith("3 requests over 2 minutes:")
    assert "3 of them have no time and are taken to come a minute apart" in said
    log(folder, lambda number: chat(STEADY, f"Where is {number}?"))
    assert "no time" not in cli("check", "--traffic", "log.jsonl").stdout
