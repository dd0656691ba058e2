"""Records of several partitions become one stream."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kafka import TopicPartition
from streamgauge.jobs.kafka.read_range import in_time_order, read_range
from streamgauge.models.errors import ClusterError
from streamgauge.udfs.events.records import RawBatch


def batch(partition, first, stamps):
    offsets = np.arange(first, first + len(stamps))
    payloads = [f"{partition}/{offset}".encode() for offset in offsets]
    return RawBatch(payloads, np.full(len(stamps), partition), offsets, np.array(stamps))


def test_records_are_in_the_order_of_their_times_and_in_a_partition_of_their_offsets():
    merged = in_time_order([batch(0, 7, [10, 30]), batch(0, 9, [20, 50]), batch(1, 0, [15, 40])])
    assert merged.payloads == [b"0/7", b"1/0", b"0/8", b"0/9", b"1/1", b"0/10"]
    assert merged.stamps.tolist() == [10, 15, 30, 20, 40, 50]
    assert merged.partitions.tolist() == [0, 1, 0, 0, 1, 0]
    assert merged.offsets.tolist() == [7, 0, 8, 9, 1, 10]


def test_no_records_are_a_stream_too():
    assert len(in_time_order([])) == 0


class Silent:
    """A consumer whose broker went away after it was made: no error comes, and no record."""

    assign = seek = lambda *_: None
    polls = itertools.count()

    def position(self, _):
        return 3

    def poll(self, _):
        assert next(self.polls) < 1_000, "it is asked for ever"
        return {}


def test_reading_fails_when_no_record_comes_for_long():
    with pytest.raises(ClusterError, match="partition 2 of 'events' gave nothing for 30 s: is it up"):
        list(read_range(Silent(), TopicPartition("events", 2), 3, 9))
