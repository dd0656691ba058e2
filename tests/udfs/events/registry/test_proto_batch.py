"""Many messages at once are read as Protobuf reads each one by itself: the same values, and the same errors."""

from __future__ import annotations

import math
import struct

import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry.proto_batch import BatchReader
from streamgauge.udfs.events.registry.proto_values import NotKnownError
from streamgauge.udfs.events.registry.protobuf import LEAST_BATCH, ProtobufReader

SCHEMA = """
syntax = "proto3";
package io.streamgauge;
import "google/protobuf/timestamp.proto";
message Event {
  string entity = 1;
  google.protobuf.Timestamp ts = 2;
  double x = 3;
  float y = 4;
  int32 i = 5;
  int64 n = 6;
  uint32 u = 7;
  uint64 v = 8;
  sint32 s = 9;
  sint64 t = 10;
  bool on = 11;
  Level level = 12;
  optional double maybe = 13;
  optional string text = 14;
  oneof either { int32 left = 15; string right = 2000; }
  enum Level { LOW = 0; HIGH = 4; }
}
message Other { int32 a = 1; }
"""
READER = ProtobufReader("schema 7", SCHEMA, {})
EVENT = READER._pool.FindMessageTypeByName("io.streamgauge.Event")
Message = GetMessageClass(EVENT)
SHORT, LONG = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.fixed_dictionaries({"seconds": LONG, "nanos": SHORT})
USUAL_MOMENTS = st.fixed_dictionaries({"seconds": st.integers(0, 2**40), "nanos": st.integers(0, 10**9 - 1)})
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "entity": st.text(max_size=20),
        "ts": MOMENTS | USUAL_MOMENTS,
        "x": st.floats(),
        "y": st.floats(width=32),
        "i": SHORT,
        "n": LONG,
        "u": st.integers(0, 2**32 - 1),
        "v": st.integers(0, 2**64 - 1),
        "s": SHORT,
        "t": LONG,
        "on": st.booleans(),
        "level": st.sampled_from([0, 4]) | SHORT,
        "maybe": st.floats(),
        "text": st.text(max_size=3),
        "left": SHORT,
    },
).map(lambda values: b"\x00" + Message(**values).SerializeToString())


def one_by_one(payloads, reader=READER):
    """What the slow way gives."""
    found = []
    for payload in payloads:
        try:
            found.append(reader.document(payload, 0))
        except UnreadableError as error:
            found.append(error)
    return found


def batch(schema):
    reader = ProtobufReader("schema 7", schema, {})
    return BatchReader(reader._pool.FindMessageTypeByName("A"), indexed=False)


@given(st.lists(MESSAGES, min_size=LEAST_BATCH, max_size=LEAST_BATCH + 4))
def test_messages_are_read_as_one_by_one(payloads):
    assert repr(READER.documents(payloads, 0)) == repr(one_by_one(payloads))


def test_usual_messages_are_all_read_by_the_kernel():
    usual = {"entity": "ü", "ts": {"seconds": 1_795_946_400, "nanos": 123_999_999}, "x": 1.5, "y": -0.5, "i": -5}
    usual |= {"n": -(2**63), "u": 2**32 - 1, "v": 2**64 - 1, "s": -(2**31), "t": -1, "on": True, "level": 4}
    messages = [
        usual,
        usual | {"maybe": 0.0, "text": "", "right": "r"},
        {},
        {"x": math.nan, "maybe": math.inf, "left": 1},
    ]
    payloads = [b"\x00" + Message(**values).SerializeToString() for values in messages]
    documents, left = BatchReader(EVENT, indexed=True).documents(payloads, 0)
    assert left == []
    assert repr(documents) == repr(one_by_one(payloads))
    assert documents[0]["ts"] == 1_795_946_400_123
    assert documents[2]["ts"] is None
    assert list(documents[2]) == [field.name for field in EVENT.fields]


