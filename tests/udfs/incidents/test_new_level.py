"""Events of a long incident are not learned, until they turn out to be a new level or the patience ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.udfs.entities.columns import LEVEL_COLUMNS, QUARANTINED_MEAN, QUARANTINED_N, QUARANTINED_SQUARES
from streamgauge.udfs.incidents.lifecycle import LEVEL_EVENTS, LEVEL_SPREAD, _is_level


def becomes_level(deviations):
    """After how many quarantined events they are a new level; 0 if they are none."""
    level = np.zeros(LEVEL_COLUMNS)
    for n, deviation in enumerate(deviations, 1):
        if _is_level(level, float(deviation)):
            return n
    return 0


@pytest.mark.parametrize("away", [0.0, 8.0, 1e4])
@pytest.mark.parametrize("spread", [0.0, 1.0, 1.5])
def test_values_that_stay_at_one_place_are_a_level_after_fifty_events_however_far_it_is(away, spread):
    deviations = away + spread * np.random.default_rng(0).normal(size=100)
    assert becomes_level(deviations) == LEVEL_EVENTS


def test_values_that_spread_far_are_no_level():
    assert becomes_level(30.0 + 3.0 * np.random.default_rng(0).normal(size=1000)) == 0


@pytest.mark.parametrize("slope", [0.1, -0.1])
def test_values_with_a_trend_are_no_level(slope):
    random = np.random.default_rng(0)
    assert becomes_level(5.0 + slope * np.arange(60) + 0.5 * random.normal(size=60)) == 0


def test_two_values_in_turn_are_a_level():
    assert becomes_level([4.0, 6.0] * 40) == LEVEL_EVENTS


def test_an_event_without_a_known_deviation_does_not_count():
    deviations = np.full(2 * LEVEL_EVENTS, 5.0)
    deviations[::2] = math.nan
    assert becomes_level(deviations) == 2 * LEVEL_EVENTS


def test_mean_and_spread_are_those_of_the_quarantined_events():
    deviations = np.random.default_rng(3).normal(7.0, 2.0, 40)
    level = np.zeros(LEVEL_COLUMNS)
    for deviation in deviations:
        assert not _is_level(level, float(deviation))
    assert level[QUARANTINED_N] == 40
    assert level[QUARANTINED_MEAN] == pytest.approx(deviations.mean())
    assert level[QUARANTINED_SQUARES] == pytest.approx(((deviations - deviations.mean()) ** 2).sum())


@pytest.mark.parametrize(("variance", "is_level"), [(0.99 * LEVEL_SPREAD**2, True), (1.01 * LEVEL_SPREAD**2, False)])
def test_a_level_has_fifty_events_and_varies_by_two_deviations_at_most(variance, is_level):
    up_and_down = np.tile([1.0, -1.0], LEVEL_EVENTS // 2)
    deviations = 10.0 + up_and_down * math.sqrt(variance) / up_and_down.std(ddof=1)
    found = becomes_level(np.insert(deviations, [0, 7], math.nan))  # what is unknown does not count
    assert found == (LEVEL_EVENTS + 2 if is_level else 0)


@pytest.mark.parametrize(("run", "is_level"), [(1, True), (3, True), (5, False), (25, False)])
def test_a_level_has_no_trend_from_event_to_event(run, is_level):
    sides = np.where(np.arange(LEVEL_EVENTS) // run % 2, 1.0, -1.0)  # so many on one side, then so many on the other
    assert becomes_level(20.0 + sides) == (LEVEL_EVENTS if is_level else 0)
