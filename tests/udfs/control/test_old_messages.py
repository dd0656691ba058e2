"""Requests about entities and feedback are done once: not again for a log that begins later, and not never where a topic was made anew."""

from __future__ import annotations

import json

import pytest
from streamgauge.udfs.pipeline.task import Job, Task

from tests.streams import SMALL, batch

FORGET = '{"type":"entity","entity":"a","action":"forget","id":"old"}'
SHOW = '{"type":"entity","entity":"a","action":"show","id":"new"}'
EVENTS = [{"entity": "a", "x": float(i % 7)} for i in range(30)]


def feedback(identity):
    return json.dumps(
        {"alert_id": identity, "entity": "a", "kind": "point", "tail_probability": 1e-5, "verdict": "false", "by": "b"}
    )


class Kept:
    """A task, started anew from its saved state and from the messages on the topics, as Flink does."""

    def __init__(self, *messages):
        self.saved, self.notices = {}, []
        self.start(*messages)

    def start(self, *messages):
        self.task = Task(Job(SMALL, "events", "feedback", "job", True))
        for message in messages:
            self.task.hear(*message)
        return self

    def feed(self, raw):
        result = self.task.process(0, raw, None if self.task.has(0) else dict(self.saved))
        for key in result.deletes:
            del self.saved[key]
        self.saved |= result.writes
        self.notices += [json.loads(text) for _, text in result.notices]
        return self

    def events_of(self, entity="a"):
        stages = self.task._shards[0].partitions[0].stages
        [row] = stages.entities.rows_of(entity)
        return int(stages.entities.store.head[row, 0]), stages.acted, stages.judged

    def answers(self):
        return [notice["data"]["request"] for notice in self.notices if "request" in notice["data"]]


def test_old_requests_and_feedback_are_not_done_after_the_first_start_on_a_new_log():
    old = [("control", 7, FORGET), ("feedback", 3, feedback("x"))]
    job = Kept(*old).feed(batch(EVENTS))
    assert job.events_of()[1:] == (7, 3)
    job.start(*old).feed(batch(EVENTS, offset=30))
    assert job.answers() == []
    assert job.task._shards[0].partitions[0].stages.events == 60


def test_a_partition_that_begins_later_does_not_do_them_either():
    job = Kept().feed(batch(EVENTS))
    job.task.hear("control", 0, FORGET)
    other = batch(EVENTS)
    other.partitions[:] = 1
    job.feed(other).feed(batch(EVENTS, offset=30))
    assert job.task._shards[0].partitions[1].stages.acted == 0
    job.start(("control", 0, FORGET)).feed(batch(EVENTS, offset=60))
    assert job.answers() == []


@pytest.mark.parametrize("restarted", [False, True])
def test_a_control_topic_that_was_made_anew_is_heard(restarted, caplog):
    job = Kept().feed(batch(EVENTS))
    job.task.hear("control", 100, SHOW)
    job.feed(batch(EVENTS, offset=30))
    if restarted:
        job.start().feed(batch(EVENTS, offset=60))
        assert "was made anew" in caplog.text
        first = job.task.hear("control", 0, SHOW)
    else:
        job.task.hear("control", 101, "{}")
        again = job.task.hear("control", 100, SHOW)  # the same message once more
        assert again.received is None
        first = job.task.hear("control", 100, SHOW.replace("new", "newer"))
        assert "made anew" in caplog.text
    assert [len(result.notices) for result in first.results] == [1]
    second = job.task.hear("control", 101, FORGET)
    assert [len(result.notices) for result in second.results] == [1]


def test_what_an_anew_topic_held_at_the_start_is_not_done_again_without_a_warning(caplog):
    job = Kept().feed(batch(EVENTS))
    job.task.hear("control", 100, SHOW)
    job.feed(batch(EVENTS, offset=30))
    job.start(("control", 4, FORGET)).feed(batch(EVENTS, offset=60))
    assert "made anew" in caplog.text
    assert job.answers() == []
