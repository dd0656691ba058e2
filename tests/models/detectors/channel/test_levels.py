"""Level, change, departure and recent mean of a field."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from streamgauge.models.calibration.learned_tail import ideal_evidence
from streamgauge.models.detectors.channel.levels import CHANGE, LEVEL, Levels

MINUTE = 60_000
BAD = (-9999.0, 65535.0, 2.0**31 - 1, 1e308, -1e308)


def look(values, entities=None, every=MINUTE, cuts=()):
    """Evidence of each event of one field, float64[n, 4], and the state."""
    X = np.asarray(values, dtype=np.float64)[:, None]
    rows = np.zeros(len(X), np.int64) if entities is None else np.asarray(entities)
    detector, evidence = Levels(), []
    state = np.zeros((int(rows.max()) + 1, 1, detector.numbers_per_feature))
    times = every * np.arange(len(X))
    for begin, end in zip([0, *cuts], [*cuts, len(X)], strict=True):
        part = slice(begin, end)
        found = detector.look(state, rows[part], X[part], times[part], np.zeros(end - begin, np.bool_))
        evidence.append(found.evidence[:, 0])
    return np.concatenate(evidence), state


@pytest.mark.parametrize("freedom", [3.0, 10.0, 100.0, 1e5])
@pytest.mark.parametrize("z", [0.1, 1.0, 3.0, 5.0])
def test_the_ideal_evidence_is_that_of_students_t(z, freedom):
    exact = -math.log(2 * stats.t.sf(z, freedom))
    assert ideal_evidence(z, freedom) == pytest.approx(exact, rel=0.02, abs=0.01)


def test_a_value_far_from_all_others_is_found_and_is_rarer_the_farther_it_is():
    usual = np.random.default_rng(0).normal(50, 2, 5000)
    found = [look([*usual, 50 + 2 * size])[0][-1, LEVEL] for size in (4, 6, 10, 1000)]
    assert found[1] > 9
    assert found == sorted(found)


def test_the_same_fault_again_and_a_smaller_one_after_a_larger_one_are_found_again():
    values = np.random.default_rng(1).normal(50, 2, 8000)
    places = [2000, 3500, 5000, 6500]
    values[places] = 250.0, 250.0, 250.0, 90.0
    evidence, _ = look(values)
    assert (evidence[places].max(axis=1) > 9).all()


@pytest.mark.parametrize("bad", BAD)
def test_one_wrong_value_blinds_nothing_and_leaves_the_state_finite(bad):
    values = np.random.default_rng(2).normal(50, 2, 3000)
    values[2000], values[2050] = bad, 90.0
    evidence, state = look(values)
    assert evidence[2000, LEVEL] > 9
    assert evidence[2050, LEVEL] > 9
    assert np.isfinite(state).all()


@pytest.mark.parametrize("bad", BAD)
def test_the_odd_value_of_a_constant_field_teaches_nothing(bad):
    values = np.full(1000, 5.0)
    values[600], values[700] = bad, 8.0
    evidence, _ = look(values)
    assert evidence[700, LEVEL] == pytest.approx(evidence[600, LEVEL], abs=1.0)
    assert evidence[599, LEVEL] == 0.0


def test_a_new_level_becomes_usual():
    values = np.random.default_rng(3).normal(50, 2, 40_000)
    values[10_000:] += 10.0
    evidence, _ = look(values)
    assert evidence[10_000, LEVEL] > 7
    assert np.median(evidence[39_000:, LEVEL]) < 2


@pytest.mark.parametrize(
    "process",
    [
        lambda random, n: random.normal(size=n),
        lambda random, n: random.standard_t(3, n),
        lambda random, n: random.lognormal(size=n),
        lambda random, n: random.poisson(3, n).astype(np.float64),
        pytest.param(
            lambda random, n: (random.random(n) < 0.02).astype(np.float64),
            marks=pytest.mark.xfail(strict=True, reason="the level of a rare second value is loud for 20,000 values"),
        ),
    ],
    ids=["normal", "t3", "lognormal", "poisson", "two values"],
)
def test_usual_values_are_hardly_ever_rare(process):
    evidence, _ = look(process(np.random.default_rng(4), 60_000))
    later = np.nan_to_num(evidence[10_000:])
    assert ((later > math.log(1000)).mean(axis=0) < 3e-3).all()


def test_an_entity_is_judged_from_its_first_value_on_where_others_are_known():
    random = np.random.default_rng(5)
    entities = np.concatenate((np.repeat(np.arange(40), 30), [40, 41]))
    values = np.concatenate((random.normal(100, 5, 1200), [103.0, 40_000.0]))
    evidence, _ = look(values, entities)
    assert evidence[-2, LEVEL] < 3
    assert evidence[-1, LEVEL] > 9
    alone, _ = look([100.0, 40_000.0])
    assert np.isnan(alone).all()  # nothing is known: nothing is judged


def test_young_entities_are_no_louder_than_old_ones():
    random = np.random.default_rng(6)
    entities = np.repeat(np.arange(300), 40)
    evidence, _ = look(random.normal(10, 1, len(entities)), entities)
    later = np.nan_to_num(evidence[len(evidence) // 4 :])
    assert (later > math.log(1000)).mean() < 2e-3


def test_scale_and_offset_do_not_matter():
    usual = np.random.default_rng(7).normal(0, 1, 2000)
    here, _ = look(usual)
    there, _ = look(1e6 + 1e-3 * usual)
    np.testing.assert_allclose(there[100:], here[100:], rtol=0.02, atol=0.02)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 299), max_size=5, unique=True))
def test_batches_do_not_matter(cuts):
    random = np.random.default_rng(8)
    entities, values = random.integers(0, 12, 300), random.normal(5, 1, 300)
    whole, state = look(values, entities)
    parts, state_of_parts = look(values, entities, cuts=sorted(cuts))
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(state_of_parts, state)


def test_a_jump_within_the_usual_range_is_a_change():
    values = 50 * np.sin(np.arange(6000) / 300) + np.random.default_rng(9).normal(0, 0.2, 6000)
    values[4000:] = values[4000 - 950 : 6000 - 950]  # elsewhere on the same wave
    evidence, _ = look(values)
    assert evidence[4000].argmax() != LEVEL
    assert evidence[4000, CHANGE] > 7
