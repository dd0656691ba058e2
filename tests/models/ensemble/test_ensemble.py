"""Several detectors, one opinion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score
from streamgauge.models.ensemble.ensemble import (
    combine,
    consensus,
    disagree,
    interval,
    most_surprised,
    vote,
    weights_by_agreement,
    weights_by_labels,
)

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


def test_an_interval_holds_the_score_and_is_wide_where_members_disagree():
    surprises = np.array([[4.0, 4.0, 4.0], [8.0, 4.0, 0.0], [5.0, np.nan, np.nan]])
    edges = interval(np.array([4.0, 4.0, 5.0]), surprises, ~np.isnan(surprises))
    np.testing.assert_allclose(edges[0], [4.0, 4.0])
    np.testing.assert_allclose(edges[1], [4 - 1.645 * 4 / np.sqrt(3), 4 + 1.645 * 4 / np.sqrt(3)])
    np.testing.assert_allclose(edges[2], [5.0, 5.0])


def test_votes_are_counted_by_weight_among_those_that_have_an_opinion():
    surprises = np.array([[9.0, 1.0, 9.0], [9.0, np.nan, 1.0], [np.nan] * 3])
    share = vote(surprises, ~np.isnan(surprises), np.array([1.0, 1.0, 2.0]), 5.0)
    np.testing.assert_allclose(share, [0.75, 1 / 3, np.nan])


@given(arrays(np.float64, (5, 4), elements=st.floats(0, 30)), arrays(np.float64, 4, elements=st.floats(0.1, 5)))
def test_a_consensus_is_the_surprise_that_half_of_the_weight_reaches(surprises, weights):
    said = consensus(surprises, np.ones(surprises.shape, bool), weights)
    for row, value in zip(surprises, said, strict=True):
        assert value in row
        assert weights[row >= value].sum() >= 0.5 * weights.sum() - 1e-9
        assert weights[row > value].sum() < 0.5 * weights.sum()


def test_labels_give_the_weight_to_members_that_see_and_copies_share_it():
    random = np.random.default_rng(0)
    labels = random.random(4000) < 0.1
    sees = random.exponential(1.0, 4000) + 4.0 * labels
    noise = random.exponential(1.0, 4000)
    alone = weights_by_labels(np.column_stack((sees, noise)), labels)
    assert alone[0] > 10 * alone[1]
    both = weights_by_labels(np.column_stack((sees, sees, noise)), labels)
    assert both[0] + both[1] > 10 * both[2]
    assert both.mean() == pytest.approx(1.0)
    assert weights_by_labels(np.column_stack((sees, -sees)), labels).tolist() == [2.0, 0.0]


def test_labels_weigh_members_that_see_different_anomalies_so_that_together_they_beat_each_alone():
    random = np.random.default_rng(1)
    labels = random.random(6000) < 0.05
    kind = random.integers(0, 2, 6000)
    members = random.exponential(1.0, (6000, 3))
    for k in (0, 1):
        members[labels & (kind == k), k] += 6.0
    members[::7, 2] = np.nan
    weights = weights_by_labels(members[:3000], labels[:3000])
    assert weights[:2].min() > 3 * weights[2]
    rest, truth = members[3000:], labels[3000:]
    together = average_precision_score(truth, combine(rest, ~np.isnan(rest), weights))
    alone = [average_precision_score(truth, np.nan_to_num(rest[:, k])) for k in range(3)]
    assert together > max(alone) + 0.1


def test_without_labels_noise_counts_little_and_copies_less_than_others():
    random = np.random.default_rng(0)
    truth = random.exponential(1.0, 5000)
    a, b, c = (truth + 0.5 * random.standard_normal(5000) for _ in range(3))
    weights = weights_by_agreement(np.column_stack((a, a, b, c, random.exponential(1.0, 5000))))
    assert weights[4] < 0.5 * weights[2]
    assert weights[0] == pytest.approx(weights[1])
    assert weights[0] < 0.95 * weights[2]
    np.testing.assert_array_equal(weights_by_agreement(np.column_stack((a, b))), [1.0, 1.0])
