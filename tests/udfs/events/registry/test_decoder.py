"""Records of a registry: the header says which schema, and what has none says what to set."""

from __future__ import annotations

import io
import json
from contextlib import suppress

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.errors import RegistryError
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry.decoder import RegistryDecoder
from streamgauge.udfs.settings.registry import RegistrySettings

FIRST = {
    "type": "record",
    "name": "e",
    "fields": [{"name": "entity", "type": "string"}, {"name": "x", "type": "double"}],
}
SECOND = {**FIRST, "fields": [*FIRST["fields"], {"name": "y", "type": ["null", "long"], "default": None}]}
PROTO = 'syntax = "proto3"; message Event { string entity = 1; double x = 2; }'


def header(number):
    return b"\x00" + number.to_bytes(4, "big")


def datum(schema, value):
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


def settings(registry, **others):
    return RegistrySettings(**{"url": registry.url, "retry_for": "200 ms"} | others)


def test_records_of_two_versions_of_a_schema_are_read_each_with_its_own(registry):
    registry.add(1, FIRST)
    registry.add(300, SECOND)
    decoder = RegistryDecoder("avro", settings(registry))
    first, second = {"entity": "a", "x": 1.0}, {"entity": "a", "x": 2.0, "y": 3}
    payloads = [header(1) + datum(FIRST, first), header(300) + datum(SECOND, second)] * 3
    assert decoder.documents(payloads) == [first, second] * 3
    assert decoder.document(payloads[0]) == first
    assert sorted(registry.asked) == ["/schemas/ids/1", "/schemas/ids/300"]


def test_protobuf_is_read_with_its_indexes(registry):
    registry.add(1, PROTO, "PROTOBUF")
    decoder = RegistryDecoder("protobuf", settings(registry))
    assert decoder.document(header(1) + b"\x00\x0a\x01a") == {"entity": "a", "x": 0.0}


def test_json_needs_no_registry_and_no_schema():
    decoder = RegistryDecoder("json_schema")
    assert decoder.document(header(1) + b'{"entity": "a", "x": 1}') == {"entity": "a", "x": 1}
    for data, reason in ((b"{", "not_json"), (b'{"a": "\xff"}', "not_json"), (b"[" * 10_000, "too_deep")):
        with pytest.raises(UnreadableError) as raised:
            decoder.document(header(1) + data)
        assert raised.value.reason == reason


def test_an_avro_file_needs_no_registry():
    stream = io.BytesIO()
    events = [{"entity": "a", "x": float(i)} for i in range(3)]
    fastavro.writer(stream, FIRST, events)
    assert RegistryDecoder("avro").document(stream.getvalue()) == events


def test_records_without_ids_are_read_with_the_schema_of_the_settings(registry):
    registry.add(4, FIRST)
    registry.add(5, PROTO, "PROTOBUF")
    value = {"entity": "", "x": 0.0}
    avro = RegistryDecoder("avro", settings(registry, schema_id=4))
    assert avro.document(datum(FIRST, value)) == value
    protobuf = RegistryDecoder("protobuf", settings(registry, schema_id=5))
    assert protobuf.document(b"\x0a\x01a") == {"entity": "a", "x": 0.0}
    stream = io.BytesIO()
    fastavro.writer(stream, FIRST, [value])
    payloads = [datum(FIRST, value), stream.getvalue()] * 20
    assert avro.documents(payloads) == [value, [value]] * 20


@pytest.mark.parametrize("form", ["avro", "protobuf", "json_schema"])
@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"entity": "a"}', "event.format: json"),
        (b" [1]", "event.format: json"),
        (b"", "schema_id"),
        (b"\x00\x00\x00", "schema_id"),
        (b"plain text", "schema_id"),
        (b"\x01" + bytes(16) + b"data", "GUID"),
    ],
)
def test_a_record_without_a_header_says_what_to_set(form, payload, said):
    with pytest.raises(UnreadableError, match=said) as raised:
        RegistryDecoder(form).document(payload)
    assert raised.value.reason == "wrong_format"


def test_an_avro_file_among_others_says_what_to_set():
    with pytest.raises(UnreadableError, match=r"event\.format: avro"):
        RegistryDecoder("protobuf").document(b"Obj\x01 and so on")


def test_without_a_registry_a_record_says_that_one_is_needed():
    with pytest.raises(UnreadableError, match=r"needs schema 9 .* event\.registry") as raised:
        RegistryDecoder("avro").document(header(9) + b"data")
    assert raised.value.reason == "wrong_format"


@pytest.mark.parametrize(
    ("form", "kind", "said"),
    [
        ("avro", "PROTOBUF", "event.format: protobuf"),
        ("avro", "JSON", "event.format: json_schema"),
        ("protobuf", "AVRO", "event.format: avro"),
        ("avro", "XSD", "schema 1 is XSD, not AVRO"),
    ],
)
def test_a_schema_of_another_format_says_what_to_set(registry, form, kind, said):
    registry.add(1, FIRST, kind)
    decoder = RegistryDecoder(form, settings(registry))
    for _ in range(2):
        with pytest.raises(UnreadableError, match=said) as raised:
            decoder.document(header(1) + b"data")
        assert raised.value.reason == "wrong_format"
    assert len(registry.asked) == 1


def test_an_unknown_id_is_unreadable_and_its_neighbours_are_read(registry):
    registry.add(1, FIRST)
    value = {"entity": "a", "x": 1.0}
    good = header(1) + datum(FIRST, value)
    found = RegistryDecoder("avro", settings(registry)).documents([good, header(2) + good[5:], good])
    assert found[0] == found[2] == value
    assert (found[1].reason, registry.asked) == ("unknown_schema", ["/schemas/ids/1", "/schemas/ids/2"])


def test_a_schema_that_cannot_be_used_is_fetched_once(registry):
    registry.add(1, {"type": "array", "items": "null"})
    decoder = RegistryDecoder("avro", settings(registry))
    found = decoder.documents([header(1) + b"data"] * 3)
    assert [error.reason for error in found] == ["bad_avro"] * 3
    assert len(registry.asked) == 1


def test_a_registry_that_is_away_is_no_fault_of_a_record(registry):
    registry.failures = [500] * 100
    with pytest.raises(RegistryError):
        RegistryDecoder("avro", settings(registry)).documents([header(1) + b"data"])


def test_the_same_bytes_give_the_same_event_whatever_came_before(registry):
    registry.add(1, FIRST)
    good = header(1) + datum(FIRST, {"entity": "a", "x": 1.0})
    payloads = [good, good[:-1], b"", good, good + b"\x00", b"{}"]
    decoder = RegistryDecoder("avro", settings(registry))
    together = [repr(one) for one in decoder.documents(payloads)]
    assert together == [repr(RegistryDecoder("avro", settings(registry)).documents([one])[0]) for one in payloads]


NO_REGISTRY = {form: RegistryDecoder(form) for form in ("avro", "protobuf", "json_schema")}


@given(st.binary(max_size=40), st.sampled_from(sorted(NO_REGISTRY)))
def test_any_bytes_are_a_document_or_unreadable(data, form):
    for payload in (data, b"\x00\x00\x00\x00\x01" + data, b"Obj\x01" + data):
        with suppress(UnreadableError):
            json.dumps(NO_REGISTRY[form].document(payload))
