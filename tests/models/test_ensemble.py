"""Several detectors, one opinion."""

from __future__ import annotations

import numpy as np
from streamgauge.models.ensemble import combine, disagree, most_surprised

SURPRISES = np.array([[1.0, 3.0], [np.nan, 3.0], [np.nan, np.nan]])


def test_the_weighted_mean_of_those_who_have_an_opinion():
    combined = combine(SURPRISES, ~np.isnan(SURPRISES), np.array([3.0, 1.0]))
    np.testing.assert_array_equal(combined, [1.5, 3.0, np.nan])


def test_disagreement_is_how_far_the_least_surprised_is_from_the_most():
    np.testing.assert_allclose(disagree(SURPRISES, ~np.isnan(SURPRISES)), [2 / 3, 0.0, 0.0])


def test_the_more_all_are_surprised_the_higher():
    both = np.ones((1, 2), bool)
    assert combine(np.array([[1.0, 5.0]]), both, np.ones(2)) > combine(np.array([[1.0, 1.0]]), both, np.ones(2))


def test_one_member_alone_is_worth_its_surprise_less_the_logarithm_of_how_many_were_asked():
    surprises = np.array([[1.0, 9.0], [np.nan, 9.0], [np.nan, np.nan], [0.1, 0.2]])
    alone = most_surprised(surprises, ~np.isnan(surprises))
    np.testing.assert_allclose(alone, [9 - np.log(2), 9, 0, 0])
