"""Records as their senders write them, with made-up values."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

NS = "1790001000000000000"


def field(name: str, kind: str, logical: str | None = None, **more: Any) -> dict[str, Any]:
    """One field of a Connect schema."""
    named = {} if logical is None else {"name": logical, "version": 1}
    return {"type": kind, "optional": True, **named, "field": name, **more}


ROW_FIELDS = [
    field("id", "int64", optional=False),
    field("pump", "string"),
    field("price", "bytes", "org.apache.kafka.connect.data.Decimal", parameters={"scale": "2"}),
    field("serial", "bytes", "org.apache.kafka.connect.data.Decimal", parameters={"scale": "0"}),
    field(
        "free",
        "struct",
        "io.debezium.data.VariableScaleDecimal",
        fields=[field("scale", "int32", optional=False), field("value", "bytes", optional=False)],
    ),
    field("day", "int32", "io.debezium.time.Date"),
    field("at_ms", "int64", "io.debezium.time.Timestamp"),
    field("at_us", "int64", "io.debezium.time.MicroTimestamp"),
    field("at_ns", "int64", "io.debezium.time.NanoTimestamp"),
    field("at_zone", "string", "io.debezium.time.ZonedTimestamp"),
    field("lap", "int64", "io.debezium.time.MicroTime"),
    field("notes", "string", "io.debezium.data.Json"),
]
ROW = {
    "id": 9007199254740993,
    "pump": "pump-7",
    "price": base64.b64encode((123456).to_bytes(3)).decode(),
    "serial": base64.b64encode((2**64 + 1).to_bytes(9)).decode(),
    "free": {"scale": 3, "value": base64.b64encode((-1500).to_bytes(2, signed=True)).decode()},
    "day": 20000,
    "at_ms": 1728000000123,
    "at_us": 1728000000123456,
    "at_ns": 1728000000123456789,
    "at_zone": "2024-10-04T00:00:00.123456Z",
    "lap": 61_000_000,
    "notes": '{"bar": 2.5}',
}
ROW_READ = {
    "id": 9007199254740993,
    "pump": "pump-7",
    "price": 1234.56,
    "serial": 18446744073709551617,
    "free": -1.5,
    "day": "2024-10-04",
    "at_ms": "2024-10-04T00:00:00.123",
    "at_us": "2024-10-04T00:00:00.123456",
    "at_ns": "2024-10-04T00:00:00.123456789",
    "at_zone": "2024-10-04T00:00:00.123456Z",
    "lap": 61_000_000,
    "notes": {"bar": 2.5},
}
SOURCE = {
    "version": "2.7.3.Final",
    "connector": "postgresql",
    "name": "plant",
    "ts_ms": 1790001000000,
    "snapshot": "false",
    "db": "plant",
    "sequence": '["24023119","24023128"]',
    "ts_us": 1790001000000123,
    "ts_ns": 1790001000000123000,
    "schema": "public",
    "table": "pumps",
    "txId": 555,
    "lsn": 24023128,
    "xmin": None,
}
CHANGE = {
    "before": None,
    "after": {"id": 7, "pump": "pump-7", "bar": 2.5},
    "source": SOURCE,
    "transaction": None,
    "op": "c",
    "ts_ms": 1790001000500,
    "ts_us": 1790001000500123,
    "ts_ns": 1790001000500123000,
}
CHANGE_READ = {"id": 7, "pump": "pump-7", "bar": 2.5, "ts": 1790001000000}
ENVELOPE = {
    "schema": {
        "type": "struct",
        "fields": [
            {
                "type": "struct",
                "fields": ROW_FIELDS,
                "optional": True,
                "name": "plant.public.pumps.Value",
                "field": side,
            }
            for side in ("before", "after")
        ]
        + [
            {
                "type": "struct",
                "fields": [field("version", "string"), field("connector", "string"), field("ts_ms", "int64")],
                "optional": False,
                "name": "io.debezium.connector.postgresql.Source",
                "field": "source",
            },
            field("op", "string"),
            field("ts_ms", "int64"),
        ],
        "optional": False,
        "name": "plant.public.pumps.Envelope",
        "version": 2,
    },
    "payload": {"before": None, "after": ROW, "source": SOURCE, "op": "r", "ts_ms": 1790001000500, "transaction": None},
}
UNWRAPPED = {
    "id": 7,
    "pump": "pump-7",
    "bar": 2.5,
    "__deleted": "false",
    "__op": "u",
    "__table": "pumps",
    "__lsn": 24023128,
    "__source_ts_ms": 1790001000000,
}
MONGO = {
    "before": None,
    "after": '{"_id": {"$oid": "63a3795c8835b568e786e26a"}, "pump": "pump-7", "bar": 2.5, '
    '"count": {"$numberLong": "9007199254740993"}, "at": {"$date": 1728000000123}, "cost": {"$numberDecimal": "1.10"}}',
    "updateDescription": None,
    "source": {"version": "2.7.3.Final", "connector": "mongodb", "name": "plant", "ts_ms": 1790001000000, "ord": 1},
    "op": "c",
    "ts_ms": 1790001000500,
}
HEARTBEAT = {
    "schema": {
        "type": "struct",
        "fields": [field("ts_ms", "int64", optional=False)],
        "optional": False,
        "name": "io.debezium.connector.common.Heartbeat",
    },
    "payload": {"ts_ms": 1790001000500},
}
TRANSACTION = {
    "status": "END",
    "id": "555:24023128",
    "event_count": 2,
    "data_collections": [{"data_collection": "public.pumps", "event_count": 2}],
    "ts_ms": 1790001000500,
}
SCHEMA_CHANGE = {
    "source": {**SOURCE, "connector": "mysql"},
    "ts_ms": 1790001000500,
    "databaseName": "plant",
    "schemaName": None,
    "ddl": "ALTER TABLE pumps ADD COLUMN bar DOUBLE",
    "tableChanges": [{"type": "ALTER", "id": '"plant"."pumps"', "table": {"columns": []}}],
}
CONNECT = {
    "schema": {
        "type": "struct",
        "fields": [
            field("pump", "string"),
            field("bar", "double"),
            field("price", "bytes", "org.apache.kafka.connect.data.Decimal", parameters={"scale": "2"}),
            field("day", "int32", "org.apache.kafka.connect.data.Date"),
            field("clock", "int32", "org.apache.kafka.connect.data.Time"),
            field("at", "int64", "org.apache.kafka.connect.data.Timestamp"),
            field("days", "array", items={"type": "int32", "name": "org.apache.kafka.connect.data.Date"}),
            field(
                "by_name",
                "map",
                keys={"type": "string"},
                values={"type": "int32", "name": "org.apache.kafka.connect.data.Date"},
            ),
        ],
        "optional": False,
        "name": "pumps",
    },
    "payload": {
        "pump": "pump-7",
        "bar": 2.5,
        "price": "AeJA",
        "day": 20000,
        "clock": 3_600_000,
        "at": 1728000000123,
        "days": [0, None],
        "by_name": {"a": -1},
    },
}
CONNECT_READ = {
    "pump": "pump-7",
    "bar": 2.5,
    "price": 1234.56,
    "day": "2024-10-04",
    "clock": 3_600_000,
    "at": "2024-10-04T00:00:00.123Z",
    "days": ["1970-01-01", None],
    "by_name": {"a": "1969-12-31"},
}
CLOUDEVENT = {
    "specversion": "1.0",
    "id": "a234-1234",
    "source": "/plant/north",
    "type": "org.example.pump.measured",
    "subject": "pump-7",
    "time": "2026-09-21T14:30:00Z",
    "datacontenttype": "application/json",
    "data": {"bar": 2.5, "rpm": 1450},
}
CLOUDEVENT_READ = {
    "bar": 2.5,
    "rpm": 1450,
    "ce.source": "/plant/north",
    "ce.type": "org.example.pump.measured",
    "ce.subject": "pump-7",
    "ts": "2026-09-21T14:30:00Z",
}
DEBEZIUM_CLOUDEVENT = {
    "id": "name:plant;lsn:24023128;txId:555",
    "source": "/debezium/postgresql/plant",
    "specversion": "1.0",
    "type": "io.debezium.connector.postgresql.DataChangeEvent",
    "time": "2026-09-21T14:30:00.000Z",
    "datacontenttype": "application/json",
    "iodebeziumop": "u",
    "iodebeziumversion": "2.7.3.Final",
    "iodebeziumconnector": "postgresql",
    "iodebeziumname": "plant",
    "iodebeziumtsms": "1790001000000",
    "iodebeziumlsn": "24023128",
    "data": {"before": None, "after": {"id": 7, "pump": "pump-7", "bar": 2.5}},
}


def attribute(key: str, value: Any, kind: str = "stringValue") -> dict[str, Any]:
    """One attribute of OTLP."""
    return {"key": key, "value": {kind: value}}


HOST = [attribute("host.name", "web-1"), attribute("service.name", "shop")]
POOL = [attribute("pool", "a"), attribute("size", "8", "intValue")]
OTLP = {
    "resourceMetrics": [
        {
            "resource": {"attributes": HOST, "droppedAttributesCount": 0},
            "scopeMetrics": [
                {
                    "scope": {"name": "shop.meter", "version": "1.0.0"},
                    "metrics": [
                        {
                            "name": "connections",
                            "unit": "1",
                            "gauge": {
                                "dataPoints": [
                                    {"attributes": POOL, "timeUnixNano": NS, "asInt": "9007199254740993"},
                                    {"timeUnixNano": NS, "asDouble": 3.5},
                                ]
                            },
                        },
                        {
                            "name": "requests",
                            "sum": {
                                "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
                                "isMonotonic": True,
                                "dataPoints": [
                                    {
                                        # the order of attributes has no meaning
                                        "attributes": POOL[::-1],
                                        "startTimeUnixNano": "1790000000000000000",
                                        "timeUnixNano": NS,
                                        "asInt": "12",
                                    }
                                ],
                            },
                        },
                        {
                            "name": "latency",
                            "histogram": {
                                "aggregationTemporality": 2,
                                "dataPoints": [
                                    {
                                        "timeUnixNano": NS,
                                        "count": "3",
                                        "sum": 0.9,
                                        "bucketCounts": ["1", "2"],
                                        "explicitBounds": [0.5],
                                        "min": 0.1,
                                        "max": 0.5,
                                    }
                                ],
                            },
                        },
                        {
                            "name": "size",
                            "exponentialHistogram": {
                                "aggregationTemporality": 1,
                                "dataPoints": [
                                    {
                                        "timeUnixNano": NS,
                                        "count": "2",
                                        "sum": 10,
                                        "scale": 0,
                                        "zeroCount": "1",
                                        "positive": {"offset": 1, "bucketCounts": ["0", "2"]},
                                        "max": "NaN",
                                    }
                                ],
                            },
                        },
                        {
                            "name": "gc",
                            "summary": {
                                "dataPoints": [
                                    {
                                        "timeUnixNano": NS,
                                        "count": "5",
                                        "sum": 1.5,
                                        "quantileValues": [
                                            {"quantile": 0.5, "value": 0.2},
                                            {"quantile": 1, "value": "NaN"},
                                        ],
                                    }
                                ]
                            },
                        },
                    ],
                }
            ],
            "schemaUrl": "https://opentelemetry.io/schemas/1.26.0",
        }
    ]
}
OTLP_READ = [
    {
        "host.name": "web-1",
        "service.name": "shop",
        "pool": "a",
        "size": 8,
        "connections": 9007199254740993,
        "requests": 12,
        "ts": int(NS),
    },
    {
        "host.name": "web-1",
        "service.name": "shop",
        "connections": 3.5,
        "latency.count": 3,
        "latency.sum": 0.9,
        "latency.min": 0.1,
        "latency.max": 0.5,
        "size.count": 2,
        "size.sum": 10,
        "size.max": None,
        "gc.count": 5,
        "gc.sum": 1.5,
        "gc.q0.5": 0.2,
        "gc.q1": None,
        "ts": int(NS),
    },
]
TELEGRAF = {
    "fields": {"usage_idle": 91.5, "usage_user": 6.5},
    "name": "cpu",
    "tags": {"cpu": "cpu-total", "host": "web-1"},
    "timestamp": 1790001000,
}
TELEGRAF_READ = {
    "cpu": "cpu-total",
    "host": "web-1",
    "cpu.usage_idle": 91.5,
    "cpu.usage_user": 6.5,
    "ts": 1790001000,
}
TELEGRAF_BATCH = {
    "metrics": [TELEGRAF, {"fields": {"used": 12}, "name": "mem", "tags": {"host": "web-1"}, "timestamp": 1790001000}]
}
ADAPTER = {
    "timestamp": "2026-09-21T14:30:00Z",
    "value": "9007199254740993",
    "name": "up",
    "labels": {"__name__": "up", "job": "node", "instance": "web-1:9100"},
}


def series(name: str, *samples: tuple[Any, Any], **labels: str) -> dict[str, Any]:
    """One series of a remote write request."""
    pairs = {"__name__": name, **labels}
    return {
        "labels": [{"name": key, "value": value} for key, value in pairs.items()],
        "samples": [{"value": value, "timestamp": time} for value, time in samples],
    }


PROMETHEUS = {
    "timeseries": [
        series("load1", (0.5, "1790001000000"), ("NaN", "1790001015000"), instance="web-1", job="node"),
        series("load5", (0.25, "1790001000000"), job="node", instance="web-1"),
        series("load1", ("1e3", 1790001000000), instance="web-2", job="node"),
    ],
    "metadata": [{"type": "GAUGE", "metricFamilyName": "load1", "help": "1m load average."}],
}
PROMETHEUS_READ = [
    {"instance": "web-1", "job": "node", "load1": 0.5, "load5": 0.25, "ts": 1790001000000},
    {"instance": "web-1", "job": "node", "load1": None, "ts": 1790001015000},
    {"instance": "web-2", "job": "node", "load1": 1000.0, "ts": 1790001000000},
]

WRAPPED: dict[str, list[Any]] = {
    "debezium": [CHANGE, ENVELOPE, UNWRAPPED, MONGO, HEARTBEAT, TRANSACTION, SCHEMA_CHANGE],
    "connect": [CONNECT],
    "cloudevents": [CLOUDEVENT, DEBEZIUM_CLOUDEVENT],
    "otlp": [OTLP],
    "telegraf": [TELEGRAF, TELEGRAF_BATCH],
    "prometheus": [PROMETHEUS, ADAPTER],
}


def fresh(document: Any) -> Any:
    """A copy, because what is read may become part of the events."""
    return copy.deepcopy(document)


def size_of(document: Any) -> int:
    return len(json.dumps(document))
