"""Rows of files become events, in order. Sending them is tested on the real cluster."""

from __future__ import annotations

import json

import pytest
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.kafka.replay import events
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import InputError


def test_rows_become_events_with_entity_and_time_and_without_labels(payments):
    found = list(events(payments, Settings(), Columns("card", "ts", drop=("fraud",))))
    assert [(one.elapsed, one.entity, json.loads(one.payload)) for one in found] == [
        (0, "a", {"amount": 1.5, "entity": "a", "ts": 1704067200000}),
        (60_000, "b", {"entity": "b", "ts": 1704067260000}),
        (30_000, "a", {"amount": 3.0, "entity": "a", "ts": 1704067230000}),
    ]
    assert [one.stamp for one in found] == [1704067200000, 1704067260000, 1704067230000]


def test_the_files_name_is_the_entity_where_no_column_is(payments):
    found = list(events(payments, Settings(), Columns(drop=("ts", "card"))))
    assert {one.entity for one in found} == {"cards"}
    assert {one.stamp for one in found} == {None}


def test_a_wrong_column_is_named(payments):
    with pytest.raises(InputError, match=r"no column 'time' .--time-column.; it has: ts, card, amount, fraud"):
        list(events(payments, Settings(), Columns(time="time")))


def test_lines_of_a_dump_are_sent_unchanged_with_the_entity_and_the_time_that_the_settings_name(tmp_path):
    lines = [
        b'{ "pump" : 7, "at":1704067200, "x":9007199254740993, "y":0.10 }',
        b"{broken",
        b'{"pump":"b","at":"2024-01-01T00:00:02Z","nested":{"z":1}}',
    ]
    (tmp_path / "dump.jsonl").write_bytes(b"\n".join(lines))
    settings = Settings.model_validate({"event": {"entity": "pump", "time": "at"}})
    report = NotRead()
    found = list(events(tmp_path / "dump.jsonl", settings, report=report))
    assert [one.payload for one in found] == lines
    assert [one.entity for one in found] == ["7", "", "b"]
    assert [one.elapsed for one in found] == [0, 0, 2000]
    assert [entry["lines"] for entry in report.as_list()] == [[2]]


def test_only_what_is_asked_for_is_changed_in_a_line(tmp_path):
    (tmp_path / "dump.jsonl").write_bytes(b'{"id":1,"at":1704067200,"x":9007199254740993,"y":0.10,"secret":"s"}')
    settings = Settings.model_validate({"event": {"entity": "pump", "time": "at"}})
    [found] = events(tmp_path / "dump.jsonl", settings, Columns("id", drop=("secret",)))
    assert found.payload == b'{"at":1704067200,"x":9007199254740993,"y":0.10,"pump":1}'
    assert found.entity == "1"
