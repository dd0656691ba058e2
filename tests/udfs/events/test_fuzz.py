"""Whatever bytes come, in whatever format: each record ends as events, as dead letters, or is skipped by rule. Nothing raises.

`make test` throws ten thousand payloads; ``FUZZ=1000000`` throws as many (`make fuzz`).
"""

from __future__ import annotations

import gzip
import json
import os
import random
import tracemalloc
from typing import get_args

import pytest
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.schema import Alignment
from streamgauge.udfs.settings.event import EventSettings, WithRegistry, Wrapper

from tests.streams import batch
from tests.udfs.events.formats import samples

PAYLOADS = int(os.environ.get("FUZZ", "10000"))
FORMATS = [form for form in (*get_args(Wrapper), *get_args(WithRegistry)) if form != "protobuf"]
PLAIN = [
    {"entity": "a", "ts": 1_760_000_000, "x": 1.5, "y": "12", "nested": {"deep": [1, {"z": None}]}},
    [{"entity": "a", "x": 1}, {"entity": "b", "x": 2}],
    {"entity": 42.0, "ts": {"$date": "2025-10-09T08:53:20Z"}, "x": "N/A", "t": "text"},
]
TOKENS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"null",
    b"1e999",
    b"NaN",
    b"-",
    b"\xff",
    b"\x00",
    b"\\ud800",
    b"9" * 400,
]


def documents():
    """Records as their senders write them, as bytes."""
    found = [value for name, value in vars(samples).items() if name.isupper() and isinstance(value, dict | list)]
    texts = [json.dumps(value).encode() for value in (*PLAIN, *found)]
    return [
        *texts,
        gzip.compress(texts[0]),
        b"\xef\xbb\xbf" + texts[0],
        b"Obj\x01" + texts[0],
        b"\x00\x00\x00\x00\x07" + texts[0],
    ]


def mutated(payload, chosen):
    """A payload with some bytes changed, left out, or put in."""
    data = bytearray(payload)
    for _ in range(chosen.randint(0, 4)):
        place = chosen.randrange(len(data) + 1)
        match chosen.randrange(4):
            case 0 if data:
                data[place % len(data)] = chosen.randrange(256)
            case 1:
                del data[place : place + chosen.randrange(1, 20)]
            case 2:
                data[place:place] = chosen.choice(TOKENS)
            case _:
                data[place:place] = data[chosen.randrange(len(data) + 1) :][: chosen.randrange(1, 200)]
    return bytes(data)


@pytest.mark.parametrize("form", FORMATS)
def test_every_payload_ends_and_nothing_raises(form):
    chosen, known = random.Random(form), documents()
    settings = EventSettings(format=form, deletes=chosen.choice(["skip", "read"]), fields={"y": "number"})
    reader, alignment = Reader(settings), Alignment(settings)
    left = PAYLOADS // len(FORMATS) + 1
    while left > 0:
        payloads = [mutated(chosen.choice(known), chosen) for _ in range(min(left, 200))]
        left -= len(payloads)
        events, dead = reader.read(batch(payloads))
        rows = {*events.rows.tolist(), *(letter.row for letter in dead)}
        assert len(rows) + events.skipped == len(payloads)
        assert all(letter.reason and letter.message for letter in dead)
        places = list(zip(events.rows.tolist(), events.places.tolist(), strict=True))
        assert len(set(places)) == len(places)
        assert sum(len(X) for _, _, X in alignment.matrices(events, [])) == len(events)


WIDE = {"k" * 400: {str(i): i for i in range(20_000)}}
LARGE = {
    "an array of small events": [{"entity": "a", "x": 1}] * 9_000,
    "a long key above many leaves": {"entity": "a"} | WIDE,
    "labels above many samples": {
        "timeseries": [
            {
                "labels": [{"name": f"l{i}", "value": "v"} for i in range(300)],
                "samples": [{"value": i, "timestamp": 1_760_000_000_000 + i} for i in range(3_000)],
            }
        ]
    },
    "attributes above many data points": {
        "resourceMetrics": [
            {
                "resource": {"attributes": [{"key": f"a{i}", "value": {"stringValue": "v"}} for i in range(300)]},
                "scopeMetrics": [
                    {
                        "metrics": [
                            {
                                "name": "m",
                                "gauge": {"dataPoints": [{"timeUnixNano": str(i), "asInt": "1"} for i in range(5_000)]},
                            }
                        ]
                    }
                ],
            }
        ]
    },
}


@pytest.mark.parametrize("record", LARGE.values(), ids=LARGE)
def test_a_record_takes_at_most_twenty_times_its_size_beyond_what_its_json_takes(record):
    payload = json.dumps(record).encode()
    raw = batch([payload])
    reader = Reader(EventSettings(entity="entity"))
    reader.read(batch([b'{"entity": "a"}']))
    tracemalloc.start()
    reader.read(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 20 * len(payload) + 2_000_000
