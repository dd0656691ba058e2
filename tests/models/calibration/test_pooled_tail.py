"""Evidence that is too careful, or too loud, is corrected by the events of all entities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.calibration.pooled_tail import PooledTail
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import pack


@pytest.mark.parametrize("factor", [0.6, 1.0, 2.0], ids=["careful", "right", "loud"])
@pytest.mark.parametrize("promise", [0.1, 0.01, 0.001])
def test_promises_hold_within_a_factor_of_two_whatever_the_scale_of_the_evidence(factor, promise):
    values = factor * np.random.default_rng(5).exponential(size=200_000)
    evidence = PooledTail().rate_learn_many(values)[5000:]
    assert promise / 2 <= (evidence >= -np.log(promise)).mean() <= promise * 2


def test_the_first_evidence_stays_as_it_is():
    values = np.array([1.0, 3.0, 4.2, 9.0])
    corrected = [PooledTail().rate_learn_many(np.array([value]))[0] for value in values]
    np.testing.assert_allclose(corrected, values)


def test_larger_evidence_stays_larger():
    tail = PooledTail()
    tail.rate_learn_many(np.random.default_rng(2).exponential(0.5, 5000))
    corrected = tail.rate_learn_many(-np.linspace(0.0, 100.0, 1000))
    assert (np.diff(corrected) > 0).all()
    assert corrected[0] == 0.0
    assert np.isfinite(corrected).all()


def test_a_few_anomalies_do_not_hide_the_next_one():
    values = np.random.default_rng(3).exponential(size=20_000)
    calm, shaken = PooledTail(), PooledTail()
    calm.rate_learn_many(values)
    values[::1000] = 150.0
    shaken.rate_learn_many(values)
    last = np.array([15.0])
    assert shaken.rate_learn_many(last) == pytest.approx(calm.rate_learn_many(last), rel=0.1)


def test_evidence_with_a_minus_is_corrected_and_not_learned():
    values = np.random.default_rng(4).exponential(size=500)
    learning, told = PooledTail(), PooledTail()
    for tail in (learning, told):
        tail.rate_learn_many(values)
    before = told.to_state()
    np.testing.assert_array_equal(
        told.rate_learn_many(np.array([-20.0, -0.0]))[0], learning.rate_learn_many(np.array([20.0]))[0]
    )
    assert told.to_state() == before


@given(st.lists(st.integers(1, 2999), max_size=6), st.integers(1, 2999))
def test_batches_and_restarts_do_not_matter(cuts, stop):
    values = np.random.default_rng(1).exponential(size=3000)
    values[::50] = np.nan
    values[1::70] *= -1.0
    whole = PooledTail()
    expected = whole.rate_learn_many(values)
    first = PooledTail()
    parts = [first.rate_learn_many(part) for part in np.split(values[:stop], sorted(c for c in cuts if c < stop))]
    second = PooledTail.from_state(first.to_state())
    np.testing.assert_array_equal(np.concatenate([*parts, second.rate_learn_many(values[stop:])]), expected)
    assert second.to_state() == whole.to_state()
    assert np.isnan(expected[::50]).all()


def test_other_bytes_are_no_state():
    with pytest.raises(StateError):
        PooledTail.from_state(b"nothing")
    for numbers in (np.zeros(3), np.zeros((5, 2)), np.zeros(5, np.int64)):
        with pytest.raises(StateError):
            PooledTail.from_state(pack(PooledTail.name, PooledTail.state_version, {}, {"numbers": numbers}))
