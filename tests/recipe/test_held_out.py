"""A share of the traffic goes without one technique, so that what each adds to the others is measured."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from frugal_plugins.errors import RecipeError
from frugal_plugins.ledger import Period, Wanted, open_reader, summarize
from frugal_plugins.ledger.measured import measure
from frugal_plugins.report.evidence import read_evidence
from frugal_plugins.report.figures import evidence_figures
from frugal_plugins.report.text import control
from frugal_plugins.told import Told
from tests.recipe.test_recipe import go, recipe
from tests.support import ask_for


def test_each_technique_is_left_out_of_its_share_and_a_conversation_always_of_the_same(tmp_path: Path) -> None:
    by = recipe(tmp_path, control_percent=10, control_each_percent=10, ledger="off")
    without = Counter(go(by, ask_for(f"q{n}"), Told(task="yes_no"))[2].held_out for n in range(600))
    assert set(without) == {None, "cache", "route", "cap"}
    assert all(25 < without[name] < 90 for name in ("cache", "route", "cap"))
    for session in range(12):
        held = {go(by, ask_for(f"q{n}"), Told(session=f"s{session}"))[2].held_out for n in range(5)}
        assert len(held) == 1


def test_control_traffic_stays_untouched_and_only_what_is_on_is_left_out(tmp_path: Path) -> None:
    by = recipe(tmp_path, control_percent=50, control_each_percent=10, route={"mode": "shadow"}, ledger="off")
    made = [go(by, ask_for(f"q{n}"), Told(task="yes_no"))[2] for n in range(300)]
    assert {ctx.held_out for ctx in made if ctx.group == "control"} == {None}
    assert {ctx.held_out for ctx in made} == {None, "cache", "cap"}


def test_the_others_go_on_without_the_one_and_it_says_so(tmp_path: Path) -> None:
    by = recipe(tmp_path, control_each_percent=10, ledger="off")
    for n in range(200):
        told = Told(task="yes_no", session=f"s{n}")
        calls, _, ctx = go(by, ask_for(f"q{n}"), told)
        asked, held = calls[0].request, ctx.held_out
        assert asked.model == ("gpt-4o" if held == "route" else "openai/gpt-4o-mini")
        assert asked.params.get("max_tokens") == (None if held == "cap" else 5)
        again, _, _ = go(by, ask_for(f"q{n}"), told)
        assert len(again) == (1 if held == "cache" else 0)
        assert [one.technique for one in ctx.decisions if one.action == "held_out"] == ([held] if held else [])


def test_what_each_adds_is_measured_with_a_range_beside_the_estimates_and_control_traffic(tmp_path: Path) -> None:
    by = recipe(tmp_path, control_percent=20, control_each_percent=10)
    for n in range(1000):
        go(by, ask_for(f"question {n}"), Told(task="yes_no"))
    by.close()
    place = tmp_path / "l.sqlite"
    with open_reader(place) as reader:
        found, groups = measure(reader.db, Period()), reader.split("group", Period())
        listed = reader.latest(5, Wanted(group="without route"))
        assert {one.group for one in listed} == {"without route"}
        assert all(one.group == "treated" for one in reader.latest(50, Wanted(group="treated")))
    assert set(groups) == {"treated", "control", "without cache", "without route", "without cap"}
    route, cap = found.added["route"].saving, found.added["cap"].saving
    assert route.low_percent == pytest.approx(94.0, abs=0.1), "gpt-4o-mini costs 6 % of gpt-4o, and here nothing varies"
    assert route.high_percent == pytest.approx(94.0, abs=0.1)
    assert found.saving is not None
    assert found.saving.requests == route.requests == groups["treated"].requests == found.treated_requests
    assert cap.usd == pytest.approx(0), "the answers were short anyway"
    assert found.added["route"].without_requests == groups["without route"].requests > 30
    assert "route" not in found.together
    figures = evidence_figures(read_evidence(place))
    assert figures["control"]["added"]["route"]["saving"]["low_usd"] == pytest.approx(route.low_usd)
    lines = [str(cell) for column in control(found).columns for cell in column.cells]
    assert any(line.startswith("added by route, beside") for line in lines)
    assert summarize(place).requests == 1000


def test_too_few_without_it_get_no_range(tmp_path: Path) -> None:
    by = recipe(tmp_path, control_each_percent=1)
    for n in range(300):
        go(by, ask_for(f"question {n}"), Told(task="yes_no"))
    by.close()
    with open_reader(tmp_path / "l.sqlite") as reader:
        found = measure(reader.db, Period())
    assert found.added, "some went without one"
    assert all(one.saving.low_usd is None for one in found.added.values())
    assert (found.saving, "control_percent" in found.words[0]) == (None, True)


def test_a_share_out_of_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="control_each_percent: is 11; write a number from 0 to 10"):
        recipe(tmp_path, control_each_percent=11)
