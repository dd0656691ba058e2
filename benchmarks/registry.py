"""What reading a record costs in each format: `python -m benchmarks.registry`. Events have 6 fields; the best of several runs."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fastavro
import msgspec
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from streamgauge.udfs.events.registry.decoder import RegistryDecoder
from streamgauge.udfs.events.registry.protobuf import _compiled
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
RECORDS, ROUNDS = 2_000, 30


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


def microseconds(work: Callable[[], Any]) -> float:
    """Of the best round, for each record."""
    work()
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return min(took) / RECORDS * 1e6


def main() -> None:
    text = json.dumps(EVENT).encode()
    decode = msgspec.json.Decoder().decode
    with registry() as settings:
        readers = {
            "Avro": ("avro", avro(1, AVRO, EVENT)),
            "Avro with a list": ("avro", avro(3, LISTS, EVENT | {"tags": ["a"]})),
            "Protobuf": ("protobuf", protobuf()),
            "JSON Schema": ("json_schema", b"\x00\x00\x00\x00\x04" + text),
        }
        json_alone = microseconds(lambda: [decode(text) for _ in range(RECORDS)])
        print(f"{'JSON, msgspec alone':24} {json_alone:6.2f} us")
        for name, (form, payload) in readers.items():
            decoder = RegistryDecoder(form, settings)  # type: ignore[arg-type]
            payloads = [payload] * RECORDS
            many = microseconds(lambda d=decoder, p=payloads: d.documents(p))  # type: ignore[misc]
            single = microseconds(lambda d=decoder, p=payloads: [d.document(one) for one in p])  # type: ignore[misc]
            print(
                f"{name:24} {many:6.2f} us, one by one {single:6.2f} us, {json_alone / many:4.2f} of JSON's records/s"
            )


if __name__ == "__main__":
    main()
