"""Cohort detectors against their definitions, and what they share: bursts of the strange do not become the norm."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble._iforest import _average_path_length
from sklearn.metrics import roc_auc_score
from streamgauge.models.catalog import COHORT
from streamgauge.models.detectors.cohort.conditional_residual import ConditionalResidual
from streamgauge.models.detectors.cohort.empirical_tail import EmpiricalTail
from streamgauge.models.detectors.cohort.histogram_density import HistogramDensity
from streamgauge.models.detectors.cohort.loda import Loda
from streamgauge.models.detectors.cohort.mahalanobis import Mahalanobis
from streamgauge.models.detectors.cohort.online_gaussian_mixture import OnlineGaussianMixture
from streamgauge.models.detectors.cohort.online_isolation_forest import OnlineIsolationForest
from streamgauge.models.detectors.cohort.vector_autoregression import VectorAutoregression
from streamgauge.models.detectors.fitted.isolation_forest import average_depth

RECORDS = (Mahalanobis, Loda, OnlineIsolationForest, EmpiricalTail, OnlineGaussianMixture)


def correlated(n=2000, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 3)) @ random.normal(size=(3, 5)) + 0.3 * random.normal(size=(n, 5))


def test_mahalanobis_is_the_distance_in_the_metric_of_the_covariance():
    X = correlated()
    detector = Mahalanobis(ridge=1e-6)
    detector.learn_many(X[:1920])
    raw_score, parts = detector._rate(X[1920:], learn=False)
    away = X[1920:] - detector._mean
    squares = np.einsum("ij,jk,ik->i", away, np.linalg.inv(detector._cov), away)
    np.testing.assert_allclose(raw_score**2 * 5, squares, rtol=1e-2)
    np.testing.assert_allclose(parts.sum(axis=1), raw_score**2 * 5, rtol=1e-9)


def test_mahalanobis_learns_numpys_covariance_where_nothing_is_strange():
    X = np.random.default_rng(1).uniform(size=(1500, 4))  # nothing is far off in a cube
    detector = Mahalanobis()
    detector.learn_many(X)
    np.testing.assert_allclose(detector._mean, X.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(detector._cov, np.cov(X.T, bias=True), rtol=1e-3, atol=1e-3)


def test_the_conditional_residual_is_that_of_a_regression_on_all_others():
    C = np.corrcoef(correlated().T)
    A = ConditionalResidual.residuals(C, 5, 1e-9)
    for j in range(5):
        others = [k for k in range(5) if k != j]
        np.testing.assert_allclose(-A[j, others], np.linalg.solve(C[np.ix_(others, others)], C[others, j]), rtol=1e-4)
        assert A[j, j] == pytest.approx(1.0)


def test_the_autoregression_finds_the_process():
    B = np.array([[0.6, 0.3, 0.0], [0.0, 0.5, -0.4], [0.2, 0.0, 0.7]])
    random, X = np.random.default_rng(0), np.zeros((4096, 3))
    for i in range(1, len(X)):
        X[i] = B @ X[i - 1] + random.normal(size=3)
    detector = VectorAutoregression(ridge=1e-6)
    detector.learn_many(X)
    unit = np.sqrt(np.diag(detector._cov))[:3]
    np.testing.assert_allclose(-detector._matrix[:, 3:] * unit[:, None] / unit[None, :], B, atol=0.06)


def test_the_depth_of_a_tree_is_that_of_scikit_learn():
    np.testing.assert_allclose(average_depth(np.arange(1.0, 300.0)), _average_path_length(np.arange(1, 300)))


def test_the_forest_ranks_as_scikit_learns():
    from sklearn.ensemble import IsolationForest

    random = np.random.default_rng(0)
    X = np.vstack((random.normal(size=(1024, 4)), random.normal(0, 3, (200, 4))))
    ours = OnlineIsolationForest(n_trees=100, renew=16)
    ours.learn_many(X[:1024])
    theirs = IsolationForest(random_state=0, max_samples=128).fit(X[:1024])
    assert np.corrcoef(ours.score_many(X[1024:]), -theirs.score_samples(X[1024:]))[0, 1] > 0.9


@pytest.mark.parametrize(
    "kind",
    [
        Mahalanobis,
        Loda,
        HistogramDensity,
        EmpiricalTail,
        VectorAutoregression,
        ConditionalResidual,
    ],
)
def test_fields_that_are_missing_do_not_make_the_others_less_strange(kind):
    detector = kind()
    detector.learn_many(np.random.default_rng(0).normal(size=(1500, 4)))
    whole, part = detector._rated(np.array([[6.0] * 4, [6.0] + [np.nan] * 3]))[0]
    assert part > 0.8 * whole


@pytest.mark.parametrize("before", [np.nan, 0.0])
@pytest.mark.parametrize("kind", [VectorAutoregression, ConditionalResidual])
def test_a_field_that_comes_late_or_varies_late_is_usual_in_time(kind, before):
    X = np.random.default_rng(0).normal(size=(15_000, 3))
    X[:400, 2] = before
    scores = kind().score_learn_many(X)
    assert np.median(scores[-1000:]) < 0.2


def test_what_is_missing_counts_as_the_mean_when_a_tree_was_last_grown():
    X = np.random.default_rng(0).normal(3, 1, size=(1024 + 40, 4))
    forest = OnlineIsolationForest(part=64, renew=64, memory=10**9)
    forest.learn_many(X[:1024])
    grown = forest.score_many(np.array([[X[:1024, 0].mean(), 2.0, 5.0, 3.0]]))
    forest.learn_many(X[1024:])  # no tree is grown by these
    assert forest.score_many(np.array([[np.nan, 2.0, 5.0, 3.0]])) == pytest.approx(grown, abs=0.02)
    assert forest.score_many(forest._fill[None, :]) == forest.score_many(
        np.array([[np.nan, *forest._fill[1:3], np.nan]])
    )


def test_the_empirical_tail_counts_how_many_were_as_far():
    X = np.random.default_rng(0).normal(size=(5000, 6))
    detector = EmpiricalTail()
    detector.learn_many(X)
    for x in (-2.0, 0.5, 1.5):
        _, evidence = detector._rate(np.array([[x, 0, 0, 0, 0, 0]]), learn=False)
        tail = min((X[:, 0] <= x).mean(), (X[:, 0] >= x).mean())
        assert np.exp(-evidence[0, 0]) / 2 == pytest.approx(tail, rel=0.15)


@pytest.mark.parametrize("kind", RECORDS)
def test_a_burst_of_anomalies_does_not_become_the_norm(kind):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(6000, 4)), np.zeros(6000)
    X[3000:3400] = random.normal(7, 0.1, (400, 4))
    y[3000:3400] = 1
    scores = kind().score_learn_many(X)
    assert roc_auc_score(y[500:], scores[500:]) > 0.97


@pytest.mark.parametrize("kind", RECORDS)
def test_a_lasting_change_becomes_usual_in_the_end(kind):
    random = np.random.default_rng(0)
    X = np.concatenate((random.normal(size=(2000, 3)), random.normal(6, 1, (30_000, 3))))
    scores = kind().score_learn_many(X)
    assert np.median(scores[-1000:]) < np.median(scores[2000:2100])


@pytest.mark.parametrize("name", sorted(COHORT))
def test_new_columns_are_taken_in_without_a_new_start(name):
    kind = COHORT[name]
    X = np.random.default_rng(0).uniform(0.3, 0.7, (2100, 8))
    narrow = kind(window_size=500) if "window_size" in kind.__init__.__code__.co_varnames else kind()
    narrow.rate_learn_many(X[:, :6])
    wide = narrow.widened(8)
    assert wide.width == 8
    raw_score, weights = wide.rate_learn_many(X)
    assert np.isfinite(raw_score[-1000:]).all()
    assert weights.shape == (2100, 4 if wide.input_kind == "levels and lasts" else 8)


def clusters(n, seed, centres, spread=0.3):
    random = np.random.default_rng(seed)
    return centres[random.integers(0, len(centres), n)] + spread * random.normal(size=(n, centres.shape[1]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [1, 2, 6])
def test_the_void_between_four_clusters_is_strange_as_scikit_learns_mixture_finds(seed, width):
    from sklearn.mixture import GaussianMixture

    random = np.random.default_rng(seed)
    corners = np.array([-9.0, -3.0, 3.0, 9.0]) if width == 1 else None
    centres = corners[:, None] if width == 1 else 5.0 * np.eye(4, width) + 5.0 * np.eye(4, width, 1)
    usual, fresh = clusters(4000, seed, centres), clusters(1000, seed + 50, centres)
    low, high = usual.min(axis=0), usual.max(axis=0)
    strange = random.uniform(low, high, (1000, width))
    ours = OnlineGaussianMixture()
    ours.learn_many(usual)
    theirs = GaussianMixture(4, covariance_type="diag", random_state=0, n_init=5).fit(usual)
    y = np.repeat([0, 1], 1000)
    both = np.vstack((fresh, strange))
    found = roc_auc_score(y, ours.score_many(both))
    assert found > roc_auc_score(y, -theirs.score_samples(both)) - 0.02
    between = usual.mean(axis=0)[None, :]
    assert ours.score_many(between)[0] > np.quantile(ours.score_many(fresh), 0.99)


def test_a_component_of_the_mixture_is_born_where_a_cluster_comes_up():
    old = clusters(3000, 0, np.array([[-3.0, 0.0], [3.0, 0.0]]))
    new = clusters(30_000, 1, np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 8.0]]))
    detector = OnlineGaussianMixture(components=3)
    detector.learn_many(np.vstack((old, new)))
    usual = detector.score_many(clusters(500, 2, np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 8.0]])))
    assert detector.score_many(np.array([[0.0, 4.0]]))[0] > np.quantile(usual, 0.99)
    assert detector.score_many(np.array([[0.0, 8.0]]))[0] < np.quantile(usual, 0.9)


def test_a_state_of_the_mixture_before_it_was_one_starts_anew():
    from streamgauge.models.persistence.codec import pack

    old = pack("online_gaussian_mixture", 1, {"settings": {"components": 3}, "learned": 500}, {"_mean": np.zeros(2)})
    detector = OnlineGaussianMixture.from_state(old)
    assert (detector.components, detector.learned, detector.ready) == (3, 0, False)
