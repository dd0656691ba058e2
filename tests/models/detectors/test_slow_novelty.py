"""Slow novelty is minus the logarithm of a kernel density of all means before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.detectors.slow_novelty import SlowNovelty
from streamgauge.models.detectors.value_novelty import ValueNovelty


def novelty(x, kind=SlowNovelty, **parameters):
    detector = kind(**parameters)
    state = np.zeros((1, 1, detector.numbers_per_feature))
    rows = np.zeros(len(x), np.int64)
    return detector.distances(state, rows, np.asarray(x, np.float64)[:, None], rows, learn=True)[0][:, 0]


def direct(x, span):
    """The definition, with every mean kept."""
    slow, past, told = 0.0, [], []
    for n, value in enumerate(x - x[0]):
        slow += max(2 / (span + 1), 1 / (n + 1)) * (value - slow)
        parts = []
        if n > 1:
            kept, mean, fourth = np.array(past), 0.0, 0.0
            for k, v in enumerate(past):
                mean += (v - mean) / (k + 1)
                fourth += (v - mean) ** 4
            for h in (0.05 * kept.std(), 0.03 * (fourth / n / 3) ** 0.25):
                mass = np.exp(-np.abs(slow - kept) / max(h, 1e-12 * abs(x[0]))).sum()
                parts.append(max(0.0, -np.log((mass + 1e-6) / n)))
        past.append(slow)
        told.append(np.mean(parts) if parts else 0.0)
    return np.array(told)


def test_equals_the_kernel_sum_over_all_means_where_none_were_merged():
    x = np.random.default_rng(0).permutation(np.arange(60.0)) ** 1.5
    told = novelty(x, span=2, centroids=500, refractory=0.0, warmup=5)
    np.testing.assert_allclose(told[5:], direct(x, 2)[5:], rtol=0.02, atol=0.05)


@given(st.integers(0, 1000), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_unit_and_origin_do_not_matter(seed, origin, unit):
    x = np.random.default_rng(seed).normal(size=150)
    np.testing.assert_allclose(novelty(x * unit + origin)[60:], novelty(x)[60:], rtol=1e-3, atol=2e-3)


def test_a_run_of_usual_values_is_novel_where_each_value_is_not():
    random = np.random.default_rng(1)
    x = random.normal(size=3000)
    x[2900:2940] = np.abs(x[2900:2940])
    told, alone = novelty(x), novelty(x, ValueNovelty)
    assert told[2900:2940].max() > told[1000:2900].max()
    assert alone[2900:2940].max() < alone[1000:2900].max()
