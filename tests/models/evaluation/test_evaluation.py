"""Figures against labels are scikit-learn's; their intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics
from streamgauge.models.evaluation.evaluation import _blocks, intervals, judge


def case(n=2000, seed=0):
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.05
    scores = np.clip(random.normal(0.3 + 0.4 * labels, 0.15), 0, 1)
    return labels, scores, scores > 0.6


def test_the_figures_are_scikit_learns():
    labels, scores, flags = case()
    told = judge(labels, scores, flags, missed=5, false=2)
    assert told["precision"] == pytest.approx(metrics.precision_score(labels, flags))
    assert told["recall"] == pytest.approx(metrics.recall_score(labels, flags))
    assert told["f1"] == pytest.approx(metrics.f1_score(labels, flags))
    assert told["roc_auc"] == metrics.roc_auc_score(labels, scores)
    assert told["cost"] == 5 * told["false_negatives"] + 2 * told["false_positives"]
    assert sum(told[k] for k in told if k.endswith("tives")) == 2000


def test_figures_without_any_alert_are_numbers():
    labels, scores, _ = case()
    told = judge(labels, scores, np.zeros(2000, bool))
    assert (told["precision"], told["recall"], told["mcc"]) == (0, 0, 0)
    assert np.isnan(judge(np.zeros(10, bool), np.zeros(10), np.zeros(10, bool))["roc_auc"])


def test_intervals_hold_the_value_and_narrow_with_more_rows():
    widths = []
    for rows in (1000, 16_000):
        figures, ends = judge(*case(rows)), intervals(*case(rows), rounds=60)
        assert all(low <= figures[name] <= high for name, (low, high) in ends.items())
        widths.append(ends["roc_auc"][1] - ends["roc_auc"][0])
    assert widths[1] < widths[0] / 2


def test_blocks_cut_no_run_unless_nearly_everything_is_one():
    busy = np.zeros(3000, bool)
    busy[40:120], busy[125:140], busy[1000:1060] = True, True, True
    blocks = _blocks(busy)
    assert np.array_equal(np.concatenate(blocks), np.arange(3000))
    assert len(blocks[0]) == 140
    assert sum(bool(busy[block].any()) for block in blocks) == 2
    assert len(_blocks(np.ones(3000, bool))) == 20


def test_intervals_are_wide_where_all_rows_are_of_few_incidents():
    """With twenty runs of sixty rows, the recall is that of twenty trials, not of 1,200."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.tile([False, True], 20), 60)
    found = np.repeat(random.random(40) < 0.5, 60) & labels
    low, high = intervals(labels, found.astype(float), found)["recall"]
    assert high - low > 2 * 1.96 * np.sqrt(0.25 / 20) * 0.8
