"""A model that has become worse according to feedback is retrained; noise, repeats and single persons are no reason."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.udfs.control.feedback import Feedback, Source
from streamgauge.udfs.monitoring.performance import PerformanceWatch


def feedback(k, verdict, agreed=True, by="p", source=True):
    names = {"agreed" if agreed else "disagreed": ("m",)}
    return Feedback(
        alert_id=f"a{k}",
        entity="e",
        kind="point",
        field="x",
        tail_probability=1e-5,
        verdict=verdict,
        by=by,
        source=Source(partition=0, first=k, last=k) if source else None,
        **names,
    )


def judged(share, n, seed, by=lambda k: f"p{k % 5}", begin=0):
    """Feedback on alerts that the model agreed with, a share of them true."""
    random = np.random.default_rng(seed)
    return [feedback(begin + k, "true" if random.random() < share else "false", by=by(k)) for k in range(n)]


def reasons(messages, watch=None):
    """What the watch reports for a number of messages."""
    watch = watch or PerformanceWatch("m")
    return [found for message in messages if (found := watch.take(message))]


@pytest.mark.parametrize("seed", range(5))
def test_a_fallen_precision_is_reported_once_with_its_values_before_and_after(seed):
    [(evidence, source)] = reasons(judged(0.9, 100, seed) + judged(0.2, 60, seed, begin=100))
    assert evidence["of"] == "precision"
    assert evidence["after"] < evidence["before"]
    assert evidence["judged"] <= 160
    assert source.first <= evidence["judged"]


@pytest.mark.parametrize("seed", range(20))
def test_a_stable_and_a_rising_precision_are_no_reason(seed):
    assert reasons(judged(0.6, 200, seed)) == []
    assert reasons(judged(0.2, 100, seed) + judged(0.9, 60, seed, begin=100)) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_precision_that_falls_after_it_has_risen_is_reported(seed):
    rises = judged(0.2, 100, seed) + judged(0.95, 100, seed, begin=100)
    [(evidence, source)] = reasons(rises + judged(0.4, 80, seed, begin=200))
    assert evidence["of"] == "precision"
    assert evidence["after"] < 0.7 < evidence["before"]
    assert source.first > 150


def test_anomalies_that_only_other_members_find_lower_the_recall():
    found = [feedback(k, "true") for k in range(60)]
    missed = [feedback(60 + k, "true", agreed=False) for k in range(40)]
    [(evidence, _)] = reasons(found + missed)
    assert evidence["of"] == "recall"


def test_repeats_feedback_without_a_place_and_feedback_on_other_models_do_not_count():
    watch = PerformanceWatch("m")
    assert reasons(judged(1.0, 60, 0), watch) == []
    assert reasons([feedback(200, "false")] * 50, watch) == []
    assert reasons([feedback(300 + k, "false", source=False) for k in range(50)], watch) == []
    elsewhere = [feedback(400 + k, "false").model_copy(update={"agreed": ("other",)}) for k in range(50)]
    assert reasons(elsewhere, watch) == []


def test_a_thousand_messages_of_one_person_count_as_half_of_the_feedback_at_most():
    watch = PerformanceWatch("m")
    assert reasons(judged(0.9, 200, 0), watch) == []
    flood = [feedback(200 + k, "false", by="mallory") for k in range(1000)]
    assert len(reasons(flood, watch)) <= 1
