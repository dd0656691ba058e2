"""Fields to features in [0, 1]."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.scoring.normalise import CHANNELS, PRIOR, WIDTH, featurize
from streamgauge.udfs.settings.pipeline import FeaturizeSettings

SETTINGS = FeaturizeSettings(half_life=100, warmup=10)


def run(x, settings=SETTINGS, state=None):
    X = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    state = np.zeros((1, X.shape[1], WIDTH)) if state is None else state
    return featurize(state, np.zeros(len(X), np.int64), X, settings, np.zeros(2), np.zeros((X.shape[1], PRIOR)))[
        0
    ], state


def usual(n=400, seed=0):
    return np.random.default_rng(seed).normal(100, 5, n)


def test_features_lie_between_0_and_1_and_usual_values_are_at_a_half():
    features, _ = run(usual())
    settled = features[50:]
    assert settled.min() > 0
    assert settled.max() < 1
    np.testing.assert_allclose(settled.mean(axis=0), 0.5, atol=0.05)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6))
def test_the_unit_and_the_origin_of_a_field_do_not_matter(origin, unit):
    x = usual(100)
    np.testing.assert_allclose(run(x * unit + origin)[0][20:], run(x)[0][20:], atol=1e-4)


def test_entities_in_their_cold_start_and_missing_values_have_no_features():
    x = usual(30)
    x[20] = np.nan
    features, _ = run(x)
    assert np.isnan(features[:10]).all()
    assert np.isfinite(features[10:20]).all()
    assert np.isnan(features[20]).all()
    assert features.shape == (30, CHANNELS)


def test_an_outlier_hardly_changes_the_scale():
    x = usual()
    _, clean = run(x)
    x[300] = 1e9
    _, hit = run(x)
    assert abs(hit[0, 0, 1] - clean[0, 0, 1]) < 1.0
    assert hit[0, 0, 2] < 1.5 * clean[0, 0, 2]


def test_the_normaliser_follows_a_change_of_scale():
    x = np.concatenate([np.full(50, 3.0), np.random.default_rng(1).normal(3.0, 100.0, 2000)])
    _, state = run(x)
    assert np.sqrt(state[0, 0, 2]) == pytest.approx(100, rel=0.25)


@given(st.lists(st.integers(1, 199), max_size=6))
def test_batch_boundaries_do_not_matter(cuts):
    x, state, parts = usual(200), None, []
    for part in np.split(x, sorted(set(cuts))):
        features, state = run(part, state=state)
        parts.append(features.reshape(-1, CHANNELS))
    np.testing.assert_array_equal(np.concatenate(parts), run(x)[0])


def test_an_entity_in_its_cold_start_begins_with_the_prior_of_its_cohort():
    random = np.random.default_rng(0)
    centres = random.normal(100, 10, 21)
    state, prior = np.zeros((21, 1, WIDTH)), np.zeros((1, PRIOR))

    def feed(rows, x):
        return featurize(state, np.array(rows), np.array(x)[:, None], SETTINGS, np.zeros(2), prior)[0]

    rows = np.arange(20).repeat(50)
    feed(rows, centres[rows] + random.normal(0, 2, len(rows)))
    assert prior[0, 3] == 20
    assert prior[0, 1] == pytest.approx(100, abs=8)
    [first] = feed([20], [300.0])
    assert first[0] > 0.8  # far from all others, which shows in the first event
    later = feed([20] * 40, 300 + random.normal(0, 2, 40))
    assert abs(later[-1, 0] - 0.5) < 0.15  # soon usual for the entity itself
    assert state[20, 0, 1] == pytest.approx(300, rel=0.02)
    assert state[20, 0, 2] ** 0.5 == pytest.approx(2, rel=0.3)


def test_there_is_no_prior_with_fewer_than_eight_entities():
    state, prior = np.zeros((9, 1, WIDTH)), np.zeros((1, PRIOR))
    rows = np.arange(7).repeat(50)
    featurize(state, rows, usual(350)[:, None], SETTINGS, np.zeros(2), prior)
    features = featurize(state, np.array([8]), np.array([[1e6]]), SETTINGS, np.zeros(2), prior)[0]
    assert np.isnan(features).all()


@pytest.mark.parametrize(("shift", "is_least"), [(0.0, True), (0.25, False)])
def test_whole_numbers_vary_usually_by_at_least_one(shift, is_least):
    random = np.random.default_rng(0)
    x = shift + (random.random(400) < 0.03).astype(float)[:, None]
    x[350] = 4.0
    state = np.zeros((1, 1, WIDTH))
    rows = np.zeros(400, np.int64)
    variations = featurize(state, rows, x, SETTINGS, np.zeros(2), np.zeros((1, PRIOR)))[3]
    assert (variations[350, 0] == 1.0) == is_least
    assert variations[350, 0] > 0.05
    assert np.isnan(variations[0, 0])  # nothing is known yet
