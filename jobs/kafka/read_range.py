"""Records between two offsets of a partition, and the batch of events that the pipeline takes."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.topics import SILENT
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import ClusterError, InputError
from streamgauge.udfs.events.records import RawBatch

FAR = 4_102_444_800_000  # 2100: no record has a later timestamp
Ranges = dict[TopicPartition, tuple[int, int]]  # by partition: the offset to begin at, and the one to end before


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

    Raises
    ------
    ClusterError
        No record comes for long.
    """
    consumer.assign([place])
    consumer.seek(place, begin)
    silent = 0
    while consumer.position(place) < end:
        records = [record for part in consumer.poll(1000).values() for record in part if record.offset < end]
        silent = 0 if records else silent + 1
        if silent > SILENT:  # a consumer does not say that its broker went away
            raise ClusterError(f"partition {place.partition} of {place.topic!r} gave nothing for {SILENT} s: is it up?")
        yield records


def raw_batch(records: Sequence[Any]) -> RawBatch:
    """Kafka records as a batch for the pipeline."""
    partitions, offsets, stamps = (
        np.array([getattr(r, name) for r in records], np.int64) for name in ("partition", "offset", "timestamp")
    )
    keys = [record.key for record in records]
    topics = [record.topic for record in records]
    return RawBatch([record.value for record in records], partitions, offsets, stamps, keys, topics)


def newest(kafka: KafkaSettings, topic: str, most: int) -> list[Any]:
    """The newest records of a topic, one partition after the other. Each partition gives an equal share.

    Parameters
    ----------
    kafka : KafkaSettings
    topic : str
    most : int
        The largest number of records.

    Raises
    ------
    InputError
        There is no such topic.
    ClusterError
        The broker does not answer.
    """
    with clients.consumer(kafka, f"read {topic!r}") as consumer:
        places = _places(consumer, kafka, topic)
        starts, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        share = max(1, most // len(places))
        ranges = {place: (max(starts[place], ends[place] - share), ends[place]) for place in places}
        return list(chain.from_iterable(_read(consumer, ranges)))


def read_since(
    kafka: KafkaSettings, topic: str, since: int, most: int, say: Callable[[int, int], None] = lambda *_: None
) -> tuple[RawBatch, int, bool]:
    """Records of a topic since a time, in the order of their timestamps.

    Parameters
    ----------
    kafka : KafkaSettings
    topic : str
    since : int
        Milliseconds, as Kafka's timestamps.
    most : int
        The largest number of records. Of more than that, those since a later time are read.
    say : callable
        Called with the number of records read, and with their total.

    Returns
    -------
    records : RawBatch
    partitions : int
        Number of partitions of the topic.
    cut : bool
        Whether records since then were left out.

    Raises
    ------
    InputError
        There is no such topic.
    ClusterError
        The broker does not answer.
    """
    batches, done = [], 0
    with clients.consumer(kafka, f"read {topic!r}") as consumer:
        places = _places(consumer, kafka, topic)
        ranges, cut = _ranges_since(consumer, places, since, most)
        total = _size(ranges)
        for records in _read(consumer, ranges):
            batches.append(raw_batch(records))
            done += len(records)
            say(done, total)
    return in_time_order(batches), len(places), cut


def in_time_order(batches: list[RawBatch]) -> RawBatch:
    """Records of several partitions in the order of their timestamps.

    Within a partition the offset decides, because the clocks of producers differ.

    Parameters
    ----------
    batches : list of RawBatch
        Those of one partition are in the order of their offsets.
    """
    names = ("partitions", "offsets", "stamps")
    columns = [np.concatenate([np.empty(0, np.int64), *(getattr(b, name) for b in batches)]) for name in names]
    partitions, offsets, stamps = columns
    topics = list(chain.from_iterable(batch.topics or [""] * len(batch) for batch in batches))
    numbered = {name: k for k, name in enumerate(sorted(set(topics)))}
    places = partitions * len(numbered) + np.fromiter(map(numbered.__getitem__, topics), np.int64, len(topics))
    moments = stamps.copy()
    for place in np.unique(places):
        mine = places == place
        moments[mine] = np.maximum.accumulate(stamps[mine])
    payloads = list(chain.from_iterable(batch.payloads for batch in batches))
    keys = list(chain.from_iterable(batch.keys or [None] * len(batch) for batch in batches))
    return RawBatch(payloads, partitions, offsets, stamps, keys, topics).take(np.argsort(moments, kind="stable"))


def _places(consumer: KafkaConsumer, kafka: KafkaSettings, topic: str) -> list[TopicPartition]:
    """All partitions of a topic."""
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        there = ", ".join(sorted(name for name in consumer.topics() if not name.startswith("__"))) or "none"
        raise InputError(f"there is no topic {topic!r} at {kafka.bootstrap}; its topics: {there}")
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def _ranges_since(consumer: KafkaConsumer, places: list[TopicPartition], since: int, most: int) -> tuple[Ranges, bool]:
    """Where to read, so that at most so many records since a time are read; and whether that leaves some of them out."""
    ends = consumer.end_offsets(places)

    def ranges(moment: int) -> Ranges:
        begins = consumer.offsets_for_times(dict.fromkeys(places, moment))
        return {p: (min(begins[p].offset if begins[p] else ends[p], ends[p]), ends[p]) for p in places}

    wanted = ranges(since)
    if _size(wanted) <= most:
        return wanted, False
    moments = range(since, FAR)
    first = bisect.bisect_left(moments, -most, key=lambda moment: -_size(ranges(moment)))
    return ranges(since + first), True


def _size(ranges: Ranges) -> int:
    return sum(end - begin for begin, end in ranges.values())


def _read(consumer: KafkaConsumer, ranges: Ranges) -> Iterator[list[Any]]:
    """Records of several partitions, one partition after the other; see `read_range`."""
    for place, (begin, end) in ranges.items():
        yield from read_range(consumer, place, begin, end)
