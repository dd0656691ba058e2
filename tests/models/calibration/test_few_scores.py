"""The tail of a stream of which little is known: neither too loud, nor heavier than what is certain."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.calibration.calibration import TailCalibrator


@pytest.mark.parametrize("promise", [1e-2, 1e-3, 1e-4])
def test_young_streams_do_not_raise_more_false_alarms_than_promised(promise):
    random = np.random.default_rng(0)
    streams = [TailCalibrator(warmup=20).rate_learn_many(random.exponential(size=300))[20:] for _ in range(400)]
    assert (np.concatenate(streams) >= -np.log(promise)).mean() <= 1.6 * promise


def test_the_fewer_scores_a_stream_has_the_less_is_said_of_one_far_beyond_them():
    random = np.random.default_rng(1)
    said = []
    for n in (100, 1000, 5000):
        streams = [TailCalibrator(steepest=0.0) for _ in range(15)]
        for stream in streams:
            stream.rate_learn_many(random.exponential(size=n))
        said.append(np.median([stream.rate_learn_many(np.array([60.0]))[0] for stream in streams]))
    assert said == sorted(said)
    assert said[0] < 0.8 * said[-1]


def test_an_exponential_tail_is_not_taken_for_a_heavy_one_because_of_a_few_large_scores():
    """Only what is certain of the shape counts: an estimate from thirty excesses is half the time too large."""
    random = np.random.default_rng(0)
    streams = [TailCalibrator() for _ in range(30)]
    for stream in streams:
        stream.rate_learn_many(random.exponential(size=3000))
    far = np.array([60.0])
    assert np.median([stream.rate_learn_many(far)[0] for stream in streams]) > 25
