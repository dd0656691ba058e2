"""Several detectors, one opinion."""

from __future__ import annotations

import numpy as np
from streamgauge.models.ensemble import combine


def test_the_weighted_mean_of_those_who_have_an_opinion():
    surprises = np.array([[1.0, 3.0], [np.nan, 3.0], [np.nan, np.nan]])
    combined, disagreement = combine(surprises, ~np.isnan(surprises), np.array([3.0, 1.0]))
    np.testing.assert_array_equal(combined, [1.5, 3.0, np.nan])
    np.testing.assert_allclose(disagreement, [2 / 3, 0.0, 0.0])


def test_the_more_all_are_surprised_the_higher():
    low, _ = combine(np.array([[1.0, 1.0]]), np.ones((1, 2), bool), np.ones(2))
    high, _ = combine(np.array([[1.0, 5.0]]), np.ones((1, 2), bool), np.ones(2))
    assert high > low
