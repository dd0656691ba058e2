"""What the job set aside is counted by day and reason, with the newest as an example."""

from __future__ import annotations

import base64
import dataclasses
import time

import pytest
from streamgauge.jobs.service.not_scored import DAY, not_scored
from streamgauge.jobs.service.queries import Queries
from streamgauge.jobs.service.tables import not_scored as table
from streamgauge.jobs.service.tables import unreadable

from tests.jobs.service.made import letter, records
from tests.jobs.service.test_history import rows

NOON = int(time.time() * 1000) // DAY * DAY - DAY // 2  # of the day before, so that no test runs over midnight


def came(values, begin=0, arrived=NOON, topic="dead-letters"):
    """Records that arrive at a time."""
    return [dataclasses.replace(one, timestamp=arrived) for one in records(*values, begin=begin, topic=topic)]


def counted(database):
    """Numbers by reason."""
    return {one.reason: one.records for one in not_scored(database)}


def test_dead_letters_are_counted_by_reason_with_the_newest_as_example(history, database):
    letters = [letter(n, message=f"letter {n}", raw=b"{%d" % n) for n in range(3)]
    history.write(came([*letters, letter(3, "no_entity", place=2)]), {})
    history.write(
        came([letter(4, message="the newest", raw=b"\xff\0")], begin=4, arrived=NOON + 5), {("dead-letters", 0): 4}
    )
    most, other = Queries(database).not_scored()
    assert (most.reason, most.records, most.today, most.last) == ("not_json", 4, 0, NOON + 5)
    assert most.since == NOON // DAY * DAY
    assert most.example == {
        "topic": "events",
        "partition": 0,
        "offset": 4,
        "place": None,
        "message": "the newest",
        "beginning": "\ufffd\ufffd",
    }
    assert (other.reason, other.records, other.example["place"]) == ("no_entity", 1, 2)


def test_late_events_have_the_reason_late_and_say_how_late_they_were(history, database):
    late = {"topic": "events", "partition": 1, "offset": 7, "entity": "pump-1", "late_by_ms": 90_500, "payload": None}
    history.write(came([late], topic="late"), {})
    [one] = not_scored(database)
    assert (one.reason, one.records, one.example["beginning"]) == ("late", 1, None)
    assert one.example["message"] == "it is 90.5 s older than the newest event before it"


def test_what_every_task_writes_of_one_message_counts_once(history, database):
    history.write(came([letter(1, "bad_control", topic="control")] * 3 + [letter(2, "bad_control"), letter(2)]), {})
    assert counted(database) == {"bad_control": 2, "not_json": 1}


def test_the_offset_after_them_is_written_with_the_counts(history, database):
    history.write(came([letter(1), letter(2)]), {})
    assert history.positions() == {("dead-letters", 0): 2}
    history.write(came([letter(3)], begin=2), {("dead-letters", 0): 2})
    assert counted(database) == {"not_json": 3}


def test_days_are_counted_by_themselves_and_forgotten_when_they_are_old(history, database):
    now = int(time.time() * 1000)
    for n, arrived in enumerate((NOON - DAY, NOON, now)):
        history.write(came([letter(n)], begin=n, arrived=arrived), {("dead-letters", 0): n} if n else {})
    [one] = not_scored(database)
    assert (one.today, one.records, one.since) == (1, 3, (NOON - DAY) // DAY * DAY)
    history.forget(NOON)
    [one] = not_scored(database)
    assert (one.today, one.records, one.since) == (1, 2, NOON // DAY * DAY)


@pytest.mark.parametrize("arrived", [-1, 1 << 62])
def test_a_time_that_no_clock_shows_counts_as_now(history, database, arrived):
    before = int(time.time() * 1000)
    history.write(came([letter(1)], arrived=arrived), {})
    [row] = rows(database, table)
    assert before <= row["last"] <= time.time() * 1000
    assert row["day"] == row["last"] // DAY


def test_an_example_is_cut(history, database):
    history.write(came([letter(1, message="m" * 9_000, raw=b"x" * 90_000)]), {})
    [one] = not_scored(database)
    assert (len(one.example["message"]), one.example["beginning"]) == (500, "x" * 200)


HOSTILE = [
    b"no json",
    b"[]",
    letter(-1),
    letter(1 << 63),
    letter(1, ""),
    letter(1, "r" * 401),
    letter(1) | {"payload": "no base64!"},
    letter(1) | {"payload": 5},
    letter(1) | {"reason": None},
    letter(1) | {"partition": "0"},
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:40])
def test_a_record_that_is_no_dead_letter_is_kept_with_its_reason(history, database, value):
    history.write(came([letter(1), value, letter(2)]), {})
    assert counted(database) == {"not_json": 2}
    [bad] = rows(database, unreadable)
    assert (bad["topic"], bad["offset"], bool(bad["reason"])) == ("dead-letters", 1, True)


def test_the_beginning_of_the_bytes_is_shown_as_the_job_writes_it(history, database):
    payload = base64.b64encode(b'{"entity": "pump-1"').decode()
    history.write(came([letter(1) | {"payload": payload}]), {})
    assert not_scored(database)[0].example["beginning"] == '{"entity": "pump-1"'
