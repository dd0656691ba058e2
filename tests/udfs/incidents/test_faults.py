"""Faults in streams at the default settings: each one is told once, at its first event, and named after what found it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import Run, batch

START, MINUTES = 1_760_000_000_000, 60_000
LENGTH = 2000


def alerts(columns, every=5):
    """The data of all alerts about a series with these fields; the same for another cut into batches."""
    names = list(columns)
    rows = np.column_stack(list(columns.values()))
    events = [{"entity": "e", **dict(zip(names, row, strict=True))} for row in rows.tolist()]
    raw = batch(events, stamps=START + every * MINUTES * np.arange(len(events)))
    runs = [Run(PipelineSettings()).feed(raw, cuts) for cuts in ([], [700, 1501, 1503, 1511])]
    assert runs[0].outputs() == runs[1].outputs()
    return [json.loads(text)["data"] for _, text in runs[0].alerts]


def opened(found, since=1000):
    return [d["source"]["offset"] for d in found if d["state"] == "opened" and d["source"]["offset"] >= since]


def usual(seed=0):
    return np.random.default_rng(seed).normal(100.0, 5.0, LENGTH)


def wave(seed=0):
    """A daily wave from 30 to 70, a value each five minutes."""
    return 50 + 20 * np.sin(np.arange(LENGTH) * 2 * np.pi / 288) + np.random.default_rng(seed).normal(0, 2, LENGTH)


@pytest.mark.parametrize("series", [usual, wave])
@pytest.mark.parametrize("fault", [80.0, -80.0])
def test_an_incident_opens_at_the_first_event_of_the_fault_and_tells_its_value(series, fault):
    x = series()
    x[1500:1510] += fault
    found = alerts({"x": x})
    assert opened(found) == [1500]
    [first] = [d for d in found if d["source"]["offset"] == 1500]
    assert first["source"]["opened_offset"] == 1500
    assert first["actual"]["x"] == x[1500]
    assert abs(first["expected"]["x"] - (x[1500] - fault)) < 20


def test_the_alert_names_the_channel_that_spoke_first_and_keeps_it():
    x = usual()
    x[1500:1510] += 80.0
    found = [d for d in alerts({"x": x}) if d["source"]["opened_offset"] == 1500]
    assert {(d["kind"], d["channel"]) for d in found} == {("point", found[0]["channel"])}
    assert found[0]["channel"] in ("level", "change", "departure", "recent")


def test_a_usual_value_at_the_wrong_time_is_contextual():
    x = wave()
    noon = 288 * 5 + 72  # the highest hour of the day
    x[noon : noon + 6] = 30.0
    [first] = [d for d in alerts({"x": x}) if d["source"]["offset"] == noon]
    assert (first["state"], first["kind"], first["channel"]) == ("opened", "contextual", "time of day")


def test_the_same_outage_again_is_told_again():
    x = usual()
    outages = list(range(400, LENGTH, 400))
    for begin in outages:
        x[begin : begin + 10] = 0.0
    assert opened(alerts({"x": x}), since=400) == outages


def test_a_smaller_fault_after_a_much_larger_one_is_told():
    x = usual()
    x[1500:1503] += 500.0
    x[1600:1603] += 60.0
    assert opened(alerts({"x": x})) == [1500, 1600]


def test_an_open_incident_does_not_hide_a_fault_of_another_field():
    x, y = usual(), np.random.default_rng(1).normal(10, 1, LENGTH)
    x[1500:1504] += 60.0
    y[1516:1520] += 12.0
    found = alerts({"x": x, "y": y})
    assert opened(found, since=1400) == [1500, 1516]
    ended, begins = [d for d in found if d["source"]["offset"] == 1516]
    assert (ended["state"], ended["followed_by"]) == ("resolved", begins["alert_id"])
    assert max(begins["contributions"], key=begins["contributions"].get) == "y"
    assert found[-1]["followed_by"] is None  # quiet events ended it


def test_an_open_incident_does_not_hide_a_fault_in_the_other_direction_or_a_much_larger_one():
    turned, larger = usual(), usual()
    turned[1500:1505] += 60.0
    turned[1514:1519] -= 60.0
    larger[1500:1503] += 50.0
    larger[1512:1515] += 500.0
    assert opened(alerts({"x": turned})) == [1500, 1514]
    assert opened(alerts({"x": larger})) == [1500, 1512]


@pytest.mark.parametrize("size", [40.0, 200.0, -60.0])
@pytest.mark.parametrize("length", [1, 5, 12])
def test_the_return_to_normal_neither_opens_nor_updates(size, length):
    x = usual()
    x[1500 : 1500 + length] += size
    found = alerts({"x": x})
    assert opened(found) == [1500]
    assert [
        d["source"]["offset"] for d in found if d["state"] == "updated" and d["source"]["offset"] >= 1500 + length
    ] == []


def test_one_odd_value_of_a_constant_series_has_no_echo():
    x = np.full(LENGTH, 50.0)
    x[1500] = 51.0
    assert set(opened(alerts({"x": x}, every=1))) <= {1500}
