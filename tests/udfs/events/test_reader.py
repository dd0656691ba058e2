"""Bytes to events: every record becomes an event, or a dead letter with a reason."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.payload import MAX_DEPTH, Names, flatten
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.time import EARLIEST, epoch_milliseconds
from streamgauge.udfs.settings.event import EventSettings

from tests.streams import START, batch

SETTINGS = EventSettings()
GOOD = {"entity": "a", "x": 1}

DEAD = {
    "empty": [b""],
    "not_json": [
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"entity":"a"} trailing',
        b'{"entity":"a\xff"}',
        b'{"entity":"a"}{"entity":"b"}',
    ],
    "not_finite": [b'{"entity":"a","x":NaN}', b'{"entity":"a","x":[1,-Infinity]}', b'{"entity":"a","x":1e999}'],
    "too_deep": [b'{"entity":"a","x":' + b'{"y":' * 100 + b"1" + b"}" * 101, b'{"entity":"a","x":' + b"[" * 400_000],
    "not_object": [b"[1]", b"null", b'"text"', b"5"],
    "no_entity": [
        b"{}",
        b'{"entity":null}',
        b'{"entity":""}',
        b'{"entity":1.5}',
        b'{"entity":true}',
        b'{"entity":"%s"}' % (b"x" * 513),
    ],
    "bad_time": [
        b'{"entity":"a","ts":"yesterday"}',
        b'{"entity":"a","ts":true}',
        b'{"entity":"a","ts":[1]}',
        b'{"entity":"a","ts":1e30}',
    ],
    "time_out_of_range": [b'{"entity":"a","ts":"2099-01-01"}', b'{"entity":"a","ts":0}'],
    "too_large": [b'{"entity":"a","x":"' + b"y" * 1_000_000 + b'"}'],
}


@pytest.mark.parametrize(("reason", "payload"), [(r, p) for r, ps in DEAD.items() for p in ps])
def test_bad_input_is_a_dead_letter_with_its_reason_and_its_neighbours_are_scored(reason, payload):
    events, dead = Reader(SETTINGS).read(batch([GOOD, payload, GOOD]))
    assert [(letter.row, letter.reason) for letter in dead] == [(1, reason)]
    assert dead[0].message
    assert events.rows.tolist() == [0, 2]
    assert events.values == [GOOD, GOOD]


json_values = st.none() | st.integers() | st.floats() | st.text() | st.lists(st.booleans())
objects = st.builds(msgspec.json.encode, st.dictionaries(st.text(max_size=6), json_values))


@given(st.lists(st.one_of(st.binary(max_size=60), st.none(), objects)))
def test_every_payload_becomes_events_or_dead_letters_or_is_skipped_by_rule(payloads):
    events, dead = Reader(SETTINGS).read(batch(payloads))
    rows = {*events.rows.tolist(), *(letter.row for letter in dead)}
    assert len(rows) + events.skipped == len(payloads)
    assert all(payloads[row] is not None for row in rows)


PIECES = (
    b'{"entity":"a"}',
    b'{"entity":',
    b'"b"}',
    b'{"entity":"c"}{"entity":"d"}',
    b"\n",
    b'{"entity":"e"\n}',
    b'{"x":{"entity":"f"}',
    b"}",
)


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_payloads_are_never_read_across_their_ends(payloads):
    """Payloads decoded together give the same events as payloads decoded alone, even if they would fit together."""
    together, _ = Reader(SETTINGS).read(batch(payloads))
    alone = [value for p in payloads for value in Reader(SETTINGS).read(batch([p]))[0].values]
    assert together.values == alone


# documents of wrappers without an object or array in them
FLAT = [
    ("auto", {"entity": "a", "x": 1, "__deleted": "true"}),
    ("auto", {"entity": "a", "x": 1, "__deleted": "false", "__op": "u", "__source_ts_ms": START, "__lsn": 7}),
    ("auto", {"specversion": "1.0", "type": "t", "source": "s", "id": "1", "data": '{"entity": "a", "x": 1}'}),
    ("auto", {"schema": None, "payload": None}),
    ("debezium", {"ts_ms": START}),
    ("debezium", GOOD),
    ("otlp", GOOD),
]


@pytest.mark.parametrize(("form", "document"), FLAT)
def test_a_flat_document_is_unwrapped_alone_as_beside_a_record_that_is_no_json(form, document):
    reader = Reader(EventSettings(format=form))
    alone, beside = ([*reader.read(batch([document, *others]))] for others in ([], [b"{"]))
    assert alone[0].values == beside[0].values
    assert alone[0].skipped == beside[0].skipped
    assert [letter.reason for letter in alone[1]] == [letter.reason for letter in beside[1] if letter.row == 0]


def test_nested_objects_are_flattened_with_dots():
    events, _ = Reader(SETTINGS).read(batch([{"entity": "a", "http": {"status": 200, "size": {"in": 1}}}]))
    assert events.values == [{"entity": "a", "http.status": 200, "http.size.in": 1}]


def test_nesting_is_allowed_up_to_a_limit():
    value = {"x": 1}
    for _ in range(MAX_DEPTH):
        value = {"n": value}
    assert len(flatten(value, Names(10_000))) == 1
    with pytest.raises(UnreadableError):
        flatten({"n": value}, Names(10_000))


def test_an_integer_is_a_valid_entity():
    assert Reader(SETTINGS).read(batch([{"entity": 42}]))[0].entities == ["42"]


def test_the_fields_with_entity_and_time_are_settings():
    settings = EventSettings(entity="card.id", time="at")
    events, dead = Reader(settings).read(batch([{"card": {"id": "c1"}, "at": START + 5}]))
    assert (events.entities, events.times.tolist(), dead) == (["c1"], [START + 5], [])


def test_an_event_without_a_time_has_kafkas_timestamp():
    assert Reader(SETTINGS).read(batch([GOOD], stamps=[START + 7]))[0].times.tolist() == [START + 7]


TIMES = (
    1760000000,
    1760000000.0,
    1760000000000,
    1760000000000000,
    1760000000000000000,
    "2025-10-09T08:53:20Z",
    "2025-10-09T08:53:20",
    "2025-10-09T10:53:20.000+02:00",
)


@pytest.mark.parametrize("value", TIMES)
def test_a_time_may_be_written_in_many_forms(value):
    assert epoch_milliseconds(value) == START


@given(
    st.lists(
        st.integers(-(10**19), 10**19) | st.floats(-1e19, 1e19) | st.sampled_from([1e11, 10**14, 10**17 - 1, 10**17]),
        min_size=1,
    )
)
def test_times_that_are_all_numbers_are_read_with_the_same_results_as_one_by_one(values):
    wide = EventSettings().model_copy(update={"max_past": 10**18, "max_future": 10**18})
    events, dead = Reader(wide).read(batch([GOOD | {"ts": value} for value in values]))
    times = [epoch_milliseconds(value) for value in values]
    assert [letter.row for letter in dead] == [i for i, time in enumerate(times) if time < EARLIEST]
    assert events.times.tolist() == [time for time in times if time >= EARLIEST]


@pytest.mark.parametrize("value", [10**400, 1e20, 10**20, True])
def test_a_number_that_is_not_a_time_is_a_dead_letter_and_its_neighbours_are_not(value):
    events, dead = Reader(SETTINGS).read(batch([GOOD | {"ts": START}, GOOD | {"ts": value}]))
    assert events.times.tolist() == [START]
    assert [letter.reason for letter in dead] == ["bad_time"]


def test_a_batch_keeps_its_order_and_offsets():
    raw = batch([{"entity": f"e{i}"} for i in range(100)], offset=50)
    events, _ = Reader(SETTINGS).read(raw)
    assert events.entities == [f"e{i}" for i in range(100)]
    np.testing.assert_array_equal(raw.offsets[events.rows], np.arange(50, 150))


def test_json_may_hold_spaces_and_line_breaks():
    payload = json.dumps(GOOD, indent=2).encode()
    assert Reader(SETTINGS).read(batch([payload, b" " + payload + b"\n"]))[0].values == [GOOD, GOOD]
