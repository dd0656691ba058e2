"""The score of the Numenta Anomaly Benchmark, by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.evaluation.nab_score import PROFILES, Series, judged_from, nab_score

N = 1000
STANDARD = PROFILES["standard"]


def series(alerts, windows=((400, 499), (700, 799))):
    scores = np.zeros(N)
    for row, score in alerts.items():
        scores[row] = score
    return Series(scores, list(windows))


def sigmoid(y):
    return 2 / (1 + np.exp(5 * y)) - 1


def test_the_first_row_of_every_window_is_perfect_and_never_alerting_is_nothing():
    assert nab_score([series({400: 1, 700: 1})], STANDARD, 0.5)[0] == pytest.approx(100)
    assert nab_score([series({})], STANDARD, 0.5)[0] == 0


def test_a_late_alert_in_a_window_is_worth_less_and_the_window_counts_once():
    late, _ = nab_score([series({499: 1})], STANDARD, 0.5)
    early, _ = nab_score([series({400: 1})], STANDARD, 0.5)
    both, _ = nab_score([series({400: 1, 499: 1})], STANDARD, 0.5)
    assert late == pytest.approx(100 * (1 + sigmoid(-1 / 100) / sigmoid(-1)) / 4)
    assert early == both == pytest.approx(50)


def test_a_false_alarm_costs_less_just_after_a_window():
    for row, worth in ((200, -1.0), (500, sigmoid(1 / 99)), (690, sigmoid(191 / 99)), (999, sigmoid(200 / 99))):
        assert nab_score([series({row: 1})], STANDARD, 0.5)[0] == pytest.approx(100 * 0.11 * worth / 4)


def test_profiles_weigh_false_alarms_and_misses():
    found_and_false = series({400: 1, 200: 1})
    assert nab_score([found_and_false], PROFILES["low_fp"], 0.5)[0] == pytest.approx(100 * (2 - 0.22) / 4)
    assert nab_score([found_and_false], PROFILES["low_fn"], 0.5)[0] == pytest.approx(100 * (3 - 0.11) / 6)


def test_the_best_threshold_is_found_for_the_corpus():
    score, threshold = nab_score([series({400: 3, 700: 2, 200: 1})], STANDARD)
    assert (score, threshold) == (pytest.approx(100), 2)
    assert nab_score([series({200: 3})], STANDARD) == (0.0, None)


def test_the_first_rows_are_not_judged():
    assert judged_from(N) == 150
    assert judged_from(100_000) == 750
    assert nab_score([series({10: 1, 400: 1})], STANDARD, 0.5)[0] == pytest.approx(50)
