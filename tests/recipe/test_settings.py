from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from frugal_plugins.errors import RecipeError
from frugal_plugins.prices import own_rates
from frugal_plugins.recipe.settings import COMING, RecipeSettings, parse
from frugal_plugins.recipe.source import read_recipe

TIERS: dict[str, Any] = {"simple": {"models": ["openai/gpt-4o-mini"]}, "complex": {"models": ["openai/gpt-4o"]}}


def parsed(**more: Any) -> RecipeSettings:
    return parse(read_recipe({"recipe": "own", "tiers": TIERS, **more}))


def refused(**more: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        parsed(**more)
    return str(caught.value)


@pytest.fixture
def refused_file(tmp_path: Path):
    def _refused(text: str) -> RecipeError:
        path = tmp_path / "own.yaml"
        path.write_text("tiers: {simple: {models: [a]}, complex: {models: [b]}}\n" + text)
        with pytest.raises(RecipeError) as caught:
            parse(read_recipe(path))
        return caught.value

    return _refused


# what it means to say little


def test_the_smallest_recipe_turns_nothing_on() -> None:
    recipe = parsed()
    assert (recipe.mode, recipe.control_percent, recipe.baseline) == ("on", 0, "complex")
    assert (recipe.cache, recipe.route, recipe.cap, recipe.pipeline) == (None, None, None, None)
    assert (recipe.tasks, recipe.prices) == ({}, {})
    assert (recipe.ledger.path, recipe.ledger.keep_text, recipe.ledger.queue_rows) == ("frugal-ledger.sqlite", False, 10_000)


def test_an_empty_section_turns_a_technique_on_with_its_defaults() -> None:
    recipe = parsed(cache={}, route={}, cap={})
    assert recipe.cache is not None
    assert recipe.route is not None
    assert recipe.cap is not None
    assert recipe.cache.model_dump(exclude_none=True) == {
        "mode": "on",
        "scope": ("tenant",),
        "ttl_seconds": 86_400,
        "max_entries": 10_000,
        "match": "canonical",
        "max_wrong_percent": 1.0,
        "audit_percent": 1.0,
        "embedding": "all-MiniLM-L6-v2",
        "embedding_seconds": 0.25,
    }
    assert recipe.route.model_dump(exclude_none=True) == {
        "mode": "on",
        "sticky": "session",
        "keep_quality_percent": 95.0,
        "escalate": True,
        "judge_answers": False,
        "streaming": "skip",
        "most_dear_percent": 100.0,
    }
    assert recipe.cap.model_dump() == {"mode": "on", "reasoning_tokens": 2000, "retry_factor": 4}


@pytest.mark.parametrize("technique", ["cache", "route", "cap"])
@pytest.mark.parametrize(("written", "mode"), [("on", "on"), ("off", "off"), ("shadow", "shadow"), (True, "on"), (False, "off")])
def test_a_word_is_enough(technique: str, written: Any, mode: str) -> None:
    assert getattr(parsed(**{technique: written}), technique).mode == mode
    assert getattr(parsed(**{technique: {"mode": written}}), technique).mode == mode


def test_modes_written_as_words_in_a_file_are_not_booleans(tmp_path: Path) -> None:
    path = tmp_path / "words.yaml"
    path.write_text("mode: off\ntiers: {only: {models: [a]}}\ncap: on\nledger: off\n")
    recipe = parse(read_recipe(path))
    assert (recipe.recipe, recipe.mode, recipe.ledger.path) == ("words", "off", "off")
    assert recipe.cap is not None
    assert recipe.cap.mode == "on"


def test_the_ledger_can_be_off() -> None:
    assert [parsed(ledger=off).ledger.path for off in ("off", False, {"path": "off"})] == ["off", "off", "off"]


def test_tiers_keep_their_order_and_a_baseline_can_be_named() -> None:
    many = {name: {"models": [name]} for name in ("z", "m", "a")}
    assert tuple(parsed(tiers=many).tiers) == ("z", "m", "a")
    assert (parsed(tiers=many).baseline, parsed(tiers=many, baseline="z").baseline) == ("a", "z")


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        parsed().mode = "off"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "meant"), [(0.1, "0.1"), ("0.1", "0.1"), (3, "3"), (Decimal("0.075"), "0.075"), (0, "0"), (1e-05, "0.00001")]
)
def test_prices_are_decimals_without_binary_noise(written: Any, meant: str) -> None:
    price = parsed(prices={"own/model": {"input_usd_per_mtok": written, "output_usd_per_mtok": 1}}).prices["own/model"]
    assert price.input_usd_per_mtok == Decimal(meant)


