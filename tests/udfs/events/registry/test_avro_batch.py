"""Many data at once are read as fastavro reads each one by itself: the same values, and the same errors."""

from __future__ import annotations

import io
import json
import math
import struct

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry import message_pack
from streamgauge.udfs.events.registry.avro import LEAST_BATCH, AvroReader
from streamgauge.udfs.events.registry.avro_batch import BatchReader
from streamgauge.udfs.events.registry.avro_schema import NotKnownError, prepared

INNER = {
    "type": "record",
    "name": "io.streamgauge.Inner",
    "fields": [{"name": "x", "type": "float"}, {"name": "empty", "type": "null"}],
}
EVENT = {
    "type": "record",
    "name": "io.streamgauge.Event",
    "fields": [
        {"name": "entity", "type": "string"},
        {"name": "on", "type": "boolean"},
        {"name": "i", "type": "int"},
        {"name": "n", "type": ["null", "long"]},
        {"name": "x", "type": "double"},
        {"name": "level", "type": {"type": "enum", "name": "Level", "symbols": ["LOW", "HIGH"]}},
        {"name": "inner", "type": INNER},
        {"name": "other", "type": ["string", "Inner", "double", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "again", "type": ["null", "Inner"]},
        {"name": "nanos", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    ],
}
LONGS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(width=32)
INNERS = st.fixed_dictionaries({"x": FLOATS, "empty": st.none()})
EVENTS = st.fixed_dictionaries(
    {
        "entity": st.text(max_size=80),
        "on": st.booleans(),
        "i": st.integers(-(2**31), 2**31 - 1),
        "n": st.none() | LONGS,
        "x": st.floats(),
        "level": st.sampled_from(["LOW", "HIGH"]),
        "inner": INNERS,
        "other": st.text(max_size=5) | INNERS | st.floats(),
        "again": st.none() | INNERS,
        "nanos": LONGS,
    }
)
READER = AvroReader("schema 7", json.dumps(EVENT), {})


def written(value):
    stream = io.BytesIO()
    plain = json.loads(json.dumps(EVENT).replace("timestamp-nanos", "none").replace("timestamp-micros", "none"))
    fastavro.schemaless_writer(stream, fastavro.parse_schema(plain), value)
    return stream.getvalue()


def one_by_one(payloads, start=0):
    """What the slow way gives."""
    found = []
    for payload in payloads:
        try:
            found.append(READER.document(payload, start))
        except UnreadableError as error:
            found.append(error)
    return found


def batch(schema):
    return BatchReader(prepared(json.dumps(schema), {}))


@given(st.lists(EVENTS, min_size=LEAST_BATCH, max_size=LEAST_BATCH + 4))
def test_events_are_read_as_one_by_one(events):
    payloads = [b"12345" + written(event) for event in events]
    documents, left = batch(EVENT).documents(payloads, 5)
    assert left == []
    assert repr(documents) == repr(one_by_one(payloads, 5))
    assert repr(READER.documents(payloads, 5)) == repr(documents)


@given(st.data())
def test_damaged_events_are_read_as_one_by_one_and_so_are_their_neighbours(data):
    good = [written(event) for event in data.draw(st.lists(EVENTS, min_size=1, max_size=3))]
    payloads = []
    for _ in range(LEAST_BATCH):
        damaged = bytearray(data.draw(st.sampled_from(good)))
        for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=2)):
            damaged[place] = data.draw(st.integers(0, 255))
        payloads.append(bytes(damaged[: data.draw(st.sampled_from([len(damaged), len(damaged), len(damaged) // 2]))]))
    assert repr(READER.documents(payloads, 0)) == repr(one_by_one(payloads))


@given(st.lists(st.binary(max_size=40), min_size=LEAST_BATCH, max_size=LEAST_BATCH))
def test_any_bytes_are_read_as_one_by_one(payloads):
    assert repr(READER.documents(payloads, 0)) == repr(one_by_one(payloads))


@pytest.mark.parametrize("number", [0, -1, 1, 63, -64, 64, 2**31, -(2**63), 2**63 - 1])
def test_numbers_of_all_lengths_are_read(number):
    schema = {"type": "record", "name": "r", "fields": [{"name": "n", "type": "long"}]}
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), {"n": number})
    assert batch(schema).documents([stream.getvalue()], 0) == ([{"n": number}], [])


@pytest.mark.parametrize(("kind", "form"), [("float", "<f"), ("double", "<d")])
def test_numbers_that_are_not_finite_are_missing_and_the_largest_are_not(kind, form):
    schema = {"type": "record", "name": "r", "fields": [{"name": "x", "type": kind}]}
    largest = float(np.finfo(np.float32 if kind == "float" else np.float64).max)
    values = [math.nan, -math.nan, math.inf, -math.inf, largest, -largest, 0.0, -0.0, 5e-324]
    documents, left = batch(schema).documents([struct.pack(form, value) for value in values], 0)
    assert left == []
    expected = [struct.unpack(form, struct.pack(form, value))[0] for value in values]
    assert [document["x"] for document in documents] == [None] * 4 + expected[4:]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x80" * 12 + b"\x00", "a number without an end"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a text of the length -2^63"),
        (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a text of the length 2^63 - 1"),
        (b"\x04a", "a text that is cut off"),
        (b"\x02ab", "bytes behind the end"),
        (b"", "nothing"),
    ],
)
def test_what_is_wrong_is_left(data, why):
    schema = {"type": "record", "name": "r", "fields": [{"name": "t", "type": "string"}]}
    assert batch(schema).documents([b"\x02a", data, b"\x02b"], 0) == ([{"t": "a"}, None, {"t": "b"}], [1]), why


def test_text_that_is_no_utf8_leaves_its_neighbours_as_they_are():
    schema = {"type": "record", "name": "r", "fields": [{"name": "t", "type": "string"}]}
    reader = AvroReader("schema 7", json.dumps(schema), {})
    found = reader.documents([b"\x02a"] * LEAST_BATCH + [b"\x02\xff"], 0)
    assert found[:-1] == [{"t": "a"}] * LEAST_BATCH
    assert found[-1].reason == "bad_avro"


def test_many_data_of_a_wide_schema_are_read_in_parts(monkeypatch):
    fields = [{"name": f"f{i}", "type": "int"} for i in range(50)]
    schema = {"type": "record", "name": "r", "fields": fields}
    monkeypatch.setattr(message_pack, "MOST_MEMORY", 3_000)
    payloads = [bytes([2 * i]) * 50 for i in range(20)]
    payloads[7] = b""
    documents, left = batch(schema).documents(payloads, 0)
    assert left == [7]
    assert [d and d["f49"] for d in documents] == [i if i != 7 else None for i in range(20)]


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "array", "items": "int"},
        {"type": "map", "values": "int"},
        "bytes",
        {"type": "fixed", "name": "f", "size": 2},
        {"type": "int", "logicalType": "date"},
        {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1},
        {"type": "record", "name": "wide", "fields": [{"name": f"f{i}", "type": "int"} for i in range(1_000)]},
    ],
)
def test_what_the_kernel_does_not_know_is_read_by_fastavro(kind):
    schema = {"type": "record", "name": "r", "fields": [{"name": "value", "type": kind}]}
    with pytest.raises(NotKnownError):
        batch(schema)
    reader = AvroReader("schema 7", json.dumps(schema), {})
    payloads = [b"\x00" * (1_000 if "wide" in str(kind) else 2 if "fixed" in str(kind) else 1)] * LEAST_BATCH
    assert reader.documents(payloads, 0) == [reader.document(payloads[0], 0)] * LEAST_BATCH
