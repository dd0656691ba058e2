"""Avro: plain values for all types, files with many events, and nothing that bytes or schemas can break."""

from __future__ import annotations

import base64
import io
import json
import math
import uuid
import zlib
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal

import fastavro
import pytest
import zstandard
from fastavro.read import LOGICAL_READERS
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry import avro
from streamgauge.udfs.events.registry.avro import AvroReader, file_documents

EVENT = {
    "type": "record",
    "name": "io.streamgauge.Event",
    "fields": [
        {"name": "entity", "type": "string"},
        {"name": "x", "type": "double"},
        {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}, "default": []},
        {"name": "inner", "type": ["null", {"type": "map", "values": "long"}], "default": None},
    ],
}
GOOD = {"entity": "pump", "x": 1.5, "tags": ["a", None], "inner": {"n": 4}}


def written(schema, value):
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


def record(**types):
    return {"type": "record", "name": "r", "fields": [{"name": n, "type": t} for n, t in types.items()]}


def reader(schema, references=(), **options):
    texts = {str(i): json.dumps(reference) for i, reference in enumerate(references)}
    return AvroReader("schema 7", json.dumps(schema), texts, **options)


def read(schema, value):
    return reader(schema).document(written(schema, value), 0)


def test_a_record_is_read_behind_its_header():
    assert reader(EVENT).document(b"12345" + written(EVENT, GOOD), 5) == GOOD


MOMENT = datetime(2026, 11, 29, 10, 0, 0, 123_456, tzinfo=UTC)
MILLISECONDS = 1_795_946_400_123
PLAIN = [
    ("null", None, None),
    ("boolean", True, True),
    ("int", -5, -5),
    ("long", 2**60, 2**60),
    ("string", "ü", "ü"),
    ("float", 0.5, 0.5),
    ("double", 1e300, 1e300),
    ("double", math.nan, None),
    ("float", -math.inf, None),
    (["null", "double"], math.inf, None),
    ("bytes", b"\x00\xff", base64.b64encode(b"\x00\xff").decode()),
    ({"type": "fixed", "name": "f", "size": 2}, b"ab", "YWI="),
    ({"type": "enum", "name": "e", "symbols": ["UP", "DOWN"]}, "DOWN", "DOWN"),
    ({"type": "map", "values": "double"}, {"a": math.nan}, {"a": None}),
    ({"type": "long", "logicalType": "timestamp-millis"}, MOMENT, MILLISECONDS),
    ({"type": "long", "logicalType": "timestamp-micros"}, MOMENT, MILLISECONDS),
    ({"type": "long", "logicalType": "timestamp-nanos"}, MILLISECONDS * 10**6 + 456_789, MILLISECONDS),
    (["null", {"type": "long", "logicalType": "timestamp-micros"}], MOMENT, MILLISECONDS),
    ({"type": "long", "logicalType": "local-timestamp-millis"}, 1000, "1970-01-01T00:00:01"),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, 1_000_001, "1970-01-01T00:00:01.000001"),
    ({"type": "long", "logicalType": "local-timestamp-nanos"}, 1_000_001_999, "1970-01-01T00:00:01.000001"),
    ({"type": "int", "logicalType": "date"}, date(2026, 11, 29), "2026-11-29"),
    ({"type": "int", "logicalType": "time-millis"}, 1234, 1234),
    ({"type": "string", "logicalType": "uuid"}, "not checked", "not checked"),
    ({"type": "fixed", "name": "f", "size": 16, "logicalType": "uuid"}, uuid.UUID(int=7).bytes, str(uuid.UUID(int=7))),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("-12.34"), -12.34),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9}, Decimal(12), 12),
    (
        {"type": "fixed", "name": "f", "size": 4, "logicalType": "decimal", "precision": 9, "scale": 1},
        Decimal("0.1"),
        0.1,
    ),
    ({"type": "string", "logicalType": "of-somebody"}, "a", "a"),
    ({"type": {"type": "string"}}, "a", "a"),
]


@pytest.mark.parametrize(("kind", "value", "plain"), PLAIN, ids=lambda part: str(part)[:40])
def test_a_value_is_read_as_json_would_give_it(kind, value, plain):
    schema = record(value=kind)
    if isinstance(kind, dict) and isinstance(kind["type"], dict):
        data = written(record(value=kind["type"]["type"]), {"value": value})
    elif isinstance(value, int) and isinstance(kind, dict):  # fastavro would have it as another type
        data = written(record(value=kind["type"]), {"value": value})
    elif isinstance(kind, dict) and kind.get("logicalType") == "uuid":
        data = written(record(value={**kind, "logicalType": "none"}), {"value": value})
    else:
        data = written(schema, {"value": value})
    document = reader(schema).document(data, 0)
    assert document == {"value": plain}
    assert type(document["value"]) is type(plain)


