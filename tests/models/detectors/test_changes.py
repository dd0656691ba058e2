"""What single values cannot show: flat lines, shifts, spreads, hours, shapes, and what was foreseen."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.detectors.flat_line import FlatLine
from streamgauge.models.detectors.forecast_residual import ForecastResidual
from streamgauge.models.detectors.level_shift import LevelShift
from streamgauge.models.detectors.seasonal_profile import SeasonalProfile
from streamgauge.models.detectors.shape_dictionary import ShapeDictionary
from streamgauge.models.detectors.spread_change import SpreadChange

HOUR = 3_600_000


def distances(detector, x, times=None):
    state, n = np.zeros((1, 1, detector.numbers_per_feature)), len(x)
    times = np.zeros(n, np.int64) if times is None else times
    X = np.asarray(x, dtype=np.float64)[:, None]
    distance, expected = detector.distances(state, np.zeros(n, np.int64), X, times, learn=True)
    return distance[:, 0], expected[:, 0]


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def test_a_flat_line_grows_with_its_length_and_starts_anew():
    x = np.concatenate((noise(100), np.full(30, 7.0), noise(50, 1)))
    told, _ = distances(FlatLine(), x)
    assert told[:100][20:].max() == pytest.approx(1 / 5)
    assert told[129] == pytest.approx(30 / 5)
    assert told[130] == pytest.approx(1 / 30)


def test_a_field_that_always_repeats_needs_longer_runs():
    x = np.repeat(noise(40), 10)
    told, _ = distances(FlatLine(), np.append(x, np.full(40, 3.3)))
    assert told[30:400].max() == pytest.approx(1.0)
    assert told[-1] == pytest.approx(4.0)


def test_a_level_shift_is_told_and_a_spike_is_not():
    x = noise(600)
    x[300] += 50
    x[500:] += 3
    told, _ = distances(LevelShift(), x)
    assert abs(told[300:330]).max() < 6
    assert told[500:560].max() > 8


def test_a_change_of_spread_is_told_with_its_direction():
    wilder, _ = distances(SpreadChange(), np.concatenate((noise(400), 4 * noise(60, 1))))
    calmer, _ = distances(SpreadChange(), np.concatenate((noise(400), 0.1 * noise(60, 1))))
    assert wilder[400:].max() > 6
    assert calmer[400:].min() < -6
    assert abs(distances(SpreadChange(), noise(2000, 3))[0][100:]).max() < 6


def test_the_profile_knows_the_hours_of_the_week():
    hours = np.arange(24 * 7 * 12)
    x = np.where(hours % 168 < 120, 100.0, 20.0) + noise(len(hours))
    x[24 * 7 * 11 + 130] = 100.0  # a working day's value at the weekend
    told, expected = distances(SeasonalProfile(), x, hours * HOUR)
    assert np.nanargmax(np.abs(told)) == 24 * 7 * 11 + 130
    assert expected[24 * 7 * 11 + 130] == pytest.approx(20, abs=2)


def test_the_forecast_leaves_nothing_but_the_innovations():
    x = np.zeros(300)
    e = noise(300)
    for i in range(2, 300):
        x[i] = 1.5 * x[i - 1] - 0.8 * x[i - 2] + e[i]
    _, expected = distances(ForecastResidual(lags=2, forget=0.999), x)
    errors = (x - expected)[100:]
    assert errors.std() == pytest.approx(e[100:].std(), rel=0.1)
    np.testing.assert_allclose(expected[200:], (1.5 * x[199:-1] - 0.8 * x[198:-2]), atol=0.8)
    x[250] += 15
    assert np.nanargmax(np.abs(distances(ForecastResidual(lags=2), x)[0])) in range(250, 253)


def beats(n=60, odd=None):
    beat = np.concatenate((np.zeros(10), [1.0, 4.0, -2.0, 0.5], np.zeros(6)))
    x = np.tile(beat, n)
    if odd is not None:
        x[20 * odd + 10 : 20 * odd + 14] = [0.5, -2.0, 4.0, 1.0]  # the same values, in another order
    return x + 0.02 * noise(len(x))


def test_a_heartbeat_of_usual_values_in_an_unusual_order_is_found():
    told, _ = distances(ShapeDictionary(samples=20, stride=1), beats(odd=50))
    assert np.nanargmax(told) in range(1000, 1040)
    assert told[1000:1040].max() > 3 * np.nanmax(told[200:1000])


def test_the_nearest_shape_is_the_nearest_of_all_windows():
    x = noise(200)
    told, _ = distances(ShapeDictionary(samples=8, shapes=500, near=0.0, stride=1, warmup=20), x)
    windows = np.lib.stride_tricks.sliding_window_view(x - x[0], 8)
    windows = windows - windows.mean(axis=1, keepdims=True)
    for i in range(60, 200):
        nearest = np.sqrt(((windows[i - 7] - windows[: i - 7]) ** 2).mean(axis=1)).min()
        assert told[i] == pytest.approx(nearest / x[:i].std(), rel=1e-9)
