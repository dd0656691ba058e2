"""Weights of an ensemble's members: chosen by labels, or by how the members agree."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from streamgauge.models.ensemble.ensemble import combine
from streamgauge.models.ensemble.weights import weights_by_agreement, weights_by_labels


def test_labels_give_weight_to_members_that_find_anomalies_and_copies_share_it():
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


def test_labels_weigh_members_that_find_different_anomalies_so_that_together_they_are_better_than_each():
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
