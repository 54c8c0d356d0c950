"""A loaded recipe: where requests go, who is left untouched, what is booked, and what the environment overrules."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.drivers import drive
from frugal_plugins.errors import RecipeError
from frugal_plugins.flow import Call, Context
from frugal_plugins.ledger import summarize
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply, Request
from frugal_plugins.told import Told
from frugal_plugins.usage import Usage
from tests.support import ask_for

TIERS = {
    "simple": {"models": ["openai/gpt-4o-mini"]},
    "standard": {"models": ["openai/gpt-4o"]},
    "complex": {"models": ["openai/o3-mini"]},
}
TASKS = {"yes_no": {"tier": "simple", "output_tokens": 5}, "document": {"tier": "complex", "output_tokens": 800}}


def recipe(tmp_path: Path, **changes: Any) -> Recipe:
    whole = {
        "recipe": "test", "tiers": TIERS, "tasks": TASKS, "cache": {}, "route": {}, "cap": {},
        "ledger": {"path": str(tmp_path / "l.sqlite")}, **changes,
    }  # fmt: skip
    return Recipe.load({key: value for key, value in whole.items() if value is not None})


def go(by: Recipe, request: Request, told: Told | None = None, **known: Any) -> tuple[list[Call], Reply, Context]:
    calls: list[Call] = []

    def model(call: Call) -> Reply:
        calls.append(call)
        return Reply({"role": "assistant", "content": "Yes."}, call.request.model, Usage(1000, output_tokens=3))

    flow, ctx = by.flow(request, told=told or Told(), **known)
    return calls, drive(flow, ctx, model), ctx


def test_a_request_travels_through_cache_route_and_cap_and_is_booked(tmp_path: Path) -> None:
    by = recipe(tmp_path)
    calls, _, _ = go(by, ask_for(), Told(task="yes_no"))
    assert (calls[0].request.model, calls[0].request.params["max_tokens"]) == ("openai/gpt-4o-mini", 5)
    hits, reply, _ = go(by, ask_for(), Told(task="yes_no"))
    assert (hits, reply.text) == ([], "Yes.")
    by.close()
    summary = summarize(tmp_path / "l.sqlite")
    assert summary.requests == 2
    assert summary.by_outcome == {"answered": 1, "hit": 1}
    assert sum((line.saved_usd for line in summary.techniques), Decimal(0)) == summary.saved_usd > 0


def test_one_line_of_metadata_always_wins(tmp_path: Path) -> None:
    by, request = recipe(tmp_path), ask_for()
    calls, _, ctx = go(by, request, Told(off=True, task="yes_no"))
    assert calls[0].request.model == "gpt-4o"
    assert calls[0].request.params is request.params
    assert ctx.group == "bypassed"
    by.close()
    assert summarize(tmp_path / "l.sqlite").saved_usd == 0


def test_shadow_notes_everything_and_changes_nothing(tmp_path: Path) -> None:
    by, request = recipe(tmp_path, mode="shadow"), ask_for()
    calls, _, ctx = go(by, request, Told(task="yes_no"))
    assert calls[0].request is request
    assert {(d.technique, d.mode) for d in ctx.decisions} == {("route", "shadow"), ("cap", "shadow"), ("cache", "shadow")}
    by.close()
    assert summarize(tmp_path / "l.sqlite").saved_usd == 0


def test_one_technique_may_be_in_shadow_while_the_others_are_on(tmp_path: Path) -> None:
    by = recipe(tmp_path, route={"mode": "shadow"})
    calls, _, _ = go(by, ask_for(), Told(task="yes_no"))
    assert calls[0].request.model == "gpt-4o"
    assert calls[0].request.params["max_tokens"] == 5


def test_a_technique_that_is_not_in_the_recipe_is_off(tmp_path: Path) -> None:
    request = ask_for()
    calls, _, ctx = go(recipe(tmp_path, cache=None, route=None, cap=None), request, Told(task="yes_no"))
    assert calls[0].request is request
    assert ctx.decisions == []


def test_the_recipes_own_name_goes_to_the_baseline_even_without_a_route(tmp_path: Path) -> None:
    for name in ("test", "frugal", "frugal/test"):
        calls, _, _ = go(recipe(tmp_path, route=None, baseline="standard"), ask_for(model=name))
        assert calls[0].request.model == "openai/gpt-4o"


def test_without_a_route_limits_still_fit_the_model_that_answers(tmp_path: Path) -> None:
    calls, _, _ = go(recipe(tmp_path, route=None), ask_for(model="test"), Told(task="yes_no"))
    assert (calls[0].request.model, calls[0].request.params["max_tokens"]) == ("openai/o3-mini", 2005)


def test_a_control_share_travels_untouched_and_a_conversation_stays_in_its_group(tmp_path: Path) -> None:
    by = recipe(tmp_path, control_percent=30, cache=None)
    groups = [go(by, ask_for(f"q{n}"), Told(task="yes_no"))[2].group for n in range(400)]
    assert 80 < groups.count("control") < 160
    session = {go(by, ask_for(f"q{n}"), Told(session="s7"))[2].group for n in range(30)}
    assert len(session) == 1


def test_the_environment_overrules_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRUGAL_MODE", "off")
    monkeypatch.setenv("FRUGAL_LEDGER", "off")
    by, request = recipe(tmp_path), ask_for()
    calls, _, ctx = go(by, request, Told(task="yes_no"))
    assert calls[0].request is request
    assert (ctx.group, by.ledger) == ("bypassed", None)
    monkeypatch.setenv("FRUGAL_LEDGER", str(tmp_path / "other.sqlite"))
    go(by, request)
    by.close()
    assert summarize(tmp_path / "other.sqlite").requests == 1
    monkeypatch.setenv("FRUGAL_MODE", "loud")
    with pytest.raises(RecipeError, match="off, shadow or on"):
        recipe(tmp_path)


def test_a_known_baseline_makes_the_saving_measured(tmp_path: Path) -> None:
    by = recipe(tmp_path)
    go(by, ask_for(), Told(task="yes_no"), baseline_usage=Usage(1000, output_tokens=50))
    by.close()
    summary = summarize(tmp_path / "l.sqlite")
    assert summary.measured == 1
    assert summary.baseline_usd == Decimal("0.003")


def test_an_error_of_the_provider_is_booked_and_raised_as_it_is(tmp_path: Path) -> None:
    class Down(Exception):
        pass

    by, down = recipe(tmp_path), Down()

    def model(call: Call) -> Reply:
        raise down

    flow, ctx = by.flow(ask_for())
    with pytest.raises(Down) as caught:
        drive(flow, ctx, model)
    assert caught.value is down
    by.close()
    summary = summarize(tmp_path / "l.sqlite")
    assert (summary.requests, summary.errors, summary.spent_usd) == (1, 1, 0)


def test_your_own_prices_are_used_and_named(tmp_path: Path) -> None:
    own: Mapping[str, Any] = {"openai/gpt-4o": {"input_usd_per_mtok": "1", "output_usd_per_mtok": "2"}}
    by = recipe(tmp_path, prices=own, cache=None, route=None, cap=None)
    go(by, ask_for(model="openai/gpt-4o"))
    by.close()
    assert summarize(tmp_path / "l.sqlite").spent_usd == Decimal("0.001006")


def test_explain_says_what_would_happen_without_calling_or_booking(tmp_path: Path) -> None:
    by = recipe(tmp_path)
    told = by.explain(ask_for("Is it open? Answer yes or no.", system="Shop assistant. " * 200))
    assert told.task.name == "yes_no"
    assert told.sent is not None
    assert (told.sent.model, told.sent.params["max_tokens"]) == ("openai/gpt-4o-mini", 5)
    assert [d.technique for d in told.decisions] == ["route", "cap"]
    assert told.baseline_usd is not None
    assert told.expected_usd is not None
    assert told.expected_usd < told.baseline_usd
    assert not (tmp_path / "l.sqlite").exists()
    go(by, ask_for("Is it open? Answer yes or no."))
    assert by.explain(ask_for("Is it open? Answer yes or no.")).sent is None
