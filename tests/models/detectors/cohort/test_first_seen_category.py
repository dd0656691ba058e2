"""A category that its entity has never shown is a evidence where new ones are rare."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.models.detectors.cohort.first_seen_category import FirstSeenCategory

random = np.random.default_rng(0)


def test_the_evidence_of_a_new_category_is_the_rate_of_new_ones_by_the_rule_of_succession():
    X = random.integers(0, 20, (2000, 1)).astype(float)
    detector = FirstSeenCategory(memory=10_000)
    detector.learn_many(X)
    new = len(np.unique(X))
    raw_score, weights = detector.rate_learn_many(np.array([[99.0], [99.0], [3.0]]))
    expected = -math.log((new + 1) / 2002)
    np.testing.assert_allclose(raw_score, [expected, 0.0, 0.0])
    np.testing.assert_allclose(weights[:, 0], [expected, 0.0, 0.0])


def test_a_field_whose_every_value_is_new_tells_nothing():
    raw_score, _ = FirstSeenCategory().rate_learn_many(np.arange(5000.0)[:, None])
    assert np.nanmax(raw_score) < 0.05


def test_what_was_seen_is_known_and_almost_all_that_was_not_is_new():
    codes = random.choice(2**32, 60_000, replace=False).astype(float)
    seen, unseen = codes[:50_000, None], codes[50_000:, None]
    detector = FirstSeenCategory(memory=1_000_000)
    detector.learn_many(seen)
    assert detector.rate_learn_many(seen)[0].max() == 0.0
    other = FirstSeenCategory.from_state(detector.to_state())
    said = other._rate(np.ascontiguousarray(unseen), False)[1] > 0
    assert said.mean() > 0.98


def test_what_is_not_seen_for_long_is_forgotten():
    detector = FirstSeenCategory(bits=1 << 12, memory=100_000)
    detector.learn_many(np.zeros((60, 1)))
    assert detector._rate(np.zeros((1, 1)), False)[0][0] == 0.0
    detector.learn_many(1.0 + np.arange(5000.0)[:, None])
    assert detector._rate(np.zeros((1, 1)), False)[1][0, 0] > 0.0


@pytest.mark.parametrize("width", [1, 3])
def test_new_fields_join_and_what_was_known_stays(width):
    X = random.integers(0, 9, (500, width)).astype(float)
    detector = FirstSeenCategory()
    detector.learn_many(X)
    wide = detector.widened(width + 1)
    assert (wide.width, wide.learned) == (width + 1, 500)
    raw_score, _ = wide.rate_learn_many(np.hstack((X[:50], np.full((50, 1), np.nan))))
    assert raw_score.max() == 0.0
