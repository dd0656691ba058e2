"""What only many values in a row show: each fault is found and named, and on normal processes the promise is kept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter
from streamgauge.models.detectors.channel.day_profile import DayProfile
from streamgauge.models.detectors.channel.deviation_sum import LEVEL
from streamgauge.models.detectors.channel.runs import SUM_AT, Runs

CHANNELS = [channel.name for channel in Runs.channels]
TOLD = 11.5  # evidence that raises an incident beside a dozen other looks
EVIDENCE = 7.0  # at which the promise is measured
STEP = 300_000
BEGIN = 1_767_571_200_000  # a Monday


def look(x, expected=None, batch=None, quarantined=None):
    """Evidence of a series, float64[n, channels], and the state after it."""
    detector, n = Runs(), len(x)
    state, batch = np.zeros((1, 1, detector.numbers_per_feature)), batch or n
    X, times = np.asarray(x, np.float64)[:, None], BEGIN + STEP * np.arange(n)
    rows, kept = np.zeros(n, np.int64), np.zeros(n, np.bool_) if quarantined is None else quarantined
    found = []
    for a in range(0, n, batch):
        part = slice(a, a + batch)
        given = None if expected is None else expected[part, None]
        found.append(detector.look(state, rows[part], X[part], times[part], kept[part], given).evidence[:, 0])
    return np.nan_to_num(np.concatenate(found)), state


def first(evidence, begin, end):
    """Events until the fault is told, and the channel that tells it; None if it is not told."""
    told = np.flatnonzero(evidence[begin:end].max(axis=1) >= TOLD)
    if not len(told):
        return None
    return int(told[0]), CHANNELS[int(evidence[begin + told[0]].argmax())]


def noise(n=2400, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def beat(n=2400, seed=0):
    return np.where(np.arange(n) % 24 < 2, 10.0, 0.0) + noise(n, seed)


def sawtooth(n=3000, seed=0):
    """A heap: it grows, and falls back to about the same floor."""
    random, heap, values = np.random.default_rng(seed), 200.0, []
    for _ in range(n):
        heap += random.normal(12, 2)
        if heap > 800:
            heap = random.normal(200, 10)
        values.append(heap)
    return np.array(values)


@pytest.mark.parametrize("seed", range(3))
def test_small_shifts_up_and_down_are_sums_of_deviations(seed):
    for side in (1.75, -1.75):  # of 40 shifts by 1.5 one stays a hair below, at 11.48
        x = noise(seed=seed)
        x[2000:] += side
        evidence = look(x)[0][2000:2060, CHANNELS.index("sum of deviations")]
        assert evidence.max() >= TOLD


def test_a_process_that_remembers_has_shifts_too():
    x = lfilter([1], [1, -0.5], noise())
    x[2000:] += 3 * x[:2000].std()
    assert first(look(x)[0], 2000, 2300) is not None


@pytest.mark.parametrize("make", [noise, beat, lambda: np.cumsum(noise()), lambda: np.round(20 * noise())])
def test_a_stuck_gauge_is_a_flat_line(make):
    x = make()
    x[2005:2065] = x[2005]
    after, channel = first(look(x)[0], 2005, 2065)
    assert channel == "flat line"
    assert after <= 25


def test_a_counter_that_stands_still_is_a_flat_line_and_its_resets_are_usual():
    x = np.cumsum(np.random.default_rng(0).poisson(8, 2400)).astype(float)
    x[1000:] -= x[1000]
    evidence, _ = look(x)
    assert evidence.max() < TOLD
    x[2000:2060] = x[2000]
    after, channel = first(look(x)[0], 2000, 2060)
    assert channel == "flat line"
    assert after <= 25


@pytest.mark.parametrize("make", [lambda r: np.full(200_000, 7.0), lambda r: (r.random(2400) < 0.3) * 1.0])
def test_constant_and_two_valued_fields_are_no_flat_lines(make):
    assert look(make(np.random.default_rng(0)))[0].max() < TOLD


def test_an_event_that_is_sent_twice_is_no_flat_line():
    x = noise(20_000)
    x[15_001] = x[15_000]
    assert look(x)[0][15_001, CHANNELS.index("flat line")] < 7


def test_a_burst_and_a_calm_are_another_spread():
    for factor in (4.0, 0.02):
        x = noise()
        x[2000:2060] *= factor
        after, channel = first(look(x)[0], 2000, 2060)
        assert channel == "spread"
        assert after < 45


def test_a_missing_beat_is_found_within_half_a_period_and_each_time():
    x = beat()
    x[2016:2018] -= 10
    x[2256:2258] -= 10
    evidence = look(x)[0][:, CHANNELS.index("missing beat")]
    for due in (2016, 2256):
        assert evidence[due : due + 12].max() >= TOLD
    assert evidence[:2016].max() < TOLD
    assert evidence[2041:2256].max() < TOLD


def test_a_run_every_six_slots_that_does_not_come_is_missing():
    x = (np.arange(540) % 6 == 1) * 1.0
    x[361] = 0
    evidence = look(x)[0][:, CHANNELS.index("missing beat")]
    assert evidence[361:365].max() >= TOLD
    assert evidence[:361].max() < 7


def test_beats_that_pause_each_week_are_not_even():
    hours = np.arange(24 * 7 * 12)
    x = ((hours % 24 == 6) & (hours // 24 % 7 < 5)) * 10.0 + noise(len(hours))
    assert look(x)[0][:, CHANNELS.index("missing beat")].max() < TOLD


def test_a_floor_that_rises_below_a_usual_sawtooth_is_found():
    x = sawtooth(9000)
    evidence = look(x)[0][:, CHANNELS.index("rising floor")]
    assert evidence.max() < TOLD
    x[8000:] = 700 + 20 * noise(1000)
    assert look(x)[0][8000:8400, CHANNELS.index("rising floor")].max() >= 10


def processes(random, n, entities):
    normal = random.normal(size=(n, entities))
    return {
        "normal": normal,
        "remembers .9": lfilter([1], [1, -0.9], normal, axis=0),
        "remembers .99": lfilter([1], [1, -0.99], normal, axis=0),
        "random walk": np.cumsum(normal, axis=0),
        "counts": random.poisson(3, (n, entities)) * 1.0,
        "two-valued": (random.random((n, entities)) < 0.3) * 1.0,
        "zero-inflated": np.where(random.random((n, entities)) < 0.8, 0.0, 1.0 + random.poisson(20, (n, entities))),
        "heavy tails": random.standard_t(3, (n, entities)),
        "daily": 10 * np.cos(np.arange(n) * STEP / 86_400_000 * 2 * np.pi)[:, None] + normal,
    }


@pytest.mark.parametrize("name", processes(np.random.default_rng(0), 1, 1))
def test_normal_processes_keep_the_promise(name):
    n, entities = 4000, 20
    x = processes(np.random.default_rng(1), n, entities)[name]
    profile, runs = DayProfile(), Runs()
    rows, X = np.tile(np.arange(entities), n), x.reshape(-1, 1)
    times, kept = np.repeat(BEGIN + STEP * np.arange(n), entities), np.zeros(n * entities, np.bool_)
    expected = profile.look(np.zeros((entities, 1, profile.numbers_per_feature)), rows, X, times, kept).expected
    state = np.zeros((entities, 1, runs.numbers_per_feature))
    evidence = np.nan_to_num(runs.look(state, rows, X, times, kept, expected).evidence).reshape(n, entities, -1)
    strange = evidence >= EVIDENCE
    begins = strange.copy()
    for lag in range(1, 31):
        begins[lag:] &= ~strange[:-lag]
    promised = n * entities * np.exp(-EVIDENCE)
    assert (begins.sum(axis=(0, 1)) <= 2 * promised + 3 * np.sqrt(promised)).all()


def test_batches_do_not_matter():
    x = np.concatenate((beat(700), sawtooth(600), np.full(100, 3.0), noise(300)))
    whole, state = look(x)
    for batch in (1, 7, 500):
        parts, last = look(x, batch=batch)
        np.testing.assert_array_equal(whole, parts)
        np.testing.assert_array_equal(state, last)


@pytest.mark.parametrize("bad", [-9999.0, 65535.0, 2.0**31 - 1, 1e308, np.nan])
def test_a_bad_value_blinds_nothing_for_more_than_fifty_events(bad):
    x = noise(2600)
    x[2000] = bad
    shifted, stuck, wild = x.copy(), x.copy(), x.copy()
    shifted[2050:] += 2
    stuck[2050:2110] = stuck[2050]
    wild[2050:2110] *= 5
    for series, channel in ((shifted, "sum of deviations"), (stuck, "flat line"), (wild, "spread")):
        evidence, state = look(series)
        assert np.isfinite(state).all()
        assert evidence[2050:2110, CHANNELS.index(channel)].max() >= TOLD
    late = beat(2600)
    late[2005] = bad
    late[2064:2066] -= 10
    assert look(late)[0][2064:2090, CHANNELS.index("missing beat")].max() >= TOLD


def test_quarantined_events_are_learned_within_limits():
    x = noise()
    x[2000:2100] += 2
    far = x.copy()
    far[2000:2100] += 1000
    kept = np.zeros(len(x), np.bool_)
    kept[2000:2100] = True
    evidence, state = look(x)
    quarantined, learned = look(x, quarantined=kept)
    np.testing.assert_array_equal(evidence, quarantined)
    np.testing.assert_array_equal(state, learned)
    before = look(x[:2000])[1][0, 0, SUM_AT + LEVEL]
    moved = abs(look(far[:2100], quarantined=kept[:2100])[1][0, 0, SUM_AT + LEVEL] - before)
    assert 0 < moved < 3


def test_a_shift_that_comes_again_is_told_again():
    x = noise()
    x[2000:2040] += 3
    x[2140:2180] += 3
    evidence = look(x)[0][:, CHANNELS.index("sum of deviations")]
    for begin in (2000, 2140):
        assert evidence[begin : begin + 40].max() >= TOLD
    assert evidence[2060:2140].max() < TOLD


def test_state_is_small_and_finite_for_ever():
    assert Runs().numbers_per_feature <= 100
    x = np.concatenate((noise(300), [1e308, -1e308, np.inf, 0.0], np.zeros(300), noise(2000, 1) * 1e-30))
    assert np.isfinite(look(x)[1]).all()
