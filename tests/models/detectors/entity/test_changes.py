"""What single values cannot show: flat lines, shifts, spreads, hours, shapes, and what was foreseen."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.detectors.entity.cusum import Cusum
from streamgauge.models.detectors.entity.flat_line import FlatLine
from streamgauge.models.detectors.entity.forecast_residual import ForecastResidual
from streamgauge.models.detectors.entity.level_shift import LevelShift
from streamgauge.models.detectors.entity.peer_deviation import PeerDeviation
from streamgauge.models.detectors.entity.seasonal_profile import SeasonalProfile
from streamgauge.models.detectors.entity.shape_dictionary import ShapeDictionary
from streamgauge.models.detectors.entity.slow_drift import SlowDrift
from streamgauge.models.detectors.entity.spread_change import SpreadChange

HOUR = 3_600_000


def deviations(detector, x, times=None):
    state, n = np.zeros((1, 1, detector.numbers_per_feature)), len(x)
    times = np.zeros(n, np.int64) if times is None else times
    X = np.asarray(x, dtype=np.float64)[:, None]
    distance, expected = detector.deviations(state, np.zeros(n, np.int64), X, times, learn=True)
    return distance[:, 0], expected[:, 0]


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def test_a_flat_line_grows_with_its_length_and_starts_anew():
    x = np.concatenate((noise(100), np.full(30, 7.0), noise(50, 1)))
    told, _ = deviations(FlatLine(), x)
    assert told[:100][20:].max() == 0
    assert told[105] == pytest.approx(np.log(2))  # the sixth of them
    assert told[129] == pytest.approx(25 * np.log(2))
    assert told[130] == 0


def test_a_field_that_repeats_needs_longer_runs_and_one_that_always_does_has_none():
    x = np.concatenate((noise(400), np.repeat(noise(10), 10), noise(400)))
    told, _ = deviations(FlatLine(), np.append(x, np.full(40, 3.3)))
    assert told[-1] == pytest.approx(30 * np.log(2))
    told, _ = deviations(FlatLine(), np.append(np.repeat(noise(40), 10), np.full(400, 3.3)))
    assert told[20:].max() == 0


def test_a_field_that_never_moved_does_not_stand_still():
    told, _ = deviations(FlatLine(), np.full(500, 7.0))
    assert told[20:].max() == 0


def test_a_sensor_that_stood_still_for_a_week_is_told_again():
    x = np.concatenate((noise(2000), np.full(2000, 7.0), noise(3000, 1), np.full(100, 3.0)))
    told, _ = deviations(FlatLine(), x)
    assert told[3999] > 100
    assert told[-1] > 20


def test_a_level_shift_is_told_and_a_spike_is_not():
    x = noise(600)
    x[300] += 50
    x[500:] += 3
    told, _ = deviations(LevelShift(), x)
    assert abs(told[300:330]).max() < 6
    assert told[500:560].max() > 8


def test_a_change_of_spread_is_told_with_its_direction():
    wilder, _ = deviations(SpreadChange(), np.concatenate((noise(400), 4 * noise(60, 1))))
    calmer, _ = deviations(SpreadChange(), np.concatenate((noise(400), 0.1 * noise(60, 1))))
    assert wilder[400:].max() > 6
    assert calmer[400:].min() < -6
    assert abs(deviations(SpreadChange(), noise(2000, 3))[0][100:]).max() < 6


def test_the_profile_knows_the_hours_of_the_week():
    hours = np.arange(24 * 7 * 12)
    x = np.where(hours % 168 < 120, 100.0, 20.0) + noise(len(hours))
    x[24 * 7 * 11 + 130] = 100.0  # a working day's value at the weekend
    told, expected = deviations(SeasonalProfile(), x, hours * HOUR)
    assert np.isnan(told[: 24 * 7]).all()  # no hour of the week was visited before
    weeks = 24 * 7 * 4
    assert weeks + np.nanargmax(np.abs(told[weeks:])) == 24 * 7 * 11 + 130
    assert expected[24 * 7 * 11 + 130] == pytest.approx(20, abs=2)


def test_the_forecast_leaves_nothing_but_the_innovations():
    x = np.zeros(300)
    e = noise(300)
    for i in range(2, 300):
        x[i] = 1.5 * x[i - 1] - 0.8 * x[i - 2] + e[i]
    _, expected = deviations(ForecastResidual(lags=2, forget=0.999), x)
    errors = (x - expected)[100:]
    assert errors.std() == pytest.approx(e[100:].std(), rel=0.1)
    np.testing.assert_allclose(expected[200:], (1.5 * x[199:-1] - 0.8 * x[198:-2]), atol=0.8)
    x[250] += 15
    assert np.nanargmax(np.abs(deviations(ForecastResidual(lags=2), x)[0])) in range(250, 253)


t = np.arange(20_000.0)


@pytest.mark.parametrize(
    "signal",
    [np.sin(t / 7), 1e9 + 1e6 * np.sin(t / 7), np.sin(t / 7) + np.sin(t / 31), t, np.full(len(t), 5.0)],
    ids=["sine", "sine far from 0", "two sines", "ramp", "constant"],
)
def test_the_forecast_of_a_signal_without_noise_stays_finite_and_finds_what_disturbs_it(signal):
    detector = ForecastResidual()
    state, row = np.zeros((1, 1, detector.numbers_per_feature)), np.zeros(len(t), np.int64)
    usual, _ = detector.deviations(state, row, signal[:, None], row, learn=True)
    assert np.isfinite(state).all()
    assert np.abs(usual[100:]).max() < 5
    disturbed = signal[:30] + (np.arange(30) == 20)
    found, _ = detector.deviations(state, row[:30], disturbed[:, None], row[:30], learn=False)
    assert 100 < np.abs(found).max() <= 1000


def test_one_value_near_the_end_of_all_numbers_does_not_stay_in_the_forecast():
    x = noise(3000)
    x[1000] = 1e308
    told, expected = deviations(ForecastResidual(), x)
    assert np.isfinite(told[50:]).all()
    assert np.isfinite(expected[50:]).all()
    assert np.abs(told[1050:]).max() < 10


def beats(n=60, odd=None):
    beat = np.concatenate((np.zeros(10), [1.0, 4.0, -2.0, 0.5], np.zeros(6)))
    x = np.tile(beat, n)
    if odd is not None:
        x[20 * odd + 10 : 20 * odd + 14] = [0.5, -2.0, 4.0, 1.0]  # the same values, in another order
    return x + 0.02 * noise(len(x))


def test_a_heartbeat_of_usual_values_in_an_unusual_order_is_found():
    told, _ = deviations(ShapeDictionary(samples=20, stride=1), beats(odd=50))
    assert np.nanargmax(told) in range(1000, 1040)
    assert told[1000:1040].max() > 3 * np.nanmax(told[200:1000])


def test_the_nearest_shape_is_the_nearest_of_all_windows():
    x = noise(200)
    told, _ = deviations(ShapeDictionary(samples=8, shapes=500, near=0.0, stride=1, warmup=20), x)
    windows = np.lib.stride_tricks.sliding_window_view(x - x[0], 8)
    windows = windows - windows.mean(axis=1, keepdims=True)
    for i in range(60, 200):
        nearest = np.sqrt(((windows[i - 7] - windows[: i - 7]) ** 2).mean(axis=1)).min()
        assert told[i] == pytest.approx(nearest / x[:i].std(), rel=1e-9)


def test_weekdays_that_do_not_differ_share_the_profile_of_the_day():
    times = np.arange(24 * 12 * 14) * (HOUR // 12)
    x = 50 + 20 * np.sin(times / HOUR / 24 * 2 * np.pi) + noise(len(times))
    told, expected = deviations(SeasonalProfile(), x, times)
    after = times > 7 * 24 * HOUR
    usual = 50 + 20 * np.sin(times / HOUR / 24 * 2 * np.pi)
    assert np.sqrt(np.mean((expected - usual)[after] ** 2)) < 0.7
    assert 0.3 < np.std(told[after]) < 1.1  # the first week's ignorance is still in the deviation


def test_a_run_of_small_deviations_is_told_once_and_then_its_level_is_learned():
    x = noise(3000)
    x[1000:] += 1.5
    told, _ = deviations(Cusum(), x)
    assert abs(told[:1000][200:]).max() < 12
    assert told[1000:1040].max() > 15
    assert abs(told[1400:]).max() < 12


def test_a_field_that_wanders_by_nature_needs_longer_runs():
    wandering = np.zeros(4000)
    e = noise(4000)
    for i in range(1, 4000):
        wandering[i] = 0.9 * wandering[i - 1] + e[i]
    told, _ = deviations(Cusum(), wandering)
    assert abs(told[1000:]).max() < 15


@pytest.mark.parametrize("detector", [Cusum(warmup=20), SlowDrift(span=50, memory=5000, warmup=200)])
def test_a_field_that_wanders_but_stood_still_at_first_is_usual_in_time(detector):
    x = np.zeros(60_000)
    for i, step in enumerate(noise(len(x) - 1)):
        x[i + 1] = 0.98 * x[i] + step
    moved, stood = (deviations(detector, values)[0][-10_000:] for values in (x, np.concatenate((np.zeros(2000), x))))
    assert np.mean(np.abs(stood) > 5) < np.mean(np.abs(moved) > 5) + 0.005


def test_a_ramp_is_a_drift_before_it_has_moved_by_two_deviations_and_a_spike_is_none():
    x = noise(8000)
    x[3500] += 100
    x[5000:7000] += np.linspace(0, 4, 2000)
    told, expected = deviations(SlowDrift(), x)
    assert abs(told[1300:5000]).max() < 6
    found = 5000 + int(np.argmax(told[5000:] > 6))
    assert (found - 5000) / 2000 * 4 < 2.0
    assert abs(expected[found]) < 0.5  # the anchor has not been carried along


def test_an_entity_that_leaves_its_peers_is_found_though_its_value_is_usual():
    common = np.cumsum(noise(3000)) * 0.3
    own = 5 + 2 * common + 0.2 * noise(3000, 1)
    own[2000:2030] = own[1999]
    moved = common.copy()
    moved[2000:2030] = common[1999] + 1.5  # the peers go, the entity stays
    detector = PeerDeviation()
    state = np.zeros((1, 1, detector.numbers_per_feature))
    distance, expected = detector.from_peers(state, np.zeros(3000, np.int64), own[:, None], moved[:, None])
    assert np.nanargmax(np.abs(distance)) in range(2000, 2031)
    assert expected[2010, 0] == pytest.approx(own[1999] + 3.0, abs=0.5)


def test_a_field_that_the_peers_do_not_explain_is_not_scored():
    detector = PeerDeviation()
    state = np.zeros((1, 1, detector.numbers_per_feature))
    told, _ = detector.from_peers(state, np.zeros(600, np.int64), noise(600)[:, None], noise(600, 1)[:, None])
    assert np.isnan(told).all()
