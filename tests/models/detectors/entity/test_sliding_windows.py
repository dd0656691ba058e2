"""The tests over a window of the past equal what numpy and scipy compute of the same window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from streamgauge.models.detectors.entity.dixon_q import CRITICAL, LEVELS, DixonQ
from streamgauge.models.detectors.entity.grubbs import Grubbs
from streamgauge.models.detectors.entity.interquartile_range import InterquartileRange
from streamgauge.models.detectors.entity.modified_z_score import ModifiedZScore
from streamgauge.models.detectors.entity.sliding_window import held, push
from streamgauge.models.errors import InputError

series = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(50, 10, 120).round(3))
windows = st.integers(5, 29)


def deviations(detector, x):
    state, n = np.zeros((1, 1, detector.numbers_per_feature)), len(x)
    zeros = np.zeros(n, np.int64)
    return detector.deviations(state, zeros, np.asarray(x, dtype=np.float64)[:, None], zeros, learn=True)[0][:, 0]


@given(st.lists(st.integers(-3, 3) | st.floats(-1e9, 1e9), max_size=60), st.integers(1, 12))
def test_a_window_holds_the_last_values_sorted(x, window):
    cell = np.zeros(2 * window + 1)
    for i, value in enumerate(x):
        push(cell, float(value), window)
        assert held(cell, window).tolist() == sorted(x[max(0, i + 1 - window) : i + 1])


def past(x, window):
    """Index, value and window before it, from the fifth value on."""
    return [(i, x[i], x[max(0, i - window) : i]) for i in range(5, len(x))]


@given(series, windows)
def test_modified_z_score_equals_scipy(x, window):
    told = deviations(ModifiedZScore(window, warmup=5), x)
    for i, value, before in past(x, window):
        mad = stats.median_abs_deviation(before)
        assert told[i] == pytest.approx(0.6745 * (value - np.median(before)) / mad, rel=1e-9)


@given(series, windows, st.floats(0.05, 0.4))
def test_interquartile_range_equals_numpy(x, window, low):
    told = deviations(InterquartileRange(window, low, 1 - low, warmup=5), x)
    for i, value, before in past(x, window):
        below, above = np.quantile(before, [low, 1 - low])
        far = max(0.0, value - above) + min(0.0, value - below)
        assert told[i] == pytest.approx(far / (above - below), rel=1e-9, abs=1e-12)


@given(series, windows)
def test_grubbs_equals_the_formula_on_the_sample(x, window):
    told = deviations(Grubbs(window, warmup=5), x)
    for i, value, before in past(x, window):
        sample = np.append(before, value)
        n = len(sample)
        g = abs(value - sample.mean()) / sample.std(ddof=1)
        t = np.sqrt(n * (n - 2) * g * g / ((n - 1) ** 2 - n * g * g))
        assert abs(told[i]) == pytest.approx(-np.log(min(1.0, 2 * n * stats.t.sf(t, n - 2))), rel=1e-6, abs=1e-9)


@given(windows, st.sampled_from(range(6)))
def test_dixon_gives_the_level_at_each_critical_value(window, level):
    """A past from 0 to 1, and a value whose gap is the critical share of the range."""
    q = CRITICAL[level, window + 1 - 3]
    x = np.append(np.linspace(0, 1, window), 1 / (1 - q))
    told = deviations(DixonQ(window, warmup=window), x)[-1]
    assert told == pytest.approx(-np.log(LEVELS[level]), rel=1e-6)


@pytest.mark.parametrize("window", [1, 30, 50])
def test_dixon_refuses_a_window_beyond_its_table(window):
    with pytest.raises(InputError, match="the table of critical values holds for 2 to 29"):
        DixonQ(window)


@pytest.mark.parametrize("n", [5, 20])
def test_dixons_table_holds_for_normal_samples(n):
    samples = np.sort(np.random.default_rng(n).normal(size=(200_000, n)), axis=1)
    gaps = np.maximum(samples[:, 1] - samples[:, 0], samples[:, -1] - samples[:, -2])
    q = gaps / (samples[:, -1] - samples[:, 0])
    for level, critical in zip(LEVELS, CRITICAL[:, n - 3], strict=True):
        assert (q > critical).mean() == pytest.approx(level, rel=0.1)  # the table has three digits


@pytest.mark.parametrize(
    "detector", [ModifiedZScore(20, 5), InterquartileRange(20, warmup=5), Grubbs(20, 5), DixonQ(20, 5)]
)
def test_below_is_negative_and_the_middle_is_nothing(detector):
    x = np.append(np.random.default_rng(0).normal(size=40), [-9.0, 9.0])
    told = deviations(detector, x)
    assert told[-2] < -3 < 3 < told[-1] or isinstance(detector, InterquartileRange | DixonQ)
    assert told[-2] < 0 < told[-1]
