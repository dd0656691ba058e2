"""Protobuf: plain values for all types, the right type by its indexes, and nothing that bytes can break."""

from __future__ import annotations

import base64
import math
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry.protobuf import ProtobufReader

SCHEMA = """
syntax = "proto3";
package io.streamgauge;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/empty.proto";
import "other.proto";
message Event {
  string entity = 1;
  double x = 2;
  float y = 3;
  int64 n = 4;
  bool on = 5;
  bytes raw = 6;
  Level level = 7;
  optional double maybe = 8;
  oneof either { int32 left = 9; string right = 10; }
  repeated double many = 11;
  map<string, double> by_name = 12;
  map<int32, Inner> by_number = 13;
  Inner inner = 14;
  repeated Inner inners = 15;
  google.protobuf.Timestamp ts = 16;
  google.protobuf.Duration took = 17;
  google.protobuf.DoubleValue wrapped = 18;
  google.protobuf.Struct loose = 19;
  google.protobuf.Empty empty = 20;
  other.Place place = 21;
  repeated Level levels = 22;
  repeated google.protobuf.Timestamp times = 23;
  google.protobuf.StringValue text = 24;
  google.protobuf.BytesValue wrapped_bytes = 25;
  message Inner { double x = 1; Inner deeper = 2; message Innermost { string from = 1; } }
  message Second { int32 b = 1; }
  enum Level { LOW = 0; HIGH = 4; }
}
message Other { int32 a = 1; message First { int32 b = 1; } message Second { string c = 1; } }
"""
REFERENCES = {"other.proto": 'syntax = "proto3"; package other; message Place { double lat = 1; }'}
UNSET = {
    "entity": "",
    "x": 0.0,
    "y": 0.0,
    "n": 0,
    "on": False,
    "raw": "",
    "level": "LOW",
    "maybe": None,
    "left": None,
    "right": None,
    "many": [],
    "by_name": {},
    "by_number": {},
    "inner": None,
    "inners": [],
    "ts": None,
    "took": None,
    "wrapped": None,
    "loose": None,
    "empty": None,
    "place": None,
    "levels": [],
    "times": [],
    "text": None,
    "wrapped_bytes": None,
}
READER = ProtobufReader("schema 7", SCHEMA, REFERENCES)


def varint(number):
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def number(field, value):
    return varint(field << 3) + varint(value & (2**64 - 1))


def double(field, value):
    return varint(field << 3 | 1) + struct.pack("<d", value)


def text(field, value):
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def read(data, indexes=b"\x00"):
    return READER.document(b"12345" + indexes + data, 5)


def test_a_message_without_anything_has_all_its_fields():
    assert read(b"") == UNSET
    assert list(read(b"")) == list(UNSET)


