"""A stream of few events is known after a day, and not before."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.udfs.incidents.promise import DAY, MOST, SAFE, Promise
from streamgauge.udfs.settings.promise import false_incidents


@pytest.mark.parametrize(("days", "threshold"), [(0.999, SAFE), (1.0, MOST), (1.5, MOST)])
def test_the_threshold_of_fifty_events_is_the_safe_one_until_a_day_has_passed(days, threshold):
    promise = Promise(false_incidents("1 per day"))
    times = np.zeros(50, np.int64)
    promise.count(times, times, np.full(50, SAFE), times[:0])
    promise.look(int(days * DAY), lambda since: 1)
    assert promise.threshold == threshold