def test_prices_become_rates() -> None:
    price = parsed(
        prices={
            "own/model": {
                "input_usd_per_mtok": 1.5,
                "output_usd_per_mtok": 6,
                "cache_read_usd_per_mtok": "0.15",
                "cache_write_1h_usd_per_mtok": 3,
            }
        }
    ).prices["own/model"]
    rates = own_rates("own/model", price.rates(), "recipe own")
    assert (rates.input_usd, rates.output_usd) == (Decimal("1.5"), Decimal(6))
    assert (rates.cache_read_usd, rates.cache_write_5m_usd, rates.cache_write_1h_usd) == (Decimal("0.15"), Decimal("1.5"), Decimal(3))


# bounds and words


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"recipe": "My Recipe"}, "recipe: is 'My Recipe'; write at most 41 small letters"),
        ({"recipe": "a" * 42}, "at most 41"),
        ({"recipe": 5}, "recipe: is 5; write text, in quotes"),
        ({"mode": "onn"}, "mode: is 'onn', did you mean 'on'? write one of off, shadow, on"),
        ({"control_percent": 51}, "control_percent: is 51; write a number from 0 to 50"),
        ({"control_percent": -0.1}, "from 0 to 50"),
        ({"control_percent": "5"}, "control_percent: is '5'; write a number from 0 to 50"),
        ({"control_percent": True}, "control_percent: is true; write a number"),
        ({"tiers": {}}, "tiers: is empty; give at least 1"),
        ({"tiers": None}, "tiers: is empty; write 'key: value' lines"),
        ({"tiers": ["a"]}, "tiers: is a list; write 'key: value' lines"),
        ({"tiers": {"Big": {"models": ["a"]}}}, "tiers.Big: is 'Big'; write small letters, digits and _"),
        ({"tiers": {"a": {"models": []}}}, "tiers.a.models: is empty; give at least 1"),
        ({"tiers": {"a": {"models": ["x"] * 11}}}, "tiers.a.models: is too long; give at most 10"),
        ({"tiers": {"a": {"models": "x"}}}, "tiers.a.models: is 'x'; write a list"),
        ({"tiers": {"a": {"models": ["x y"]}}}, "tiers.a.models[0]: is 'x y'; write a model's name, without spaces"),
        ({"tiers": {"a": {}}}, "tiers.a.models: is missing; write 'models:' here"),
        ({"tasks": {"Yes": {"tier": "simple"}}}, "tasks.Yes: is 'Yes'; write small letters"),
        ({"tasks": {"a": {"tier": "simple", "output_tokens": 0}}}, "tasks.a.output_tokens: is 0; write a number from 1 to 100000"),
        ({"tasks": {"a": {"tier": "simple", "output_tokens": 100_001}}}, "from 1 to 100000"),
        ({"tasks": {"a": {"tier": "simple", "output_tokens": 2.5}}}, "is 2.5; write a whole number from 1 to 100000"),
        ({"tasks": {"a": {"tier": "simple", "output_tokens": "5"}}}, "is '5'; write a whole number"),
        (
            {"prices": {"m": {"input_usd_per_mtok": -1, "output_usd_per_mtok": 1}}},
            "prices.m.input_usd_per_mtok: is -1; write a number, 0 or more",
        ),
        ({"prices": {"m": {"input_usd_per_mtok": "dear", "output_usd_per_mtok": 1}}}, "is 'dear'; write a number of US dollars"),
        ({"prices": {"m": {"input_usd_per_mtok": True, "output_usd_per_mtok": 1}}}, "is true; write a number of US dollars"),
        ({"prices": {"m": {"input_usd_per_mtok": "NaN", "output_usd_per_mtok": 1}}}, "write a finite number"),
        ({"prices": {"m": {"input_usd_per_mtok": 1}}}, "prices.m.output_usd_per_mtok: is missing"),
        ({"alerts": [{"name": "a", "usd": -5}]}, "alerts[0].usd: is -5; write a number above 0"),
        ({"batch": {"window_hours": 0}}, "batch.window_hours: is 0; write a number above 0, at most 168"),
        ({"budget": {"run_usd": -1}}, "budget.run_usd: is -1; write a number, 0 or more"),
        ({"cache": {"scope": ["planet"]}}, "cache.scope[0]: is 'planet'; write one of tenant, session, team, user"),
        ({"cache": {"scope": []}}, "cache.scope: is empty; give at least 1"),
        ({"cache": {"ttl_seconds": 0}}, "cache.ttl_seconds: is 0; write a number from 1 to 31536000"),
        ({"cache": {"max_entries": 10_000_001}}, "from 1 to 10000000"),
        ({"cache": {"match": "fuzzy"}}, "cache.match: is 'fuzzy'; write one of exact, canonical"),
        ({"cache": {"max_temperature": 2.1}}, "cache.max_temperature: is 2.1; write a number from 0 to 2"),
        ({"cache": {"path": ""}}, "cache.path: is empty"),
        ({"cache": 5}, "cache.mode: is 5; write one of off, shadow, on"),
        ({"cap": "maybe"}, "cap.mode: is 'maybe'; write one of off, shadow, on"),
        ({"cap": ["on"]}, "cap.mode: is a list; write one of off, shadow, on"),
        ({"cap": {"retry_factor": 17}}, "cap.retry_factor: is 17; write a number from 1 to 16"),
        ({"cap": {"reasoning_tokens": -1}}, "cap.reasoning_tokens: is -1; write a number from 0"),
        ({"route": {"sticky": "user"}}, "route.sticky: is 'user'; write one of session, none"),
        ({"ledger": {"queue_rows": 0}}, "ledger.queue_rows: is 0; write a number from 1 to 1000000"),
        ({"ledger": {"keep_text": 1}}, "ledger.keep_text: is 1; write true or false"),
        ({"ledger": None}, "ledger: is empty; write 'ledger: {}' for its defaults, or 'ledger: off'"),
    ],
)
def test_a_wrong_value_is_refused_in_words(more: dict[str, Any], says: str) -> None:
    assert says in refused(**more)


