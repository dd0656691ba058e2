"""The mean of many values: it finds what is a little too high for long, names drifts, and keeps silent on usual processes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from streamgauge.models.detectors.channel.lasting_mean import DRIFTING, LASTING, LastingMean

DAY = 288
STEP = 300_000
TOLD = 11.5  # evidence that raises an incident beside a dozen other looks


def look(values, expected=None, cuts=()):
    """Evidence of each event of one field, float64[n, 2], and the state."""
    X, times = np.asarray(values, np.float64)[:, None], STEP * np.arange(len(values))
    detector, rows, evidence = LastingMean(), np.zeros(len(X), np.int64), []
    state = np.zeros((1, 1, detector.numbers_per_feature))
    edges = sorted({0, *cuts, len(X)})
    for a, b in itertools.pairwise(edges):
        part = slice(a, b)
        given_here = None if expected is None else np.asarray(expected, np.float64)[part, None]
        quarantined = np.zeros(b - a, np.bool_)
        found = detector.look(state, rows[part], X[part], times[part], quarantined, given_here)
        evidence.append(found.evidence[:, 0])
    return np.nan_to_num(np.concatenate(evidence)), state


def noise(days, seed=0, keep=0.0):
    white = np.random.default_rng(seed).normal(size=days * DAY)
    return lfilter([np.sqrt(1 - keep * keep)], [1.0, -keep], white)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sign", [-1, 1])
def test_many_values_that_are_a_little_too_high_are_found_where_none_of_them_is_rare(seed, sign):
    values = noise(30, seed)
    values[25 * DAY : 25 * DAY + 60] += 1.5 * sign
    evidence, _ = look(values)
    assert evidence[25 * DAY : 25 * DAY + 60, LASTING].max() > TOLD
    assert evidence[: 25 * DAY].max() < TOLD


@pytest.mark.parametrize("place", [0, 1, 2, 5, 30])
@pytest.mark.parametrize("bad", [1e308, -9999.0, 300.0])
@pytest.mark.parametrize("known", [False, True])
def test_one_wrong_value_among_the_first_ones_hides_nothing(place, bad, known):
    values = noise(30)
    values[25 * DAY : 25 * DAY + 60] += 1.5
    values[place] = bad
    evidence, _ = look(values, np.zeros(len(values)) if known else None)
    assert evidence[25 * DAY : 25 * DAY + 60, LASTING].max() > TOLD
    assert evidence[: 25 * DAY].max() < TOLD


@pytest.mark.parametrize("seed", range(5))
def test_a_field_that_moves_slowly_drifts(seed):
    values = noise(40, seed, keep=0.3)
    values[30 * DAY : 36 * DAY] += np.linspace(0, 3, 6 * DAY)
    values[36 * DAY :] += 3
    evidence, _ = look(values)
    assert evidence[30 * DAY : 36 * DAY, DRIFTING].max() > TOLD
    assert evidence[37 * DAY :].max() < TOLD  # a new level is told once


def test_where_the_time_of_day_is_known_its_wave_hides_nothing():
    wave = 10 * np.sin(np.arange(30 * DAY) / DAY * 2 * np.pi)
    values = wave + noise(30, 3)
    values[25 * DAY : 25 * DAY + 60] += 2
    known = np.where(np.arange(30 * DAY) < DAY, np.nan, wave)
    told, _ = look(values, known)
    assert told[25 * DAY : 25 * DAY + 60, LASTING].max() > TOLD
    not_told, _ = look(values)
    assert not_told[25 * DAY : 25 * DAY + 60].max() < TOLD


@pytest.mark.parametrize(
    "process",
    [
        noise(60, 1),
        noise(60, 2, keep=0.9),
        np.cumsum(noise(60, 3)),
        np.random.default_rng(4).standard_t(4, 60 * DAY),
        np.random.default_rng(5).poisson(0.7, 60 * DAY).astype(float),
        10 * np.sin(np.arange(60 * DAY) / DAY * 2 * np.pi) + noise(60, 6),
        (np.random.default_rng(7).random(60 * DAY) < 0.002).astype(float),
        np.full(60 * DAY, 5.0),
    ],
    ids=["noise", "remembers", "walk", "heavy", "counts", "daily", "commands", "constant"],
)
def test_usual_processes_are_told_at_most_a_few_times(process):
    evidence, _ = look(process)
    assert (evidence >= TOLD).sum() <= 3


def test_commands_that_come_in_bursts_are_not_judged():
    values = np.zeros(30 * DAY)
    for begin in range(DAY, 30 * DAY, 7 * DAY):
        values[begin : begin + 15] = 1.0
    assert not look(values)[0].any()


def test_a_new_level_is_told_when_it_comes_and_not_when_it_is_learned():
    values = noise(40, 6)
    values[20 * DAY :] += 12
    evidence, _ = look(values)
    told = np.flatnonzero(evidence.max(axis=1) >= TOLD)
    assert len(told)
    assert (told >= 20 * DAY).all()
    assert (told < 20 * DAY + 100).all()


def test_one_value_that_is_far_away_does_not_move_the_mean():
    values = noise(20, 4)
    usual, _ = look(values)
    values[15 * DAY] = 1e9
    odd, _ = look(values)
    assert odd[15 * DAY : 16 * DAY].max() < TOLD
    assert np.allclose(odd[16 * DAY :], usual[16 * DAY :], atol=0.5)


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(1, 1999), max_size=8), seed=st.integers(0, 99))
def test_how_a_stream_is_cut_into_batches_does_not_matter(cuts, seed):
    values = noise(7, seed)[:2000]
    values[1500:1600] += 2
    expected = np.where(np.arange(2000) < 700, np.nan, 0.1)
    whole, state = look(values, expected)
    parts, same = look(values, expected, cuts)
    assert np.array_equal(whole, parts)
    assert np.array_equal(state, same)


@pytest.mark.parametrize("bad", [-9999.0, 65535.0, 2.0**31 - 1, 1e308, -1e308, float("inf")])
def test_no_value_breaks_the_state(bad):
    values = noise(20, 5)
    values[5 * DAY : 5 * DAY + 3] = bad
    values[18 * DAY : 18 * DAY + 60] += 2
    evidence, state = look(values)
    assert np.isfinite(state).all()
    assert evidence[18 * DAY : 18 * DAY + 60].max() > TOLD
