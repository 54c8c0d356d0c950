from __future__ import annotations

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from frugal_plugins import Recipe
from frugal_plugins.drivers import drive
from frugal_plugins.flow import Call
from frugal_plugins.prices import PriceBook
from frugal_plugins.recipe.schema import SCHEMA_FILE, recipe_schema
from frugal_plugins.recipe.settings import RecipeSettings, parse
from frugal_plugins.recipe.source import read_recipe, shipped_folder, shipped_recipes
from frugal_plugins.request import Reply
from frugal_plugins.tasks import TASKS
from frugal_plugins.tokens import count_text
from frugal_plugins.told import Told
from tests.support import ask_for, reply_with

NAMES = ("agent", "cautious", "extract", "nightly", "rag", "support")
MISSION_TOKENS = {"yes_no": 5, "extraction": 50, "support_reply": 200, "outline": 400, "document": 800}
MISSION_TIERS = {
    "simple": ("openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"),
    "standard": ("openai/gpt-4o", "anthropic/claude-sonnet-4-5"),
    "complex": ("openai/o3-mini", "anthropic/claude-opus-4-5"),
}


def shipped(name: str) -> RecipeSettings:
    return parse(read_recipe(name))


def test_the_shipped_recipes_are_these() -> None:
    assert shipped_recipes() == tuple(sorted((*NAMES, "embed", "evaluate")))


def test_the_embedding_recipe_has_one_model_that_embeds_and_has_a_batch_price() -> None:
    recipe = shipped("embed")
    model = recipe.tiers[recipe.baseline].models[0]
    standard, batch = (PriceBook().rates(model, lane=lane) for lane in ("standard", "batch"))
    assert standard is not None
    assert batch is not None
    assert batch.input_usd * 2 == standard.input_usd


def test_the_evaluation_recipe_lets_nothing_stand_between_the_model_and_its_score() -> None:
    recipe = shipped("evaluate")
    assert recipe.evaluate is not None
    assert recipe.evaluate.lane == "batch"
    assert recipe.control_percent == 0
    assert all(getattr(recipe, step) is None for step in ("cache", "history", "shorten", "route", "cap"))


@pytest.mark.parametrize("name", [*NAMES, "embed", "evaluate"])
def test_a_shipped_recipe_parses_under_its_own_name_and_fits_the_schema(name: str) -> None:
    loaded = read_recipe(name)
    assert parse(loaded).recipe == name
    assert [error.message for error in Draft202012Validator(recipe_schema()).iter_errors(loaded.data)] == []


@pytest.mark.parametrize("name", NAMES)
def test_its_first_lines_help_the_editor_and_say_who_it_is_for_and_what_it_risks(name: str) -> None:
    first, *lines = (shipped_folder() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert first == f"# yaml-language-server: $schema=./{SCHEMA_FILE}"
    told = [line for line in lines[: lines.index(f"recipe: {name}")] if line.startswith("# ")]
    assert 3 <= len(told) <= 5
    assert told[0].startswith("# For ")
    assert any(line.startswith("# On: ") for line in told)
    assert any(line.startswith("# Risks: ") for line in told)


SUCCESSORS = {"anthropic/claude-sonnet-4-6", "openai/gpt-5"}
"""Asked once their provider no longer knows the model before them."""


class NotFound(Exception):
    """What a provider says to a model it no longer has."""

    status_code = 404


def test_where_a_model_is_retired_the_next_of_its_tier_is_asked() -> None:
    asked: list[str] = []

    def provider(call: Call) -> Reply:
        asked.append(call.request.model)
        if call.request.model == "openai/o3-mini":
            raise NotFound
        return reply_with("42", model=call.request.model)

    recipe = Recipe.load(
        {**yaml.safe_load((shipped_folder() / "support.yaml").read_text()), "ledger": "off", "control_percent": 0, "cache": "off"}
    )
    for _ in range(2):
        flow, ctx = recipe.flow(ask_for("Prove it.", model="support"), told=Told(task="reasoning"))
        assert drive(flow, ctx, provider).text == "42"
    assert asked == ["openai/o3-mini", "openai/gpt-5", "openai/gpt-5"]


@pytest.mark.parametrize("name", NAMES)
def test_tiers_carry_the_missions_models_and_every_one_has_a_price(name: str) -> None:
    recipe = shipped(name)
    named = {tier: settings.models for tier, settings in recipe.tiers.items()}
    assert {tier: tuple(model for model in models if model not in SUCCESSORS) for tier, models in named.items()} == MISSION_TIERS
    assert {model for models in named.values() for model in models if model in SUCCESSORS} == SUCCESSORS
    assert list(recipe.tiers) == ["simple", "standard", "complex"]
    assert [model for models in MISSION_TIERS.values() for model in models if PriceBook().rates(model) is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_budgets_are_the_missions_and_code_and_reasoning_have_none(name: str) -> None:
    tasks = shipped(name).tasks
    assert {task: tasks[task].output_tokens for task in MISSION_TOKENS if task in tasks} == {
        task: tokens for task, tokens in MISSION_TOKENS.items() if task in tasks
    }
    assert [tasks[task].output_tokens for task in ("code", "reasoning") if task in tasks] in ([], [None, None])
    assert set(tasks) - set(TASKS) <= {"grounded_answer", "invoice", "evaluation"}


def test_support_knows_every_kind_of_work() -> None:
    assert set(shipped("support").tasks) == set(TASKS)


def test_the_agent_recipe_never_replays_a_step() -> None:
    recipe = shipped("agent")
    assert recipe.cache is not None
    assert recipe.route is not None
    assert (recipe.cache.mode, recipe.route.sticky) == ("off", "session")


def test_the_cautious_recipe_changes_nothing() -> None:
    recipe = shipped("cautious")
    assert (recipe.mode, recipe.control_percent) == ("shadow", 10)
    assert None not in (recipe.cache, recipe.route, recipe.cap)


def test_rag_keeps_answers_for_a_week_per_tenant() -> None:
    cache = shipped("rag").cache
    assert cache is not None
    assert (cache.scope, cache.ttl_seconds, cache.path) == (("tenant",), 7 * 24 * 3600, "frugal-answers.sqlite")


def test_nightly_is_half_price_through_batches_and_real_time_otherwise() -> None:
    batch, pipeline = shipped("nightly").batch, shipped("nightly").pipeline
    assert batch is not None
    assert (batch.window_hours, batch.deadline_lane) == (24, "realtime")
    assert pipeline is not None
    assert (pipeline.lane, pipeline.variables, pipeline.task) == ("realtime", ("text",), "summary")


def test_extract_is_a_whole_pipeline_whose_answer_fits_its_budget() -> None:
    recipe = shipped("extract")
    assert recipe.pipeline is not None
    assert recipe.pipeline.output is not None
    assert recipe.pipeline.variables == ("text",)
    invoice = {
        "supplier": "Nordwind Bürobedarf GmbH & Co. KG",
        "invoice_number": "RE-2026-004711",
        "invoice_date": "2026-03-14",
        "due_date": "2026-04-13",
        "currency": "EUR",
        "net_amount": 1234.5,
        "total_amount": 1469.06,
    }
    Draft202012Validator.check_schema(dict(recipe.pipeline.output))
    assert list(Draft202012Validator(dict(recipe.pipeline.output)).iter_errors(invoice)) == []
    budget = recipe.tasks["invoice"].output_tokens
    assert budget is not None
    tokens = count_text(json.dumps(invoice, indent=2, ensure_ascii=False), "openai/gpt-4o-mini")
    assert recipe.tasks["extraction"].output_tokens < tokens < budget  # type: ignore[operator]
