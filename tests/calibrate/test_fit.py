"""Calibration finds what is there to find, is honest on rows it did not see, and says when there is nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frugal_plugins.calibrate.fit import FEWEST_ROWS, fit_ladder, undominated
from frugal_plugins.calibrate.report import TooFewLabels, calibrate, outcomes_of
from frugal_plugins.errors import RecipeError
from frugal_plugins.learned.artifact import read_ladder, write_ladder
from frugal_plugins.learned.asking import Asking
from tests.calibrate.traffic import MODELS, traffic, without_signal
from tests.support import ask_for


def test_it_saves_most_of_the_bill_and_keeps_the_quality_on_fresh_rows() -> None:
    ladder = fit_ladder(traffic(500), targets_percent=(95.0,))
    fresh = traffic(600, seed=7)
    right, usd = outcomes_of(ladder, fresh)
    assert right.mean() >= 0.93 * fresh.kept_right.mean()
    assert usd.mean() <= 0.75 * fresh.kept_usd.mean()
    assert right.mean() > fresh.right[:, 0].mean() + 0.1


def test_a_higher_target_never_costs_less() -> None:
    ladder = fit_ladder(traffic(500), targets_percent=(85.0, 95.0, 99.0))
    costs = [point.cost_usd for point in ladder.points]
    assert costs == sorted(costs)
    assert ladder.point(90).keep_percent == 95.0
    assert ladder.point(99.9).keep_percent == 99.0


def test_where_nothing_can_be_learned_the_guard_asks_one_model() -> None:
    ladder = fit_ladder(without_signal(), targets_percent=(98.0,))
    fresh = without_signal(500, seed=3)
    right, usd = outcomes_of(ladder, fresh)
    affordable = [fresh.right[:, m].mean() for m in range(3) if fresh.usd[:, m].mean() <= usd.mean() * 1.001]
    assert right.mean() >= max(affordable) - 0.03


def test_a_model_another_beats_in_price_and_quality_is_dropped() -> None:
    data = traffic(400)
    worse = replace(data, right=np.where([[False, False, True]], 0.2, data.right))
    assert undominated(worse)[-1] != 2
    assert "strong" in calibrate(worse, targets_percent=(95.0,)).dropped


def test_below_the_fewest_rows_it_says_so_and_what_to_do() -> None:
    with pytest.raises(TooFewLabels, match=rf"{FEWEST_ROWS} needed.*cold start.*--judge"):
        calibrate(traffic(FEWEST_ROWS - 1))
    with pytest.raises(TooFewLabels, match="2 labelled"):
        calibrate(traffic(2))


def test_one_verdict_for_everything_teaches_nothing() -> None:
    data = traffic(300)
    with pytest.raises(TooFewLabels, match="same verdict"):
        calibrate(replace(data, right=np.ones_like(data.right)))


def test_contradictory_labels_cost_quality_and_nothing_else() -> None:
    data = traffic(300)
    coin = np.random.default_rng(0).random(data.right.shape).round()
    report = calibrate(replace(data, right=coin, kept_right=coin[:, 2]), targets_percent=(95.0,))
    assert np.isfinite([line.saving_percent for line in report.lines]).all()


def test_the_report_stands_beside_the_single_model_chance_and_length() -> None:
    report = calibrate(traffic(400), targets_percent=(90.0, 95.0))
    text = report.text()
    assert "best single model" in text
    assert "over chance" in text
    assert report.lines[1].over_random_points > 0
    low, high = report.lines[1].saving_interval
    assert low <= report.lines[1].saving_percent <= high
    json.dumps(report.as_dict())


def test_the_same_rows_give_the_same_ladder() -> None:
    one, other = fit_ladder(traffic(250), targets_percent=(95.0,)), fit_ladder(traffic(250), targets_percent=(95.0,))
    assert one.points == other.points


def test_an_artifact_decides_as_the_ladder_it_came_from(tmp_path: Path) -> None:
    ladder = fit_ladder(traffic(300), targets_percent=(95.0,))
    path = write_ladder(ladder, tmp_path / "ladder.json", report={"rows": 300})
    assert path.stat().st_size < 5_000_000
    again = read_ladder(path, models=frozenset(m.name for m in MODELS))
    for text in ("What is 5 plus 6? Give the number.", "Prove that every group of order 15 is cyclic."):
        one, other = (Asking(fitted, ask_for(text), 95, lambda _m: True).next() for fitted in (ladder, again))
        assert (one.model, one.accept, one.final) == (other.model, other.accept, other.final)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embedding": "other/1"}, "fitted with the embedding 'other/1'"),
        ({"format": "frugal-ladder/9"}, "not a fitted ladder of this version"),
        ({"points": []}, "damaged"),
        ({"votes": [9]}, "damaged"),
        ({"worth": {"shape": [2], "kind": "O", "data": ""}}, "damaged"),
        ({"prompt": None}, "damaged"),
    ],
)
def test_an_artifact_that_does_not_fit_is_refused_by_name(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = write_ladder(fit_ladder(traffic(220), targets_percent=(95.0,)), tmp_path / "ladder.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RecipeError, match=words) as refused:
        read_ladder(path)
    assert "ladder.json" in str(refused.value)


def test_an_artifact_for_other_models_is_refused_and_names_the_model(tmp_path: Path) -> None:
    path = write_ladder(fit_ladder(traffic(220), targets_percent=(95.0,)), tmp_path / "ladder.json")
    with pytest.raises(RecipeError, match="cheap, which is in no tier"):
        read_ladder(path, models=frozenset({"gpt-4o"}))


@pytest.mark.parametrize("content", ["", "not json", "[]", "{}", "\x00"])
def test_a_file_that_is_no_artifact_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ladder.json"
    path.write_text(content)
    with pytest.raises(RecipeError, match=r"frugal calibrate"):
        read_ladder(path)