FIELDS = {
    "entity": (text(1, "pümp"), "pümp"),
    "x": (double(2, 1.5), 1.5),
    "y": (varint(3 << 3 | 5) + struct.pack("<f", 0.5), 0.5),
    "n": (number(4, -(2**60)), -(2**60)),
    "on": (number(5, 1), True),
    "raw": (text(6, b"\x00\xff"), base64.b64encode(b"\x00\xff").decode()),
    "level": (number(7, 4), "HIGH"),
    "maybe": (double(8, 0.0), 0.0),
    "left": (number(9, 0), 0),
    "right": (text(10, ""), ""),
    "many": (double(11, 1.0) + double(11, math.nan), [1.0, None]),
    "by_name": (text(12, text(1, "a") + double(2, math.inf)), {"a": None}),
    "by_number": (text(13, number(1, 7) + text(2, double(1, 2.0))), {"7": {"x": 2.0, "deeper": None}}),
    "inner": (text(14, text(2, b"")), {"x": 0.0, "deeper": {"x": 0.0, "deeper": None}}),
    "inners": (text(15, b"") + text(15, double(1, 3.0)), [{"x": 0.0, "deeper": None}, {"x": 3.0, "deeper": None}]),
    "ts": (text(16, number(1, 1_795_946_400) + number(2, 123_999_999)), 1_795_946_400_123),
    "took": (text(17, number(1, 2) + number(2, 500_000_000)), 2.5),
    "wrapped": (text(18, b""), 0.0),
    "loose": (
        text(19, text(1, text(1, "k") + text(2, text(6, text(1, double(2, 4.0)) + text(1, number(1, 0)))))),
        {"k": [4.0, None]},
    ),
    "empty": (text(20, b""), {}),
    "place": (text(21, double(1, 50.0)), {"lat": 50.0}),
    "levels": (text(22, b"\x04\x00\x09"), ["HIGH", "LOW", "9"]),
    "times": (text(23, number(1, 1)), [1000]),
    "text": (text(24, text(1, "t")), "t"),
    "wrapped_bytes": (text(25, text(1, b"ab")), "YWI="),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_is_read_as_json_would_give_it(name):
    data, plain = FIELDS[name]
    document = read(data)
    assert document == UNSET | {name: plain}
    assert type(document[name]) is type(plain)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_missing(value):
    assert read(double(2, value) + double(8, value)) == UNSET | {"x": None, "maybe": None}
    assert read(text(18, double(1, value)))["wrapped"] is None


@pytest.mark.parametrize(
    ("indexes", "data", "document"),
    [
        (b"\x00", b"", UNSET),
        (b"\x02\x00", b"", UNSET),
        (b"\x02\x02", number(1, 5), {"a": 5}),
        (b"\x04\x02\x00", number(1, 5), {"b": 5}),
        (b"\x04\x02\x02", text(1, "c"), {"c": "c"}),
        (b"\x06\x00\x00\x00", text(1, "f"), {"from": "f"}),
        (b"\x04\x00\x02", number(1, 6), {"b": 6}),  # entries of maps are no types of their own
    ],
)
def test_indexes_choose_the_type(indexes, data, document):
    assert read(data, indexes) == document


def test_a_schema_without_indexes_is_read_as_its_first_type():
    plain = ProtobufReader("schema 7", 'syntax = "proto3"; message A { int32 a = 1; }', {}, indexed=False)
    assert plain.document(number(1, 3), 0) == {"a": 3}
    assert plain.document(b"", 0) == {"a": 0}


def test_fields_that_the_schema_does_not_have_do_no_harm():
    assert read(number(99, 1) + double(2, 1.0))["x"] == 1.0


def test_proto2_is_read_with_what_is_not_set_as_missing():
    schema = """
        syntax = "proto2";
        message A {
          required int32 a = 1; optional double b = 2 [default = 5]; optional group C = 3 { optional string d = 4; }
          extensions 100 to 200;
        }
    """
    reader = ProtobufReader("schema 7", schema, {})
    data = number(1, 3) + varint(3 << 3 | 3) + text(4, "d") + varint(3 << 3 | 4)
    assert reader.document(b"\x00" + data, 0) == {"a": 3, "b": None, "c": {"d": "d"}}


def test_files_that_no_registry_has_may_be_imported():
    schema = """
        syntax = "proto3";
        import "confluent/meta.proto";
        import "confluent/type/decimal.proto";
        import "google/type/date.proto";
        import "google/type/timeofday.proto";
        message A {
          confluent.type.Decimal d = 1 [(confluent.field_meta).params = { key: "precision", value: "9" }];
          google.type.Date day = 2;
          google.type.TimeOfDay time = 3;
        }
    """
    reader = ProtobufReader("schema 7", schema, {})
    decimal = text(1, (-1234).to_bytes(2, "big", signed=True)) + number(3, 2)
    data = text(1, decimal) + text(2, number(1, 2026) + number(2, 11) + number(3, 29)) + text(3, number(1, 7))
    time = {"hours": 7, "minutes": 0, "seconds": 0, "nanos": 0}
    assert reader.document(b"\x00" + data, 0) == {"d": -12.34, "day": "2026-11-29", "time": time}


@pytest.mark.parametrize(
    ("parts", "shown"), [((2026, 0, 0), "2026-00-00"), ((0, 11, 29), "0000-11-29"), ((2026, 11, 0), "2026-11-00")]
)
def test_a_date_may_lack_the_year_the_month_or_the_day(parts, shown):
    schema = 'syntax = "proto3"; import "google/type/date.proto"; message A { google.type.Date day = 1; }'
    date = b"".join(number(place, part) for place, part in enumerate(parts, 1) if part)
    assert ProtobufReader("schema 7", schema, {}).document(b"\x00" + text(1, date), 0) == {"day": shown}


@pytest.mark.parametrize("scale", [400, -400])
def test_a_decimal_with_an_absurd_scale_is_unreadable(scale):
    schema = 'syntax = "proto3"; import "confluent/type/decimal.proto"; message A { confluent.type.Decimal d = 1; }'
    reader = ProtobufReader("schema 7", schema, {})
    with pytest.raises(UnreadableError, match="scale"):
        reader.document(b"\x00" + text(1, text(1, b"\x01") + number(3, scale)), 0)


@pytest.mark.parametrize(
    ("schema", "references", "said"),
    [
        ("nothing", {}, "protoc refuses"),
        ('syntax = "proto3"; import "gone.proto"; message A {}', {}, "protoc refuses"),
        ('syntax = "proto3"; message A {}', {"../../evil.proto": "x"}, "not below"),
        ('syntax = "proto3"; message A {}', {"/evil.proto": "x"}, "not below"),
    ],
)
def test_a_schema_that_cannot_be_used_is_said(schema, references, said):
    with pytest.raises(UnreadableError, match=said) as raised:
        ProtobufReader("schema 7", schema, references)
    assert raised.value.reason == "bad_protobuf"
    assert raised.value.message.startswith("schema 7: ")


def nested(levels):
    data = b""
    for _ in range(levels):
        data = text(2, data)
    return text(14, data)


HOSTILE = {
    "no indexes": b"",
    "more indexes than there can be": b"\xfe\xff\xff\xff\x0f",
    "a negative number of indexes": b"\x01",
    "an index without an end": b"\xff" * 50,
    "indexes that are cut off": b"\x04\x02",
    "a type that is not there": b"\x02\x08",
    "a negative index": b"\x02\x01",
    "no message": b"\x00" + b"\xff" * 50,
    "a text longer than the rest": b"\x00" + b"\x0a\xff\xff\xff\xff\x0f" + b"pump",
    "text that is no UTF-8": b"\x00" + text(1, b"\xff\xfe"),
    "messages in messages without end": b"\x00" + nested(3_000),
    "a part": b"\x00" + double(2, 1.0)[:-1],
    "far more values than bytes": b"\x00" + text(15, b"") * 40_000 + text(13, b"") * 40_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_unreadable(name):
    reader = READER
    if name == "far more values than bytes":
        fields = "".join(f"int32 f{i} = {i + 1};" for i in range(200))
        schema = f'syntax = "proto3"; message A {{ map<int32, B> m = 13; repeated B r = 15; }} message B {{ {fields} }}'
        reader = ProtobufReader("schema 7", schema, {})
    with pytest.raises(UnreadableError) as raised:
        reader.document(HOSTILE[name], 0)
    assert raised.value.reason == "bad_protobuf"
    assert raised.value.message.startswith("schema 7: ")
    assert len(raised.value.message) <= 200


def test_proto2_text_that_is_no_utf8_is_unreadable():
    reader = ProtobufReader("schema 7", 'syntax = "proto2"; message A { optional string a = 1; }', {})
    with pytest.raises(UnreadableError):
        reader.document(b"\x00" + text(1, b"\xff\xfe"), 0)


def test_nesting_up_to_the_limit_is_read():
    assert read(nested(90))["inner"]["deeper"]["deeper"]


FLAT = 'syntax = "proto3"; message A { string a = 1; double b = 2; optional int32 c = 3; } message B { int32 a = 1; }'
SCHEMAS = [(FLAT, {}), (SCHEMA, REFERENCES)]


@pytest.mark.parametrize(("schema", "references"), SCHEMAS)
@pytest.mark.parametrize("indexed", [True, False])
@given(data=st.data())
def test_many_messages_are_read_as_one_by_one(schema, references, indexed, data):
    reader = ProtobufReader("schema 7", schema, references, indexed=indexed)
    good = st.just(text(1, "a") + double(2, 1.5))
    part = st.tuples(st.sampled_from([b"\x00", b"\x02\x00", b"\x02\x02"]), good | st.binary(max_size=8)).map(b"".join)
    payloads = data.draw(st.lists(good if not indexed else good.map(lambda d: b"\x00" + d) | part, max_size=6))
    one_by_one = []
    for payload in payloads:
        try:
            one_by_one.append(reader.document(payload, 0))
        except UnreadableError as error:
            one_by_one.append(error)
    assert repr(reader.documents(payloads, 0)) == repr(one_by_one)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_unreadable(data):
    with suppress(UnreadableError):
        assert isinstance(READER.document(data, 0), dict)