UNUSUAL = {
    "a field twice": b"\x18\x01",
    "the same text twice": b"\x0a\x01a\x0a\x01\xff",
    "both of a one-of": b"\x78\x01\x82\x7d\x01r",
    "a moment in two parts": b"\x12\x02\x08\x01\x12\x02\x10\x01",
    "a moment with something else": b"\x12\x02\x18\x01",
    "an enum that the schema does not have": b"\x60\x03",
    "a number of another width": b"\x19" + struct.pack("<d", 1.0) + b"\x1d" + struct.pack("<f", 1.0),
    "more than 32 bits": b"\x28\xff\xff\xff\xff\xff\x01",
    "more than 64 bits": b"\x30" + b"\xff" * 9 + b"\x7f",
    "a group": b"\xa3\x06\xa4\x06",
    "a number without an end": b"\x30\xff",
    "a text that is cut off": b"\x0a\x05abc",
    "a tag of zero": b"\x00\x00",
    "a tag that is too long": b"\x80\x80\x80\x80\x80\x01\x00",
    "text that is no UTF-8": b"\x0a\x01\xff",
    "nothing but a tag": b"\x18",
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_is_read_as_one_by_one(name):
    payloads = [b"\x00\x0a\x01a"] * LEAST_BATCH + [b"\x00" + UNUSUAL[name], b"\x00\x0a\x01b"]
    assert repr(READER.documents(payloads, 0)) == repr(one_by_one(payloads))


def test_fields_that_the_schema_does_not_have_are_passed_over():
    payload = (
        b"\x00\xa0\x06\x05\xa2\x06\x01x\xa1\x06" + bytes(8) + b"\xa5\x06" + bytes(4) + b"\x0a\x01a\xc0\xbb\x78\x01"
    )
    documents, left = BatchReader(EVENT, indexed=True).documents([payload], 0)
    assert (documents[0]["entity"], left) == ("a", [])


def test_messages_of_other_types_are_left():
    payloads = [b"\x00\x0a\x01a", b"\x02\x02\x08\x05", b"", b"\x02\x00\x0a\x01b"] * LEAST_BATCH
    assert BatchReader(EVENT, indexed=True).documents(payloads[:4], 0)[1] == [1, 2, 3]
    assert READER.documents(payloads, 0)[1] == {"a": 5}
    assert repr(READER.documents(payloads, 0)) == repr(one_by_one(payloads))


@given(st.data())
def test_damaged_messages_are_read_as_one_by_one_and_so_are_their_neighbours(data):
    good = data.draw(st.lists(MESSAGES, min_size=1, max_size=3))
    payloads = []
    for _ in range(LEAST_BATCH):
        damaged = bytearray(data.draw(st.sampled_from(good)))
        for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=2)):
            damaged[place] = data.draw(st.integers(0, 255))
        payloads.append(bytes(damaged[: data.draw(st.sampled_from([len(damaged), len(damaged), len(damaged) // 2]))]))
    assert repr(READER.documents(payloads, 0)) == repr(one_by_one(payloads))


@given(st.lists(st.binary(max_size=24).map(lambda data: b"\x00" + data), min_size=LEAST_BATCH, max_size=LEAST_BATCH))
def test_any_bytes_are_read_as_one_by_one(payloads):
    assert repr(READER.documents(payloads, 0)) == repr(one_by_one(payloads))


def test_proto2_is_read_as_one_by_one():
    schema = 'syntax = "proto2"; message A { required int32 a = 1; optional string b = 2; optional E c = 3; } enum E { X = 1; }'
    reader = ProtobufReader("schema 7", schema, {}, indexed=False)
    payloads = [b"\x08\x01", b"\x08\x01\x12\x01\xff", b"\x12\x00", b"\x18\x01", b"\x18\x02", b""] * LEAST_BATCH
    assert repr(reader.documents(payloads, 0)) == repr(one_by_one(payloads, reader))


@pytest.mark.parametrize(
    "field",
    [
        "repeated int32 a = 1;",
        "map<string, int32> a = 1;",
        "bytes a = 1;",
        "B a = 1;",
        "fixed32 a = 1;",
        "E a = 1;",
        "int32 a = 6000;",
        "".join(f"int32 a{i} = {i + 1};" for i in range(501)),
    ],
)
def test_what_the_kernel_does_not_know_is_left_to_protobuf(field):
    schema = f'syntax = "proto3"; message A {{ {field} }} message B {{ int32 a = 1; }} enum E {{ X = 0; Y = -1; }}'
    with pytest.raises(NotKnownError):
        batch(schema)
    reader = ProtobufReader("schema 7", schema, {}, indexed=False)
    assert reader.documents([b""] * LEAST_BATCH, 0) == [reader.document(b"", 0)] * LEAST_BATCH
