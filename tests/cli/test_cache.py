"""`frugal cache`: look into a store, forget, reject, import, calibrate."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from frugal_plugins import Recipe
from frugal_plugins.answers import AnswerFile
from frugal_plugins.drivers import drive
from frugal_plugins.told import Told
from tests.cli.conftest import RECIPE, Cli
from tests.meanings import SIZE, of_letters
from tests.support import FakeModel, ask_for, reply_with


@pytest.fixture(autouse=True)
def searching(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A recipe that keeps its answers in a file and searches by meaning, with letters for an embedding."""
    (folder / "recipe.yaml").write_text(RECIPE.replace("cache: {}", "cache: {path: answers.sqlite, similarity: 0.95, audit_percent: 0}"))
    from frugal_plugins.embedding import named
    from frugal_plugins.embedding.embed import FunctionEmbedder

    monkeypatch.setattr(named, "open_embedder", lambda _: FunctionEmbedder("letters", of_letters, SIZE))
    return


def asked(*questions: str, tenant: str = "") -> list[str]:
    """Send questions through the recipe; their ids."""
    recipe, ids = Recipe.load("recipe.yaml"), []
    for question in questions:
        flow, ctx = recipe.flow(ask_for(question), told=Told(tags={"tenant": tenant} if tenant else {}))
        drive(flow, ctx, FakeModel([reply_with(f"The answer to {question}")]))
        ids.append(ctx.id)
    recipe.close()
    return ids


def test_stats_and_list_show_what_is_there(cli: Cli) -> None:
    asked("When do you open on Sunday?", "Where are you?", tenant="acme")
    asked("When do you open on Sunday?")
    said = cli.json("cache", "stats", "--recipe", "recipe.yaml")
    assert (said["entries"], said["owners"], said["with_vector"], said["hits_remembered"]) == (3, 2, 3, 0)
    listed = cli.json("cache", "list", "--store", "answers.sqlite", "--tenant", "acme", "--matching", "sunday")["entries"]
    assert [one["question"] for one in listed] == ["When do you open on Sunday?"]
    assert listed[0]["labels"] == {"tenant": "acme"}
    assert "Where are you?" in cli("cache", "list", "-r", "recipe.yaml").stdout
    assert "entries" in cli("cache", "stats", "-r", "recipe.yaml").stdout


def test_a_wrong_hit_is_found_in_the_list_and_rejected_for_good(cli: Cli) -> None:
    _, near, equal = asked("When do you open on Sunday?", "When do you open on the Sunday?", "When do you open on Sunday?")
    listed = cli.json("cache", "list", "--hits", "-r", "recipe.yaml")["hits"]
    assert [one["id"] for one in listed] == [equal, near]
    assert [one["id"] for one in cli.json("cache", "list", "--hits", "--by-meaning", "-r", "recipe.yaml")["hits"]] == [near]
    assert (listed[1]["asked"], listed[1]["stored_question"]) == ("When do you open on the Sunday?", "When do you open on Sunday?")
    assert near in cli("cache", "list", "--hits", "-r", "recipe.yaml").stdout
    assert cli.json("cache", "reject", near, "-r", "recipe.yaml")["by_meaning"] is True
    fared = cli.json("cache", "stats", "-r", "recipe.yaml")["by_meaning"]
    assert (fared["rule"], fared["audits"], fared["found_wrong"], fared["stood_down"]) == ("before calibration", 1, 1, False)
    assert cli.json("cache", "reject", near, "-r", "recipe.yaml", code=2)["error"].startswith(f"no hit {near} is remembered")
    assert cli.json("cache", "stats", "-r", "recipe.yaml")["entries"] == 0


def test_forget_by_tenant_words_id_and_key(cli: Cli) -> None:
    asked("my IBAN is DE12", "Where are you?", tenant="acme")
    asked("what is an IBAN", "Is it open?", tenant="other")
    store = ("--store", "answers.sqlite")
    assert cli.json("cache", "forget", "--matching", "iban", "--tenant", "acme", "--dry-run", *store) == {
        "store": "answers.sqlite",
        "found": 1,
        "forgotten": 0,
    }
    assert cli.json("cache", "forget", "--matching", "iban", "--tenant", "acme", *store)["forgotten"] == 1
    assert cli.json("cache", "forget", "--tenant", "acme", *store)["forgotten"] == 1
    (key,) = [one["key"] for one in cli.json("cache", "list", "--matching", "Is it open", *store)["entries"]]
    assert cli.json("cache", "forget", key[:12], *store)["forgotten"] == 1
    assert cli.json("cache", "forget", "--all", *store)["forgotten"] == 1
    assert cli.json("cache", "stats", *store)["entries"] == 0


