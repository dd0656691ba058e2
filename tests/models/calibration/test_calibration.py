"""A tail probability is a promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.calibration.calibration import (
    COUNT,
    EXCESS,
    SHAPE,
    STEEPEST,
    TAIL_SHARE,
    THRESHOLD,
    WINSORISED,
    TailCalibrator,
    _fit,
    odds,
)
from streamgauge.models.errors import StateError


@pytest.mark.parametrize("draw", ["exponential", "halfnormal", "lognormal", "odds"])
@pytest.mark.parametrize("promise", [0.1, 0.01, 0.001])
def test_promises_hold_within_a_factor_of_two_on_unseen_normal_data(draw, promise):
    random = np.random.default_rng(5)
    n = 200_000
    values = {
        "exponential": lambda: random.exponential(3.0, n),
        "halfnormal": lambda: np.abs(random.normal(size=n)),
        "lognormal": lambda: random.lognormal(0.0, 0.5, n),
        "odds": lambda: odds(random.beta(2, 8, n)),
    }[draw]()
    evidence = TailCalibrator().rate_learn_many(values)[1000:]
    assert promise / 2 <= (evidence >= -np.log(promise)).mean() <= promise * 2


@given(st.lists(st.integers(1, 2999), max_size=6), st.integers(1, 2999))
def test_batches_and_restarts_do_not_matter(cuts, stop):
    values = np.random.default_rng(1).exponential(size=3000)
    values[::50] = np.nan
    whole = TailCalibrator(memory=300)
    expected = whole.rate_learn_many(values)
    first = TailCalibrator(memory=300)
    parts = [first.rate_learn_many(part) for part in np.split(values[:stop], sorted(c for c in cuts if c < stop))]
    second = TailCalibrator.from_state(first.to_state())
    np.testing.assert_array_equal(np.concatenate([*parts, second.rate_learn_many(values[stop:])]), expected)
    assert second.to_state() == whole.to_state()


def test_two_extremes_are_told_apart_and_in_order():
    calibrator = TailCalibrator()
    calibrator.rate_learn_many(np.random.default_rng(0).exponential(size=5000))
    one, two = calibrator.rate_learn_many(np.array([50.0, 500.0]))
    assert 20 < one < two


def test_nothing_is_stated_before_the_warm_up():
    calibrator = TailCalibrator(warmup=50)
    evidence = calibrator.rate_learn_many(np.linspace(0, 10, 51))
    assert (evidence[:50] == 0).all()
    assert evidence[50] > 0
    assert calibrator.ready


def test_the_past_is_forgotten():
    calibrator = TailCalibrator(memory=500)
    random = np.random.default_rng(0)
    calibrator.rate_learn_many(random.exponential(1.0, 3000))
    calibrator.rate_learn_many(random.exponential(100.0, 6000))
    assert calibrator.rate_learn_many(np.array([300.0]))[0] < -np.log(0.01)


@given(st.integers(0, 2**32 - 1), st.integers(2000, 3000), st.sampled_from(["exponential", "lognormal", "normal"]))
def test_halving_the_past_changes_evidence_of_usual_scores_by_no_more_than_it_must(seed, memory, draw):
    """Only the half score that is added to each count weighs twice as much. The tail is 1 % before and after, of these memories."""
    values = np.abs(getattr(np.random.default_rng(seed), draw)(size=3 * memory))
    halved = TailCalibrator(memory)
    fed = 2 * memory - 1  # weights are 1 at most
    halved.rate_learn_many(values[:fed])
    before = halved.to_state()
    while halved._numbers[COUNT] > 1.5 * memory:
        before = halved.to_state()
        halved.rate_learn_many(values[fed : fed + 1])
        fed += 1
    whole = TailCalibrator.from_state(before)
    whole.memory = 10 * memory
    whole.rate_learn_many(values[fed - 1 : fed])
    for score in np.append(0.0, np.geomspace(1e-6, 0.999 * whole._numbers[THRESHOLD], 40)):
        now, then = (
            TailCalibrator.from_state(one.to_state()).rate_learn_many(np.array([score]))[0] for one in (halved, whole)
        )
        most = (0.5 * np.exp(then) + 1.0) / whole._numbers[COUNT]
        assert abs(now - then) <= most + 1e-9


def test_one_enormous_score_does_not_hide_the_next_large_one():
    values = np.random.default_rng(0).exponential(size=3000)
    clean = TailCalibrator()
    clean.rate_learn_many(values)
    hit = TailCalibrator()
    hit.rate_learn_many(np.insert(values, [500, 1500, 2500], 1e9))
    large = np.array([15.0])
    assert hit.rate_learn_many(large)[0] > 0.8 * clean.rate_learn_many(large)[0]


def test_a_first_change_after_a_constant_past_is_rare():
    calibrator = TailCalibrator()
    calibrator.rate_learn_many(np.zeros(5000))
    assert calibrator.rate_learn_many(np.array([1.0]))[0] > -np.log(2e-4)


def test_constant_magnitudes_are_no_evidence():
    evidence = TailCalibrator().rate_learn_many(np.zeros(5000))
    assert evidence.max() < 1.0


def test_a_foreign_state_is_refused():
    with pytest.raises(StateError):
        TailCalibrator.from_state(b"SGS2 nonsense")


@pytest.mark.parametrize("draw", ["exponential", "halfnormal", "lognormal", "student", "pareto", "square"])
def test_one_false_alarm_in_ten_thousand_holds_within_a_factor_of_two_whatever_the_tail(draw):
    random = np.random.default_rng(11)
    n = 1_000_000
    values = {
        "exponential": lambda: random.exponential(3.0, n),
        "halfnormal": lambda: np.abs(random.normal(size=n)),
        "lognormal": lambda: random.lognormal(0.0, 1.0, n),
        "student": lambda: np.abs(random.standard_t(3, n)),
        "pareto": lambda: random.pareto(2.0, n),
        "square": lambda: random.normal(size=n) ** 4,
    }[draw]()
    alarms = (TailCalibrator(memory=50_000).rate_learn_many(values)[20_000:] >= -np.log(1e-4)).mean()
    least = 0.25 if draw == "halfnormal" else 0.5  # a tail lighter than exponential is not believed
    assert least * 1e-4 <= alarms <= 2e-4


def test_a_burst_of_anomalies_does_not_become_usual_but_a_lasting_change_does():
    random = np.random.default_rng(0)
    usual = random.exponential(size=30_000)
    burst, lasting = TailCalibrator(memory=50_000), TailCalibrator(memory=50_000)
    burst.rate_learn_many(usual)
    during = burst.rate_learn_many(30.0 + random.exponential(size=2000))
    assert (during >= -np.log(1e-3)).mean() > 0.25
    burst.rate_learn_many(random.exponential(size=2000))
    assert burst.rate_learn_many(np.array([30.0]))[0] >= -np.log(5e-3)
    lasting.rate_learn_many(usual)
    after = lasting.rate_learn_many(5.0 + random.exponential(size=30_000))
    assert (after[:100] >= -np.log(1e-2)).mean() > 0.5
    assert (after[-5000:] >= -np.log(1e-3)).mean() < 0.01
    after = lasting.rate_learn_many(100.0 + random.exponential(size=150_000))
    assert (after[-5000:] >= -np.log(1e-3)).mean() < 0.01


def test_an_exponential_tail_is_not_made_heavy_by_faults_that_last():
    random = np.random.default_rng(4)
    evidence = random.exponential(1.0, 30_000)
    faulty = random.random(30_000) < 0.06
    evidence[faulty] = random.lognormal(1.2, 0.8, int(faulty.sum()))
    shaped, exponential = TailCalibrator(), TailCalibrator(steepest=0.0)
    for calibrator in (shaped, exponential):
        calibrator.rate_learn_many(evidence)
        again = TailCalibrator.from_state(calibrator.to_state())
        assert again.steepest == calibrator.steepest
    large = np.array([40.0])
    assert exponential.rate_learn_many(large)[0] > 12 > shaped.rate_learn_many(large)[0]


@pytest.mark.parametrize(("shape", "rest"), [(0.2, WINSORISED), (0.5, WINSORISED), (0.8, WINSORISED), (0.5, 0.6)])
def test_scale_and_shape_of_a_heavy_tail_follow_from_the_quantile_at_which_it_is_cut_and_the_mean_then(shape, rest):
    scale = 3.0
    cap = scale * (rest**-shape - 1.0) / shape
    mean = scale * (1.0 - rest ** (1.0 - shape)) / (1.0 - shape)
    numbers = np.zeros(8)
    numbers[TAIL_SHARE], numbers[COUNT] = 1.0, 1e16  # so many that nothing is uncertain
    _fit(mean, cap, rest, numbers, STEEPEST)
    assert (numbers[SHAPE], numbers[EXCESS]) == pytest.approx((shape, scale), rel=1e-3)
