"""A field against the time of day."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamgauge.models.detectors.channel.day_profile import CHANGE, RECENT, RESIDUAL, DayProfile

QUARTER, DAY = 900_000, 86_400_000
MONDAY = 1_767_571_200_000  # 2026-01-05
DAYS = 28


def office(seed=0):
    """Load of an office: high on working days from 8 to 18; times and values for four weeks."""
    times = MONDAY + QUARTER * np.arange(96 * DAYS)
    hours, weekday = times % DAY / 3_600_000, (times // DAY + 3) % 7
    busy = (hours >= 8) & (hours < 18) & (weekday < 5)
    return times, np.where(busy, 80.0, 20.0) + np.random.default_rng(seed).normal(0, 2, len(times))


def look(times, values, cuts=(), learned=None):
    """What a profile of one field finds, and its state."""
    detector = DayProfile()
    state = np.zeros((1, 1, detector.numbers_per_feature)) if learned is None else learned
    evidence, expected = [], []
    for begin, end in zip([0, *cuts], [*cuts, len(values)], strict=True):
        rows, calm = np.zeros(end - begin, np.int64), np.zeros(end - begin, np.bool_)
        found = detector.look(state, rows, values[begin:end, None], times[begin:end], calm)
        evidence.append(found.evidence[:, 0])
        expected.append(found.expected[:, 0])
    return np.concatenate(evidence), np.concatenate(expected), state


def at(day, hour):
    return (day * 24 + hour) * 4


def test_a_usual_value_at_the_wrong_time_is_found():
    times, values = office()
    night, sunday = at(22, 2), at(27, 11)  # a Tuesday, and a Sunday
    values[night], values[sunday] = 80.0, 80.0
    evidence, expected, _ = look(times, values)
    assert evidence[[night, sunday], RESIDUAL].min() > 6
    assert abs(expected[night] - 20.0) < 3
    assert abs(expected[sunday] - 20.0) < 3


def test_what_the_time_of_day_explains_is_no_change():
    times, values = office()
    evidence, _, _ = look(times, values)
    mornings = [at(day, 8) for day in range(14, 28) if day % 7 < 5]
    assert np.median(evidence[mornings, CHANGE]) < 3


def test_there_is_no_profile_on_the_first_day():
    times, values = office()
    evidence, expected, _ = look(times[:96], values[:96])
    assert np.isnan(evidence).all()
    assert np.isnan(expected).all()


def test_a_quarter_that_was_never_visited_borrows_from_those_near_it():
    times, values = office()
    seen = times % 3_600_000 == 0  # only full hours
    _, _, state = look(times[seen][:-24], values[seen][:-24])
    moment = np.array([MONDAY + 28 * DAY + 2 * 3_600_000 + QUARTER])
    _, expected, _ = look(moment, np.array([20.0]), learned=state)
    assert abs(expected[0] - 20.0) < 3


def test_a_lasting_difference_is_clear_in_the_recent_mean():
    times, values = office()
    values[at(23, 2) : at(23, 4)] += 7.0
    evidence, _, _ = look(times, values)
    assert evidence[at(23, 3), RECENT] > evidence[at(23, 3), RESIDUAL]


@pytest.mark.parametrize("bad", [-9999.0, 65535.0, 2.0**31 - 1, 1e308])
def test_one_wrong_value_blinds_nothing(bad):
    times, values = office()
    values[at(20, 2)], values[at(21, 2)] = bad, 80.0  # the same quarter a day later
    evidence, expected, state = look(times, values)
    assert evidence[at(21, 2), RESIDUAL] > 6
    assert abs(expected[at(21, 2)] - 20.0) < 3
    assert np.isfinite(state).all()


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 96 * 5 - 1), max_size=5, unique=True))
def test_batches_do_not_matter(cuts):
    times, values = office()
    times, values = times[: 96 * 5], values[: 96 * 5]
    whole, _, state = look(times, values)
    parts, _, state_of_parts = look(times, values, cuts=sorted(cuts))
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(state_of_parts, state)


def test_scoring_is_pure():
    times, values = office()
    detector = DayProfile()
    detector.learn_many(values[:, None], times)
    before = detector.to_state()
    detector.score_many(values[:5, None], times[:5] + 28 * DAY)
    assert detector.to_state() == before


def test_what_comes_on_the_first_day_of_each_month_is_expected_from_the_second_time_on():
    times = MONDAY + 3_600_000 * np.arange(24 * 150)
    values = 20.0 + np.random.default_rng(1).normal(0, 2, len(times))
    month_start = np.array([str(day).endswith("-01") for day in times.astype("datetime64[ms]").astype("datetime64[D]")])
    run = np.flatnonzero(month_start & (times % DAY == 3 * 3_600_000))  # a monthly run at three
    values[run] += 60.0
    values[run[-1] + 24] += 60.0  # the same a day later
    values[run[-1] + 5] += 60.0  # the same at another hour
    evidence, expected, _ = look(times, values)
    assert evidence[run[0], RESIDUAL] > 6
    assert evidence[run[1:], RESIDUAL].max() < 6
    assert np.abs(expected[run[1:]] - 80.0).max() < 10
    assert evidence[[run[-1] + 24, run[-1] + 5], RESIDUAL].min() > 6


def test_first_days_of_months_that_are_like_others_change_nothing():
    times = MONDAY + 3_600_000 * np.arange(24 * 150)
    values = 20.0 + np.random.default_rng(1).normal(0, 2, len(times))
    _, expected, _ = look(times, values)
    assert np.nanmax(np.abs(expected - 20.0)) < 8
