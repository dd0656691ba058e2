"""A statistic is as rare as its distribution says, and then as rare as it really was."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from streamgauge.models.calibration.learned_tail import (
    FIRST,
    HEAVIER,
    LAST,
    LOUD,
    RATIO,
    STEP,
    TAIL_NUMBERS,
    ideal_evidence,
    learn_tail,
    prime_tail,
    tail_evidence,
    weight_in_run,
)

IDEAL = (FIRST, FIRST + STEP, LAST)


@pytest.mark.parametrize("freedom", [3.0, 10.0, 100.0])
@pytest.mark.parametrize("z", [0.5, 1.0, 2.0, 4.0, 5.5, 8.0])
def test_the_ideal_evidence_is_that_of_students_t(z, freedom):
    true = -math.log(2.0 * stats.t.sf(z, freedom))
    assert ideal_evidence(z, freedom) == pytest.approx(true, rel=0.03)
    assert ideal_evidence(-z, freedom) == ideal_evidence(z, freedom)


def test_of_loud_evidence_only_the_logarithm_counts():
    for z in (25.0, 40.0):
        true = -(stats.norm.logsf(z) + math.log(2.0))
        assert true > LOUD
        assert ideal_evidence(z, 1e7) == pytest.approx(LOUD * (1.0 + math.log(true / LOUD)), rel=1e-3)
    assert ideal_evidence(15.0, 1e7) == pytest.approx(-(stats.norm.logsf(15.0) + math.log(2.0)), rel=1e-3)
    assert ideal_evidence(1e9, 5.0) == ideal_evidence(1e300, 5.0) < ideal_evidence(1e9, 50.0) < math.inf


def test_the_three_quantiles_have_the_evidence_of_their_shares_and_what_is_between_is_interpolated():
    q1, q2, q3 = 3.0, 5.0, 9.0
    told = [tail_evidence(x, q1, q2, q3, 1000.0) for x in (0.0, 1.5, q1, 4.0, q2, 7.0, q3)]
    shares = [0.0, FIRST / 2, FIRST, FIRST + STEP / 2, FIRST + STEP, FIRST + 1.5 * STEP, LAST]
    assert told == pytest.approx(shares)
    assert [math.exp(-told[k]) for k in (2, 4, 6)] == pytest.approx([0.1, 0.1 / RATIO, 0.01])


@pytest.mark.parametrize(
    ("learned", "shape"),
    [(0.0, 0.4 + 1 / 5), (500.0, 0.4 / 2 + 1 / 10), (4000.0, 0.4 / 9 + 1 / 45), (1e9, 1 / 45)],
)
def test_beyond_them_the_next_quantile_is_further_away_by_the_shape_which_is_larger_where_less_is_known(learned, shape):
    """Distances of an exponential tail are equal: all shape is that of what is not known yet."""
    beyond = LAST + STEP * RATIO**shape
    assert tail_evidence(beyond, *IDEAL, learned) == pytest.approx(LAST + STEP, rel=1e-6)


@pytest.mark.parametrize(("growth", "learned_shape"), [(2.0, math.log(2.0) / STEP), (0.5, 0.0), (100.0, 1.0)])
def test_a_shape_is_learned_from_the_distances_between_0_and_1(growth, learned_shape):
    q1, q2 = 2.0, 3.0
    q3 = q2 + growth * (q2 - q1)
    shape = learned_shape + 1 / 45
    assert tail_evidence(q3 + (q3 - q2) * RATIO**shape, q1, q2, q3, 1e12) == pytest.approx(LAST + STEP, rel=1e-6)


def test_a_larger_value_has_more_evidence_and_no_jump_is_in_it():
    told = np.array([tail_evidence(x, 3.0, 5.0, 9.0, 200.0) for x in np.linspace(0.0, 60.0, 6001)])
    assert (np.diff(told) > 0).all()
    assert np.diff(told).max() < 0.02


def test_at_first_a_tail_is_taken_to_be_heavier_than_ideal():
    tail = np.zeros(TAIL_NUMBERS)
    prime_tail(tail)
    assert tail == pytest.approx(HEAVIER * np.array(IDEAL))
    assert tail_evidence(HEAVIER * LAST, *tail, 0.0) == pytest.approx(LAST)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_quantiles_of_what_comes_are_learned(scale):
    tail, tails = np.zeros(TAIL_NUMBERS), []
    prime_tail(tail)
    for n, value in enumerate(scale * np.random.default_rng(2).exponential(size=20_000)):
        learn_tail(tail, value, float(n))
        tails.append(tail.copy())
    assert np.mean(tails[5000:], axis=0) == pytest.approx(scale * np.array(IDEAL), rel=0.25)


def test_however_large_a_value_is_the_quantiles_move_by_the_same_step_and_stay_apart():
    moved = []
    for value in (100.0, 1e300):
        tail = np.array(IDEAL)
        learn_tail(tail, value, 1000.0)
        moved.append(tail)
    np.testing.assert_array_equal(*moved)
    assert (moved[0] > IDEAL).all()
    assert (moved[0] - IDEAL < 0.1 * np.array(IDEAL)).all()
    tail = np.array([0.51, 0.62, 0.73])
    for n in range(1000):
        learn_tail(tail, 0.0, float(n))
    assert tail == pytest.approx([0.5, 0.6, 0.7])


def test_the_first_values_move_the_quantiles_more_than_later_ones():
    steps = []
    for learned in (0.0, 100.0, 1000.0, 4000.0, 1e6):
        tail = np.array(IDEAL)
        learn_tail(tail, 50.0, learned)
        steps.append(tail - IDEAL)
    assert all((early > late).all() for early, late in pairwise(steps[:4]))
    np.testing.assert_array_equal(steps[3], steps[4])
    first = 3.0 / 30.0 * np.array([0.7 * FIRST * 0.9, 3 * STEP * 0.9684, 9 * STEP * 0.99])
    assert steps[0] == pytest.approx(first)


def test_the_values_of_a_run_count_less_and_less():
    runs = np.zeros(2)
    assert [weight_in_run(runs, 1, True) for _ in range(4)] == pytest.approx([1.0, 2**-0.5, 3**-0.5, 0.5])
    assert weight_in_run(runs, 1, False) == 1.0
    assert weight_in_run(runs, 1, True) < 0.5  # one usual value does not end a run
    for _ in range(30):
        weight_in_run(runs, 1, False)
    assert weight_in_run(runs, 1, True) == pytest.approx(1.0, abs=0.01)
    assert runs[0] == 0.0


def test_far_values_that_come_one_by_one_count_nearly_whole():
    runs, random = np.zeros(1), np.random.default_rng(3)
    weights = [
        weight_in_run(runs, 0, True)
        for is_far in random.random(20_000) < 0.01
        if is_far or weight_in_run(runs, 0, False) < 1.0
    ]
    assert np.mean(weights) > 0.95


def test_a_fault_that_lasts_moves_the_quantiles_less_than_as_many_values_that_come_one_by_one():
    lasting, single, runs = np.array(IDEAL), np.array(IDEAL), np.zeros(1)
    for _ in range(100):
        learn_tail(lasting, 20.0, 1000.0, weight_in_run(runs, 0, True))
        learn_tail(single, 20.0, 1000.0)
    assert (lasting > IDEAL).all()
    assert (lasting - IDEAL < 0.5 * (single - IDEAL)).all()
