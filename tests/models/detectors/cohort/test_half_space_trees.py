"""Half-space trees on arrays score as River does, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.anomaly import HalfSpaceTrees as River
from streamgauge.models.detectors.cohort.half_space_trees import HalfSpaceTrees
from streamgauge.models.detectors.cohort.river_half_space_trees import RiverHalfSpaceTrees


def river_scores(X, **parameters):
    """Straight from River, none of our code between."""
    model, scores = River(**parameters), []
    for x in X.tolist():
        event = {f"f{i:03d}": v for i, v in enumerate(x)}
        scores.append(model.score_one(event))
        model.learn_one(event)
    return np.array(scores, dtype=np.float64)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 7),
    st.integers(5, 60),
    st.integers(1, 5),
    st.lists(st.integers(1, 249), max_size=5),
)
def test_scores_equal_rivers_for_any_batches(seed, n_trees, height, window_size, d, cuts):
    X = np.random.default_rng(seed).beta(2, 5, (250, d))
    parameters = {"n_trees": n_trees, "height": height, "window_size": window_size, "seed": seed}
    ours = HalfSpaceTrees(**parameters)
    scores = np.concatenate([ours.score_learn_many(part) for part in np.split(X, sorted(cuts))])
    np.testing.assert_array_equal(scores, river_scores(X, **parameters))


@pytest.mark.parametrize(("n_trees", "height"), [(25, 8), (2, 15)])
def test_scores_equal_rivers_with_many_trees_and_with_high_ones(n_trees, height):
    X = np.random.default_rng(1).random((300, 4))
    parameters = {"n_trees": n_trees, "height": height, "window_size": 100, "seed": 7}
    np.testing.assert_array_equal(HalfSpaceTrees(**parameters).score_learn_many(X), river_scores(X, **parameters))


@given(st.integers(0, 1000), st.floats(0.01, 0.6), st.lists(st.integers(1, 399), max_size=5))
def test_missing_values_take_the_branch_that_river_takes(seed, share, cuts):
    random = np.random.default_rng(seed)
    X = random.random((400, 3))
    X[random.random(X.shape) < share] = np.nan
    parameters = {"n_trees": 3, "height": 5, "window_size": 50, "seed": seed}
    ours, rivers = HalfSpaceTrees(**parameters), RiverHalfSpaceTrees(**parameters)
    scores = np.concatenate([ours.score_learn_many(part) for part in np.split(X, sorted(cuts))])
    np.testing.assert_array_equal(scores, rivers.score_learn_many(X))


def test_either_can_go_on_from_the_other_ones_events():
    X = np.random.default_rng(2).random((333, 2))
    ours, rivers = HalfSpaceTrees(5, 5, 50, 1), RiverHalfSpaceTrees(5, 5, 50, 1)
    ours.learn_many(X)
    rivers.replay(*ours.recent())
    Y = np.random.default_rng(3).random((200, 2))
    np.testing.assert_array_equal(ours.score_learn_many(Y), rivers.score_learn_many(Y))


def test_memory_is_known_before_it_is_taken():
    detector = HalfSpaceTrees(7, 9, 100, 1)
    X = np.random.default_rng(0).random((150, 4))
    X[0, 0] = np.nan
    detector.learn_many(X)
    features, thresholds = detector._trees
    taken = sum(a.nbytes for a in (features, thresholds, detector._mass, detector._live, detector._recent))
    assert taken == HalfSpaceTrees.bytes_for(4, n_trees=7, height=9, window_size=100)