def test_a_decimal_beyond_float_is_missing_and_a_date_that_no_calendar_has_is_unreadable():
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 400, "scale": 1}
    data = written(record(value="bytes"), {"value": (10**400).to_bytes(200, "big")})
    assert reader(record(value=decimal)).document(data, 0) == {"value": None}
    data = written(record(value="int"), {"value": 2**30})
    with pytest.raises(UnreadableError, match="schema 7: "):
        reader(record(value={"type": "int", "logicalType": "date"})).document(data, 0)


def test_other_users_of_fastavro_still_get_its_own_types():
    read(record(t={"type": "long", "logicalType": "timestamp-millis"}), {"t": MOMENT})
    schema = fastavro.parse_schema(record(t={"type": "long", "logicalType": "timestamp-micros"}))
    assert fastavro.schemaless_reader(io.BytesIO(written(schema, {"t": MOMENT})), schema, None) == {"t": MOMENT}
    ours = {name for name in LOGICAL_READERS if "streamgauge" in name}
    assert "long-streamgauge-timestamp-micros" in ours


def test_references_are_found_by_their_names_and_may_be_used_twice():
    place = {"type": "record", "name": "a.Place", "fields": [{"name": "x", "type": "double"}]}
    pair = {
        "type": "record",
        "name": "a.Pair",
        "fields": [{"name": "p", "type": "Place"}, {"name": "q", "type": "a.Place"}],
    }
    value = {"p": {"x": 1.0}, "q": {"x": 2.0}}
    data = written(record(x="double"), {"x": 1.0}) + written(record(x="double"), {"x": 2.0})
    assert reader(pair, [place]).document(data, 0) == value
    assert reader(["a.Place", "a.Pair"], [place, pair]).document(b"\x02" + data, 0) == value


def test_defaults_that_fit_no_type_do_no_harm():
    schema = {"type": "record", "name": "r", "fields": [{"name": "x", "type": ["long", "null"], "default": "none"}]}
    assert reader(schema).document(b"\x00\x06", 0) == {"x": 3}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("nothing", "no Avro schema"),
        ({"type": "record", "name": "r"}, "no Avro schema"),
        ({"type": "array", "items": "null"}, "for each byte"),
        ({"type": "map", "values": record(**{f"f{i}": "null" for i in range(9)})}, "for each byte"),
        ({"type": "array", "items": record(x="boolean", **{f"f{i}": "null" for i in range(9)})}, "for each byte"),
        (record(**{f"f{i}": "null" for i in range(10_001)}), "take no bytes"),
        (record(x={"type": "array", "items": {"type": "fixed", "name": "f", "size": 0}}), "for each byte"),
        (record(x={"type": "fixed", "name": "f", "size": -1}), "size of a fixed type"),
        (record(value="long", next=["null", "r"]), "refers to itself"),
        (record(x={"type": "bytes", "logicalType": "decimal", "precision": 9**9, "scale": 9**9}), "scale"),
        (json.loads('{"type":"array","items":' * 70 + '"int"' + "}" * 70), "deeper than"),
    ],
    ids=range(11),
)
def test_a_schema_that_cannot_be_used_is_said(schema, said):
    with pytest.raises(UnreadableError, match=said) as raised:
        reader(schema)
    assert raised.value.reason == "bad_avro"
    assert raised.value.message.startswith("schema 7: ")
    assert len(raised.value.message) <= 200


def test_a_schema_with_types_that_double_in_each_level_is_refused_quickly():
    types = [record(x="null") | {"name": "t0"}]
    types += [record(a=f"t{i}", b=f"t{i}") | {"name": f"t{i + 1}"} for i in range(60)]
    with pytest.raises(UnreadableError, match="take no bytes"):
        reader("t60", types)


