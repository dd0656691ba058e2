"""Records that were written with a real schema registry, with authentication, on a real Kafka."""

from __future__ import annotations

import io
import json
import time

import fastavro
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from streamgauge.models.errors import RegistryError
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry.decoder import RegistryDecoder
from streamgauge.udfs.settings.registry import RegistrySettings

from tests.integration.live import Live
from tests.integration.registry_server import PASSWORD, USER, RegistryServer

pytestmark = pytest.mark.slow

PLACE = {"type": "record", "name": "io.streamgauge.Place", "fields": [{"name": "room", "type": "string"}]}
FIRST = {
    "type": "record",
    "name": "io.streamgauge.Event",
    "fields": [{"name": "entity", "type": "string"}, {"name": "x", "type": "double"}],
}
SECOND = {
    **FIRST,
    "fields": [
        *FIRST["fields"],
        {"name": "ts", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": None},
        {"name": "place", "type": ["null", "io.streamgauge.Place"], "default": None},
    ],
}
COMMON = 'syntax = "proto3"; package io.streamgauge; message Place { string room = 1; }'
EVENT = """
syntax = "proto3";
package io.streamgauge;
import "common.proto";
import "google/protobuf/timestamp.proto";
message Other { string a = 1; }
message Event { string entity = 1; double x = 2; google.protobuf.Timestamp ts = 3; Place place = 4; }
"""
JSON = {"type": "object", "properties": {"entity": {"type": "string"}, "x": {"type": "number"}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = RegistryServer(tmp_path_factory.mktemp("registry"))
    yield running
    running.stop()


@pytest.fixture
def settings(server, tmp_path):
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    return RegistrySettings(url=server.url, user=USER, password_file=str(file), retry_for="1 s")


def header(number):
    return b"\x00" + number.to_bytes(4, "big")


def avro(schema, value):
    stream = io.BytesIO()
    named = {}
    fastavro.parse_schema(PLACE, named)
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema, named), value)
    return stream.getvalue()


def protobuf(entity, x, seconds):
    """An event as a producer in another language writes it: with the numbers and types of the fields that it uses."""
    file = FileDescriptorProto(name="producer.proto", syntax="proto3")
    place = file.message_type.add(name="P")
    place.field.add(name="room", number=1, type=FieldDescriptorProto.TYPE_STRING)
    moment = file.message_type.add(name="T")
    moment.field.add(name="seconds", number=1, type=FieldDescriptorProto.TYPE_INT64)
    event = file.message_type.add(name="E")
    event.field.add(name="entity", number=1, type=FieldDescriptorProto.TYPE_STRING)
    event.field.add(name="x", number=2, type=FieldDescriptorProto.TYPE_DOUBLE)
    event.field.add(name="ts", number=3, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=".T")
    event.field.add(name="place", number=4, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=".P")
    pool = DescriptorPool()
    pool.Add(file)
    types = {name: GetMessageClass(pool.FindMessageTypeByName(name)) for name in "EPT"}
    message = types["E"](entity=entity, x=x, ts=types["T"](seconds=seconds), place=types["P"](room="r1"))
    return message.SerializeToString()


def sent_and_read(cluster, tmp_path, payloads):
    """The same payloads, by way of Kafka."""
    live = Live(cluster, tmp_path)
    live.send([("key", payload) for payload in payloads])  # one key, so that their order is kept
    return [record.value for record in live.read(live.topics.events)]


def test_records_of_all_formats_are_read_back_as_they_were_written(cluster, server, settings, tmp_path):
    first = server.register("events-value", json.dumps(FIRST))
    server.register("place", json.dumps(PLACE))
    second = server.register("events-value", json.dumps(SECOND), references=(("io.streamgauge.Place", "place"),))
    server.register("common", COMMON, "PROTOBUF")
    message = server.register("messages-value", EVENT, "PROTOBUF", (("common.proto", "common"),))
    text = server.register("texts-value", json.dumps(JSON), "JSON")
    assert len({first, second, message, text}) == 4
    moment, milliseconds = 1_795_946_400_123_456, 1_795_946_400_123
    written = [
        header(first) + avro(FIRST, {"entity": "a", "x": 1.0}),
        header(second) + avro(SECOND, {"entity": "a", "x": 2.0, "ts": moment, "place": {"room": "r1"}}),
        header(second) + avro(SECOND, {"entity": "a", "x": float("nan"), "ts": None, "place": None}),
        header(message) + b"\x02\x02" + protobuf("a", 4.0, 1_795_946_400),
        header(text) + json.dumps({"entity": "a", "x": 5.0}).encode(),
    ]
    received = sent_and_read(cluster, tmp_path, written)
    assert received == written
    assert RegistryDecoder("avro", settings).documents(received[:3]) == [
        {"entity": "a", "x": 1.0},
        {"entity": "a", "x": 2.0, "ts": milliseconds, "place": {"room": "r1"}},
        {"entity": "a", "x": None, "ts": None, "place": None},
    ]
    expected = {"entity": "a", "x": 4.0, "ts": 1_795_946_400_000, "place": {"room": "r1"}}
    assert RegistryDecoder("protobuf", settings).documents(received[3:4]) == [expected]
    assert RegistryDecoder("json_schema", settings).documents(received[4:]) == [{"entity": "a", "x": 5.0}]
    with pytest.raises(UnreadableError, match=r"is PROTOBUF, not AVRO: set event\.format: protobuf"):
        RegistryDecoder("avro", settings).document(received[3])


@pytest.mark.parametrize("form", ["avro", "protobuf"])
def test_the_job_scores_records_that_were_written_with_a_schema(cluster, server, settings, tmp_path, form):
    if form == "avro":
        schema = header(server.register("job-avro-value", json.dumps(FIRST)))
        written = [schema + avro(FIRST, {"entity": f"e{i % 3}", "x": float(i % 7)}) for i in range(100)]
    else:
        server.register("common", COMMON, "PROTOBUF")
        number = server.register("job-messages-value", EVENT, "PROTOBUF", (("common.proto", "common"),))
        schema = header(number)
        written = [schema + b"\x02\x02" + protobuf(f"e{i % 3}", float(i % 7), int(time.time())) for i in range(100)]
    registry = settings.model_dump(exclude_none=True) | {"timeout": "10 s", "retry_for": "60 s"}
    live = Live(cluster, tmp_path, event={"format": form, "registry": registry})
    unknown = header(2**31 - 1) + written[0][5:]
    with live.job():
        live.send([(f"e{i % 3}", payload) for i, payload in enumerate(written)])
        live.send([("e0", unknown), ("e0", b'{"entity": "e0", "x": 1}')])
        scores = live.at_least(live.topics.scores, 100)
        letters = [json.loads(record.value) for record in live.at_least(live.topics.dead_letters, 2)]
    assert len(scores) == 100
    assert sorted(letter["reason"] for letter in letters) == ["unknown_schema", "wrong_format"]
    assert any("set event.format: json" in letter["message"] for letter in letters)


def test_an_id_that_the_registry_does_not_have_is_unreadable(settings):
    for number in (0, 999, 2**31 - 1, 2**32 - 1):
        with pytest.raises(UnreadableError) as raised:
            RegistryDecoder("avro", settings).document(header(number) + b"data")
        assert raised.value.reason == "unknown_schema"


def test_a_wrong_password_or_address_fails_the_task_and_loses_no_record(server, settings, monkeypatch):
    monkeypatch.setenv("WRONG_PASSWORD", "incorrect horse")
    wrong = RegistrySettings(url=server.url, user=USER, password_env="WRONG_PASSWORD", retry_for="300 ms")
    elsewhere = settings.model_copy(update={"url": server.url.replace("v7", "v77")})
    nobody = RegistrySettings(url=server.url, retry_for="300 ms")
    for one, said in ((wrong, "refuses the user"), (nobody, "refuses the user"), (elsewhere, "not as a registry")):
        with pytest.raises(RegistryError, match=said) as raised:
            RegistryDecoder("avro", one).document(header(1) + b"data")
        assert "horse" not in str(raised.value)
