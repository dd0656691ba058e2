"""Evidence of all entities is corrected as its quantiles say, never by much where little is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.models.calibration.learned_tail import FIRST, LAST, STEP
from streamgauge.models.calibration.pooled_tail import EACH, MOST, NOTHING, RARE, STEEPEST, TRUSTED, PooledTail
from streamgauge.models.persistence.codec import pack, unpack


def tail_of(count, q1, q2, q3):
    """A tail that has learned so many values, with these quantiles."""
    state = pack(PooledTail.name, PooledTail.state_version, {}, {"numbers": np.array([count, q1, q2, q3, 0.0])})
    return PooledTail.from_state(state)


def corrected(tail, *values):
    return tail.rate_learn_many(-np.array(values)).tolist()  # a minus: nothing is learned


KNOWN = 1e12  # so many values that the quantiles count fully


def test_evidence_at_a_quantile_becomes_that_of_its_share_and_between_them_it_is_interpolated():
    tail = tail_of(KNOWN, 2.0, 3.0, 5.0)
    told = corrected(tail, 0.0, 1.0, 2.0, 2.5, 3.0, 4.0, 5.0)
    wanted = [0.0, FIRST / 2, FIRST, FIRST + STEP / 2, FIRST + STEP, FIRST + 1.5 * STEP, LAST]
    assert told == pytest.approx(wanted)


def test_beyond_the_last_quantile_it_grows_as_between_the_last_two_and_by_so_much_in_all():
    tail = tail_of(KNOWN, 2.0, 3.0, 4.0)
    assert corrected(tail, 6.0)[0] == pytest.approx(LAST + 2.0 * STEP)
    assert corrected(tail, 100.0)[0] == 100.0 + MOST


def test_it_grows_twice_as_fast_as_it_comes_at_most():
    tail = tail_of(KNOWN, 0.1, 0.2, 0.3)
    assert corrected(tail, FIRST * STEEPEST)[0] == pytest.approx(FIRST)
    assert corrected(tail, FIRST * STEEPEST + 0.5)[0] == pytest.approx(FIRST + 1.0)
    assert corrected(tail, (FIRST + STEP) * STEEPEST + 0.5)[0] == pytest.approx(FIRST + STEP + 1.0)


def test_the_quantiles_count_half_after_three_hundred_values():
    told = corrected(tail_of(TRUSTED, 4.0 * FIRST, 5.0 * FIRST, 6.0 * FIRST), 2.0 * FIRST)
    assert told[0] == pytest.approx(FIRST)  # the square root of four times


def test_of_what_is_rare_each_tenth_value_is_learned():
    tail = tail_of(KNOWN, FIRST, FIRST + STEP, LAST)
    for n in range(1, 31):
        before = tail.to_state()
        tail.rate_learn_many(np.array([RARE + 0.1]))
        counted = tail.learned - int(KNOWN)
        assert counted == n // EACH, n
        assert tail.to_state() != before  # it is counted as rare
    tail.rate_learn_many(np.array([RARE - 0.1]))
    assert tail.learned == KNOWN + 4


def test_evidence_of_fields_that_never_varied_tells_nothing():
    tail = PooledTail()
    tail.rate_learn_many(np.array([0.0, NOTHING / 2, math.nan]))
    assert tail.learned == 0
    tail.rate_learn_many(np.array([2.0 * NOTHING]))
    assert tail.learned == 1


def test_the_quantiles_of_a_new_tail_are_those_of_evidence_that_is_right():
    _, arrays = unpack(PooledTail().to_state(), PooledTail.name, PooledTail.state_version)
    count, *quantiles, _ = arrays["numbers"].tolist()
    assert count == 0.0
    given = [0.5, FIRST, 3.0, 4.0, 6.0, 30.0]
    assert corrected(tail_of(KNOWN, *quantiles), *given) == pytest.approx(given)
