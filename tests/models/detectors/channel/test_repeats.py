"""A change that comes again and again is not rarer than such changes are."""

from __future__ import annotations

import math

import numpy as np
from streamgauge.models.detectors.channel.levels import CHANGE
from streamgauge.models.detectors.channel.repeats import (
    ENOUGH,
    FAR,
    LARGER,
    MARGIN,
    REPEAT_NUMBERS,
    SHARE,
    learn_repeat,
    not_rarer,
)

from tests.models.detectors.channel.test_levels import look


def told(ideals):
    """The bound for each value of a statistic whose evidence would be 100."""
    repeats, evidence = np.zeros(REPEAT_NUMBERS), []
    for count, ideal in enumerate(ideals):
        evidence.append(not_rarer(100.0, ideal, repeats, float(count)))
        learn_repeat(repeats, ideal, float(count))
    return np.array(evidence), repeats


def saw(length, teeth=5000):
    """Values that rise and fall back at once."""
    return (np.arange(teeth) % length) * 10.0 + np.random.default_rng(0).normal(0, 2, teeth)


def test_the_first_few_are_as_rare_as_they_look():
    ideals = np.where(np.arange(2000) % 100 == 99, 50.0, 1.0)
    evidence, repeats = told(ideals)
    far = evidence[ideals > FAR]
    assert (far[: int(ENOUGH)] == 100).all()
    np.testing.assert_allclose(repeats[SHARE], 0.01, rtol=0.1)
    np.testing.assert_allclose(far[-1], MARGIN + math.log(100), rtol=0.02)
    assert (evidence[ideals < FAR] == 100).all() or evidence[ideals < FAR].min() > MARGIN


def test_one_that_is_clearly_larger_is_not_bounded():
    ideals = np.where(np.arange(2000) % 100 == 99, 50.0, 1.0)
    ideals[1999] = 50.0 * LARGER * 1.01
    assert told(ideals)[0][-1] == 100


def test_several_in_a_row_count_once():
    ideals = np.where(np.arange(4000) % 400 >= 390, 50.0, 1.0)
    assert told(ideals)[1][SHARE] < 0.004


def test_the_falls_of_a_sawtooth_signal_are_usual_and_a_larger_fall_is_not():
    x = saw(50)
    x[4949] = 3000.0
    evidence, _ = look(x)
    falls = evidence[np.arange(50, 4900, 50), CHANGE]
    assert (falls[10:] < MARGIN + math.log(50) + 0.5).all()
    assert evidence[4949].max() > 8  # the level finds it
