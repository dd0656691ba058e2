"""Streams of events for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

START = 1_760_000_000_000

# small windows and warm-ups, so that short streams use every part of the pipeline
SMALL = PipelineSettings.model_validate(
    {
        "detectors": {
            "rolling_z_score": {"half_life": 30, "warmup": 5},
            "half_space_trees": {"n_trees": 4, "height": 4, "window_size": 40},
            "value_novelty": {"centroids": 8, "warmup": 10},
        },
        "featurize": {"warmup": 5},
        "calibration": {"warmup": 30, "memory": 1000},
        "decide": {"threshold": 0.02, "warmup": 5, "quiet_events": 3},
        "output": {"scores": "all"},
    }
)


def batch(values: Sequence[Any], partition: int | Sequence[int] = 0, offset: int = 0, stamps: Any = None) -> RawBatch:
    """A batch of payloads: bytes as they are, anything else as JSON."""
    payloads = [v if v is None or isinstance(v, bytes) else json.dumps(v).encode() for v in values]
    n = len(payloads)
    return RawBatch(
        payloads,
        np.broadcast_to(np.asarray(partition, dtype=np.int64), (n,)).copy(),
        np.arange(offset, offset + n, dtype=np.int64),
        np.asarray(START + 1000 * np.arange(offset, offset + n) if stamps is None else stamps, dtype=np.int64),
    )


def stream(n: int = 400, entities: int = 6, fields: int = 3, seed: int = 0, partitions: int = 1) -> RawBatch:
    """A stream with spikes, missing and new fields, dead letters, late events and forgotten entities.

    With one field it is a series, and no new field comes.
    """
    random = np.random.default_rng(seed)
    values: list[Any] = []
    owners = random.integers(0, entities, n)
    times = START + 1000 * np.arange(n)
    if n > 60:
        times[n // 2 :] += 40 * 86_400_000  # longer than `entity.forget_after`, so all entities are forgotten
    for i, owner in enumerate(owners.tolist()):
        event: dict[str, Any] = {"entity": f"e{owner}", "ts": int(times[i])}
        for f in range(fields):
            if random.random() < 0.95:
                event[f"f{f}"] = float(random.normal(10 * f, 1 + f))
        if random.random() < 0.015:
            event["f0"] = float(random.choice([-1, 1]) * 10.0 ** random.integers(2, 6))
        if i > n // 3 and fields > 1:
            event["later"] = float(random.normal())
        if random.random() < 0.02:
            event["ts"] -= 3 * 86_400_000
        if random.random() < 0.02:
            event = {"no": "entity"}
        values.append(b"{broken" if random.random() < 0.02 else event)
    raw = batch(values, stamps=times)
    raw.partitions = owners % partitions
    for p in range(partitions):
        mine = raw.partitions == p
        raw.offsets[mine] = np.arange(mine.sum())
    return raw


class Run:
    """A shard, its saved state, and all its outputs so far."""

    def __init__(
        self,
        settings: PipelineSettings = SMALL,
        saved: dict[str, bytes] | None = None,
        topics: EventTopics | str = "events",
    ) -> None:
        self.shard = Shard(settings, topics)
        self.saved = dict(saved or {})
        self.shard.restore(self.saved.items())
        self.alerts: list[tuple[str, bytes]] = []
        self.scores: list[tuple[str, bytes]] = []
        self.dead: list[tuple[str, bytes]] = []
        self.late: list[tuple[str, bytes]] = []
        self.notices: list[tuple[str, bytes]] = []
        self.counts: dict[str, int] = {}

    def feed(self, raw: RawBatch, cuts: Sequence[int] = ()) -> Run:
        """Process a stream in batches that end at the cuts."""
        edges = sorted({0, len(raw), *(c for c in cuts if 0 < c < len(raw))})
        for a, b in pairwise(edges):
            self.take(self.shard.process(raw.take(np.arange(a, b))))
        return self

    def take(self, result: BatchResult) -> None:
        """Keep the outputs of a batch, and save its state."""
        self.alerts += result.alerts
        self.scores += result.scores
        self.dead += result.dead_letters
        self.late += result.late
        self.notices += result.notices
        for key in result.deletes:
            del self.saved[key]
        self.saved |= result.writes
        for what, n in result.counts.items():
            self.counts[what] = self.counts.get(what, 0) + n

    def outputs(self) -> dict[str, list[tuple[str, bytes]]]:
        """All output records, in an order that does not depend on the batches."""
        return {name: sorted(getattr(self, name)) for name in ("alerts", "scores", "dead", "late")}
