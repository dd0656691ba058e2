"""The interval of a share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from streamgauge.models.calibration.shares import wilson


@given(
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from((0.5, 0.95, 0.999))
)
def test_the_interval_of_a_share_is_scipys(case, confidence):
    hits, of = case
    reference = stats.binomtest(hits, of).proportion_ci(confidence, "wilson")
    np.testing.assert_allclose(wilson(hits, of, confidence), (hits / of, *reference), rtol=1e-9, atol=1e-12)


def test_the_interval_has_95_percent_where_nothing_else_is_said():
    assert wilson(3, 10) == wilson(3, 10, 0.95)


def test_of_nothing_any_share_is_possible():
    assert wilson(0, 0) == (0.5, 0.0, 1.0)
