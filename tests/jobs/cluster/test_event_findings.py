"""What doctor says of the events of a topic."""

from __future__ import annotations

import json

import numpy as np
from streamgauge.jobs.cluster.event_findings import about_events
from streamgauge.jobs.settings.loading import Settings
from streamgauge.udfs.events.records import RawBatch

START = 1_760_000_000_000


def findings(values, partitions=None, keys=True, **event):
    """State and message of each check, by its name; several messages are joined."""
    n = len(values)
    numbers = np.zeros(n, np.int64) if partitions is None else np.array(partitions)
    payloads = [value if value is None or isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    raw = RawBatch(payloads, numbers, np.arange(n), START + 1000 * np.arange(n), [b"k" if keys else None] * n)
    found = about_events(raw, Settings.model_validate({"event": event}))
    return {
        name: [(one.state, one.message) for one in found if one.check == name] for name in {one.check for one in found}
    }


def pumps(n=40, **more):
    return [{"entity": f"pump{i % 4}", "ts": START + 1000 * i, "pressure": 2.0 + i % 3} | more for i in range(n)]


def test_a_stream_as_the_settings_say_is_ok():
    found = findings(pumps(), partitions=[i % 4 for i in range(40)])
    assert {state for checks in found.values() for state, _ in checks} == {"ok"}
    assert found["format"] == [("ok", "40 newest records: plain events, 40 events")]
    assert "4 entities, such as pump0, pump1, pump2; 4 partitions have events" in found["entities"][0][1]
    assert found["event time"][0][1].startswith("ts; +0.0 s to +0.0 s from Kafka's timestamp")
    assert found["fields"] == [("ok", "1 numeric: pressure")]


def test_records_that_cannot_be_read_are_named_with_place_and_remedy():
    found = findings([*pumps(10), {"host": "a", "x": 1}, b"cpu,host=a usage=5 1760000000000000000"])
    [(state, message)] = found["format"]
    assert state == "warning"
    assert "2 cannot be read: 1 no_entity, such as partition 0, offset 10" in message
    assert "event.entity must name one of host, x" in message
    [(state, _)] = findings([b"nonsense"])["format"]
    assert state == "failure"


def test_an_entity_on_two_partitions_is_a_failure_and_missing_keys_are_a_warning():
    found = findings(pumps(), partitions=[i % 3 for i in range(40)])
    assert found["entities"][0][0] == "failure"
    assert "batch.sharding: entity" in found["entities"][0][1]
    assert findings(pumps(), keys=False)["entities"][0][0] == "warning"


def test_a_missing_time_is_told_with_the_fields_that_there_are():
    values = [{"entity": "a", "when": 5, "x": 1.0}] * 20
    [(state, message)] = findings(values)["event time"]
    assert state == "warning"
    assert "it has entity, when, x" in message
    assert "event.time: null" in message
    assert findings(values, time=None)["event time"][0][0] == "ok"


def test_what_will_not_be_looked_at_is_said_with_its_reason():
    values = pumps(20, city="Oslo")
    values[3] = {"entity": "a", "ts": START, "city": "Oslo"}
    found = findings(values)
    assert ("ok", "1 numeric: pressure (5% missing)") in found["fields"]
    assert any("1 of 20 events have none of these" in message for _, message in found["fields"])
    assert "city (text)" in found["other fields"][0][1]
    [(state, message)] = findings([{"entity": "a", "ts": START, "city": "Oslo"}])["fields"]
    assert state == "failure"
    assert "city" in message


def test_names_in_the_settings_that_no_event_has_are_told():
    found = findings(pumps(), ignore=("before.*", "pre*"), context=("mode",))
    told = [message for _, message in found["settings"]]
    assert told == [
        "event.ignore names 'before.*', which none of the newest events has",
        "event.context names 'mode', which none of the newest events has",
    ]


def test_a_stream_of_single_measurements_is_recognised():
    values = [{"entity": "a", "ts": START, "metric": name, "value": i} for i in range(10) for name in ("cpu", "mem")]
    assert any("event.metric" in message and "event.value" in message for _, message in findings(values)["fields"])
    read = findings(values, metric="metric", value="value")["fields"]
    assert read[0] == ("ok", "2 numeric: cpu (50% missing), mem (50% missing)")
    assert len(read) == 1


def test_text_that_a_declaration_would_read_as_numbers_is_named_with_it():
    found = findings(pumps(price="1.234,5 EUR", state="up"))
    advice = 'event.fields: {"price": {"type": "number", "decimal": ",", "thousands": ".", "unit": "EUR"}} reads \'price\' as a number'
    assert [message for state, message in found["other fields"] if state == "warning"] == [
        f'"1.234,5 EUR" is text: {advice}'
    ]
