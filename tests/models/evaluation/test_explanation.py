"""A counterfactual is a bound of one field inside which the event would have been none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.catalog import FITTED
from streamgauge.models.detectors.cohort.mahalanobis import Mahalanobis
from streamgauge.models.evaluation.explanation import counterfactuals

from tests.checks.fitted import waves

finite = st.floats(-100, 100)


@given(st.lists(finite, min_size=3, max_size=3), st.floats(0.5, 50))
def test_the_bound_of_a_distance_is_the_threshold_itself(x, threshold):
    x = np.array(x)

    def score(X):
        return np.abs(X).max(axis=1)

    found = counterfactuals(score, x, np.zeros(3), threshold)
    over = np.abs(x) >= threshold
    if over.sum() != 1:
        assert found == []  # no field alone, or no anomaly
        return
    [one] = found
    f = int(np.argmax(over))
    assert one.field == f
    assert one.above == (x[f] > 0)
    assert threshold - abs(x[f]) / 1000 <= abs(one.bound) < threshold
    assert one.sentence(["a", "b", "c"]).startswith(f"{'abc'[f]} {'<=' if x[f] > 0 else '>='} ")


def test_a_value_that_is_strange_because_it_is_exactly_this_one_has_a_bound():
    x = np.array([0.1])
    [one] = counterfactuals(lambda X: (X[:, 0] == 0.1).astype(np.float64), x, np.array([1000.0]), 0.5)
    assert 0.1 < one.bound < 0.2


@pytest.mark.parametrize(("actual", "above"), [(1e5, True), (1e9, True), (-1e12, False)])
def test_the_bound_is_found_also_where_the_value_is_very_far_from_it(actual, above):
    [one] = counterfactuals(lambda X: np.abs(X[:, 0]) / 20, np.array([actual]), np.array([3.0]), 1.0)
    assert one.above == above
    assert 19 < abs(one.bound) < 20


@pytest.mark.parametrize(
    "name", ["isolation_forest", "one_class_svm", "local_outlier_factor", "gaussian_mixture", "autoencoder"]
)
def test_the_event_changed_to_the_bound_is_none(name):
    detector = FITTED[name]().fit(waves(400)) if name != "autoencoder" else FITTED[name](2, 20).fit(waves(400))
    x = waves(400)[200].copy()
    x[1] += 6.0
    threshold = float(np.quantile(detector.score_many(waves(400)), 0.99))
    found = counterfactuals(detector.score_many, x, waves(400)[200], threshold)
    for one in found:
        changed = x.copy()
        changed[one.field] = one.bound
        assert detector.score_one(changed) < threshold <= detector.score_one(x)
    assert [one.field for one in found] == [1]


def test_an_online_detector_is_asked_in_the_same_way():
    detector = Mahalanobis()
    detector.learn_many(waves(400))
    x = waves(400)[200].copy()
    x[2] += 4.0
    found = counterfactuals(detector.score_many, x, np.where(np.arange(3) == 2, waves(400)[200], np.nan), 0.55)
    assert [one.field for one in found] == [2]
