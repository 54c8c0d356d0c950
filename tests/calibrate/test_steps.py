"""What was valued offline is what happens to a request, and a ladder keeps only what its points need."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_plugins.calibrate.fit import Outcomes, climbed, fit_ladder, fit_prompt, only_used, tried, voters
from frugal_plugins.calibrate.points import rising
from frugal_plugins.learned.ladder import Bought, Ladder, Point
from tests.calibrate.traffic import traffic

WORTH = np.geomspace(200.0, 0.005, 12) / 4e-4


@pytest.fixture(scope="module")
def ladder() -> Ladder:
    data = traffic(300)
    return climbed(data, *fit_prompt(data), WORTH, voters(data))[0]


def walked(ladder: Ladder, row: int, place: int, fresh: Outcomes) -> tuple[float, float]:
    """One row sent up the ladder a decision at a time, as the route technique does."""
    seen = ladder.prompt(fresh.features)[row]
    point, bought, usd = Point(0.0, place, place, 1.0, None, 0.0, 0.0), dict[int, Bought](), 0.0
    while True:
        step = ladder.decide(seen, bought, [float(fresh.input_tokens[row])] * 3, point, 0.0, range(3))
        usd += 0.0 if step.accept else float(fresh.usd[row, step.model])
        if step.final:
            return float(fresh.right[row, step.model]), usd
        bought[step.model] = fresh.answers[row][step.model]


def test_a_request_goes_the_way_its_row_was_valued(ladder: Ladder) -> None:
    fresh = traffic(40, seed=5)
    right, usd = tried(ladder, fresh)
    for row in range(0, 40, 3):
        for place in (0, 4, 7, 11):
            assert walked(ladder, row, place, fresh) == pytest.approx((right[row, place], usd[row, place]))


def test_what_a_fit_says_of_its_own_rows_is_what_fresh_rows_come_to() -> None:
    data, fresh = traffic(500, seed=1), traffic(800, seed=2)
    ladder, right, usd = climbed(data, *fit_prompt(data), WORTH, voters(data))
    came_right, came_usd = tried(ladder, fresh)
    assert np.abs(right.mean(axis=0) - came_right.mean(axis=0)).max() < 0.05
    assert np.abs(usd.mean(axis=0) / came_usd.mean(axis=0) - 1).max() < 0.2


def test_dear_quality_buys_more_and_costs_more(ladder: Ladder) -> None:
    right, usd = tried(ladder, traffic(400, seed=6))
    assert right[:, -1].mean() > right[:, 0].mean() + 0.1
    assert usd[:, -1].mean() > usd[:, 0].mean()
    assert {len(step.held) for step in ladder.steps} == {0, 1, 2}, "either cheap answer may be bought first"


def test_a_ladder_keeps_only_the_prices_its_points_use(ladder: Ladder) -> None:
    points = (Point(95.0, 7, 4, 0.5, None, 0.9, 1e-4), Point(98.0, 9, 7, 0.2, None, 0.9, 1e-4))
    small = only_used(replace(ladder, points=points))
    assert len(small.worth) == 3
    fresh = traffic(50, seed=8)
    whole, kept = tried(ladder, fresh), tried(small, fresh)
    for i, values in enumerate(whole):
        assert np.allclose(values[:, [4, 7, 9]], kept[i])
    assert [(p.first, p.second) for p in small.points] == [(1, 0), (2, 1)]


def test_without_answers_nothing_is_bought_to_be_compared() -> None:
    fitted = fit_ladder(replace(traffic(250), answers=()), targets_percent=(95.0,))
    assert fitted.votes == ()
    assert [step.onward for step in fitted.steps] == [()]


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_a_rising_curve_rises_keeps_the_mean_and_leaves_rising_ones_alone(values: list[float]) -> None:
    curve = rising(np.array(values))
    assert (np.diff(curve) >= -1e-12).all()
    assert curve.mean() == pytest.approx(np.mean(values), abs=1e-9)
    assert np.allclose(rising(curve), curve)
    assert np.allclose(rising(np.sort(values)), np.sort(values))
