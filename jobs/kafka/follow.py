"""Read the alert topic."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.cloud_events import alert_of
from streamgauge.jobs.kafka.topics import records_since
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import ClusterError, InputError
from streamgauge.udfs.control.feedback import Source, Stretch
from streamgauge.udfs.incidents.kinds import ENDED, SEVERITIES


@dataclass(frozen=True, slots=True)
class Received:
    """An alert message on the topic.

    Attributes
    ----------
    alert : dict
        The CloudEvents envelope.
    appended : float
        When the broker appended it, seconds since 1970.
    """

    alert: dict[str, Any]
    appended: float


def follow_topic(
    kafka: KafkaSettings, topic: str, from_beginning: bool = False, idle_seconds: float | None = None
) -> Generator[Any]:
    """Records of a topic in the order of arrival. With exactly-once delivery, only committed ones.

    Parameters
    ----------
    kafka : KafkaSettings
    topic : str
    from_beginning : bool
        Also read the records that are there already.
    idle_seconds : float, optional
        End when no record has come for this long. By default never end.

    Yields
    ------
    kafka.consumer.fetcher.ConsumerRecord or None
        None whenever no record came for a moment, so that the caller can do other things. After the first None, no new record can be
        missed.

    Raises
    ------
    ClusterError
        The broker or the topic is not there.
    """
    reads = f"follow the topic {topic!r}"
    with clients.consumer(kafka, reads) as consumer:
        partitions = consumer.partitions_for_topic(topic)
        if not partitions:
            raise ClusterError(f"there is no topic {topic!r} at {kafka.bootstrap}: `streamgauge submit` makes it")
        places = [TopicPartition(topic, p) for p in sorted(partitions)]
        consumer.assign(places)
        if from_beginning:
            consumer.seek_to_beginning(*places)
        else:
            consumer.seek_to_end(*places)
            for place in places:
                consumer.position(place)
        last = time.monotonic()
        while idle_seconds is None or time.monotonic() - last < idle_seconds:
            records = [record for batch in consumer.poll(200).values() for record in batch]
            for record in sorted(records, key=lambda r: r.timestamp):
                last = time.monotonic()
                yield record
            if not records:
                yield None


def follow(
    kafka: KafkaSettings, from_beginning: bool = False, idle_seconds: float | None = None
) -> Generator[Received | None]:
    """Alerts in the order of arrival; see `follow_topic`."""
    for record in follow_topic(kafka, kafka.topics.alerts, from_beginning, idle_seconds):
        if record is None:
            yield None
        elif alert := alert_of(record.value):
            yield Received(alert, record.timestamp / 1000)


def records_of(kafka: KafkaSettings, alert_id: str) -> list[dict[str, Any]]:
    """All messages about one alert, in the order of arrival, as CloudEvents envelopes.

    Parameters
    ----------
    kafka : KafkaSettings
    alert_id : str
        Id of the alert, or the beginning of an id that only this alert has.

    Raises
    ------
    InputError
        There is no such alert, or more than one.
    ClusterError
        The broker or the topic is not there.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records_since(kafka, kafka.topics.alerts):
        alert = alert_of(record.value)
        if alert and alert["data"]["alert_id"].startswith(alert_id):
            found.setdefault(alert["data"]["alert_id"], []).append(alert)
    if not found:
        raise InputError(
            f"there is no alert {alert_id!r} on {kafka.topics.alerts} (`streamgauge alerts --json` lists them)"
        )
    if len(found) > 1:
        raise InputError(f"{alert_id!r} is the beginning of {len(found)} alerts: {', '.join(sorted(found)[:5])}")
    return next(iter(found.values()))


def wanted(alert: dict[str, Any], entity: str | None, severity: str, heard: set[str]) -> bool:
    """Whether an alert is about this entity, if one is given, and its incident has, or had before, at least this severity.

    `heard` holds the ids of the open incidents of which alerts were wanted. It is changed.
    """
    data = alert["data"]
    identity = data["alert_id"]
    severe = identity in heard or SEVERITIES.index(data["severity"]) >= SEVERITIES.index(severity)
    if not severe or (entity is not None and data["entity"] != entity):
        return False
    heard.add(identity)
    if data["state"] in ENDED:
        heard.remove(identity)
    return True


def not_learned(kafka: KafkaSettings, since: int) -> list[Stretch]:
    """Offsets of the incidents since a time, in milliseconds, of which events were quarantined.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    stretches = []
    for record in records_since(kafka, kafka.topics.alerts, since):
        alert = alert_of(record.value)
        data = alert["data"] if alert else {}
        if data.get("held_back") and "aggregate" not in data:
            source = data["source"]
            first, last = source["opened_offset"], source["offset"]
            place = Source(topic=source["topic"], partition=source["partition"], first=first, last=last)
            stretches.append(Stretch(data["entity"], place))
    return stretches
