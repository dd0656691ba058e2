"""The trainer's own notices, read back when it starts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from streamgauge.jobs.kafka.topics import SILENT, client_options
from streamgauge.jobs.settings.loading import KafkaSettings
from streamgauge.models.errors import ClusterError

STEP = "io.streamgauge.model."
_STEP_BYTES = STEP.encode()


def steps_since(kafka: KafkaSettings, since: int) -> Iterator[dict[str, Any]]:
    """Notices about models that came at a time, or later, in order; only they are parsed, the topic holds many others.

    Parameters
    ----------
    kafka : KafkaSettings
    since : int
        Milliseconds.

    Yields
    ------
    dict
        A CloudEvent.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    topic = kafka.topics.notices
    try:
        consumer = KafkaConsumer(**client_options(kafka), enable_auto_commit=False, isolation_level="read_committed")
        try:
            places = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
            ends, begins = consumer.end_offsets(places), consumer.offsets_for_times(dict.fromkeys(places, since))
            unread = [place for place in places if begins[place] is not None and begins[place].offset < ends[place]]
            consumer.assign(unread)
            for place in unread:
                consumer.seek(place, begins[place].offset)
            last = time.monotonic()
            while any(consumer.position(place) < ends[place] for place in unread):
                for record in (r for batch in consumer.poll(1000).values() for r in batch):
                    last = time.monotonic()
                    if _STEP_BYTES in record.value:
                        yield json.loads(record.value)
                if time.monotonic() - last > SILENT:
                    raise ClusterError(f"the topic {topic!r} at {kafka.bootstrap} gave nothing for {SILENT} s")
        finally:
            consumer.close()
    except KafkaError as error:
        raise ClusterError(f"cannot read the topic {topic!r} at {kafka.bootstrap}: {error}") from error
