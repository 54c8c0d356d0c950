"""The regression is shrunken, honest about rows it did not see, and the same after a round trip."""

from __future__ import annotations

import numpy as np

from frugal_plugins.learned.smoother import Block, fit_smoother

BLOCKS = (Block(2, 1.0, scaled=True),)


def wave(count: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.uniform(-2, 2, (count, 2))
    return rows, (np.sin(rows[:, 0]) + noise * rng.standard_normal(count))[:, None]


def test_it_learns_a_shape_from_noisy_rows() -> None:
    rows, targets = wave(400, 0.3)
    fitted, _ = fit_smoother(rows, targets, BLOCKS, noise=0.5)
    fresh, truth = wave(200, 0.0, seed=9)
    assert float(np.abs(fitted(fresh) - truth).mean()) < 0.15


def test_from_noise_alone_it_learns_the_mean() -> None:
    rng = np.random.default_rng(1)
    rows, targets = rng.standard_normal((300, 2)), rng.standard_normal((300, 1))
    fitted, left_out = fit_smoother(rows, targets, BLOCKS)
    assert float(fitted(rng.standard_normal((100, 2))).std()) < 0.3
    assert float(np.corrcoef(left_out[:, 0], targets[:, 0])[0, 1]) < 0.1


def test_left_out_predictions_are_those_of_a_fit_without_the_row() -> None:
    rows, targets = wave(60, 0.2)
    _, left_out = fit_smoother(rows, targets, BLOCKS)
    for row in (0, 17, 59):
        others = np.arange(60) != row
        again, _ = fit_smoother(rows[others], targets[others], BLOCKS)
        assert abs(float(again(rows[[row]])[0, 0]) - float(left_out[row, 0])) < 0.05


def test_more_rows_than_landmarks_still_fit() -> None:
    rows, targets = wave(500, 0.1)
    fitted, _ = fit_smoother(rows, targets, BLOCKS, most=60, noise=0.5)
    assert fitted.landmarks.shape == (60, 2)
    fresh, truth = wave(100, 0.0, seed=5)
    assert float(np.abs(fitted(fresh) - truth).mean()) < 0.15


def test_a_constant_column_is_harmless() -> None:
    rows, targets = wave(50, 0.1)
    rows[:, 1] = 3.0
    fitted, left_out = fit_smoother(rows, targets, BLOCKS)
    assert np.isfinite(fitted(rows)).all()
    assert np.isfinite(left_out).all()
