"""The data of CloudEvents are events."""

from __future__ import annotations

import base64
import json

import pytest
from streamgauge.udfs.events.records import UnreadableError

from tests.udfs.events.formats import samples
from tests.udfs.events.formats.samples import CLOUDEVENT, CLOUDEVENT_READ, DEBEZIUM_CLOUDEVENT
from tests.udfs.events.formats.test_unwrap import read, reason_of

ATTRIBUTES = {name: value for name, value in CLOUDEVENT_READ.items() if name.startswith("ce.") or name == "ts"}


def with_data(data):
    return {**CLOUDEVENT, "data": data}


def base64_event(content):
    event = {**CLOUDEVENT, "data_base64": base64.b64encode(content).decode()}
    del event["data"]
    return event


def test_the_data_are_the_event_with_source_type_subject_and_time():
    assert read(CLOUDEVENT) == [CLOUDEVENT_READ]


def test_a_batch_is_many_events():
    other = {**CLOUDEVENT, "subject": None, "data": {"bar": 3}}
    second = {**ATTRIBUTES, "bar": 3}
    del second["ce.subject"]
    assert read([CLOUDEVENT, other]) == read([CLOUDEVENT, other], "cloudevents") == [CLOUDEVENT_READ, second]


def test_the_data_win_over_the_attributes():
    data = {"ce.source": "a", "ce": {"type": "b"}, "ts": 5}
    assert read(with_data(data)) == [{**data, "ce.subject": "pump-7"}]


def test_data_in_base64_are_read_if_they_are_json():
    assert read(base64_event(json.dumps(CLOUDEVENT["data"]).encode())) == [CLOUDEVENT_READ]
    with pytest.raises(UnreadableError, match="data_base64 holds no JSON: this looks like XML"):
        read(base64_event(b"<a>5</a>"))
    assert reason_of({**base64_event(b""), "data_base64": "?"}) == "bad_value"


def test_json_in_a_text_is_read():
    assert read(with_data('{"bar": 2.5, "rpm": 1450}')) == [CLOUDEVENT_READ]


@pytest.mark.parametrize("value", [21.5, "text", "{no json", True])
def test_a_plain_value_is_the_field_data(value):
    assert read(with_data(value)) == [{"data": value, **ATTRIBUTES}]


def test_data_that_are_an_array_are_many_events():
    assert read(with_data([{"x": 1}, {"x": 2}])) == [{"x": 1, **ATTRIBUTES}, {"x": 2, **ATTRIBUTES}]


def test_without_data_there_is_no_event():
    assert read(with_data(None)) == []
    assert read(base64_event(b"null")) == []


def test_a_change_of_debezium_is_read_with_its_operation_from_the_attributes():
    attributes = {
        "ce.source": "/debezium/postgresql/plant",
        "ce.type": "io.debezium.connector.postgresql.DataChangeEvent",
    }
    assert read(DEBEZIUM_CLOUDEVENT) == [{**samples.CHANGE_READ, **attributes}]
    schema = {"type": "struct", "fields": []}
    with_schema = {**DEBEZIUM_CLOUDEVENT, "data": {"schema": schema, "payload": DEBEZIUM_CLOUDEVENT["data"]}}
    assert read(with_schema) == [{**samples.CHANGE_READ, **attributes}]
    deleted = {**DEBEZIUM_CLOUDEVENT, "iodebeziumop": "d", "data": {"before": {"id": 7}}}
    assert read(deleted) == []
    assert read(deleted, deletes="read") == [{"id": 7, "op": "d", "ts": 1790001000000, **attributes}]


def test_other_wrappers_in_the_data_are_read():
    [event] = read(with_data(samples.TELEGRAF))
    assert event == {**ATTRIBUTES, **samples.TELEGRAF_READ}


def test_an_event_without_all_its_attributes_is_read_if_the_format_is_set():
    event = {"specversion": "1.0", "data": {"x": 1}}
    assert read(event, "cloudevents") == [{"x": 1}]
    assert read(event) == [event]
