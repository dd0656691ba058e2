"""Debezium's changes become the rows after them."""

from __future__ import annotations

import pytest
from streamgauge.udfs.events.records import UnreadableError

from tests.udfs.events.formats import samples
from tests.udfs.events.formats.samples import CHANGE, CHANGE_READ, ENVELOPE, MONGO, SOURCE, UNWRAPPED
from tests.udfs.events.formats.test_unwrap import read, reason_of

DELETE = {**CHANGE, "op": "d", "before": {"id": 7, "pump": "pump-7", "bar": 2.5}, "after": None}


@pytest.mark.parametrize("op", ["c", "u", "r"])
def test_the_row_after_a_change_is_the_event_with_the_time_of_the_database(op):
    assert read({**CHANGE, "op": op}) == [CHANGE_READ]


def test_values_are_converted_by_the_schema():
    assert read(ENVELOPE) == [{**samples.ROW_READ, "ts": SOURCE["ts_ms"]}]


def test_the_time_of_the_connector_is_used_if_the_source_has_none():
    assert read({**CHANGE, "source": {**SOURCE, "ts_ms": 0}}) == [{**CHANGE_READ, "ts": CHANGE["ts_ms"]}]


def test_the_shape_that_flink_writes_has_no_source():
    assert read({"before": None, "after": {"x": 1}, "op": "c"}) == [{"x": 1}]


def test_a_deleted_row_gives_no_event_unless_it_is_wanted():
    assert read(DELETE) == []
    assert read(DELETE, deletes="read") == [{**CHANGE_READ, "op": "d"}]


def test_a_column_named_op_keeps_its_value():
    [event] = read({**DELETE, "before": {"op": "pump"}}, deletes="read")
    assert event["op"] == "pump"


def test_a_deleted_row_that_the_database_does_not_tell_is_said():
    with pytest.raises(UnreadableError, match="REPLICA IDENTITY FULL"):
        read({**DELETE, "before": None}, deletes="read")


@pytest.mark.parametrize("op", ["t", "m"])
def test_truncated_tables_and_messages_give_no_event(op):
    assert read({"source": SOURCE, "op": op, "ts_ms": 1, "message": {"prefix": "p", "content": "AA=="}}) == []


@pytest.mark.parametrize("document", [samples.HEARTBEAT, samples.TRANSACTION, samples.SCHEMA_CHANGE])
def test_what_debezium_says_of_itself_gives_no_event(document):
    assert read(document) == []


def test_a_heartbeat_without_a_schema_is_known_if_the_format_is_set():
    assert read({"ts_ms": 1790001000500}, "debezium") == []
    assert read({"ts_ms": 1790001000500}) == [{"ts_ms": 1790001000500}]


def test_an_unwrapped_row_loses_the_marks_and_positions_and_keeps_the_rest():
    assert read(UNWRAPPED) == [{**CHANGE_READ, "__table": "pumps"}]


def test_an_unwrapped_deleted_row_gives_no_event_unless_it_is_wanted():
    deleted = {**UNWRAPPED, "__deleted": "true", "__op": "d"}
    assert read(deleted) == []
    assert read(deleted, deletes="read") == [{**CHANGE_READ, "__table": "pumps", "op": "d"}]


def test_an_unwrapped_row_in_a_schema_is_converted_and_unwrapped():
    schema = {"type": "struct", "fields": [samples.field("day", "int32", "io.debezium.time.Date")]}
    document = {"schema": schema, "payload": {"day": 1, "__deleted": "false"}}
    assert read(document) == read(document, "debezium") == [{"day": "1970-01-02"}]


def test_documents_of_mongodb_are_read_from_their_text():
    assert read(MONGO) == [
        {
            "_id": "63a3795c8835b568e786e26a",
            "pump": "pump-7",
            "bar": 2.5,
            "count": 9007199254740993,
            "at": "2024-10-04T00:00:00.123Z",
            "cost": "1.10",
            "ts": 1790001000000,
        }
    ]


def test_canonical_numbers_of_mongodb_are_plain():
    after = '{"a": {"$numberInt": "5"}, "b": {"$numberDouble": "NaN"}, "c": [{"$date": {"$numberLong": "0"}}], "d": {"e": {}}}'
    assert read({**MONGO, "after": after}, time_name=None) == [
        {"a": 5, "b": None, "c": ["1970-01-01T00:00:00Z"], "d": {"e": {}}}
    ]


def test_an_update_of_mongodb_without_its_document_is_said():
    with pytest.raises(UnreadableError, match="change_streams_update_full"):
        read({**MONGO, "op": "u", "after": None})


@pytest.mark.parametrize("after", [5, [1], "no json", "[1]"])
def test_a_row_that_is_no_object_is_refused(after):
    assert reason_of({**CHANGE, "after": after}) == "bad_value"


def test_the_events_do_not_change_the_document():
    before = samples.fresh(CHANGE)
    read(CHANGE)
    assert before == CHANGE
