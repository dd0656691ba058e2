"""One job that reads several topics of events, on a real Kafka and a real Flink cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka.admin import NewTopic
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.event_topics import there
from streamgauge.jobs.kafka.pipeline_settings import pipeline_of
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.udfs.pipeline.shard import Shard

from tests.integration.live import Live, events, streamgauge, values


def live_with(cluster: Cluster, home: Path, prefix: str, **topics: Any) -> Live:
    """A job with these topics of events. Its other topics begin with `own-`, so that no pattern of the tests matches them."""
    own = {key: f"own-{prefix}-{name}" for key, name in TopicSettings().own.items()}
    return Live(cluster, home, kafka={"topics": own | topics})


def send(live: Live, topic: str, payloads: Iterable[tuple[str, Any]]) -> None:
    for key, payload in payloads:
        live.producer.send(topic, json.dumps(payload).encode(), key.encode())
    live.producer.flush(60)


def create(live: Live, topic: str, partitions: int) -> None:
    with clients.admin(live.settings.kafka, "create a topic") as admin:
        admin.create_topics([NewTopic(topic, partitions, 1)])


def expected(live: Live, topics: list[str]) -> Any:
    """What the pipeline writes in this process for the events on these topics."""
    shard = Shard(pipeline_of(live.settings), live.topics.event_topics, live.settings.job.name)
    return shard.process(raw_batch([record for topic in topics for record in live.read(topic)]))


def test_a_job_scores_several_topics_as_the_pipeline_does_and_its_records_name_the_topic(cluster, tmp_path):
    prefix = f"list-{time.time_ns()}"
    names = [f"{prefix}-pumps", f"{prefix}-valves"]
    live = live_with(cluster, tmp_path, prefix, events=names)
    for seed, name in enumerate(names):  # entities, partitions and offsets are the same on both topics
        send(live, name, [*events(1500, seed=seed), ("e1", {"no": "entity"})])
    wanted = expected(live, names)
    with live.job():
        scores = live.at_least(live.topics.scores, len(wanted.scores))
        alerts = live.at_least(live.topics.alerts, len(wanted.alerts))
        dead = live.at_least(live.topics.dead_letters, 2)
    assert values(scores) == sorted(text for _, text in wanted.scores)
    assert values(alerts) == sorted(text for _, text in wanted.alerts)
    assert values(dead) == sorted(text for _, text in wanted.dead_letters)
    for records in (scores, dead):
        assert {json.loads(record.value)["topic"] for record in records} == set(names)
    assert {json.loads(record.value)["data"]["source"]["topic"] for record in alerts} == set(names)


@pytest.mark.slow
def test_a_pattern_reads_the_topics_that_match_and_those_that_appear_later(cluster, tmp_path):
    prefix = f"pattern-{time.time_ns()}"
    first, later, other = f"{prefix}-pumps", f"{prefix}-valves", f"{prefix}-pumps.raw"
    live = live_with(cluster, tmp_path, prefix, events_pattern=f"{prefix}-[a-z]+")
    said = streamgauge("doctor", "--settings", live.file, "--json", code=None)
    assert "there is no topic that matches kafka.topics.events_pattern" in said
    for name in (first, other):
        create(live, name, 2)
        send(live, name, events(1200))
    assert there(live.settings.kafka) == [first]
    with live.job():
        alerts = live.at_least(live.topics.alerts, 1)
        assert {json.loads(record.value)["data"]["source"]["topic"] for record in alerts} == {first}
        create(live, later, 1)
        send(live, later, events(1200, seed=1))
        scores = live.at_least(live.topics.scores, 2400)
    of = np.array([json.loads(record.value)["topic"] for record in scores])
    assert {name: int((of == name).sum()) for name in np.unique(of).tolist()} == {first: 1200, later: 1200}
    wanted = expected(live, [first, later])
    assert values(scores) == sorted(text for _, text in wanted.scores)


@pytest.mark.slow
def test_topics_can_be_added_to_a_job_with_saved_state(cluster, tmp_path):
    prefix = f"added-{time.time_ns()}"
    first, second = f"{prefix}-pumps", f"{prefix}-valves"
    one = live_with(cluster, tmp_path, prefix, events=first)
    send(one, first, events(1500))
    with one.job() as number:
        one.at_least(one.topics.scores, 1500)
        savepoint = one.rest.stop(number)
    several = live_with(cluster, tmp_path, prefix, events=[first, second])
    rest = list(events(2000, seed=2))
    send(several, first, rest[:1000])
    send(several, second, rest[1000:])
    with several.job(from_savepoint=savepoint):
        scores = several.at_least(several.topics.scores, 3500)
    assert values(scores) == sorted(text for _, text in expected(several, [first, second]).scores)
