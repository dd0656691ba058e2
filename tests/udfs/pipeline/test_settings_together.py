"""Many features are switched on together: settings, streams and messages are drawn at random, and what must always hold is checked.

Each seed gives one case. To look at others: ``SEEDS=100:200 pytest tests/udfs/pipeline/test_settings_together.py``.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.task import Job, Task
from streamgauge.udfs.settings.detectors import DetectorSettings
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

from tests.streams import SMALL, START

FIRST, END = map(int, os.environ.get("SEEDS", "0:16").split(":"))
OUTPUTS = ("alerts", "scores", "dead_letters", "late", "notices", "requests")
KINDS = ["series", "fields", "records"]

# By section: settings that are chosen by chance, each with its values.
CHOICES: dict[str, dict[str, list[Any]]] = {
    "event": {
        "context": [["mode"], ["mode", "where"]],
        "entity": [["entity", "mode"], "${entity}/${where}", "$key"],
        "rename": [{"old": "a"}, {"where": "mode"}],
        "ignore": [["secret*"], ["b"], ["*"]],
        "fields": [{"a": "number"}, {"where": "text"}],
        "missing": [["far", "0.5"]],
        "max_fields": [1, 2, 4],
        "late_after": [0, 5_000, 60_000],
        "out_of_order": [0, 30_000],
        "amend_within": [0, 20_000],
    },
    "entity": {"forget_after": [5_000, 60_000], "quarantine": [0, 5, 30], "rich_memory": [0, 0.02, 1]},
    "decide": {
        "threshold": [0.3, 0.02, 1e-3],
        "promise": ["400 per day", "5 per hour per entity"],
        "hits": [1, 2],
        "within": [2, 4],
        "quiet_events": [1, 3, 100],
        "warmup": [1, 5],
        "fields": [{"a": {"direction": "above", "absolute": 0.5}}],
        "group_within": [0, 60_000],
        "importance": [{"e1*": 3, "*": -1}],
        "rules": [
            [{"id": "nested", "when": "disk.used / disk.total > 0.2 && where != 'far'"}],
            [{"id": "b", "when": "b > 2"}],
        ],
        "maintenance": [[{"entities": "e1*", "start": "2025-10-09T08:53:00Z", "end": "2025-10-09T08:56:00Z"}]],
        "time_zone": ["Asia/Kolkata"],
        "calendar": [["2025-10-09"]],
    },
    "featurize": {"warmup": [1, 5]},
    "calibration": {"warmup": [20, 30], "memory": [100, 1000]},
    "ensemble": {"method": ["mean", "vote", "consensus"]},
}
# Whole sections.
SECTIONS: dict[str, list[Any]] = {
    "silence": [{"after": 1, "at_least": 2_000, "events": 3}],
    "windows": [
        {"short": {"size": 5_000, "aggregates": {"a": ["sum", "p95"], "where": ["distinct"]}}},
        {"long": {"size": 60_000, "every": 20_000}, "short": {"size": 7_000, "aggregates": {"b": ["mean"]}}},
    ],
    "track": [None, 200],
}
SAID = [
    {"type": "threshold", "value": 0.1},
    {"type": "trial", "a": 0.2, "b": 0.001},
    {"type": "rules", "rules": [{"id": "a", "when": "a > 1.5"}]},
    {"type": "maintenance", "windows": []},
    {"type": "detector", "detector": "half_space_trees", "version": "2", "settings": {"n_trees": 2, "window_size": 20}},
    {"type": "weights", "weights": {"relations": 5}},
    *({"type": "entity", "entity": "e1", "action": one, "id": one} for one in ("show", "release", "rewind", "forget")),
]


def settings_of(chance: random.Random) -> PipelineSettings:
    """Valid settings with some of the features."""
    drawn: dict[str, Any] = {"output": {"scores": "all"}, "detectors": detectors_of(chance)}
    for section, keys in CHOICES.items():
        drawn[section] = {key: chance.choice(values) for key, values in keys.items() if chance.random() < 0.35}
    if "hits" in drawn["decide"]:
        drawn["decide"].setdefault("within", 4)
    drawn |= {name: chance.choice(values) for name, values in SECTIONS.items() if chance.random() < 0.5}
    return PipelineSettings.model_validate(drawn)


# Detectors whose kernels other tests of this room compile as well.
CHEAP = ("rolling_z_score", "half_space_trees", "value_novelty", "first_seen_category", "peer_deviation")


def detectors_of(chance: random.Random) -> dict[str, Any]:
    """Detectors: some more than by default, with small parameters and for any kind of stream; some less."""
    small = SMALL.detectors.model_dump(exclude_none=True)
    drawn: dict[str, Any] = {}
    for name in DetectorSettings.model_fields:
        if name in CHEAP and chance.random() < 0.3:
            drawn[name] = small.get(name, {}) | {"streams": chance.sample(KINDS, chance.randint(1, 3))}
        elif chance.random() < 0.1:
            drawn[name] = None
    return drawn


def records_of(chance: random.Random, n: int = 420) -> RawBatch:
    """Records of one or two topics: fields that come and go and change their type, gaps, late events, wrong clocks, huge values."""
    drawn = np.random.default_rng(chance.getrandbits(32))
    entities, topics = chance.choice([1, 3, 12]), chance.choice([["events"], ["events", "more"]])
    fields = chance.sample(["a", "b", "old", "where", "mode", "disk", "secret1"], chance.randint(1, 6))
    odd, late, gap = chance.choice([0, 0.05]), chance.choice([0, 0.1]), chance.choice([100, 1_000, 30_000])
    begins = {name: chance.choice([0, 0, 50, 150]) for name in fields}
    now, records = START, []
    for i in range(n):
        now += int(drawn.exponential(gap)) if chance.random() < 0.99 else chance.choice([3_600_000, 40 * 86_400_000])
        who, x = chance.randrange(entities), float(drawn.normal()) + 9.0 * (180 < i < 230)
        x += 30.0 * (chance.random() < 0.03)
        values = {
            "where": chance.choice(["near", "far"]),
            "mode": "on" if i // 40 % 2 else "off",
            "disk": {"used": x, "total": 9},
        }
        event = {"entity": f"e{who}", "ts": now} | {name: values.get(name, x) for name in fields if i >= begins[name]}
        for name in event:
            if chance.random() < odd:
                event[name] = chance.choice([None, -9999, "n/a", "0.5", 10**400, 1e308, [1], {"x": 1}, True, "w" * 99])
        if chance.random() < late:
            event["ts"] = now + chance.choice([-3_000, -40_000, -4 * 86_400_000, 3_600_000])
        payload = json.dumps([event, event] if chance.random() < odd else event).encode()
        stamp = now if chance.random() >= odd else chance.choice([-1, now + 600_000, now * 1000])
        broken = chance.random() < odd / 4
        records.append(
            (b"{broken" if broken else payload, who % 2, stamp, f"k{who}".encode(), topics[who % len(topics)])
        )
    payloads, partitions, stamps, keys, named = zip(*records, strict=True)
    places = [*zip(named, partitions, strict=True)]
    offsets = [places[:i].count(place) for i, place in enumerate(places)]
    numbers = [np.array(column, np.int64) for column in (partitions, offsets, stamps)]
    return RawBatch(payloads, *numbers, keys, named if len(topics) > 1 else None)


@dataclass
class Case:
    """Settings, records, and what happens before the record at a place: a message, or a time without records."""

    chance: random.Random
    settings: PipelineSettings = field(init=False)
    raw: RawBatch = field(init=False)
    acts: list[tuple[int, dict[str, Any] | int]] = field(init=False)
    per_partition: bool = field(init=False)

    def __post_init__(self) -> None:
        self.settings, self.raw = settings_of(self.chance), records_of(self.chance)
        self.per_partition = self.raw.topics is not None or self.chance.random() < 0.7
        drawn = [self.chance.choice([*SAID, 5_000, 3_600_000]) for _ in range(self.chance.choice([0, 4, 8]))]
        self.acts = sorted(((self.chance.randrange(1, len(self.raw)), act) for act in drawn), key=lambda act: act[0])

    def places(self, most: int) -> list[int]:
        """Some places between records."""
        return self.chance.sample(range(1, len(self.raw)), self.chance.randint(1, most))


class Running:
    """A job of one shard that runs a case. It is cut into batches at some places, and started anew from its saved state at others."""

    def __init__(self, case: Case, cuts: list[int], stops: list[int]) -> None:
        self.case, self.saved, self.out, self.said = case, dict[str, bytes](), BatchResult(), list[str]()
        self.start()
        edges = sorted({0, len(case.raw), *cuts, *stops, *(at for at, _ in case.acts)})
        for begin, end in pairwise(edges):
            if begin in stops:
                self.start()
            for act in (act for at, act in case.acts if at == begin):
                self.let(act)
            self.keep(self.task.process(0, case.raw.take(np.arange(begin, end)), dict(self.saved)))

    def start(self) -> None:
        topics, settings = EventTopics(("events", "more")), self.case.settings
        self.task = Task(Job(settings, topics, "feedback", "job", self.case.per_partition))
        for offset, text in enumerate(self.said):
            self.task.hear("control", offset, text)

    def let(self, act: dict[str, Any] | int) -> None:
        """Say something, or let time pass."""
        if isinstance(act, dict):
            self.said.append(json.dumps(act))
            for result in self.task.hear("control", len(self.said) - 1, self.said[-1]).results:
                self.keep(result)
            return
        if not self.task.has(0):
            for result in self.task._restore(0, dict(self.saved)):
                self.keep(result)
        shard = self.task._shards[0]
        self.keep(shard.tick(dict.fromkeys(shard.partitions, act)))

    def keep(self, result: BatchResult) -> None:
        for name in OUTPUTS:
            getattr(self.out, name).extend(getattr(result, name))
        self.out.add_counts(result.counts)
        for key in result.deletes:
            del self.saved[key]
        self.saved |= result.writes

    def told(self) -> dict[str, list[tuple[str, bytes]]]:
        """All that came out, each record once: what a message led to is told again after a start."""
        return {name: sorted(set(getattr(self.out, name))) for name in OUTPUTS}

    def state(self) -> dict[int | str, bytes]:
        return self.task._shards[0].canonical()


def strict(text: bytes) -> Any:
    return json.loads(text, parse_constant=pytest.fail)


def check_records(case: Case, run: Running) -> None:
    """Each event ends once, without an error; all that comes out is strict JSON, with scores from 0 to 1."""
    found = {name: [strict(text) for _, text in getattr(run.out, name)] for name in OUTPUTS}
    assert "internal" not in {letter["reason"] for letter in found["dead_letters"]}
    ended = [one for name in ("scores", "dead_letters", "late") for one in found[name]]
    places = [(one["topic"], one["partition"], one["offset"], one.get("place")) for one in ended]
    assert len(set(places)) == len(places) == run.out.counts["events"]
    topics = case.raw.topics or ["events"] * len(case.raw)
    records = {*zip(topics, case.raw.partitions.tolist(), case.raw.offsets.tolist(), strict=True)}
    assert {place[:3] for place in places} == records
    numbers = [score["score"] for score in found["scores"] if "unjudged" not in score]
    numbers += [
        alert["data"][name] for alert in found["alerts"] for name in ("score", "threshold") if name in alert["data"]
    ]
    assert all(0.0 <= number <= 1.0 for number in numbers)


@pytest.mark.parametrize("seed", range(FIRST, END))
def test_what_must_always_hold_does_so_whatever_is_switched_on(seed):
    case = Case(random.Random(seed))
    whole, cuts = Running(case, [], []), case.places(12)
    check_records(case, whole)
    cut, stopped = Running(case, cuts, []), Running(case, cuts, case.places(3))
    assert cut.told() == stopped.told() == whole.told()
    assert cut.out.counts == whole.out.counts
    assert cut.state() == stopped.state() == whole.state()
