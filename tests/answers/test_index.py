"""The index finds what a full scan finds, and forgets what is gone."""

from __future__ import annotations

import numpy as np
import pytest

from frugal_plugins.answers.index import VectorIndex


def some(count: int, size: int = 384, seed: int = 0) -> np.ndarray:
    dice = np.random.default_rng(seed)
    centres = dice.normal(size=(40, size))
    found = centres[dice.integers(0, 40, count)] + dice.normal(scale=0.6, size=(count, size))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 50, 2_001, 6_000])
def test_the_nearest_are_those_of_a_full_scan(count: int) -> None:
    vectors, asked = some(count), some(30, seed=1)
    index = VectorIndex(384)
    for start in range(0, count, 700):
        index.add(range(start, min(count, start + 700)), vectors[start : start + 700])
    missed = 0
    for one in asked:
        rows, cosines, own = index.search(one, 8)
        best = np.sort(vectors @ one)[::-1][:8]
        missed += abs(cosines[0] - best[0]) > 0.01
        assert len(rows) == min(8, count) == len(own)
        assert cosines == sorted(cosines, reverse=True)
    assert missed <= 3  # of 30: one bit a dimension finds the very nearest nine times in ten even in pure noise


def test_rows_that_are_gone_are_not_found_and_many_of_them_wear_the_index_out() -> None:
    vectors, index = some(400), VectorIndex(384)
    index.add(range(400), vectors)
    index.forget(range(390))
    assert set(index.search(vectors[0], 8)[0]) <= set(range(390, 400))
    assert index.worn
    assert len(index) == 10


def test_an_empty_index_finds_nothing() -> None:
    assert VectorIndex(8).search(np.ones(8), 4)[0] == []
