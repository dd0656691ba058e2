"""Long series are drawn with few points, and no spike is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.jobs.pages.thinned import BUCKETS, thinned


@given(st.integers(1, 20_000), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_the_smallest_and_the_largest_value_of_each_part_are_kept(n, seed, missing):
    random = np.random.default_rng(seed)
    values = random.normal(size=n)
    values[random.random(n) < missing] = np.nan
    places = thinned(values)
    assert len(places) <= 2 * BUCKETS or n <= 2 * BUCKETS
    assert (np.diff(places) > 0).all() or n > 2 * BUCKETS  # a place may be the smallest and the largest one
    assert (np.diff(places) >= 0).all()
    for part in np.array_split(np.arange(n), 20):  # wider than a bucket
        known = values[part][~np.isnan(values[part])]
        if len(known) and len(part) > n / 25:
            kept = values[places[(places >= part[0] - n // BUCKETS) & (places <= part[-1] + n // BUCKETS)]]
            assert np.nanmax(kept) >= known.max()
            assert np.nanmin(kept) <= known.min()


def test_a_spike_stays_at_its_place_and_a_gap_stays_a_gap():
    values = np.zeros(100_000)
    values[61_803], values[20_000:30_000] = 9.0, np.nan
    places = thinned(values)
    assert 61_803 in places
    assert np.isnan(values[places]).sum() >= 79
    assert len(places) < 2 * BUCKETS


def test_a_short_series_is_not_thinned():
    np.testing.assert_array_equal(thinned(np.arange(2.0 * BUCKETS)), np.arange(2 * BUCKETS))
