"""The boundary that no error crosses: no record, control message or feedback fails a task, and none changes the results of others."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.errors import StateError
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.events.schema import Alignment
from streamgauge.udfs.output.alert import AlertWriter
from streamgauge.udfs.output.limits import MOST_BYTES
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.task import Job, SavedStateWanted, Task
from streamgauge.udfs.scoring.scorer import Scorer
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

from tests.streams import SMALL, batch

DIGITS = int("9" * 321)
RULES = [
    {"id": "nested", "when": "disk.used / disk.total > 0.9"},
    {"id": "division", "when": "10 / int(x) > 100"},
    {"id": "huge", "when": "int(x) > 5 || y * 2.0 > 1e9"},
    {"id": "simple", "when": "y > 1e6"},
]
CHOSEN = PipelineSettings.model_validate(
    SMALL.model_dump()
    | {
        "event": {"context": ("mode",), "fields": {"declared": "number"}, "rename": {"old": "y"}, "deletes": "read"},
        "decide": {"threshold": 0.02, "warmup": 5, "quiet_events": 3, "rules": RULES},
        "windows": {"minute": {"size": "1 m", "aggregates": {"x": ["sum", "p95", "distinct"], "y": ["mean"]}}},
        "silence": {"at_least": "20 s", "events": 3},
        "output": {"scores": "all"},
    }
)


@dataclass
class Shard:
    """One shard of a task, with its saved state and all that came out, as the Flink operator keeps them."""

    settings: PipelineSettings = CHOSEN
    saved: dict[str, bytes] = field(default_factory=dict)
    out: BatchResult = field(default_factory=BatchResult)
    letters: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.task = Task(Job(self.settings, EventTopics(), "feedback", "job", True))

    def take(self, raw: RawBatch) -> None:
        """Process a batch, and keep what comes out."""
        state = None if self.task.has(0) else dict(self.saved)
        try:
            result = self.task.process(0, raw, state)
        except SavedStateWanted:
            result = self.task.process(0, raw, dict(self.saved))
        for key in result.deletes:
            del self.saved[key]
        self.saved |= result.writes
        for name in ("alerts", "dead_letters", "late", "scores", "notices", "requests"):
            getattr(self.out, name).extend(getattr(result, name))
            for key, text in getattr(result, name):
                assert len(key.encode()) + len(text) <= MOST_BYTES + 4_100
        for what, n in result.counts.items():
            self.out.count(what, n)

    def feed(self, raw: RawBatch, cuts: tuple[int, ...] = ()) -> Shard:
        """Process a stream, cut into batches."""
        for a, b in pairwise(sorted({0, len(raw), *(c for c in cuts if 0 < c < len(raw))})):
            self.take(raw.take(np.arange(a, b)))
        return self

    def hear(self, topic: str, offset: int, text: str | None) -> None:
        """Take a message."""
        answer = self.task.hear(topic, offset, text)
        if answer.dead_letter is not None:
            self.letters.append(json.loads(answer.dead_letter))

    def places(self) -> list[tuple[int, int]]:
        """Partition and offset of all that was scored, set aside or late."""
        records = [json.loads(text) for _, text in (*self.out.scores, *self.out.dead_letters, *self.out.late)]
        return sorted((record["partition"], record["offset"]) for record in records)


HOSTILE: list[Any] = [
    {"entity": "a", "disk": {"total": 5}},  # a rule over a nested field whose sibling is missing
    {"entity": "a", "disk": {"total": 0, "used": 1}, "x": 0},  # division by zero
    {"entity": "a", "x": DIGITS, "y": -DIGITS},  # beyond float64, in plain, aggregated and rule fields
    {"entity": "a", "declared": DIGITS},
    {"entity": "a", "x": 1, "mode": "m" * 70_000},  # a context value beyond 16 bits of length
    {"entity": "a", "x": 1, "mode": DIGITS},
    {"entity": "a", "x": 1, "mode": {"deep": [1, {"a": None}]}},
    {"entity": "sep\x1farator", "x": 1, "mode": "\x1f\x1f"},
    {"entity": DIGITS, "x": 1},
    {"entity": "a", "ts": DIGITS},
    {"entity": "a", "ts": "9999-12-31T23:59:59.999+00:00"},
    {"entity": "a", "k" * 300_000: 1},  # a schema notice with a 300 kB key
    {"entity": "a", "t": "w" * 300_000, "x": 1e308},
    {"entity": "a", "x": 1.7976931348623157e308, "y": -1.7976931348623157e308},
    {"entity": "a", "a.b": 1, "a": {"b": {"c": 2}, "": {"": {"": 3}}}},
    {"entity": "a", "x": [1, [2]], "y": {"z": []}, "old": True},
    {"entity": "a", "x": True, "y": False, "": 1, ".": 2, "hour": "noon"},
    {"entity": "\u0000\ud7ff💥", "x": 1},
    b'{"entity":"a","x":"\\ud800"}',
    b'{"entity":"a","entity":"b","x":1,"x":2}',
    # a long key above many leaves
    json.dumps({"entity": "a", "L" * 60_000: {str(i): i for i in range(10_000)}}).encode(),
    b'{"entity":"a","x":"' + b"y" * 800_000 + b'"',  # a dead letter of an 800 kB record
    b'{"entity":"a","x":"' + b"y" * 1_100_000 + b'"}',  # too large
    b"\x00" * 50,
    None,
    b"",
]

MESSAGES: list[tuple[str, str | None]] = [
    ("control", None),
    ("control", ""),
    ("control", "\ud800"),
    ("control", "[" * 100_000),
    ("control", '{"type":"rules","rules":[{"id":"r","when":"' + "(" * 1900 + '"}]}'),
    ("control", '{"type":"threshold","value":' + "9" * 5000 + "}"),
    (
        "control",
        '{"type":"detector","detector":"half_space_trees","version":"2","settings":{"n_trees":1,"height":1,"window_size":10}}',
    ),
    ("control", '{"type":"entity","entity":"e0","action":"rewind","id":"r"}'),
    ("control", '{"type":"entity","entity":"' + "e" * 400_000 + '","action":"show","id":"' + "i" * 400_000 + '"}'),
    ("control", '{"type":"model","model":"none","version":1}'),
    ("control", '{"type":"weights","weights":{"rolling_z_score":100}}'),
    ("feedback", None),
    ("feedback", "{}"),
    ("feedback", '{"alert_id":"1","entity":"e0","kind":"point","tail_probability":1e-320,"verdict":"false","by":"b"}'),
    (
        "feedback",
        '{"alert_id":"1","entity":"e0","kind":"point","tail_probability":1e-5,"effect":1e308,"verdict":"true","by":"b"}',
    ),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["entity", "ts", "x", "y", "mode", "disk", "old", "declared", "t", "hour"]) | st.text(
    max_size=4
)
made_up = st.dictionaries(names, json_values, max_size=6)
hostile_records = st.lists(st.sampled_from(HOSTILE) | made_up | st.binary(max_size=40), max_size=12)


def usual(n: int = 60) -> list[dict[str, Any]]:
    """Events that every detector, rule and window has something to do with."""
    random = np.random.default_rng(0)
    return [
        {
            "entity": f"e{i % 3}",
            "x": float(random.normal(5, 1)),
            "y": float(i % 7),
            "mode": "on",
            "disk": {"used": 1, "total": 9},
        }
        for i in range(n)
    ]


@hypothesis.settings(max_examples=15)
@given(
    st.lists(st.integers(0, 59), min_size=12, max_size=12),
    hostile_records,
    st.lists(st.sampled_from(MESSAGES), max_size=6),
)
def test_no_input_raises_an_error_and_every_offset_ends_once(places, records, messages):
    values: list[Any] = usual()
    for place, record in zip(places, records, strict=False):
        values.insert(place, record)
    raw, shard = batch(values), Shard()
    half = len(values) // 2
    shard.take(raw.take(np.arange(half)))
    for offset, (topic, text) in enumerate(messages):
        shard.hear(topic, offset, text)
    shard.take(raw.take(np.arange(half, len(values))))
    assert shard.places() == [(0, offset) for offset in range(len(values))]
    assert shard.out.counts["events"] == len(values)
    again = Shard(saved=dict(shard.saved))  # the saved state can be restored
    again.take(batch(usual(5), offset=len(values)))
    assert len(again.out.scores) == 5


@pytest.mark.parametrize("record", HOSTILE, ids=range(len(HOSTILE)))
def test_each_hostile_record_alone_and_among_others_ends_once(record):
    alone = Shard().feed(batch([record]))
    assert alone.places() == [(0, 0)]
    among = Shard().feed(batch([*usual(30), record, *usual(30)]), (10, 31, 40))
    assert among.places() == [(0, offset) for offset in range(61)]
    assert "internal" not in {json.loads(text)["reason"] for _, text in among.out.dead_letters}


# ---- faults in the code itself ----------------------------------------------------------------------------------------


def broken(original, poisoned):
    """A stage with a bug: it raises whenever a batch holds one of some entities."""

    def stage(*arguments, **options):
        for argument in arguments:
            events = getattr(argument, "events", argument)
            if set(getattr(events, "entities", ())) & poisoned:
                raise ZeroDivisionError("x" * 500)
        return original(*arguments, **options)

    return stage


STAGES = [
    (Alignment, "remarks", "pipeline"),
    (Scorer, "score", "pipeline"),
    (AlertWriter, "of_incidents", "pipeline"),
]


@pytest.mark.parametrize(("owner", "stage", "where"), STAGES, ids=[stage for _, stage, _ in STAGES])
@pytest.mark.parametrize("cuts", [(), (7, 20, 43)])
def test_a_record_that_raises_an_error_is_set_aside_and_the_others_are_scored_as_without_it(
    monkeypatch, caplog, owner, stage, where, cuts
):
    values = usual(60)
    bad = {11, 12, 40}
    for place in bad:
        values[place] = {"entity": f"poison{place}", "x": 1e6, "y": 1e9, "mode": "on"}
    with monkeypatch.context() as patch:
        patch.setattr(owner, stage, broken(getattr(owner, stage), {f"poison{place}" for place in bad}))
        shard = Shard().feed(batch(values), cuts)
    letters = [json.loads(text) for _, text in shard.out.dead_letters]
    assert {(letter["reason"], letter["offset"]) for letter in letters} == {("internal", place) for place in bad}
    assert {letter["error"] for letter in letters} == {"ZeroDivisionError"}
    assert {len(letter["message"]) for letter in letters} == {200}
    assert shard.out.counts["dead_letters.internal"] == 3
    assert shard.places() == [(0, offset) for offset in range(60)]
    assert "record set aside (events, partition 0, offset 11)" in caplog.text
    raw = batch(values)
    without = Shard().feed(raw.take(np.array([i for i in range(60) if i not in bad])), cuts)
    assert sorted(shard.out.scores) == sorted(without.out.scores)
    assert sorted(shard.out.alerts) == sorted(without.out.alerts)
    rest = batch(usual(20), offset=60)
    shard.take(rest)
    without.take(rest)
    assert sorted(shard.out.scores) == sorted(without.out.scores)


@pytest.mark.parametrize("n", [1, 9])
def test_the_last_record_of_a_batch_may_raise_an_error(monkeypatch, n):
    values = [*usual(n - 1), {"entity": "poison", "x": 1.0}]
    monkeypatch.setattr(Scorer, "score", broken(Scorer.score, {"poison"}))
    shard = Shard().feed(batch(values))
    assert shard.places() == [(0, offset) for offset in range(n)]
    shard.take(batch(usual(5), offset=n))
    assert len(shard.out.scores) == n - 1 + 5


def test_a_message_that_raises_an_error_is_set_aside_and_nothing_changes(monkeypatch):
    shard = Shard().feed(batch(usual(30)))
    shard.hear("control", 0, '{"type":"threshold","value":0.03}')
    with monkeypatch.context() as patch:
        patch.setattr("streamgauge.udfs.control.in_force.InForce.apply", lambda self, message: 1 / 0)
        shard.hear("control", 1, '{"type":"threshold","value":0.5}')
    [letter] = shard.letters
    assert (letter["reason"], letter["offset"]) == ("internal", 1)
    assert "ZeroDivisionError" in letter["message"]
    other = Shard().feed(batch(usual(30)))
    other.hear("control", 0, '{"type":"threshold","value":0.03}')
    for one in (shard, other):
        one.take(batch(usual(30), offset=30))
    assert sorted(shard.out.scores) == sorted(other.out.scores)
    assert sorted(shard.out.alerts) == sorted(other.out.alerts)


def test_a_fault_of_the_state_itself_fails_the_task():
    saved = Shard().feed(batch(usual(30))).saved
    del saved["0/m"]
    with pytest.raises(StateError, match="header is missing"):
        Shard(saved=saved).feed(batch(usual(1), offset=30))


# ---- memory -----------------------------------------------------------------------------------------------------------


def test_a_long_key_above_many_leaves_takes_at_most_twenty_times_the_memory_of_the_record():
    record = json.dumps({"entity": "a", "k" * 800_000: {str(i): i for i in range(10_000)}}).encode()
    raw = batch([record])
    Reader(CHOSEN.event).read(raw)
    tracemalloc.start()
    _, [letter] = Reader(CHOSEN.event).read(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert letter.reason == "too_large"
    assert "nested fields" in letter.message
    assert peak <= 20 * len(record)


def test_nested_records_of_usual_size_are_read():
    record = {"entity": "a", "service": {"name": "checkout", "latency": {f"p{i}": i for i in range(90)}}}
    events, dead = Reader(CHOSEN.event).read(batch([record] * 3))
    assert (len(events), dead) == (3, [])
