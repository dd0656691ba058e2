"""How far data have moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from streamgauge.models.evaluation.drift import population_stability, reference_of


def both(shift, n=20_000, seed=0):
    random = np.random.default_rng(seed)
    old, new = random.normal(size=(n, 2)), random.normal(size=(n, 2))
    new[:, 1] += shift
    return old, new


def test_equal_quantiles_have_equal_shares_and_repeated_values_are_one_bin():
    X = np.column_stack((np.arange(1000.0), np.where(np.arange(1000) % 10 < 9, 0.0, 1.0)))
    reference = reference_of(X)
    assert reference.shares[0] == pytest.approx(np.full(10, 0.1), abs=0.002)
    assert sorted(reference.shares[1])[-2:] == [0.1, 0.9]


def test_the_index_is_the_symmetric_divergence_of_scipy():
    old, new = both(0.7)
    reference = reference_of(old)
    counts = reference.counts(new)
    actual = counts / counts.sum(axis=1, keepdims=True)
    for f in range(2):
        expected = entropy(actual[f], reference.shares[f]) + entropy(reference.shares[f], actual[f])
        assert population_stability(reference.shares, counts)[f] == pytest.approx(expected, rel=0.02, abs=1e-3)


def test_nothing_moved_is_below_a_tenth_and_a_deviation_is_beyond_a_quarter():
    for seed in range(20):
        old, new = both(1.0, 1000, seed)
        reference = reference_of(old)
        still, moved = population_stability(reference.shares, reference.counts(new))
        assert still < 0.1
        assert moved > 0.25


@pytest.mark.parametrize("share", [1.0, 0.7, 0.25])
@pytest.mark.parametrize("moved", [-1.0, 1.0])
def test_a_value_that_most_events_had_may_move_down_as_well_as_up(share, moved):
    random = np.random.default_rng(0)
    old = np.where(random.random((1000, 1)) < share, 60.0, random.uniform(60.0, 90.0, (1000, 1)))
    reference = reference_of(old)
    new = np.where(old == 60.0, 60.0 + moved, old)
    still, changed = (population_stability(reference.shares, reference.counts(X))[0] for X in (old, new))
    assert still < 0.01
    assert changed > 0.25


def test_fields_without_values_say_nothing():
    old = np.column_stack((np.full(100, np.nan), np.arange(100.0)))
    reference = reference_of(old)
    counts = reference.counts(np.array([[1.0, np.nan]]))
    assert population_stability(reference.shares, counts).tolist() == [0.0, 0.0]


def test_an_empty_bin_tells_as_much_as_half_a_value_in_it_would():
    """Ten values cannot fill ten bins each time: this alone must not look like data that have moved."""
    random = np.random.default_rng(3)
    reference = reference_of(random.normal(size=(5000, 1)))
    few = [population_stability(reference.shares, reference.counts(random.normal(size=(30, 1))))[0] for _ in range(50)]
    assert np.isfinite(few).all()
    assert max(few) < 1.0
    assert np.mean(few) == pytest.approx(9 / 30, rel=0.5)  # its expected value: one less than the bins, over the values
    gone = np.array([[0.0, 0.0, 20.0]])
    shares = np.array([[0.0, 0.5, 0.5]])
    e, a = (0.5 + 10) / 21.5, 0.5 / 21.5
    full = (20.5 / 21.5 - e) * np.log((20.5 / 21.5) / e)
    assert population_stability(shares, gone)[0] == pytest.approx((a - e) * np.log(a / e) + full)
