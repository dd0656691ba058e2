"""Long series are drawn with few points, and no spike is lost."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.jobs.pages.series_plot import BUCKETS, draw, thinned
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.incident_series import IncidentSeries
from streamgauge.jobs.studies.judging import Opening


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


EXTREME = {
    "one event": [5.0],
    "constant": [5.0] * 50,
    "huge": [1.7e308, -1.7e308, 1.0, 2.0] * 20,
    "tiny": [5e-324, 0.0, -5e-324] * 20,
    "one far value": [*np.sin(np.arange(500.0)).tolist(), -9999.0],
    "with gaps": [1.0, np.nan, 3.0] * 20,
}


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("values", EXTREME.values(), ids=EXTREME.keys())
def test_every_series_of_numbers_can_be_drawn(values, timed):
    rows = np.arange(len(values))
    alert = {"severity": "critical", "state": "opened"}
    incidents = [Opening(0, 0, "a", "point", "high", alert, alert)]
    result = Backtest(["a"] * len(rows), np.zeros(len(rows)), rows, (rows == 0) * 1.0, times=1_700_000_000_000 + rows)
    series = IncidentSeries(0, "a", "x", incidents, rows, np.array(values), False)
    assert base64.b64decode(draw(series, result, timed)).startswith(b"\x89PNG")
