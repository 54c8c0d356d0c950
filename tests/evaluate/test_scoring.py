from __future__ import annotations

import random

import pytest

from frugal_plugins.evaluate import Difference, Score, difference, score


def test_rows_without_an_answer_or_a_clear_verdict_are_not_right() -> None:
    found = score([True, False, None, True], unanswered=1)
    assert (found.rows, found.right, found.unclear, found.unanswered) == (5, 2, 1, 1)
    assert found.percent == 40
    assert found.figures()["wrong"] == 1


def test_the_range_is_wilsons() -> None:
    low, high = Score(10, 9).interval_percent
    assert (low, high) == (pytest.approx(59.58, abs=0.01), pytest.approx(98.21, abs=0.01))
    assert Score(20, 20).interval_percent == (pytest.approx(83.89, abs=0.01), 100.0)
    assert Score(0, 0).interval_percent == (0.0, 100.0)


def test_the_true_share_lies_in_the_range_about_95_times_in_a_hundred() -> None:
    dice = random.Random(7)
    inside = 0
    for _ in range(1000):
        low, high = Score(60, sum(dice.random() < 0.8 for _ in range(60))).interval_percent
        inside += low <= 80 <= high
    assert 930 <= inside <= 980


def test_two_candidates_are_told_apart_only_by_rows_they_answer_differently() -> None:
    alike = {row: row % 2 == 0 for row in range(100)}
    assert difference(alike, alike) == Difference(100, 0, 0)
    assert not difference(alike, alike).clear
    better = dict.fromkeys(range(100), True)
    found = difference(better, alike)
    assert (found.points, found.only_first, found.clear) == (50.0, 50, True)
    assert difference(alike, better).points == -50.0
    assert not difference({1: True, 2: True}, {1: False, 2: True}).clear


def test_rows_only_one_has_and_verdicts_nobody_gave_do_not_count() -> None:
    assert difference({1: True, 2: None, 3: True}, {2: True, 1: None}) == Difference(2, 1, 1)


def test_the_true_difference_lies_in_its_range_about_95_times_in_a_hundred() -> None:
    dice = random.Random(11)
    inside = 0
    for _ in range(500):
        hard = [dice.random() < 0.3 for _ in range(150)]
        first = {n: dice.random() < (0.5 if one else 0.95) for n, one in enumerate(hard)}
        second = {n: dice.random() < (0.3 if one else 0.93) for n, one in enumerate(hard)}
        low, high = difference(first, second).interval_points
        inside += low <= 7.4 <= high
    assert inside >= 460
