"""Events read a second in each format, as a share of plain JSON's in the same run: `python -m benchmarks.reading`."""

from __future__ import annotations

import io
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fastavro
import numpy as np
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.events.registry.protobuf import _compiled
from streamgauge.udfs.settings.event import EventSettings
from streamgauge.udfs.settings.registry import RegistrySettings

EVENT = {"entity": "pump-17", "ts": 1_700_000_000_123, "a": 1.25, "b": -7.123456789, "c": 3.5, "n": 42}
FIELDS = [
    {"name": "entity", "type": "string"},
    {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "a", "type": "double"},
    {"name": "b", "type": "double"},
    {"name": "c", "type": ["null", "double"]},
    {"name": "n", "type": "int"},
]
AVRO = {"type": "record", "name": "Event", "fields": FIELDS}
LISTS = {**AVRO, "fields": [*FIELDS, {"name": "tags", "type": {"type": "array", "items": "string"}}]}
PROTO = """syntax = "proto3";
message Event { string entity = 1; int64 ts = 2; double a = 3; double b = 4; optional double c = 5; int32 n = 6; }"""
SCHEMAS = {
    1: {"schema": json.dumps(AVRO)},
    2: {"schema": PROTO, "schemaType": "PROTOBUF"},
    3: {"schema": json.dumps(LISTS)},
}
NESTED = {"entity": "pump-17", "ts": EVENT["ts"], "values": {name: EVENT[name] for name in "abcn"}}
TEXT = EVENT | {name: str(EVENT[name]) for name in "abc"}
CHANGE = {
    "op": "c",
    "before": None,
    "after": EVENT,
    "source": {"connector": "postgresql", "ts_ms": EVENT["ts"]},
    "ts_ms": EVENT["ts"],
}
CLOUD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": EVENT}
TELEGRAF = {
    "metrics": [
        {
            "name": "m",
            "tags": {"entity": "pump-17"},
            "fields": {name: EVENT[name] for name in "abcn"},
            "timestamp": 1_700_000_000 + i,
        }
        for i in range(10)
    ]
}
RECORDS, ROUNDS = 2_000, 15


@contextmanager
def registry() -> Any:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(SCHEMAS[int(self.path.rpartition("/")[2])]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield RegistrySettings(url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def avro(number: int, schema: Any, event: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), event)
    return b"\x00" + number.to_bytes(4, "big") + stream.getvalue()


def protobuf() -> bytes:
    pool = DescriptorPool()
    pool.Add(_compiled(PROTO, {})[0])
    message = GetMessageClass(pool.FindMessageTypeByName("Event"))(**EVENT)
    return b"\x00\x00\x00\x00\x02\x00" + message.SerializeToString()


def batch(payload: bytes) -> RawBatch:
    stamps = np.full(RECORDS, EVENT["ts"])
    return RawBatch([payload] * RECORDS, np.zeros(RECORDS, np.int64), np.arange(RECORDS), stamps)


def events_a_second(reader: Reader, raw: RawBatch) -> float:
    started = time.perf_counter()
    events, dead = reader.read(raw)
    took = time.perf_counter() - started
    assert not dead
    return len(events) / took


def main() -> None:
    text = json.dumps(EVENT).encode()
    plain, raw = Reader(EventSettings()), batch(text)
    with registry() as settings:
        formats = {
            "nested JSON": (EventSettings(), json.dumps(NESTED).encode()),
            "numbers as text": (EventSettings(), json.dumps(TEXT).encode()),
            "Debezium": (EventSettings(), json.dumps(CHANGE).encode()),
            "CloudEvents": (EventSettings(), json.dumps(CLOUD).encode()),
            "Telegraf, 10 a record": (EventSettings(), json.dumps(TELEGRAF).encode()),
            "Avro": (EventSettings(format="avro", registry=settings), avro(1, AVRO, EVENT)),
            "Avro with a list": (
                EventSettings(format="avro", registry=settings),
                avro(3, LISTS, EVENT | {"tags": ["a"]}),
            ),
            "Protobuf": (EventSettings(format="protobuf", registry=settings), protobuf()),
            "JSON Schema": (EventSettings(format="json_schema"), b"\x00\x00\x00\x00\x04" + text),
        }
        for name, (event, payload) in formats.items():
            reader, other = Reader(event), batch(payload)
            reader.read(other)
            pairs = [(events_a_second(reader, other), events_a_second(plain, raw)) for _ in range(ROUNDS)]
            shares = [ours / of_json for ours, of_json in pairs]
            lowest, middle, highest = min(shares), float(np.median(shares)), max(shares)
            speed = float(np.median([ours for ours, _ in pairs]))
            print(f"{name:22} {speed:9,.0f} events/s, {lowest:.2f} {middle:.2f} {highest:.2f} of plain JSON")


if __name__ == "__main__":
    main()
