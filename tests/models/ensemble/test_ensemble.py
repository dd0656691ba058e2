"""Several detectors, one opinion."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from streamgauge.models.ensemble.ensemble import combine, consensus, disagree, interval, vote

EVIDENCE = np.array([[1.0, 3.0], [np.nan, 3.0], [np.nan, np.nan]])


def test_the_result_is_the_weighted_mean_of_the_members_with_an_opinion():
    combined = combine(EVIDENCE, ~np.isnan(EVIDENCE), np.array([3.0, 1.0]))
    np.testing.assert_array_equal(combined, [1.5, 3.0, np.nan])


def test_disagreement_is_the_difference_between_the_smallest_and_the_largest_evidence():
    np.testing.assert_allclose(disagree(EVIDENCE, ~np.isnan(EVIDENCE)), [2 / 3, 0.0, 0.0])


def test_more_evidence_of_all_members_gives_more():
    both = np.ones((1, 2), bool)
    assert combine(np.array([[1.0, 5.0]]), both, np.ones(2)) > combine(np.array([[1.0, 1.0]]), both, np.ones(2))


def test_an_interval_holds_the_score_and_is_wide_where_members_disagree():
    evidence = np.array([[4.0, 4.0, 4.0], [8.0, 4.0, 0.0], [5.0, np.nan, np.nan]])
    edges = interval(np.array([4.0, 4.0, 5.0]), evidence, ~np.isnan(evidence))
    np.testing.assert_allclose(edges[0], [4.0, 4.0])
    np.testing.assert_allclose(edges[1], [4 - 1.645 * 4 / np.sqrt(3), 4 + 1.645 * 4 / np.sqrt(3)])
    np.testing.assert_allclose(edges[2], [5.0, 5.0])


def test_votes_are_counted_by_weight_among_those_that_have_an_opinion():
    evidence = np.array([[9.0, 1.0, 9.0], [9.0, np.nan, 1.0], [np.nan] * 3])
    share = vote(evidence, ~np.isnan(evidence), np.array([1.0, 1.0, 2.0]), 5.0)
    np.testing.assert_allclose(share, [0.75, 1 / 3, np.nan])


@given(arrays(np.float64, (5, 4), elements=st.floats(0, 30)), arrays(np.float64, 4, elements=st.floats(0.1, 5)))
def test_a_consensus_is_the_evidence_that_half_of_the_weight_reaches(evidence, weights):
    said = consensus(evidence, np.ones(evidence.shape, bool), weights)
    for row, value in zip(evidence, said, strict=True):
        assert value in row
        assert weights[row >= value].sum() >= 0.5 * weights.sum() - 1e-9
        assert weights[row > value].sum() < 0.5 * weights.sum()
