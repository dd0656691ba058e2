"""A record may hold many events. Each has its own identity: the offset, and its place in the record."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, Run, batch

SILENT = PipelineSettings.model_validate(SMALL.model_dump() | {"event": {"late_after": "30 s"}})


def events(n=300, seed=0):
    random = np.random.default_rng(seed)
    values = [{"entity": f"e{i % 3}", "ts": START + 1000 * i, "x": float(random.normal(5, 1))} for i in range(n)]
    for i in range(150, n, 40):
        values[i]["x"] = 500.0
    return values


def grouped(values, sizes):
    """The events as records with the given numbers of events each; one event is an object, more are an array."""
    records, begin = [], 0
    while begin < len(values):
        size = sizes[len(records) % len(sizes)]
        part = values[begin : begin + size]
        records.append(part[0] if size == 1 else part)
        begin += size
    return records


def scored(run):
    """Scores in order, without the place on the topic."""
    return [{k: v for k, v in json.loads(text).items() if k not in ("offset", "place")} for _, text in run.scores]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_events_score_the_same_whether_they_come_alone_or_together(sizes):
    values = events()
    stamps = [START] * 300
    alone = Run(SMALL).feed(batch(values, stamps=stamps))
    records = grouped(values, sizes)
    together = Run(SMALL).feed(batch(records, stamps=stamps[: len(records)]))
    assert scored(together) == scored(alone)


def test_every_event_ends_once_and_has_its_own_place():
    values = events(120)
    values[50] = {"x": 1}  # without an entity
    values[51]["ts"] = START - 100_000  # late
    records = grouped(values, [10])
    run = Run(SILENT).feed(batch(records))
    places = [
        (found["offset"], found["place"])
        for _, text in (*run.scores, *run.dead, *run.late)
        if (found := json.loads(text))
    ]
    assert sorted(places) == [(record, place) for record in range(12) for place in range(10)]
    [letter], [late] = ([json.loads(text) for _, text in found] for found in (run.dead, run.late))
    assert (letter["offset"], letter["place"], letter["reason"]) == (5, 0, "no_entity")
    assert json.loads(base64.b64decode(letter["payload"])) == {"x": 1}
    assert (late["offset"], late["place"]) == (5, 1)
    assert run.counts["events"] == 120


def test_two_incidents_that_open_in_one_record_have_different_ids():
    values = events(200)
    run = Run(SMALL).feed(batch(values))
    again = [{"entity": entity, "ts": START + 300_000 + i, "x": 900.0} for i, entity in enumerate(["e0", "e1", "e2"])]
    run.feed(batch([again], offset=200, stamps=[START + 300_000]))
    opened = [data for _, text in run.alerts if (data := json.loads(text)["data"])["state"] == "opened"]
    of_record = [data for data in opened if data["source"]["offset"] == 200]
    assert {data["source"]["place"] for data in of_record} == {0, 1, 2}
    assert {data["source"]["opened_place"] for data in of_record} == {0, 1, 2}
    assert len({data["alert_id"] for data in opened}) == len(opened)


def test_a_restart_between_records_changes_nothing():
    records = grouped(events(), [7, 1, 3])
    whole = Run(SMALL).feed(batch(records))
    run = Run(SMALL).feed(batch(records[:31]))
    restarted = Run(SMALL)
    restarted.shard.restore(run.saved.items())
    restarted.feed(batch(records[31:], offset=31))
    assert restarted.scores == whole.scores[len(run.scores) :]
    assert restarted.alerts == whole.alerts[len(run.alerts) :]


@pytest.mark.parametrize("record", [[], None])
def test_a_record_without_an_event_is_counted_as_skipped(record):
    result = Shard(SMALL).process(batch([{"entity": "a", "x": 1}, record]))
    assert (result.counts["skipped"], result.counts["events"], result.dead_letters) == (1, 2, [])
