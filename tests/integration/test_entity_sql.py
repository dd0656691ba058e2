"""Flink finds the entity of a record in SQL, without Python: records of one entity are never in two shards."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from streamgauge.jobs.cluster.entity_sql import entity_sql, quoted
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.settings.event import EventSettings

from tests.streams import batch

ODD = [
    *(1, 1.0, 42, 42.0, "42", "042", 12345678.0, 12345678, 1e7, 1.5, 10**15, 1e15, 0, -0.0, -3, -3.0),
    *("a b", "ü", "", 'x"y', "\\", "it's", None, True, [1], {"x": 1}),
]
SETTINGS = {
    "a field": EventSettings(entity="n"),
    "a nested field, or a name with dots": EventSettings(entity="host.name"),
    "several fields, one of them renamed": EventSettings(entity=("host.name", "n"), rename={"number": "n"}),
    "a text with fields": EventSettings(entity="${host.name}/${n}", rename={"number": "n"}),
    "key and field": EventSettings(entity=("$key", "n")),
}


def odd_events(n: int) -> list[str]:
    chosen = random.Random(0)
    events = []
    for _ in range(n):
        event, kind = {}, chosen.random()
        if kind < 0.6:
            event["host.name"] = chosen.choice(ODD)
        if kind > 0.4:
            event["host"] = {"name": chosen.choice(ODD)}
        for name in ("n", "number"):
            if chosen.random() < 0.5:
                event[name] = chosen.choice(ODD)
        events.append(json.dumps(event))
    return [*events, '{"n": ', '{"n": 1, "n": 2}', "[1]", "nonsense"]


EVENTS, KEYS = odd_events(1000), ["k1", '"k1"', "k 2"]
PROGRAM = """
import json, sys
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
found = [[list(row) for row in tables.execute_sql(query).collect()] for query in json.load(sys.stdin)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def in_sql() -> dict[str, dict[int, str | None]]:
    """By name of the settings: what Flink finds in each event. It has a process of its own, which ends with its JVM."""
    rows = ", ".join(f"({i}, {quoted(event)}, {quoted(KEYS[i % 3])})" for i, event in enumerate(EVENTS))
    records = f"(VALUES {rows}) AS records(i, payload, record_key)"
    found = (entity_sql(settings, "payload", "record_key") for settings in SETTINGS.values())
    queries = json.dumps([f"SELECT i, {entity} FROM {records}" for entity in found])
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=queries, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    return {name: {row[0]: row[1] for row in result} for name, result in zip(SETTINGS, results, strict=True)}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_thousand_odd_events_of_one_entity_are_equal_in_sql(in_sql, name):
    raw = batch([event.encode() for event in EVENTS])
    raw.keys = [KEYS[i % 3].encode() for i in range(len(EVENTS))]
    read, _ = Reader(SETTINGS[name]).read(raw)
    assert len(set(read.entities)) > 10
    of_entity: dict[str, set[str | None]] = {}
    for row, entity in zip(read.rows.tolist(), read.entities, strict=True):
        of_entity.setdefault(entity, set()).add(in_sql[name][row])
    assert {entity: found for entity, found in of_entity.items() if len(found) > 1 or None in found} == {}