def test_the_ends_of_every_range_are_allowed() -> None:
    recipe = parsed(
        control_percent=50,
        tasks={"a": {"tier": "simple", "output_tokens": 1}, "b": {"tier": "simple", "output_tokens": 100_000}},
        cache={"ttl_seconds": 31_536_000, "max_entries": 10_000_000, "max_temperature": 0},
        cap={"retry_factor": 1, "reasoning_tokens": 0},
    )
    assert recipe.cap is not None
    assert (recipe.control_percent, recipe.cap.retry_factor) == (50, 1)


@pytest.mark.parametrize("technique", ["cache", "route", "cap"])
def test_a_key_with_nothing_after_it_says_what_to_write(refused_file, technique: str) -> None:
    error = refused_file(f"{technique}:\n")
    assert f"{technique}: is empty; write '{technique}: {{}}' to turn it on with its defaults, or '{technique}: off'" in str(error)
    assert error.where is not None
    assert error.where.endswith("own.yaml:2:1")


# unknown keys


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("tier: {}\n", "2:1", "unknown key 'tier', did you mean 'tiers'? the keys here are recipe, mode,"),
        ("tasks: {a: {tier: simple, output_token: 5}}\n", "2:27", "unknown key 'output_token' in tasks.a, did you mean 'output_tokens'?"),
        ("cache: {ttl: 5}\n", "2:9", "unknown key 'ttl' in cache; the keys here are mode, scope, ttl_seconds,"),
        (
            "prices: {m: {input_usd_per_mtok: 1, output_usd_per_mtok: 1, cache_read_usd: 1}}\n",
            "2:61",
            "did you mean 'cache_read_usd_per_mtok'?",
        ),
        ("ledger: {keep_texts: true}\n", "2:10", "did you mean 'keep_text'?"),
        (
            "pipeline:\n  prompt:\n    - sytem: hello\n",
            "4:7",
            "unknown key 'sytem' in pipeline.prompt[0], did you mean 'system'? the keys here are system, user, assistant",
        ),
    ],
)
def test_an_unknown_key_gets_its_place_and_the_nearest_known_one(refused_file, text: str, where: str, says: str) -> None:
    error = refused_file(text)
    assert says in str(error)
    assert error.where is not None
    assert error.where.endswith(f"own.yaml:{where}")


