"""Where the line is drawn, and which of two lines was better."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score
from streamgauge.models.calibration.thresholds import (
    budget_threshold,
    compare_thresholds,
    cost_threshold,
    f1_threshold,
    percentile_threshold,
    tail_threshold,
)
from streamgauge.models.errors import NotReadyError

cases = st.integers(0, 10_000).map(
    lambda seed: (
        np.append(np.random.default_rng(seed).random(59) < 0.2, True),
        np.random.default_rng(seed + 1).integers(0, 12, 60) / 12,
    )
)


def test_the_percentile_is_numpys():
    scores = np.random.default_rng(0).random(1000)
    assert percentile_threshold(scores, 0.99) == np.quantile(scores, 0.99)


@given(cases, st.integers(0, 70))
def test_a_budget_is_never_exceeded_and_as_much_as_can_be_is_spent(case, alerts):
    _, scores = case
    threshold = budget_threshold(scores, alerts)
    spent = (scores >= threshold).sum()
    assert spent <= alerts
    below = scores[scores < threshold]
    if len(below):
        assert (scores >= below.max()).sum() > alerts


@pytest.mark.parametrize("scores", [[0.4], [0.9, 0.1, 0.5]])
def test_without_a_budget_nothing_that_was_seen_would_alert(scores):
    assert max(scores) < budget_threshold(np.array(scores), 0) < max(scores) + 1e-9


@pytest.mark.parametrize(("alerts", "threshold"), [(1, 0.9), (2, 0.5), (3, 0.1), (4, 0.1)])
def test_a_budget_is_spent_on_the_highest_scores(alerts, threshold):
    assert budget_threshold(np.array([0.5, 0.9, 0.1]), alerts) == threshold


@given(cases)
def test_no_threshold_has_a_higher_f1(case):
    labels, scores = case
    threshold, best = f1_threshold(labels, scores)
    assert best == pytest.approx(f1_score(labels, scores >= threshold))
    assert best == pytest.approx(max(f1_score(labels, scores >= t) for t in np.unique(scores)))


@given(cases, st.floats(0.1, 50), st.floats(0.1, 50))
def test_no_threshold_costs_less(case, missed, false):
    labels, scores = case

    def cost(t):
        flags = scores >= t
        return missed * (labels & ~flags).sum() + false * (flags & ~labels).sum()

    threshold, least = cost_threshold(labels, scores, missed, false)
    assert least == pytest.approx(cost(threshold))
    assert least == pytest.approx(min(cost(t) for t in [*np.unique(scores), 2.0]))


@pytest.mark.parametrize("kind", [stats.norm(), stats.expon(), stats.t(4)])
def test_the_tail_threshold_keeps_its_promise_on_scores_not_seen(kind):
    kept = [kind.sf(tail_threshold(kind.rvs(20_000, random_state=seed), 1e-4)) / 1e-4 for seed in range(10)]
    assert 0.5 < np.median(kept) < 2.0


@pytest.mark.parametrize("seed", range(5))
def test_ten_scores_in_the_tail_are_enough_to_be_right_within_a_factor_of_two(seed):
    """Because the tail begins at the quantile: only its scale and shape are fitted."""
    kind = stats.expon()
    assert 0.5 < tail_threshold(kind.rvs(500, random_state=seed), 1e-4) / kind.isf(1e-4) < 2.0


def test_a_tail_needs_scores():
    with pytest.raises(NotReadyError, match=r"needs 10 scores above the quantile 0\.98, there are 2"):
        tail_threshold(np.random.default_rng(0).random(100), 1e-4)


def test_the_better_threshold_is_named_only_when_the_interval_says_so():
    assert compare_thresholds((10, 100), (60, 100)).better == "b"
    assert compare_thresholds((60, 100), (10, 100)).better == "a"
    close = compare_thresholds((5, 10), (6, 10))
    assert close.better == "neither yet"
    assert close.low < 0.1 < close.high
    assert compare_thresholds((0, 0), (3, 3)).better == "neither yet"


def test_equal_thresholds_are_rarely_told_apart():
    random = np.random.default_rng(0)
    wrong = [
        compare_thresholds((random.binomial(80, 0.3), 80), (random.binomial(80, 0.3), 80)).better != "neither yet"
        for _ in range(1000)
    ]
    assert np.mean(wrong) < 0.07