def test_a_question_that_was_only_served_can_be_forgotten_too(cli: Cli) -> None:
    asked("When do you open on Sunday?", "When do you open on the Sunday?")
    assert cli.json("cache", "forget", "--matching", "on the sunday", "--store", "answers.sqlite")["forgotten"] == 1
    assert AnswerFile("answers.sqlite").latest_served(5) == []


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("stats",), "name the store"),
    (("stats", "--store", "nothing.sqlite"), "nothing.sqlite is not there"),
    (("list", "-r", "support"), "keeps its answers in memory"),
    (("stats", "--store", "other.sqlite"), "other.sqlite holds no stored answers"),
    (("list", "--store", "empty.sqlite"), "empty.sqlite holds no stored answers"),
    (("forget", "--store", "answers.sqlite"), "say which answers"),
    (("forget", "--all", "--tenant", "a", "--store", "answers.sqlite"), "say which answers"),
    (("forget", "12", "--store", "answers.sqlite"), "is no key of an answer"),
    (("reject", "nobody", "--store", "answers.sqlite"), "no hit nobody is remembered"),
    (("import", "nothing.db", "-r", "recipe.yaml", "--model", "m"), "nothing.db: is not there"),
    (("import", "answers.sqlite", "-r", "recipe.yaml", "--model", "m"), "is not a GPTCache"),
    (("import", "answers.sqlite", "-r", "recipe.yaml", "--model", "m", "--params", "{"), "--params is not JSON"),
    (("stats", "--store", "recipe.yaml"), "cannot keep answers in recipe.yaml"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_what_makes_no_sense_is_said_in_one_line(cli: Cli, words: tuple[str, ...], said: str) -> None:
    asked("When do you open?")
    with closing(sqlite3.connect("other.sqlite")) as db:
        db.execute("CREATE TABLE theirs (x)")
    Path("empty.sqlite").touch()
    before = Path("other.sqlite").read_bytes()
    ran = cli("cache", *words)
    assert (Path("other.sqlite").read_bytes(), Path("empty.sqlite").read_bytes()) == (before, b"")  # looking changes nothing
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert said in cli.json("cache", *words, code=2)["error"]


def test_a_gptcache_is_imported_and_its_answers_are_served(cli: Cli, folder: Path) -> None:
    with sqlite3.connect(folder / "sqlite.db") as db:
        db.execute("CREATE TABLE gptcache_question (id INTEGER PRIMARY KEY, question TEXT, deleted INTEGER)")
        db.execute("CREATE TABLE gptcache_answer (id INTEGER PRIMARY KEY, question_id INTEGER, answer TEXT, answer_type INTEGER)")
        db.executemany("INSERT INTO gptcache_question VALUES (?, ?, 0)", [(1, "When do you open?"), (2, "Nothing?")])
        db.executemany("INSERT INTO gptcache_answer VALUES (?, ?, ?, 0)", [(1, 1, "At nine."), (2, 2, "")])
    (folder / "system.txt").write_text("Be brief.")
    words = (
        "cache",
        "import",
        "sqlite.db",
        "-r",
        "recipe.yaml",
        "--model",
        "gpt-4o",
        "--system",
        "@system.txt",
        "--params",
        '{"temperature": 0}',
    )
    said = cli.json(*words)
    assert (said["imported"], said["left_out_empty"], said["entries"], said["searchable"]) == (1, 1, 1, 1)
    assert cli.json(*words)["entries"] == 1
    recipe, model = Recipe.load("recipe.yaml"), FakeModel([reply_with("asked")])
    flow, ctx = recipe.flow(ask_for("when do you open", system="Be brief.", temperature=0))
    assert drive(flow, ctx, model).text == "At nine."
    recipe.close()


def labels(folder: Path, count: int) -> None:
    topics = ["reset my password", "close my account", "order a new card", "change my address", "see my balance"]
    rows = [{"question": f"how do i {topics[n % 5]} variant{n}x", "answer": topics[n % 5]} for n in range(count)]
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_calibrate_writes_a_rule_the_recipe_can_use(cli: Cli, folder: Path) -> None:
    labels(folder, 600)
    said = cli.json("cache", "calibrate", "recipe.yaml", "--labels", "labels.jsonl")
    assert said["questions"] == 600
    assert said["calibrated"]["hit_percent"] > said["before"]["hit_percent"]
    assert said["calibrated"]["wrong_at_most_percent"] <= 1
    assert said["pairs"]
    assert {"asked", "stored", "served", "right", "sure", "conflicts"} <= set(said["pairs"][0])
    (folder / "fitted.yaml").write_text(
        RECIPE.replace("cache: {}", "cache: {path: answers.sqlite, similarity: 0.95, calibration: tested-cache.json}")
    )
    Recipe.load("fitted.yaml")
    text = cli("cache", "calibrate", "recipe.yaml", "--labels", "labels.jsonl").stdout
    assert 'calibration: "tested-cache.json"' in text
    assert "variant" not in (folder / "tested-cache.json").read_text()


def test_calibrate_on_little_shadow_traffic_reports_and_leaves_with_1(cli: Cli, folder: Path) -> None:
    asked("When do you open on Sunday?", "When do you close?")
    said = cli.json("cache", "calibrate", "recipe.yaml", code=1)
    assert said["calibrated"] is None
    assert "are too few" in said["refusal"]
    assert not (folder / "tested-cache.json").exists()


def test_calibrate_names_the_line_of_a_label_it_cannot_use(cli: Cli, folder: Path) -> None:
    (folder / "labels.jsonl").write_text('{"question": "a", "answer": "b"}\n{"question": "a"}\n')
    assert cli.json("cache", "calibrate", "recipe.yaml", "--labels", "labels.jsonl", code=2)["error"].startswith("labels.jsonl:2:")
