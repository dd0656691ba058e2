"""The rolling z-score equals pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.detectors.entity.rolling_z_score import RollingZScore

NOW = np.zeros(200, np.int64)  # the z-score does not look at the time
series = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(50, 10, 120).round(3))


@given(series, st.floats(2, 100))
def test_exponential_memory_equals_pandas(x, half_life):
    detector = RollingZScore(half_life=half_life, warmup=5)
    _, z, expected = detector.rate_learn_entities(np.zeros((1, 1, 3)), np.zeros(120, np.int64), x[:, None], NOW)
    past = pd.Series(x).ewm(halflife=half_life)
    mean, deviation = past.mean().shift(), np.sqrt(past.var(bias=True).shift())
    np.testing.assert_allclose(expected[1:, 0], mean[1:], rtol=1e-9)
    np.testing.assert_allclose(z[5:, 0], ((x - mean) / deviation)[5:], rtol=1e-6, atol=1e-12)
    assert np.isnan(z[:5]).all()


@given(series, st.integers(5, 60))
def test_windowed_memory_equals_pandas(x, window):
    detector = RollingZScore("window", window=window, warmup=5)
    state = np.zeros((1, 1, detector.numbers_per_feature))
    _, z, expected = detector.rate_learn_entities(state, np.zeros(120, np.int64), x[:, None], NOW)
    past = pd.Series(x).rolling(window, min_periods=5)
    mean, deviation = past.mean().shift(), past.std(ddof=0).shift()
    np.testing.assert_allclose(expected[5:, 0], mean[5:], rtol=1e-9)
    np.testing.assert_allclose(z[5:, 0], ((x - mean) / deviation)[5:], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("memory", ["exponential", "window"])
def test_entities_do_not_influence_each_other(memory):
    detector = RollingZScore(memory, half_life=20, window=20, warmup=3)
    random = np.random.default_rng(0)
    X, rows = random.normal(size=(200, 2)), random.integers(0, 3, 200)
    state = np.zeros((3, 2, detector.numbers_per_feature))
    together, _, _ = detector.rate_learn_entities(state, rows, X, NOW)
    together = np.nan_to_num(together / (together + 3.0))
    for row in range(3):
        alone = RollingZScore(memory, half_life=20, window=20, warmup=3)
        np.testing.assert_array_equal(alone.score_learn_many(X[rows == row]), together[rows == row])


def test_three_deviations_score_a_half():
    detector = RollingZScore("window", window=4, warmup=4)
    detector.learn_many(np.array([[1.0], [3.0], [1.0], [3.0]]))
    np.testing.assert_allclose(detector.score_many(np.array([[5.0], [-1.0], [2.0]])), [0.5, 0.5, 0.0])
    assert RollingZScore.half_score == 3.0


@pytest.mark.parametrize("n", [25, 400])
def test_a_change_after_a_constant_past_counts_no_more_than_a_sample_of_that_size_can_show(n):
    detector = RollingZScore(half_life=1e9, warmup=5)
    detector.learn_many(np.full((n, 1), 7.0))
    largest = np.sqrt(n)
    np.testing.assert_allclose(detector.score_many(np.array([[8.0]])), largest / (largest + 3.0), rtol=1e-6)


def test_the_largest_distance_decides():
    detector = RollingZScore(warmup=5)
    detector.learn_many(np.random.default_rng(0).normal(size=(100, 2)))
    one = detector.score_many(np.array([[0.0, 9.0]]))
    assert one == detector.score_many(np.array([[0.5, 9.0]]))
