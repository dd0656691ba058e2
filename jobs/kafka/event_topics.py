"""The topics of events of a job, as they are on the broker."""

from __future__ import annotations

from kafka import KafkaConsumer, TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import InputError
from streamgauge.udfs.flink.scoring import PARTITIONS


def one_topic(kafka: KafkaSettings, chosen: str | None = None) -> str:
    """The topic of events that a tool looks at, if it can look at one only.

    Parameters
    ----------
    kafka : KafkaSettings
    chosen : str, optional
        The topic that a person named.

    Raises
    ------
    InputError
        The settings name several topics, and nobody chose one.
    """
    topics = kafka.topics.event_topics
    if chosen is None and topics.several:
        named = f"a pattern, {topics.pattern!r}" if topics.pattern else ", ".join(topics.names)
        raise InputError(
            f"kafka.topics names several topics of events ({named}), but this reads one: choose it with --topic"
        )
    return topics.first if chosen is None else chosen


def there(kafka: KafkaSettings) -> list[str]:
    """Names of the topics of events that exist now.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    with clients.consumer(kafka, "list the topics") as consumer:
        return sorted({place.topic for place in places(consumer, kafka)})


def places(consumer: KafkaConsumer, kafka: KafkaSettings) -> list[TopicPartition]:
    """All partitions of the topics of events that exist now."""
    topics = kafka.topics.event_topics
    names = topics.names or [name for name in sorted(consumer.topics()) if topics.matches(name)]
    return [TopicPartition(name, n) for name in names for n in sorted(consumer.partitions_for_topic(name) or ())]


def refuse_large_topics(kafka: KafkaSettings) -> None:
    """Raise InputError if one of several topics with a name has more partitions than the job can tell apart."""
    if len(kafka.topics.event_topics.names) < 2:
        return
    with clients.consumer(kafka, "look at the topics of events") as consumer:
        large = [place for place in places(consumer, kafka) if place.partition >= PARTITIONS]
    if large:
        raise InputError(
            f"{large[0].topic} has more than {PARTITIONS} partitions, which is the most with several names in kafka.topics.events: "
            "write kafka.topics.events_pattern"
        )


def named(kafka: KafkaSettings) -> str:
    """The topics of events in words, for messages."""
    topics = kafka.topics.event_topics
    if topics.pattern:
        return f"topic that matches kafka.topics.events_pattern {topics.pattern!r}"
    return f"topic {' or '.join(map(repr, topics.names))}"
