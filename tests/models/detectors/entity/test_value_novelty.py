"""Value novelty is minus the logarithm of a kernel density of all past values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.detectors.entity.value_novelty import ValueNovelty

HOUR = 3_600_000


def told_of(x, times=None, **parameters):
    """Novelty, what of it is sure, and what was expected."""
    detector = ValueNovelty(**{"centroids": 500, "warmup": 5, "refractory": 0.0} | parameters)
    state = np.zeros((1, 1, detector.numbers_per_feature))
    times = np.zeros(len(x), np.int64) if times is None else times
    X = np.asarray(x, dtype=np.float64)[:, None]
    return [told[:, 0] for told in detector.raw_scores(state, np.zeros(len(x), np.int64), X, times, learn=True)]


def novelty(x, times=None, **parameters):
    told, _, expected = told_of(x, times, **parameters)
    return told, expected


def direct(x):
    """The definition, with every past value kept: at one hour both profiles are running means with least gains.

    Returns the novelty, and what is sure of it: gaps hold three values, spread evenly, unless only the hour is strange.
    """
    told, sure, channels, profiles = [], [], [[], [], []], np.zeros(2)
    for n, value in enumerate(x - x[0]):
        u = [value, *(value - profiles if n else (0.0, 0.0))]
        parts, certain, new = [], [], True
        for c in range(3):
            past = np.array(channels[c])
            for b in range(2):
                if n < 2:
                    continue
                mean, fourth = 0.0, 0.0
                for k, v in enumerate(past):
                    mean += (v - mean) / (k + 1)
                    fourth += (v - mean) ** 4
                h = max(0.05 * past.std() if b == 0 else 0.03 * (fourth / n / 3) ** 0.25, 1e-12 * abs(x[0]), 1e-300)
                mass = np.exp(-np.abs(u[c] - past) / h).sum()
                parts.append(max(0.0, -np.log((mass + 1e-6) / n)))
                below, above = past[past < u[c]], past[past >= u[c]]
                if len(below) and len(above) and (c == 0 or new):
                    mass += 3.0 * min(1.0, h / (above.min() - below.max()))
                certain.append(max(0.0, -np.log((mass + 1e-6) / n)))
            if c == 0:
                new = sum(parts) > 2 * np.log(max(n, 1))  # no value in reach
            channels[c].append(u[c])
        told.append(max(0.0, np.mean(parts) - np.log(10)) if parts else 0.0)
        sure.append(max(0.0, np.mean(certain) - np.log(10)) if parts else 0.0)
        profiles += (value - profiles) * np.maximum(1 / (n + 1), [0.05, 0.1])
    return np.array(told), np.array(sure)


def test_equals_the_kernel_sum_over_all_past_values_where_none_were_merged():
    # far apart, so that hardly any value is near enough to a centroid to join it
    x = np.random.default_rng(0).permutation(np.arange(60.0)) ** 1.5
    (told, sure, _), (reference, certain) = told_of(x), direct(x)
    np.testing.assert_allclose(told[5:], reference[5:], rtol=0.01, atol=0.02)
    np.testing.assert_allclose(sure[5:], certain[5:], rtol=0.01, atol=0.15)  # a merged value moves the edge of a gap


@given(st.integers(0, 1000), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_unit_and_origin_do_not_matter(seed, origin, unit):
    x = np.random.default_rng(seed).normal(size=150)
    np.testing.assert_allclose(novelty(x * unit + origin)[0][20:], novelty(x)[0][20:], rtol=1e-3, atol=1e-3)


def test_a_novelty_silences_itself_and_a_level_shift_tells_once():
    random = np.random.default_rng(1)
    x = np.concatenate((random.normal(0, 1, 300), random.normal(50, 1, 300)))
    told, _ = novelty(x, centroids=64, refractory=0.1)
    assert told[300] > 9.2
    assert (told[330:] < 9.2).all()


def test_a_lower_novelty_soon_after_a_higher_one_counts_a_quarter():
    x = np.random.default_rng(2).normal(0, 1, 300)
    x[250], x[255] = 1000.0, 3.4
    loud, _ = novelty(x)
    quiet, _ = novelty(x, refractory=0.1)
    assert quiet[250] == loud[250]
    assert quiet[255] == pytest.approx(0.25 * loud[255])


def test_a_value_that_is_usual_but_not_at_this_hour_is_novel():
    random = np.random.default_rng(3)
    hours = np.arange(24 * 28)
    x = np.where(hours % 24 < 12, 0.0, 10.0) + random.normal(0, 0.3, len(hours))
    x[24 * 27 + 3] = 10.0  # at night
    told, sure, expected = told_of(x, hours * HOUR, centroids=64)
    assert sure[24 * 27 + 3] == pytest.approx(told[24 * 27 + 3], rel=0.01)
    assert told[24 * 27 + 3] == told[24 * 14 :].max()
    assert abs(expected[24 * 27 + 3]) < 1.0


@given(st.integers(0, 1000), st.sampled_from((0.0, 0.1)))
def test_alert_evidence_is_at_most_the_novelty_and_equals_it_beyond_the_values_seen(seed, refractory):
    x = np.random.default_rng(seed).standard_t(3, size=300)
    x[-1] = 2.0 * np.abs(x).max() + 1.0
    told, sure, _ = told_of(x, refractory=refractory)
    assert (sure[20:] <= told[20:]).all()
    assert sure[-1] == told[-1] > 9.2


@pytest.mark.parametrize("at", [0, 1, 2, 5, 12, 40])
@pytest.mark.parametrize("wrong", [-9999.0, 65_535.0, 2.0**31 - 1, 1e308])
def test_one_wrong_value_early_in_a_stream_blurs_no_others(at, wrong):
    x = np.random.default_rng(5).normal(0, 1, 500)
    x[at + 50], x[499] = 25.0, -25.0
    undisturbed, _ = novelty(x)
    x[at] = wrong
    told, _ = novelty(x)
    assert (told[[at + 50, 499]] > 0.5 * undisturbed[[at + 50, 499]]).all()
    assert told[499] > 4.6


def test_the_dictionary_never_holds_more_than_it_may():
    detector = ValueNovelty(centroids=8)
    detector.learn_many(np.random.default_rng(4).standard_cauchy((2000, 1)))
    assert detector.ready
    assert len(detector.to_state()) < 8 * detector.numbers_per_feature + 500


@pytest.mark.parametrize("fields", [2, 3, 4, 9])
def test_a_field_alone_counts_as_much_as_with_fields_that_are_missing(fields):
    missing = [np.nan] * (fields - 1)
    raw_scores = ValueNovelty().pool(np.array([[9.0, *missing], [*missing, 9.0], [np.nan, *missing]]))
    np.testing.assert_array_equal(raw_scores, [9.0, 9.0, np.nan])
