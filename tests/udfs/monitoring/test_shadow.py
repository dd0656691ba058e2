"""The comparison of a live model with its shadow does not depend on batches."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.monitoring.shadow import Compared, Comparison
from streamgauge.udfs.output.cloud_event import Origin


@given(st.lists(st.integers(1, 2499), max_size=6))
def test_a_model_and_its_shadow_are_counted_event_by_event(cuts):
    random = np.random.default_rng(0)
    flags, offsets = random.random((2, 2500)) < 0.1, np.arange(2500)

    def probes(part):
        places = np.flatnonzero(part % 10 == 0)
        return places, part[places] % 20 == 0, np.ones(len(places), np.bool_)

    def compared(part):
        return Compared(flags[0][part], flags[1][part], *probes(part), 1e-4, part, part)

    comparison, notices = Comparison(1000, "m", Origin("events", "job", 0)), []
    for part in np.split(offsets, sorted(cuts)):
        notices += comparison.compare("1", "2", compared(part))
    data = [json.loads(text)["data"] for _, text in notices]
    for k, counted in enumerate(data):
        a, b = flags[:, 1000 * k : 1000 * (k + 1)]
        assert (counted["both"], counted["only_live"], counted["only_shadow"]) == (
            (a & b).sum(),
            (a & ~b).sum(),
            (b & ~a).sum(),
        )
        assert (counted["live"], counted["shadow"], counted["events"]) == (1, 2, 1000)
        assert (counted["probes"], counted["live_right"], counted["shadow_right"]) == (100, 50, 100)
    assert len(data) == 2
    assert comparison.compare("1", "3", compared(offsets))[0][0] == "m"


def test_after_a_restart_with_fewer_events_to_a_notice_counting_begins_anew():
    def alerts(begin, end):
        offsets, none = np.arange(begin, end), np.zeros(0, np.int64)
        flags = np.ones(end - begin, np.bool_)
        return Compared(flags, flags, none, none > 0, none > 0, 1e-4, offsets, offsets)

    before = Comparison(1000, "m", Origin("events", "job", 0))
    assert before.compare("1", "2", alerts(0, 900)) == []
    after = Comparison(500, "m", Origin("events", "job", 0))
    after.restore(before.to_state())
    [(_, text)] = after.compare("1", "2", alerts(900, 1500))
    counted = json.loads(text)["data"]
    assert (counted["events"], counted["both"]) == (500, 500)
