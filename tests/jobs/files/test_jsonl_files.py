"""JSONL: a dump of a topic is read as the job reads it, and its lines are not altered."""

from __future__ import annotations

import sys

import pytest
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import ALL_FIELDS, Columns, numbers_of, read_rows
from streamgauge.models.errors import InputError
from streamgauge.udfs.settings.event import EventSettings

from tests.jobs.files.reading import told

EVENT = EventSettings(entity="pump", time="at")
LINES = [
    b'{ "pump":"a", "at":1704067200, "x":9007199254740993, "y":1e400, "z":0.10 }',
    b'{"pump":"b","at":"2024-01-01T00:00:01Z","x":2}',
]


@pytest.fixture
def jsonl(tmp_path):
    def write(*lines):
        (tmp_path / "dump.jsonl").write_bytes(b"\n".join(lines))
        return tmp_path / "dump.jsonl"

    return write


def read(file, columns=ALL_FIELDS, event=EVENT):
    """All rows of a small file, and what was not read."""
    report = NotRead()
    rows = list(read_rows(file, columns, event, report))
    assert len(rows) <= 1
    return rows[0] if rows else None, report


def test_entity_and_time_are_those_of_the_settings_and_lines_are_unchanged(jsonl):
    rows, report = read(jsonl(*LINES))
    assert rows.entities == ["", "b"]  # JSON has no number as large as 1e400: the job cannot read this line
    assert rows.records == LINES
    assert told(report) == [("", "not_finite", 1, [1])]
    rows, _ = read(jsonl(LINES[0].replace(b"1e400", b"1e40"), LINES[1]))
    assert rows.entities == ["a", "b"]
    assert rows.times.tolist() == [1704067200000, 1704067201000]
    assert rows.labels is None


def test_entities_in_nested_objects_and_renamed_fields_are_found(jsonl):
    event = EventSettings(entity="host.name", time="at", rename={"when": "at"})
    rows, _ = read(jsonl(b'{"host":{"name":"a"},"when":1704067200}'), event=event)
    assert rows.entities == ["a"]
    assert rows.times.tolist() == [1704067200000]


def test_a_named_column_takes_the_place_of_the_entity_and_its_value_is_not_altered(jsonl):
    file = jsonl(b'{"pump":"a","id":12345678901234567890,"when":1704067200,"x":1.10,"at":5}')
    rows, _ = read(file, Columns(entity="id", time="when"))
    assert rows.records == [b'{"x":1.10,"pump":12345678901234567890,"at":1704067200}']
    assert rows.entities == ["12345678901234567890"]


def test_a_record_without_the_named_column_has_no_entity_whatever_else_it_holds(jsonl):
    rows, report = read(jsonl(b'{"pump":"a","id":1,"at":1}', b'{"pump":"a","at":1}'), Columns(entity="id"))
    assert rows.entities == ["1", ""]
    assert told(report) == [("", "no_entity", 1, [2])]


def test_nested_columns_are_named_with_dots(jsonl):
    file = jsonl(b'{"host":{"name":"a","rack":7},"at":1704067200,"l":{"bad":1},"x":{"y":1.0,"z":2}}')
    rows, _ = read(file, Columns(entity="host.name", label="l.bad", drop=("x.z",)))
    assert rows.records == [b'{"host":{"rack":7},"at":1704067200,"l":{},"x":{"y":1.0},"pump":"a"}']
    assert rows.labels.tolist() == [1]


def test_a_column_that_is_not_there_is_refused(jsonl):
    with pytest.raises(InputError, match=r"no column 'y' .--entity-column.; it has: pump, at, a, a\.b"):
        read(jsonl(b'{"pump":"a","at":1,"a":{"b":1}}'), Columns(entity="y"))


def test_labels_are_taken_out_and_are_numbers(jsonl):
    file = jsonl(b'{"pump":"a","bad":true}', b'{"pump":"a"}', b'{"pump":"a","bad":null}', b'{"pump":"a","bad":2}')
    rows, _ = read(file, Columns(label="bad"))
    assert rows.labels.tolist() == [1, 0, 0, 2]
    assert set(rows.records) == {b'{"pump":"a"}'}
    with pytest.raises(InputError, match="'bad' must hold numbers, above 0 for anomalies; it holds 'yes'"):
        read(jsonl(b'{"pump":"a","bad":"yes"}'), Columns(label="bad"))


