"""The Kafka topics of a job: their configuration, and functions that create, read and write them."""

from __future__ import annotations

import heapq
import time
from contextlib import suppress
from typing import Any

from kafka import TopicPartition
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError
from kafka.partitioner.default import murmur2
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import ClusterError
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import ControlMessage, key_of

MOST_ALERTS = 20_000  # that a job reads when it starts
SILENT = 30  # seconds without a record, after which reading a topic to its end fails


def wanted(kafka: KafkaSettings, partitions: int) -> dict[str, tuple[int, dict[str, str]]]:
    """By topic: number of partitions, and configuration. Topics of events that are given by a pattern are made by others."""
    topics = kafka.topics
    return {
        **{name: (partitions, {}) for name in topics.event_topics.names},
        topics.alerts: (partitions, {}),
        topics.dead_letters: (1, {}),
        topics.late: (1, {}),
        topics.scores: (partitions, {}),
        topics.notices: (1, {}),
        topics.retrain_requests: (1, {}),
        topics.control: (1, {"cleanup.policy": "compact"}),
        # kept for ever, and not compacted: a message that is sent once more must not remove a later one
        topics.feedback: (1, {"cleanup.policy": "delete", "retention.ms": "-1"}),
    }


def ensure(kafka: KafkaSettings, partitions: int = 4, overrides: dict[str, dict[str, str]] | None = None) -> list[str]:
    """Create the topics that are missing. Existing topics are not changed.

    Parameters
    ----------
    kafka : KafkaSettings
    partitions : int
        Number of partitions of the topics for events, alerts and scores.
    overrides : dict, optional
        Further configuration, by name of the topic.

    Returns
    -------
    list of str
        Names of the topics that were created.

    Raises
    ------
    ClusterError
        The broker does not answer, or refuses the request.
    """
    with clients.admin(kafka, "create a topic") as client:
        there = set(client.list_topics())
        created = []
        for name, (count, config) in wanted(kafka, partitions).items():
            if name in there:
                continue
            settings = config | (overrides or {}).get(name, {})
            with suppress(TopicAlreadyExistsError):
                client.create_topics([NewTopic(name, count, -1, topic_configs=settings)])
                created.append(name)
    return created


def partitions_of(kafka: KafkaSettings, topic: str) -> set[int]:
    """Numbers of the partitions of a topic; empty if there is no such topic.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    with clients.consumer(kafka, f"look at the topic {topic!r}") as consumer:
        return set(consumer.partitions_for_topic(topic) or ())


def partition_of(key: str, partitions: int) -> int:
    """The partition that Kafka's clients choose for a key."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions if partitions > 1 else 0


def send_control(kafka: KafkaSettings, message: ControlMessage) -> None:
    """Write a message to the control topic. Its key lets a later message replace it.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    _send(kafka, kafka.topics.control, key_of(message), message.model_dump_json())


def _send(kafka: KafkaSettings, topic: str, key: str, text: str) -> None:
    with clients.producer(kafka, f"write to {topic!r}") as producer:
        producer.send(topic, text.encode(), key.encode(), partition=0).get(30)


def send_feedback(kafka: KafkaSettings, message: Feedback) -> None:
    """Write feedback to the feedback topic.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    _send(kafka, kafka.topics.feedback, message.key, message.model_dump_json())


def read_messages(kafka: KafkaSettings) -> list[tuple[str, int, str]]:
    """All records of the control topic and the feedback topic, oldest first: topic, offset and text.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    topics = kafka.topics.control, kafka.topics.feedback
    return [(topic, offset, text) for topic in topics for offset, text in read_texts(kafka, topic)]


def read_alerts(kafka: KafkaSettings) -> list[bytes]:
    """The newest alerts on the topic, oldest first, at most `MOST_ALERTS`.

    Raises
    ------
    ClusterError
        The broker does not answer, or does not let the job read the topic.
    """
    return [record.value for record in records_since(kafka, kafka.topics.alerts, most=MOST_ALERTS) if record.value]


def read_texts(kafka: KafkaSettings, topic: str) -> list[tuple[int, str]]:
    """All records of a topic with one partition, oldest first: offset and text; see `records_since`."""
    return [(r.offset, r.value.decode(errors="replace")) for r in records_since(kafka, topic) if r.value]


def records_since(kafka: KafkaSettings, topic: str, since: int = 0, most: int | None = None) -> list[Any]:
    """All records of a topic since a time, in the order of arrival.

    Parameters
    ----------
    kafka : KafkaSettings
    topic : str
    since : int
        Milliseconds.
    most : int, optional
        Return only this many of the newest records.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    reads = f"read the topic {topic!r}"
    with clients.consumer(kafka, reads) as consumer:
        places = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
        ends = consumer.end_offsets(places)
        begins = consumer.offsets_for_times(dict.fromkeys(places, since))
        wanted = [place for place in places if begins[place] is not None and begins[place].offset < ends[place]]
        consumer.assign(wanted)
        for place in wanted:
            consumer.seek(place, max(begins[place].offset, 0 if most is None else ends[place] - most))
        records: dict[int, list[Any]] = {place.partition: [] for place in wanted}
        last = time.monotonic()
        while any(consumer.position(place) < ends[place] for place in wanted):
            for place, came in consumer.poll(1000).items():
                records[place.partition] += came
                last = time.monotonic()
            if time.monotonic() - last > SILENT:
                raise ClusterError(f"the topic {topic!r} at {kafka.bootstrap} gave nothing for {SILENT} s: is it up?")
    # ordered by time, but within a partition always by offset, because the clocks of producers differ
    return list(heapq.merge(*records.values(), key=lambda r: r.timestamp))[-most if most else None :]