@pytest.mark.parametrize("key", sorted(COMING))
def test_a_technique_that_comes_later_is_refused_with_its_own_words(key: str) -> None:
    section, _, inner = key.partition(".")
    value: Any = {inner: 1} if inner else {}
    if section == "pipeline":
        value["prompt"] = "x"
    message = refused(**{section: value})
    assert COMING[key] in message
    assert "not built yet" in message
    assert "remove this" in message


# names that must exist


@pytest.mark.parametrize(
    ("text", "where", "key", "says"),
    [
        ("baseline: simpel\n", "2:1", "baseline", "no tier is called 'simpel', did you mean 'simple'? choose one of simple, complex"),
        ("tasks:\n  a: {tier: zzz}\n", "3:7", "tasks.a.tier", "no tier is called 'zzz'; choose one of simple, complex"),
        (
            "tasks: {sum: {tier: simple}}\npipeline: {prompt: x, task: summ}\n",
            "3:23",
            "pipeline.task",
            "no task is called 'summ', did you mean 'sum'?",
        ),
        ("pipeline: {prompt: x, task: summ}\n", "2:23", "pipeline.task", "add it under tasks"),
    ],
)
def test_a_name_that_is_declared_nowhere_is_refused_at_its_place(refused_file, text: str, where: str, key: str, says: str) -> None:
    error = refused_file(text)
    assert says in str(error)
    assert error.key == key
    assert error.where is not None
    assert error.where.endswith(f"own.yaml:{where}")


def test_models_built_without_a_file_are_checked_too() -> None:
    with pytest.raises(ValidationError, match="no tier is called 'none'"):
        RecipeSettings(recipe="own", tiers=TIERS, baseline="none")


# several problems


def test_all_problems_are_told_in_the_order_of_the_file(refused_file) -> None:
    error = refused_file("mode: onn\ncap:\ntasks:\n  a: {tier: simple, output_tokens: 0}\nhistry: {}\n")
    lines = str(error).splitlines()
    assert [line.split("own.yaml:")[1].split(": ")[0] for line in lines] == ["2:1", "3:1", "5:21", "6:1"]
    assert all("  also " in line for line in lines[1:])
    assert error.key == "mode"


def test_a_flood_of_problems_is_cut_short(refused_file) -> None:
    lines = str(refused_file("".join(f"zzz{n}: 1\n" for n in range(40)))).splitlines()
    assert len(lines) == 22
    assert lines[-1].strip() == "and 19 more; correct these first"


def test_a_list_with_a_wrong_item_is_not_also_called_empty() -> None:
    assert refused(tiers={"a": {"models": ["x y"]}}).splitlines() == ["tiers.a.models[0]: is 'x y'; write a model's name, without spaces"]
