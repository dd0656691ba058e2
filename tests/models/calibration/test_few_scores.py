"""The tail of a stream of which little is known: neither too loud, nor heavier than what is certain."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from streamgauge.models.calibration.calibration import TailCalibrator


@functools.cache
def of_young_streams():
    """Evidence of exponential scores, each in a stream of at most 200."""
    random = np.random.default_rng(0)
    streams = [TailCalibrator(warmup=20).rate_learn_many(random.exponential(size=200))[20:] for _ in range(150)]
    return np.concatenate(streams)


@pytest.mark.parametrize("promise", [1e-1, 1e-2, 1e-3])
def test_young_streams_do_not_raise_more_false_alarms_than_promised(promise):
    assert (of_young_streams() >= -np.log(promise)).mean() <= 1.1 * promise


def test_a_score_far_beyond_the_few_that_are_known_says_much_but_less_than_an_exponential_tail_would():
    random = np.random.default_rng(1)
    streams = [TailCalibrator(steepest=0.0) for _ in range(11)]
    for stream in streams:
        stream.rate_learn_many(random.exponential(size=100))
    assert 20 < np.median([stream.rate_learn_many(np.array([60.0]))[0] for stream in streams]) < 40


def test_an_exponential_tail_is_not_taken_for_a_heavy_one_because_of_a_few_large_scores():
    """Only what is certain of the shape counts: an estimate from twenty excesses is half the time too large."""
    random = np.random.default_rng(0)
    streams = [TailCalibrator() for _ in range(11)]
    for stream in streams:
        stream.rate_learn_many(random.exponential(size=2000))
    far = np.array([60.0])
    assert np.median([stream.rate_learn_many(far)[0] for stream in streams]) > 25


def test_the_scale_of_an_exponential_tail_is_that_of_its_scores():
    """Though the largest eighth of the tail counts as one value: the mean of what is left is too small, and is corrected."""
    random = np.random.default_rng(5)
    grown = []
    for _ in range(11):
        stream = TailCalibrator(steepest=0.0)
        stream.rate_learn_many(random.exponential(size=2000))
        one, two = stream.rate_learn_many(np.array([8.0, 12.0]))
        grown.append(two - one)
    assert 2.8 < np.median(grown) < 4.2  # 4 by the scores themselves, less what is not known of their tail


def test_the_first_scores_of_a_stream_are_compared_with_the_few_before_them():
    stream = TailCalibrator(warmup=20)
    stream.rate_learn_many(np.linspace(1.0, 2.0, 30))
    small, large = stream.rate_learn_many(np.array([0.5, 2.5]))
    assert small < 0.1
    assert large > 2.0