def test_numbers_that_no_float_can_hold_are_no_labels_and_no_times_or_the_largest_number(jsonl):
    with pytest.raises(InputError, match="'bad' must hold numbers, above 0 for anomalies; it holds '1e400'"):
        read(jsonl(b'{"pump":"a","bad":1e400}'), Columns(label="bad"))
    rows, _ = read(jsonl(b'{"pump":"a","bad":' + b"9" * 400 + b"}"), Columns(label="bad"))
    assert rows.labels.tolist() == [sys.float_info.max]
    rows, report = read(
        jsonl(b'{"pump":"a","d":1e400}', b'{"pump":"a","d":"2024"}'), Columns(time="d", time_format="%Y")
    )
    assert rows.times.tolist() == [1_704_067_200_000] * 2
    assert [entry[1] for entry in told(report)] == ["not_finite"]


def test_broken_lines_are_given_unchanged_and_told_with_their_number(jsonl):
    broken = [b"{", b"[1]", b'{"x":1}', b'{"pump":"a","at":"soon"}']
    rows, report = read(jsonl(LINES[1], b"", *broken))
    assert rows.records == [LINES[1], *broken]
    assert rows.entities == ["b", "", "", "", ""]
    assert [entry[1:] for entry in told(report)] == [
        ("not_json", 1, [3]),
        ("not_object", 1, [4]),
        ("no_entity", 1, [5]),
        ("bad_time", 1, [6]),
    ]


def test_an_event_without_a_time_is_left_out_if_others_have_one(jsonl):
    rows, report = read(jsonl(b'{"pump":"a","x":1}', LINES[1], b'{"pump":"a","x":2}', b"{"))
    assert rows.records == [LINES[1], b"{"]
    assert rows.numbers.tolist() == [1, 3]
    assert ("at", "no time", 2, [1, 3]) in told(report)


@pytest.mark.parametrize("unit", [1, 0.001], ids=["seconds", "milliseconds"])
def test_times_may_begin_at_zero(jsonl, unit):
    rows, report = read(jsonl(*(b'{"pump":"a","at":%g}' % (n * unit) for n in range(5))))
    assert rows.times.tolist() == [n * unit * 1000 for n in range(5)]
    assert not report


def test_a_line_that_is_no_event_has_the_time_of_the_nearest_event_before_it_or_else_of_the_first(jsonl):
    event = b'{"pump":"a","at":%d}'
    rows, _ = read(jsonl(b"{", event % 3, event % 0, b"{", event % 5))
    assert rows.times.tolist() == [3000, 3000, 0, 0, 5000]


def test_events_have_no_times_if_none_has_one(jsonl):
    rows, report = read(jsonl(b'{"pump":"a","x":1}', b'{"pump":"a","x":2}'))
    assert rows.times is None
    assert not report


def test_a_time_far_away_is_read_because_a_file_holds_no_timestamps_of_kafka(jsonl):
    rows, report = read(jsonl(b'{"pump":"a","at":"1999-01-01T00:00:00Z"}', b'{"pump":"a","at":"2199-01-01T00:00:00Z"}'))
    assert len(rows) == 2
    assert not report


def test_a_format_of_times_is_read(jsonl):
    rows, report = read(
        jsonl(b'{"pump":"a","d":"02/01/2024"}', b'{"pump":"a","d":"x"}'), Columns(time="d", time_format="%d/%m/%Y")
    )
    assert rows.records[0] == b'{"pump":"a","at":1704153600000}'
    assert [entry[1] for entry in told(report)] == ["bad_time"]


def test_a_format_of_times_may_give_times_near_1970(jsonl):
    rows, _ = read(jsonl(b'{"pump":"a","d":"02/01/1971"}'), Columns(time="d", time_format="%d/%m/%Y"))
    assert rows.times.tolist() == [366 * 86_400_000]


def test_fields_with_numbers_are_found_for_training(jsonl):
    rows, _ = read(jsonl(b'{"pump":"a","at":1,"x":{"y":1},"n":"t"}', b'{"pump":"a","at":1,"x":{"y":"?"},"z":true}'))
    found = numbers_of(rows, EVENT)
    assert {name: column.tolist()[:1] for name, column in found.items() if name == "x.y"} == {"x.y": [1.0]}
    assert found["z"][1] == 1.0
    assert set(found) == {"x.y", "z"}


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_line(jsonl):
    rows, report = read(jsonl(b'\xef\xbb\xbf{"pump":"a","at":1}\r', b'{"pump":"b","at":1}\r', b""))
    assert rows.records == [b'{"pump":"a","at":1}', b'{"pump":"b","at":1}']
    assert not report
