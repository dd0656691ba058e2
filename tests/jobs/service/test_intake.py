"""From which offsets the topics are read. A topic is in memory here; with a real Kafka, `tests/integration/test_service.py` reads."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time

import pytest
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.service import intake as intakes
from streamgauge.jobs.service.app import ready
from streamgauge.jobs.service.audit import Audit
from streamgauge.jobs.service.intake import LATE, Intake, Status
from streamgauge.jobs.service.queries import Filter, Queries
from structlog.testing import capture_logs

from tests.jobs.kafka.topic_in_memory import TopicInMemory
from tests.jobs.service.made import change, record, records, said
from tests.jobs.service.test_api import settings


@pytest.fixture
def read(database, monkeypatch):
    """Let an intake read records of the topic of alerts to their end."""

    def run(kept):
        @contextlib.contextmanager
        def consumer(_, __, auto_offset_reset="latest", **___):
            yield TopicInMemory("alerts", kept, auto_offset_reset, intake._stop.set)

        monkeypatch.setattr(clients, "consumer", consumer)
        intake = Intake(settings(), database)
        intake._read()

    return run


def names(database):
    return [row["alert_id"] for row in reversed(Queries(database).incidents(Filter(), 10)[0])]


def test_reading_goes_on_where_it_ended_and_after_what_retention_removed(read, database):
    read(records(change("a1"), change("a2")))
    read(records(change("a2"), change("a3"), begin=1))
    read(records(change("a5"), begin=9))
    assert names(database) == ["a1", "a2", "a3", "a5"]


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(read, database):
    read(records(*(change(f"a{n}") for n in range(1, 6))))
    read(records(change("b1"), change("b2")))
    assert names(database) == ["a1", "a2", "a3", "a4", "a5", "b1", "b2"]
    read(records(change("b1"), change("b2"), change("b3")))
    assert names(database)[-1] == "b3"


def test_the_log_names_the_place_of_a_record_that_the_database_refuses(database):
    wrong = dataclasses.replace(record(change("a1"), 7, partition=3), timestamp=1 << 70)
    with capture_logs() as logged:
        Intake(settings(), database).write([wrong], {})
    [line] = logged
    assert (line["event"], line["topic"], line["partition"], line["offset"]) == (
        "a record was set aside",
        "alerts",
        3,
        7,
    )


def test_feedback_of_another_release_that_was_not_sent_does_not_stop_the_reading(read, database, monkeypatch):
    sent, ours = [], json.dumps(said("a2"))
    monkeypatch.setattr(intakes, "LEFT_AFTER", -60_000)
    monkeypatch.setattr(intakes, "send_feedback", lambda _, message: sent.append(message.alert_id))
    numbers = [Audit(database).note("ann", "feedback", {}, text) for text in (json.dumps({"new": 1}), ours)]
    with capture_logs() as logged:
        read(records(change("a1")))
    assert (names(database), sent) == (["a1"], ["a2"])
    assert [line["number"] for line in logged] == numbers[:1]
    assert [number for number, _ in Audit(database).unsent(1 << 60)] == numbers[:1]  # the other release can send it


class Growing(TopicInMemory):
    """A topic that gets a second partition when its first one was read."""

    polls = 0

    def partitions_for_topic(self, topic):
        return set(range(1 + (Growing.polls > 1))) if topic == "alerts" else set()

    def assign(self, places):
        if len(places) > 1:
            self.ended()

    def poll(self, _):
        Growing.polls += 1
        assert Growing.polls < 1_000, "the second partition is never read"
        return {}


def test_partitions_that_come_later_are_read_without_a_restart(database, monkeypatch):
    @contextlib.contextmanager
    def consumer(*_, **__):
        yield Growing("alerts", records(change("a1")), "earliest", intake._stop.set)

    monkeypatch.setattr(clients, "consumer", consumer)
    monkeypatch.setattr(intakes, "NEW_PARTITIONS", 0.0)
    monkeypatch.setattr(Growing, "polls", 0)
    intake = Intake(settings(), database)
    intake._run()
    assert (intake.status.failures, intake.status.problem) == (0, None)


def test_records_to_read_are_a_problem_only_if_they_stay_for_a_while():
    status = Status(problem=None, behind=7, caught_up=time.time())  # there are always some where the job writes scores
    assert not status.late
    assert ready(status) is None
    status.caught_up = time.time() - 2 * LATE
    assert status.late
    assert ready(status) == "7 records are still to be read"
