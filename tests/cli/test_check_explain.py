"""`frugal check` and `frugal explain`: what is known before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.recipe.source import shipped_recipes
from tests.cli.conftest import RECIPE, Cli


def found(cli: Cli, recipe: str, *, code: int = 0) -> list[tuple[str, str]]:
    said = cli.json("check", recipe, code=code)
    return [(one["level"], one["message"]) for one in said["recipes"][recipe]]


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_passes(cli: Cli, name: str) -> None:
    assert not [words for level, words in found(cli, name) if level == "error"]


def test_a_good_recipe_says_what_is_on(cli: Cli) -> None:
    said = found(cli, "recipe.yaml")
    assert ("ok", "cache: on") in said
    assert ("ok", "prices known for all 2 models") in said
    assert ("ok", "tiers in order of price: simple, standard") in said
    assert not [words for level, words in said if level != "ok"]


def test_a_broken_recipe_is_named_with_its_line_and_leaves_with_2(cli: Cli, folder: Path) -> None:
    (folder / "broken.yaml").write_text("recipe: x\ntiers:\n  simple: {modells: [openai/gpt-4o]}\n")
    ran = cli("check", "broken.yaml", "recipe.yaml")
    assert ran.exit_code == 2
    assert "broken.yaml:3:" in ran.stdout
    assert "models" in ran.stdout
    assert "cache: on" in ran.stdout


CHANGES: list[tuple[str, str, str]] = [
    ("openai/gpt-4o-mini", "openai/gpt-nobody-knows", "no known price for openai/gpt-nobody-knows"),
    ("openai/gpt-4o-mini", "openai/gpt-nobody-knows", "LiteLLM knows nothing about openai/gpt-nobody-knows"),
    ("[openai/gpt-4o-mini]", "[openai/gpt-4-turbo]", "costs more than the tier standard after it"),
    ("output_tokens: 40", "output_tokens: 2", "too few for a word"),
    ("output_tokens: 40", "output_tokens: 50000", "writes at most 16384"),
    ("cap: {}\n", "", "nothing is limited"),
    ("cache: {}", "cache: {ttl_seconds: 5184000}", "served for 60 days"),
    ("tiers:", "baseline: simple\ntiers:", "the baseline is the cheapest tier"),
    ("ledger: {path: ledger.sqlite}", "ledger: off", "the ledger is off"),
    ("cache: {}\nroute: {}\ncap: {}\n", "", "no technique is on"),
    ("openai/gpt-4o-mini", "openai/o3-mini", "openai/o3-mini was retired on 2026-10-23"),
]


@pytest.mark.parametrize(("old", "new", "words"), CHANGES)
def test_doubtful_things_are_warned_about(cli: Cli, folder: Path, old: str, new: str, words: str) -> None:
    (folder / "odd.yaml").write_text(RECIPE.replace(old, new))
    warned = [said for level, said in found(cli, "odd.yaml") if level == "warn"]
    assert [said for said in warned if words in said], warned


def test_every_technique_of_the_recipe_is_listed_and_counts(cli: Cli, folder: Path) -> None:
    (folder / "odd.yaml").write_text(RECIPE.replace("cache: {}\nroute: {}\ncap: {}\n", "history: {}\nprompt_cache: {}\n"))
    said = found(cli, "odd.yaml")
    for name, mode in (("cache", "off"), ("history", "on"), ("shorten", "off"), ("route", "off"), ("cap", "off"), ("prompt_cache", "on")):
        assert ("ok", f"{name}: {mode}") in said
    assert not [words for _, words in said if "no technique is on" in words]


@pytest.mark.parametrize(
    ("name", "value", "level", "words"),
    [
        ("FRUGAL_OFF", "1", "warn", "switches the recipe off"),
        ("FRUGAL_OFF", "0", None, ""),
        ("FRUGAL_OFF", "oui", "warn", "switches nothing off; write FRUGAL_OFF=1"),
        ("FRUGAL_MODE", "shadow", "warn", "wins over the recipe's mode"),
        ("FRUGAL_MODE", "shadwo", "error", "no recipe can be used; set it to off, shadow or on"),
    ],
)
def test_what_the_environment_does_to_the_recipe_is_said_as_it_is(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, level: str | None, words: str
) -> None:
    monkeypatch.setenv(name, value)
    said = [(how, what) for how, what in found(cli, "recipe.yaml", code=2 if level == "error" else 0) if what.startswith(name)]
    assert [how for how, _ in said] == ([level] if level else [])
    assert all(words in what for _, what in said)


def test_a_ledger_that_cannot_be_written_is_an_error(cli: Cli, folder: Path) -> None:
    (folder / "odd.yaml").write_text(RECIPE.replace("ledger.sqlite", "nowhere/ledger.sqlite"))
    assert ("error", "the ledger's folder nowhere does not exist; make it, or name another ledger.path") in found(cli, "odd.yaml", code=2)


def test_a_file_that_is_no_ledger_is_an_error(cli: Cli, folder: Path) -> None:
    (folder / "ledger.sqlite").write_text("not a database, but long enough to be looked at as one" * 40)
    assert any("cannot be used" in said for level, said in found(cli, "recipe.yaml", code=2) if level == "error")


def explain(cli: Cli, body: dict[str, Any], recipe: str = "recipe.yaml") -> dict[str, Any]:
    return cli.json("explain", "-", "--recipe", recipe, given=json.dumps(body))


BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Is Oslo in Norway? Answer yes or no."}]}


def test_explain_says_where_a_request_would_go_and_why(cli: Cli) -> None:
    said = explain(cli, BODY)
    assert said["task"] == {"name": "yes_no", "source": "rules", "why": "the request's own words say yes_no"}
    assert said["sent"] == {"model": "openai/gpt-4o-mini", "messages": 1, "changed": {"max_tokens": 40}}
    assert [one["technique"] for one in said["decisions"]] == ["route", "cap"]
    assert said["expected_usd"] < said["baseline_usd"]


def test_explain_books_nothing(cli: Cli, folder: Path) -> None:
    explain(cli, BODY)
    assert not (folder / "ledger.sqlite").exists()


def test_explain_reads_a_line_of_run_with_what_the_caller_declared(cli: Cli) -> None:
    said = explain(cli, {"custom_id": "a", "body": BODY, "frugal": {"off": True}})
    assert said["decisions"] == []
    assert said["sent"]["model"] == "gpt-4o"


def test_explain_in_words_has_the_reason_and_the_dollars(cli: Cli) -> None:
    text = cli("explain", "-", "--recipe", "recipe.yaml", given=json.dumps(BODY)).stdout
    assert "yes_no, found by rules" in text
    assert "openai/gpt-4o-mini with max_tokens=40" in text
    assert "yes_no: at most 40 output tokens" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not JSON"), ("[]", "not an object"), ('{"model": "x"}', "there is no request"), ('{"messages": []}', "at least one message")],
)
def test_explain_refuses_what_is_no_request_and_says_what_to_give(cli: Cli, text: str, words: str) -> None:
    ran = cli("explain", "-", given=text)
    assert ran.exit_code == 2
    assert words in ran.stderr
    assert "Give one chat completion body" in ran.stderr


def test_a_recipe_that_saves_by_its_batch_lane_alone_is_not_told_that_it_saves_nothing(cli: Cli) -> None:
    for name in ("embed", "evaluate"):
        assert "nothing is saved" not in cli("check", name).stdout


def test_what_it_would_have_cost_knows_the_callers_own_limit(cli: Cli) -> None:
    """10 tokens are 10 tokens with the recipe and without; what cannot be is counted as none."""
    per_token = 10 / 1_000_000  # gpt-4o
    unlimited, ten, less = (explain(cli, {**BODY, **limit})["baseline_usd"] for limit in ({}, {"max_tokens": 10}, {"max_tokens": -5}))
    assert unlimited - ten == pytest.approx(190 * per_token)
    assert ten - less == pytest.approx(10 * per_token)
    assert explain(cli, {**BODY, "max_tokens": -5})["expected_usd"] > 0
