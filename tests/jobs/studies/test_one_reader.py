"""Job, doctor, preview, backtest and training find the same events in the same records."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from streamgauge.jobs.cluster.event_findings import about_events
from streamgauge.jobs.files.read_files import ALL_FIELDS, read_rows
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import backtest
from streamgauge.jobs.studies.preview import Past, preview
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard

START = 1_760_000_000_000
CHOSEN = Settings.model_validate(
    {"event": {"entity": ["host.name", "n"], "rename": {"number": "n"}, "fields": {"y": "number"}}}
)
GOOD = {"ts": START, "host": {"name": "web0"}, "n": 0, "x": 1.0}
names = st.sampled_from(["web1", "7", 7, 7.0, "", None, 1.5, True, "a/b", ["x"]])
odd = st.fixed_dictionaries(
    {"ts": st.just(START)},
    optional={
        "host": st.fixed_dictionaries({}, optional={"name": names}),
        "host.name": names,
        "n": names,
        "number": names,
        "x": st.sampled_from([1.0, "2.5", "N/A", None, [1]]),
        "y": st.sampled_from([1, "2", "two", None]),
    },
)
records = st.lists(odd | st.lists(odd, min_size=1, max_size=3) | st.just("no event"), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(values=records)
def test_the_same_records_give_the_same_events_everywhere(tmp_path_factory, values):
    values = [GOOD, *values]  # a file has no Kafka timestamps, so unreadable records need a neighbour with a time
    payloads = [json.dumps(value).encode() for value in values]
    n = len(payloads)
    raw = RawBatch(payloads, np.zeros(n, np.int64), np.arange(n), np.full(n, START), [b"k"] * n)
    events, dead = Reader(CHOSEN.event).read(raw)
    entities, reasons = set(events.entities), Counter(letter.reason for letter in dead)

    def set_aside(counts):
        return {name.partition(".")[2]: count for name, count in counts.items() if name.startswith("dead_letters.")}

    shard = Shard(CHOSEN.pipeline())
    result = shard.process(raw)
    assert set_aside(result.counts) == reasons
    assert result.counts["events"] == len(events) + len(dead)
    stages = shard.partitions[0].stages
    assert set(stages.entities.store.index) == entities

    doctor = {one.check: one.message for one in about_events(raw, CHOSEN)}
    assert f"{n} newest records: plain events, {len(events)} events" in doctor["format"]
    assert f"{len(entities)} entities" in doctor["entities"]

    seen = preview(Past("events", raw), CHOSEN)
    assert set_aside(seen.counts) == reasons
    assert {entity for entity in seen.entities if entity} <= entities

    file = tmp_path_factory.mktemp("dump") / "dump.jsonl"
    file.write_bytes(b"\n".join(payloads) + b"\n")
    [of_file] = backtest([file], CHOSEN, processes=1)
    assert set_aside(of_file.counts) == reasons
    of_rows = {entity for rows in read_rows(file, ALL_FIELDS, CHOSEN.event) for entity in rows.entities if entity}
    assert of_rows <= entities
    if all(isinstance(value, dict) for value in values):
        assert of_rows == entities
