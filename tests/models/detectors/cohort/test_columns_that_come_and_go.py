"""A column that comes late, goes and comes back, or is new, is usual in time, and disturbs what is known of the others little."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.catalog import COHORT
from streamgauge.models.detectors.cohort.robust_cohort import RobustCohort
from streamgauge.models.persistence.codec import pack, unpack

ROBUST = sorted(name for name, kind in COHORT.items() if issubclass(kind, RobustCohort))
LATE, N = 10_000, 13_000


def usual(n=N, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def rated(detector, X):
    """Raw scores; a lagged detector is given each event with the one before."""
    if getattr(detector, "lagged", False):
        X = np.hstack((X, np.vstack((X[:1], X[:-1]))))
    return detector.rate_learn_many(np.ascontiguousarray(X))[0]


def strange(raw_scores):
    """Share of the events after the column came that are stranger than one in 200 was before; 200 are left to learn it."""
    limit = np.nanquantile(raw_scores[LATE // 2 : LATE], 0.995)
    return (raw_scores[LATE + 200 :] > limit).mean()


@pytest.mark.parametrize("level", [0.0, 1000.0])
@pytest.mark.parametrize("name", ROBUST)
def test_a_column_that_comes_late_is_usual_after_some_events(name, level):
    X = usual()
    X[:, 3] += level
    X[:LATE, 3] = np.nan
    assert strange(rated(COHORT[name](), X)) < 0.05


@pytest.mark.parametrize("name", [name for name in ROBUST if name != "online_isolation_forest"])
def test_a_column_that_was_missing_for_long_is_as_usual_as_before(name):
    """The forest is left out: in its sample of the events, the column is then a constant."""
    X = usual()
    X[2000:LATE, 3] = np.nan
    raw_scores = rated(COHORT[name](), X)
    limit = np.nanquantile(raw_scores[1000:2000], 0.995)
    assert (raw_scores[LATE:] > limit).mean() < 0.05


@pytest.mark.parametrize("name", [name for name in ROBUST if not getattr(COHORT[name], "lagged", False)])
def test_events_are_usual_soon_after_a_new_column_has_come(name):
    X = usual()
    narrow = COHORT[name]()
    before = rated(narrow, X[:LATE, :3])
    assert strange(np.concatenate((before, rated(narrow.widened(4), X[LATE:])))) < 0.05


@pytest.mark.parametrize("name", ROBUST)
def test_what_is_known_of_a_column_stays_when_another_one_comes(name):
    width = 6 if getattr(COHORT[name], "lagged", False) else 3
    X = 100.0 + usual(5000, width)
    narrow = COHORT[name]()
    narrow.rate_learn_many(X)
    wide = narrow.widened(width + 2)
    wide.rate_learn_many(np.full((1, width + 2), 103.0))
    kept = np.arange(width) + (np.arange(width) >= width // 2) * (width == 6)
    np.testing.assert_allclose(wide._mean[kept], 100.0, atol=0.1)
    if hasattr(wide, "_variance"):
        np.testing.assert_allclose(wide._variance[kept], 1.0, atol=0.2)


@pytest.mark.parametrize("name", ROBUST)
def test_a_state_that_counted_events_only_is_read(name):
    """Where no value was missing, nothing changes."""
    width = 6 if getattr(COHORT[name], "lagged", False) else 3
    X = usual(1500, width)
    now = COHORT[name]()
    now.rate_learn_many(X[:1000])
    meta, arrays = unpack(now.to_state(), now.name, now.state_version)
    del arrays["_seen"]
    earlier = COHORT[name].from_state(pack(now.name, now.state_version, meta, arrays))
    assert earlier.to_state() == now.to_state()
    np.testing.assert_array_equal(earlier.rate_learn_many(X[1000:])[0], now.rate_learn_many(X[1000:])[0])


@pytest.mark.parametrize("name", ["mahalanobis", "conditional_residual", "vector_autoregression"])
def test_pairs_of_fields_that_contradict_each_other_do_no_harm(name):
    """The first is like the second, the second like the third, and the third is the opposite of the first, in different events."""
    X = 0.1 * usual(6000, 3)
    X[0::3, :2] += usual(2000, 1)
    X[1::3, 1:] += usual(2000, 1, 1)
    X[2::3, ::2] += usual(2000, 1, 2) * (1.0, -1.0)
    X[0::3, 2] = X[1::3, 0] = X[2::3, 1] = np.nan
    raw_scores = rated(COHORT[name](ridge=0.01), X)
    assert np.isfinite(raw_scores[1000:]).all()
    assert np.max(raw_scores[1000:]) < 10.0 * np.median(raw_scores[1000:])
