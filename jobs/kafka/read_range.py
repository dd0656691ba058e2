"""Records between two offsets of a partition, and the batch of events that the pipeline takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from streamgauge.udfs.events.records import RawBatch


def read_range(consumer: KafkaConsumer, place: TopicPartition, begin: int, end: int) -> Iterator[list[Any]]:
    """Records of a partition from the offset `begin` up to, but not including, `end`, as they arrive.

    Parameters
    ----------
    consumer : KafkaConsumer
        It gets assigned to the partition.
    place : TopicPartition
    begin, end : int
        `end` must not be after the end of the partition, or reading would never stop.

    Yields
    ------
    list of kafka.consumer.fetcher.ConsumerRecord
        Empty if no record came for a second.
    """
    consumer.assign([place])
    consumer.seek(place, begin)
    while consumer.position(place) < end:
        yield [record for part in consumer.poll(1000).values() for record in part if record.offset < end]


def raw_batch(records: Sequence[Any]) -> RawBatch:
    """Kafka records as a batch for the pipeline."""
    columns = (np.array([getattr(r, name) for r in records], np.int64) for name in ("partition", "offset", "timestamp"))
    return RawBatch([record.value for record in records], *columns)
