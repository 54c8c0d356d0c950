"""A sample of answers is judged once the callers have them: booked, netted, bounded, and only where the recipe asks."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.cli.check_command import findings
from frugal_plugins.drivers import drive
from frugal_plugins.errors import RecipeError
from frugal_plugins.flow import Call
from frugal_plugins.ledger import Period, open_reader, summarize
from frugal_plugins.ledger.measured import Measured, measure
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.report.evidence import read_evidence
from frugal_plugins.report.figures import evidence_figures
from frugal_plugins.request import Reply
from frugal_plugins.told import Told
from frugal_plugins.usage import Usage
from tests.recipe.test_recipe import recipe
from tests.support import ask_for, wait_for_later

JUDGING = Usage(500, output_tokens=1)
PRICE = (500 * Decimal("1.10") + 1 * Decimal("4.40")) / 1_000_000
"""o3-mini reading 500 tokens and writing one."""


def traffic(by: Recipe, count: int, *, bad_at_small: bool = False) -> list[Call]:
    """Questions answered by a model whose small sister is wrong where it is said so; gives the calls of the judge."""
    judged: list[Call] = []

    def model(call: Call) -> Reply:
        if call.purpose == "judge":
            judged.append(call)
            said = "BAD" if "wrong" in str(call.request.messages[-1]["content"]) else "GOOD"
            return Reply({"role": "assistant", "content": said}, call.request.model, JUDGING)
        wrong = bad_at_small and "mini" in call.request.model
        return Reply({"role": "assistant", "content": "wrong" if wrong else "Yes."}, call.request.model, Usage(1000, output_tokens=3))

    for n in range(count):
        flow, ctx = by.flow(ask_for(f"question {n}"), told=Told(task="yes_no"))
        drive(flow, ctx, model)
        wait_for_later()
    by.close()
    return judged


def measured(tmp_path: Path) -> Measured:
    with open_reader(tmp_path / "l.sqlite") as reader:
        return measure(reader.db, Period())


def test_quality_is_compared_by_a_judge_and_the_judging_is_booked_and_netted(tmp_path: Path) -> None:
    by = recipe(tmp_path, control_percent=30, cache=None, judge={"percent": 50, "control_percent": 100, "usd_per_day": 5})
    judged = traffic(by, 300, bad_at_small=True)
    assert {call.request.model for call in judged} == {"openai/o3-mini"}, "the baseline's model, where nobody else is named"
    found = measured(tmp_path)
    quality = found.quality["judged_good_percent"]
    assert (quality.control, quality.treated, quality.sure) == (100.0, 0.0, True)
    assert quality.control_requests == found.control_requests
    assert found.judged == len(judged) > found.control_requests
    assert found.judging_usd == pytest.approx(float(PRICE * len(judged)))
    assert found.saving is not None
    assert found.saving.percent == pytest.approx(94.0, abs=0.1), "what the judge costs is no part of what the groups cost"
    assert found.net_usd == pytest.approx(found.saving.usd - found.judging_usd)
    summary = summarize(tmp_path / "l.sqlite")
    assert {line.technique: line.saved_usd for line in summary.techniques}["judge"] == -PRICE * len(judged)
    assert sum((line.saved_usd for line in summary.techniques), Decimal(0)) == summary.saved_usd
    figures = evidence_figures(read_evidence(tmp_path / "l.sqlite"))["control"]
    assert (figures["judged"], figures["net_usd"]) == (len(judged), pytest.approx(found.net_usd))


def test_nothing_is_judged_unless_the_recipe_asks(tmp_path: Path) -> None:
    assert traffic(recipe(tmp_path, control_percent=30), 30) == []
    assert measured(tmp_path).judged == 0


def test_stored_answers_are_judged_too_and_the_cache_is_not_blamed_for_the_price(tmp_path: Path) -> None:
    by = recipe(tmp_path, judge={"percent": 100})

    def model(call: Call) -> Reply:
        said = "GOOD" if call.purpose == "judge" else "Yes."
        return Reply({"role": "assistant", "content": said}, call.request.model, JUDGING)

    for _ in range(2):
        flow, ctx = by.flow(ask_for("the same"), told=Told(task="yes_no"))
        drive(flow, ctx, model)
        wait_for_later()
    by.close()
    with open_reader(tmp_path / "l.sqlite") as reader:
        (hit,) = reader.hits_to_review(5)
        assert hit.outcome == "hit"
        assert (hit.saved_by["judge"], hit.good) == (-PRICE, True)
        assert hit.saved_by["cache"] + hit.saved_by["judge"] == hit.saved_usd


def test_a_day_has_an_end_to_its_judging_and_a_new_day_begins_anew(tmp_path: Path) -> None:
    now = [1_795_000_000.0]
    data: dict[str, Any] = {
        "recipe": "test", "tiers": {"only": {"models": ["openai/o3-mini"]}}, "judge": {"percent": 100, "usd_per_day": float(3 * PRICE)},
        "ledger": {"path": str(tmp_path / "l.sqlite")},
    }  # fmt: skip
    by = Recipe.load(data, clock=lambda: now[0])
    assert len(traffic(by, 10)) == 3
    now[0] += 86_400
    assert len(traffic(by, 10)) == 3


def test_a_judge_that_fails_or_says_nothing_costs_nobody_an_answer(tmp_path: Path) -> None:
    by = recipe(tmp_path, judge={"percent": 100})

    def model(call: Call) -> Reply:
        if call.purpose == "judge":
            raise ConnectionError("gone")
        return Reply({"role": "assistant", "content": "Yes."}, call.request.model, Usage(10))

    flow, ctx = by.flow(ask_for(), told=Told(task="yes_no"))
    assert drive(flow, ctx, model).text == "Yes."
    wait_for_later()
    by.close()
    assert [one.action for one in ctx.decisions if one.technique == "judge"] == ["stood_down"]
    assert summarize(tmp_path / "l.sqlite").requests == 1


def test_check_shows_the_price_and_a_judge_needs_one(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("tiers: {small: {models: [openai/gpt-4o-mini]}, big: {models: [openai/gpt-4o]}}\njudge: {percent: 2}\n")
    words = [f"{one.level} {one.words}" for one in findings(str(path)) if one.words.startswith("judge")]
    assert words[0].startswith("ok judge: openai/gpt-4o judges 2 % of treated and 50 % of untouched answers, about $0.0025")
    assert "no untouched traffic" in words[1]
    path.write_text("tiers: {own: {models: [own/model]}}\njudge: {}\ncontrol_percent: 2\n")
    unpriced = [one.words for one in findings(str(path)) if one.level == "warn" and one.words.startswith("judge")]
    assert "no price is known for own/model" in unpriced[0]
    with pytest.raises(RecipeError, match=r"judge\.tier"):
        recipe(tmp_path, judge={"tier": "nobody"})
    with pytest.raises(RecipeError, match="judge: is empty"):
        Recipe.load({"tiers": {"a": {"models": ["openai/gpt-4o"]}}, "judge": None})


def test_judging_changes_nothing_of_what_is_booked_of_the_request_itself(tmp_path: Path) -> None:
    traffic(recipe(tmp_path, judge={"percent": 100}), 1)
    with open_reader(tmp_path / "l.sqlite") as reader:
        (row,) = reader.latest(1)
    assert (row.model, row.input_tokens, row.output_tokens) == ("openai/gpt-4o-mini", 1000, 3)
