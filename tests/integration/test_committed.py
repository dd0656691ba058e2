"""What a transaction wrote and then took back was never there, whoever reads it."""

from __future__ import annotations

import base64
import json

import pytest
from kafka import TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.follow import follow_topic
from streamgauge.jobs.kafka.read_range import newest, read_range, read_since
from streamgauge.jobs.kafka.topics import records_since

from tests.integration.live import PARTITIONS, Live


@pytest.fixture(scope="module")
def live(cluster, tmp_path_factory):
    """The topic of events has records of transactions that were committed, and of one that was aborted between them."""
    made = Live(cluster, tmp_path_factory.mktemp("committed"))
    with clients.producer(made.settings.kafka, "write", transactional_id=made.settings.job.name) as producer:
        producer.init_transactions()
        ends = (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction)
        for turn, end in enumerate(ends):
            producer.begin_transaction()
            for k in range(5):
                producer.send(made.topics.events, f"{turn}{k}".encode(), partition=0)
            producer.flush()  # else what is aborted never reaches the broker
            end()
    return made


COMMITTED = [f"{turn}{k}".encode() for turn in (0, 2) for k in range(5)]


def by_default(live):
    """As `streamgauge train`, `explain` and the trainer read events."""
    place = TopicPartition(live.topics.events, 0)
    with clients.consumer(live.settings.kafka, "read") as consumer:
        consumer.assign([place])
        [end] = consumer.end_offsets([place]).values()
        return [record.value for part in read_range(consumer, place, 0, end) for record in part]


@pytest.mark.parametrize(
    "read",
    [
        by_default,
        lambda live: [r.value for r in follow_topic(live.settings.kafka, live.topics.events, True, 5.0) if r],
        lambda live: [r.value for r in newest(live.settings.kafka, live.topics.events, 100 * PARTITIONS)],
        lambda live: list(read_since(live.settings.kafka, live.topics.events, 0, 1000)[0].payloads),
        lambda live: [r.value for r in records_since(live.settings.kafka, live.topics.events)],
    ],
    ids=["any consumer", "follow_topic", "newest", "read_since", "records_since"],
)
def test_an_aborted_record_is_never_read(live, read):
    assert read(live) == COMMITTED


def test_the_job_never_sees_an_aborted_record(live):
    with live.job():
        dead = live.at_least(live.topics.dead_letters, len(COMMITTED))  # none of these records is an event
    assert [base64.b64decode(json.loads(record.value)["payload"]) for record in dead] == COMMITTED
