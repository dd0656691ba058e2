"""Every series of numbers can be drawn, with its incidents."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from streamgauge.jobs.pages.series_plot import draw
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.incident_series import IncidentSeries
from streamgauge.jobs.studies.judging import Opening

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
