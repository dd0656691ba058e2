"""Make the savepoint of a release: run a job on a real cluster, and stop it with its state.

``python -m tests.state.make_savepoint tests/state/v1/savepoint`` in a clone of the release. `tests/integration/test_upgrade.py`
restores it, so it sends the events from here.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.jobs.settings.loading import validated

from tests.integration.conftest import free_ports
from tests.integration.live import Live, values
from tests.streams import SMALL, START

NAME = "saved-v1"  # the state of the job names its topics
PARTITIONS = 2
SAVED = 600  # events before the savepoint
AFTERWARDS = 400
ASKED = {"type": "entity", "entity": "pump-3", "action": "show", "id": "before the savepoint"}


def sections(outputs: str = "") -> dict[str, Any]:
    """Settings of the job.

    Parameters
    ----------
    outputs : str
        Ends the names of the topics that the job writes to, so that several jobs can go on from one savepoint.
    """
    topics = {topic: f"{NAME}-{topic.replace('_', '-')}" for topic in ("events", *TopicSettings().own)}
    for written in ("alerts", "scores", "dead_letters", "late", "notices", "retrain_requests"):
        topics[written] += outputs
    return {"job": {"name": NAME}, "kafka": {"group": NAME, "topics": topics}}


def events() -> Iterator[tuple[int, str, bytes]]:
    """Partition, key and payload of each record: two fields, one more later, texts, spikes, and records that cannot be read.

    Around the savepoint one entity has an incident that is still open.
    """
    random = np.random.default_rng(16)
    for i in range(SAVED + AFTERWARDS):
        entity = int(random.integers(8))
        event: dict[str, Any] = {"entity": f"pump-{entity}", "flow": float(random.normal(10, 1)), "mode": "day"}
        event["load"] = 2 * event["flow"] + float(random.normal())
        if i > SAVED // 2:
            event["heat"] = float(random.normal(300, 5))
        if random.random() < 0.02:
            event["flow"] *= float(random.choice([-30, 40, 90]))
        if entity == 3 and SAVED - 60 < i < SAVED + 60:
            event["flow"] += 50.0
        if i >= SAVED and i % 11 == 0:
            event["load"] *= -8.0
        broken = random.random() < 0.01
        yield entity % PARTITIONS, event["entity"], b"{broken" if broken else json.dumps(event).encode()


def send(live: Live, first: int, end: int) -> None:
    """Send some of `events` with their own timestamps, so that offsets and times are the same each time."""
    for i, (partition, key, payload) in enumerate(events()):
        if first <= i < end:
            live.producer.send(
                live.topics.events, payload, key.encode(), partition=partition, timestamp_ms=START + 1000 * i
            )
    live.producer.flush(60)


def answered(records: list[Any], message: dict[str, Any]) -> bool:
    """Whether the answer to a request about an entity is among the notices."""
    return any(json.loads(record.value)["data"].get("request") == message["id"] for record in records)


def live_job(cluster: Cluster, home: Path, outputs: str = "", **more: Any) -> Live:
    """The job's topics, of as many partitions as the savepoint was made with."""
    chosen = sections(outputs)
    chosen["job"] |= more
    settings = validated({"kafka": chosen["kafka"] | {"bootstrap": cluster.bootstrap}}, NAME)
    ensure(settings.kafka, PARTITIONS)
    return Live(cluster, home, **chosen)


def make(folder: Path, taskmanagers: int = 1) -> None:
    """Run the job of these sources over the first events, and copy the savepoint it stops with."""
    assert SMALL.decide.quiet_events < 60  # so that the open incident is still there
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        os.environ["STREAMGAUGE_HOME"] = str(home)
        cluster = local_cluster.up(taskmanagers, free_ports(), home)
        try:
            live = live_job(cluster, home)
            with live.job() as job:
                send(live, 0, SAVED)
                expected = live.expected()
                scores = live.at_least(live.topics.scores, len(expected.scores))
                alerts = live.at_least(live.topics.alerts, len(expected.alerts))
                live.control(ASKED)
                answers = live.until(live.topics.notices, lambda records: answered(records, ASKED))
                savepoint = live.rest.stop(job)
            assert answered(answers, ASKED)
            assert values(scores) == expected.scores
            assert values(alerts) == expected.alerts
            folder.mkdir(parents=True, exist_ok=True)
            packed = shutil.make_archive(str(folder / "job"), "zip", savepoint.removeprefix("file:"))
            print(
                f"{len(scores)} scores, {len(alerts)} alerts, {len(expected.dead)} dead letters, {len(answers)} notices"
            )
            print(packed, Path(packed).stat().st_size, "bytes; the last notice:", answers[-1].value.decode())
        finally:
            local_cluster.down(home)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