HOSTILE = {
    "nothing": b"",
    "a text longer than the rest": b"\xfe\xff\xff\xff\x0fpump",
    "a text of negative length": b"\x01pump",
    "a number without an end": b"\xff" * 200,
    "a list with more items than there can be": written(record(e="string", x="double"), {"e": "p", "x": 1})
    + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "a union with a branch that is not there": written(record(e="string", x="double"), {"e": "p", "x": 1})
    + b"\x02\x08a",
    "bytes behind the end": written(EVENT, GOOD) + b"\x00",
    "a part": written(EVENT, GOOD)[:-1],
    "text that is no UTF-8": b"\x04\xff\xfe",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_unreadable(name):
    with pytest.raises(UnreadableError) as raised:
        reader(EVENT).document(HOSTILE[name], 0)
    assert raised.value.reason == "bad_avro"
    assert raised.value.message.startswith("schema 7: ")
    assert len(raised.value.message) <= 200


FUZZED = reader(EVENT)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_unreadable(data):
    with suppress(UnreadableError):
        assert FUZZED.document(data, 0).keys() == GOOD.keys()


PACKED = {
    "deflate": lambda data: zlib.compress(data, wbits=-15),
    "zstandard": zstandard.ZstdCompressor().compress,
    "null": bytes,
}


def file_of(events, schema=EVENT, codec="null"):
    """An Avro file with 40 events in each block; fastavro needs another library for zstandard."""
    stream = io.BytesIO()
    parsed = fastavro.parse_schema(schema)
    meta = {"avro.schema": json.dumps(schema).encode(), "avro.codec": codec.encode()}
    fastavro.schemaless_writer(stream, avro._HEADER, {"magic": b"Obj\x01", "meta": meta, "sync": bytes(range(16))})
    for start in range(0, len(events), 40):
        part = events[start : start + 40]
        data = PACKED.get(codec, bytes)(b"".join(written(parsed, event) for event in part))
        fastavro.schemaless_writer(stream, avro._BLOCK, {"count": len(part), "data": data, "sync": bytes(range(16))})
    return stream.getvalue()


def test_a_file_of_another_writer_is_read():
    stream = io.BytesIO()
    fastavro.writer(stream, EVENT, [GOOD] * 500, codec="deflate")
    assert file_documents(stream.getvalue()) == [GOOD] * 500


@pytest.mark.parametrize("codec", ["null", "deflate", "zstandard"])
def test_a_file_holds_many_events_in_their_order(codec):
    events = [GOOD | {"x": float(i)} for i in range(100)]
    assert file_documents(file_of(events, codec=codec)) == events
    assert file_documents(file_of([], codec=codec)) == []


def test_a_codec_that_is_not_read_is_named():
    with pytest.raises(UnreadableError, match="codec is bzip2, allowed are null, deflate and zstandard"):
        file_documents(file_of([GOOD], codec="bzip2"))


def test_a_file_may_have_columns_that_are_always_null_but_not_only_such():
    some = record(x="double", a="null", b="null")
    assert file_documents(file_of([{"x": 1.0, "a": None, "b": None}], some)) == [{"x": 1.0, "a": None, "b": None}]
    with pytest.raises(UnreadableError, match="take no bytes"):
        file_documents(file_of([{"a": None}] * 3, record(a="null")))


@pytest.mark.parametrize("codec", ["deflate", "zstandard"])
def test_a_file_that_grows_without_end_is_unreadable(codec, monkeypatch):
    bomb = file_of([GOOD | {"entity": "x" * 300_000}], codec=codec)
    assert len(bomb) < 3_000
    monkeypatch.setattr(avro, "LARGEST", 200_000)
    with pytest.raises(UnreadableError, match="more than 200000 bytes"):
        file_documents(bomb)


def test_a_block_that_counts_more_events_than_it_has_is_unreadable():
    whole = file_of([GOOD])
    head, sync = whole[: whole.index(b"pump") - 3], whole[-16:]
    assert head + b"\x02" + whole[len(head) + 1 :] == whole
    for count in (b"\x04", b"\x01", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"):
        with pytest.raises(UnreadableError):
            file_documents(head + count + whole[len(head) + 1 :])
    with pytest.raises(UnreadableError, match="marker"):
        file_documents(whole[:-16] + bytes(16))
    assert len(sync) == 16


@given(st.data())
def test_any_damage_to_a_file_gives_a_list_or_is_unreadable(data):
    whole = bytearray(file_of([GOOD, GOOD], codec="deflate"))
    for place in data.draw(st.lists(st.integers(4, len(whole) - 1), min_size=1, max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    with suppress(UnreadableError):
        assert isinstance(file_documents(bytes(whole)), list)


def test_compressed_data_that_are_cut_off_are_unreadable():
    assert zlib.decompressobj(-15).decompress(zlib.compress(b"a" * 100, wbits=-15)[:-2], 200) != b""
    whole = file_of([GOOD], codec="deflate")
    with pytest.raises(UnreadableError):
        file_documents(whole[:-20])
