"""The plain baselines, against slow code that says what they are."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.evaluation.baselines import baselines, exponential_z, frozen_z, residual_of_components


def slow_exponential_z(X, who):
    """One row at a time, with a dictionary."""
    rate, seen, scores = 1 - 0.5 ** (1 / 500), {}, []
    for x, entity in zip(np.nan_to_num(X), who, strict=True):
        mean, variance, n = seen.get(entity, (x.copy(), np.zeros_like(x), 0))
        scores.append(np.max(np.abs(x - mean) / np.sqrt(variance + 1e-9 + 1e-6 * mean**2)) if n >= 5 else 0.0)
        share, away = max(rate, 1 / (n + 1)), x - mean
        seen[entity] = (mean + share * away, (1 - share) * (variance + share * away**2), n + 1)
    return np.array(scores)


@pytest.fixture(name="X")
def rows():
    random = np.random.default_rng(0)
    X = random.normal(5, 2, (2000, 3)) @ random.normal(size=(3, 3))
    X[1500] += 40
    X[random.random(X.shape) < 0.02] = np.nan
    return X


def test_the_exponential_z_score_follows_each_entity(X):
    who = np.random.default_rng(1).integers(0, 4, len(X)) * 10
    assert exponential_z(X, who) == pytest.approx(slow_exponential_z(X, who))
    assert exponential_z(X) == pytest.approx(slow_exponential_z(X, np.zeros(len(X), int)))


def test_the_frozen_z_score_is_fitted_on_the_first_rows(X):
    mean, deviation = np.nanmean(X[:300], 0), np.nanstd(X[:300], 0)
    assert frozen_z(X, 300) == pytest.approx(np.nan_to_num(np.nanmax(np.abs(X - mean) / (deviation + 1e-9), 1)))


def test_the_residual_is_what_the_components_do_not_explain():
    random = np.random.default_rng(0)
    X = np.outer(random.normal(size=1000), [1.0, 2.0, 3.0]) + 0.01 * random.normal(size=(1000, 3))
    X[700] = [1.0, -2.0, 3.0]
    scores = residual_of_components(X, 500)
    assert scores.argmax() == 700
    assert scores[:500].max() < 0.01


def test_rows_without_any_value_and_constant_fields_have_finite_scores(X):
    X[:, 1], X[:, 2] = 7.0, np.nan
    X[50] = np.nan
    assert all(np.isfinite(scores).all() for scores in baselines(X, 200).values())
    assert set(baselines(X[:, :1], 200)) == {"z", "ewz"}
