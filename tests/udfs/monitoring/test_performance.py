"""A model that has become worse, by what people say, is retrained; noise, repeats and single voices are no reason."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.udfs.control.feedback import Feedback, Source
from streamgauge.udfs.monitoring.performance import PerformanceWatch


def said(k, verdict, agreed=True, by="p", source=True):
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


def words(share, n, seed, by=lambda k: f"p{k % 5}", begin=0):
    """Words on alerts that the model agreed with, so many of them true."""
    random = np.random.default_rng(seed)
    return [said(begin + k, "true" if random.random() < share else "false", by=by(k)) for k in range(n)]


def told(messages, watch=None):
    watch = watch or PerformanceWatch("m")
    return [found for message in messages if (found := watch.take(message))]


@pytest.mark.parametrize("seed", range(5))
def test_a_precision_that_falls_is_told_once_with_what_was_and_what_is(seed):
    [(evidence, source)] = told(words(0.9, 100, seed) + words(0.2, 60, seed, begin=100))
    assert evidence["of"] == "precision"
    assert evidence["after"] < evidence["before"]
    assert evidence["judged"] <= 160
    assert source.first <= evidence["judged"]


@pytest.mark.parametrize("seed", range(20))
def test_what_stays_as_it_was_and_what_becomes_better_is_no_reason(seed):
    assert told(words(0.6, 200, seed)) == []
    assert told(words(0.2, 100, seed) + words(0.9, 60, seed, begin=100)) == []


def test_anomalies_that_others_find_without_the_model_are_a_recall_that_falls():
    found = [said(k, "true") for k in range(60)]
    missed = [said(60 + k, "true", agreed=False) for k in range(40)]
    [(evidence, _)] = told(found + missed)
    assert evidence["of"] == "recall"


def test_repeats_words_without_a_place_and_words_on_others_do_not_count():
    watch = PerformanceWatch("m")
    assert told(words(1.0, 60, 0), watch) == []
    assert told([said(200, "false")] * 50, watch) == []
    assert told([said(300 + k, "false", source=False) for k in range(50)], watch) == []
    elsewhere = [said(400 + k, "false").model_copy(update={"agreed": ("other",)}) for k in range(50)]
    assert told(elsewhere, watch) == []


def test_who_says_a_thousand_words_has_half_of_them_at_the_most():
    watch = PerformanceWatch("m")
    assert told(words(0.9, 200, 0), watch) == []
    flood = [said(200 + k, "false", by="mallory") for k in range(1000)]
    assert len(told(flood, watch)) <= 1
