"""Records between two offsets of a partition, and the batch of events that the pipeline takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from streamgauge.udfs.events.records import RawBatch


def read_range(consumer: KafkaConsumer, place: TopicPartition, begin: int, end: int) -> Iterator[list[Any]]:
    """Records of a partition from one offset up to before another, as they arrive.

    Parameters
    ----------
    consumer : KafkaConsumer
        It is assigned to the partition.
    place : TopicPartition
    begin, end : int
        `end` must not be beyond the partition's end: the range would never be read to its end.

    Yields
    ------
    list of kafka.consumer.fetcher.ConsumerRecord
        Empty where nothing came for a second.
    """
    consumer.assign([place])
    consumer.seek(place, begin)
    while consumer.position(place) < end:
        yield [record for part in consumer.poll(1000).values() for record in part if record.offset < end]


def raw_batch(records: Sequence[Any]) -> RawBatch:
    """Kafka's records as the pipeline takes them."""
    columns = (np.array([getattr(r, name) for r in records], np.int64) for name in ("partition", "offset", "timestamp"))
    return RawBatch([record.value for record in records], *columns)
