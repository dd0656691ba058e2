"""Targets are told each change once, in order, whatever happens to them, to the service and to the database."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
from sqlalchemy import select
from streamgauge.jobs.service.outbox import Lease, Outbox, states
from streamgauge.jobs.service.tables import refusals
from streamgauge.jobs.settings.loading import validated

from tests.jobs.service.made import change, records
from tests.jobs.service.receiver import Receiver
from tests.jobs.service.telling import SECRET, TAKING_OVER, telling, until, webhooks

ROOT = Path(__file__).parents[3]


@pytest.fixture
def receive():
    """Makes receivers, and stops them at the end."""
    made = []

    def one(*rule):
        made.append(Receiver(*rule))
        return made[-1]

    yield one
    for receiver in made:
        receiver.stop()


class Topic:
    """Writes changes into the history, as if they came from a topic."""

    def __init__(self, history):
        self._history, self._next = history, 0

    def add(self, *messages):
        self._history.write(records(*messages, begin=self._next), {("alerts", 0): self._next} if self._next else {})
        self._next += len(messages)
        return [message["id"] for message in messages]


@pytest.fixture
def topic(history):
    return Topic(history)


def all_told(engine, name="webhooks.one"):
    """Whether a target was told all; its row if so."""
    [row] = states(engine, [name])
    return row if row["done"] is not None and row["behind"] == 0 and row["problem"] is None else None


def some(n, begin=0):
    return [change(f"a{i:03d}") for i in range(begin, begin + n)]


def test_changes_are_told_in_order_and_what_was_before_is_not(database, topic, receive):
    topic.add(*some(3, begin=900))
    one = receive()
    with telling(database, webhooks(one=one.url())):
        ids = topic.add(*some(150), change("a000", "resolved", 5))
        row = until(lambda: all_told(database))
    assert [heard.id for heard in one.accepted] == ids
    assert (row["refused"], row["told"] > 0) == (0, True)


def test_a_new_target_waits_until_the_history_is_up_to_date(database, topic, receive):
    one, read = receive(), threading.Event()
    with telling(database, webhooks(one=one.url()), up_to_date=read.is_set):
        topic.add(*some(20))
        assert states(database, ["webhooks.one"]) == [{"target": "webhooks.one", "done": None}]
        read.set()
        until(lambda: all_told(database))
        ids = topic.add(change("new"))
        until(lambda: one.accepted)
    assert [heard.id for heard in one.accepted] == ids


def test_a_known_target_goes_on_where_it_stopped(database, topic, receive):
    one = receive()
    with telling(database, webhooks(one=one.url())):
        before = topic.add(change("a1"))
        until(lambda: all_told(database))
    missed = topic.add(change("a2"), change("a3"))
    with telling(database, webhooks(one=one.url()), up_to_date=lambda: False):
        until(lambda: all_told(database))
    assert [heard.id for heard in one.accepted] == before + missed


@pytest.mark.parametrize("status", [500, 503, 429, 408, 404, 401, 301])
def test_a_target_that_fails_is_asked_again_until_it_accepts(database, topic, receive, status):
    failures = iter([status] * 4)
    one = receive(lambda _: next(failures, 204))
    with telling(database, webhooks(one=one.url())) as registry:
        count, behind = {"target": "webhooks.one"}, "streamgauge_service_deliveries_behind_changes"
        ids = topic.add(*some(3))
        until(lambda: all_told(database) and registry.get_sample_value(behind, count) == 0)
    assert [heard.id for heard in one.accepted] == ids
    assert [heard.id for heard in one.heard] == [ids[0]] * 4 + ids
    name = "streamgauge_service_deliveries_total"
    results = [registry.get_sample_value(name, count | {"result": result}) for result in ("told", "refused", "failed")]
    assert results == [3, 0, 4]


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_change_that_is_refused_for_its_contents_is_kept_and_passed_over(database, topic, receive, status):
    one = receive(lambda heard: status if heard.json["data"]["alert"]["alert_id"] == "a001" else 200)
    with telling(database, webhooks(one=one.url())) as registry, structlog.testing.capture_logs() as logs:
        ids = topic.add(*some(3))
        row = until(lambda: all_told(database))
    assert [heard.id for heard in one.heard] == ids
    with database.connect() as connection:
        [kept] = connection.execute(select(refusals)).mappings()
    assert (kept["event_id"], kept["reason"], row["refused"]) == (ids[1], f"HTTP {status}", 1)
    assert [(log["id"], log["alert_id"]) for log in logs if log["log_level"] == "error"] == [(ids[1], "a001")]
    labels = {"target": "webhooks.one", "result": "refused"}
    assert registry.get_sample_value("streamgauge_service_deliveries_total", labels) == 1


def test_what_cannot_be_written_as_a_request_is_passed_over(database, topic, receive):
    one = receive()
    with telling(database, webhooks(one=one.url())):
        with database.begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO incident_changes (event_id, alert_id, state, time, data) VALUES ('x', 'a000', 'updated', 1, "
                '\'{"severity": "high"}\')'
            )
        ids = topic.add(*some(2))
        row = until(lambda: all_told(database))
    assert (row["refused"], [heard.id for heard in one.accepted]) == (1, ids)


def test_a_target_that_is_away_or_slow_does_not_hold_up_another(database, topic, receive):
    gone, slow, well = receive(), receive(), receive()
    answer = threading.Event()
    slow.rule = lambda _: 200 if answer.wait(60) else 500
    gone.stop()
    names = {"gone": gone.url(), "slow": slow.url(), "well": well.url()}
    with telling(database, webhooks(**names)):
        ids = topic.add(*some(5))
        until(lambda: all_told(database, "webhooks.well"))
        problem = until(lambda: states(database, ["webhooks.gone"])[0]["problem"])
        assert (problem, states(database, ["webhooks.slow"])[0]["behind"]) == ("ConnectError: Connection refused", 5)
        gone.start()
        answer.set()
        until(lambda: all_told(database, "webhooks.gone") and all_told(database, "webhooks.slow"))
    for receiver in (gone, slow, well):
        assert [heard.id for heard in receiver.accepted] == ids


def test_a_target_is_told_from_its_severity_on(database, topic, receive):
    one = receive()
    with telling(database, webhooks(one={"url": one.url(), "severity": "high"})):
        topic.add(change("a1", severity="low"), change("a2", severity="medium"))
        until(lambda: all_told(database))
        told = topic.add(change("a1", "updated", 1, severity="critical"), change("a3"))
        topic.add(change("a4", severity="low"))
        until(lambda: all_told(database))
    assert [heard.id for heard in one.accepted] == told


@pytest.mark.parametrize("end", ["resolved", "retracted"])
def test_a_target_that_was_told_of_an_incident_hears_its_end_even_if_that_is_less_severe(database, topic, receive, end):
    one = receive()
    topic.add(change("past"))
    with telling(database, webhooks(one={"url": one.url(), "severity": "high"})):
        told = topic.add(change("a1"), change("a1", "updated", 1, severity="low"), change("a1", end, 2, severity="low"))
        topic.add(
            change("past", end, 2, severity="low"), change("a2", severity="low"), change("a2", end, severity="low")
        )
        until(lambda: all_told(database))
    assert [heard.id for heard in one.accepted] == told


def test_several_services_tell_nothing_twice_and_the_next_one_goes_on_at_once(database, topic, receive):
    one = receive()
    service = webhooks(one=one.url())
    with ExitStack() as others:
        with telling(database, service):
            for _ in range(2):
                others.enter_context(telling(database, service))
            ids = topic.add(*some(40))
            until(lambda: all_told(database))
            ids += topic.add(*some(40, begin=40))
        ids += topic.add(*some(40, begin=80))  # the first service has stopped, perhaps in the middle
        until(lambda: all_told(database))
    assert [heard.id for heard in one.heard] == ids


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_service_repeats_only_the_request_whose_answer_was_lost(database, topic, receive, when):
    """The receiver kills the sender: before it answers, or just after, when the sender may have read the answer."""
    senders, killed = [], []

    def rule(heard):
        if len(one.heard) % 7 == 0 and len(killed) < 2:
            killed.append(heard.id)
            if when == "before":
                senders[-1].kill()
                return 500  # the change was not taken, and nobody reads this
            threading.Timer(0.002, senders[-1].kill).start()
        return 200

    one = receive(rule)
    Outbox(database, "webhooks.one", Lease()).begin()
    ids = topic.add(*some(40))
    url = database.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.jobs.service.telling", url, one.url()]
    while not all_told(database):
        senders.append(subprocess.Popen(command, cwd=ROOT))
        until(lambda: senders[-1].poll() is not None or all_told(database))
        if senders[-1].poll() is None:
            senders[-1].send_signal(signal.SIGKILL)
        senders[-1].wait()
    times = Counter(heard.id for heard in one.heard)
    assert list(dict.fromkeys(heard.id for heard in one.accepted)) == ids
    assert len(killed) == 2
    assert max(times.values()) <= 2
    assert sum(times.values()) <= len(ids) + len(killed)
    for heard in one.heard:
        assert heard.json == next(other.json for other in one.heard if other.id == heard.id)


def test_a_service_takes_over_from_one_that_gives_no_sign_of_life(database, topic, receive):
    one = receive()
    dead = Outbox(database, "webhooks.one", TAKING_OVER.lease)
    dead.begin()
    assert dead.hold()
    with telling(database, webhooks(one=one.url()), TAKING_OVER):
        ids = topic.add(*some(2))
        until(lambda: all_told(database))
    assert [heard.id for heard in one.accepted] == ids


def test_no_secret_is_in_logs_in_the_database_or_in_errors(database, topic, receive):
    one = receive(lambda _: 500)
    hidden = f"http://me:pass-word@127.0.0.1:{one.port}/hook/sec-ret-path"
    with telling(database, webhooks(one=hidden)), structlog.testing.capture_logs() as logs:
        topic.add(change("a1"))
        until(lambda: len(one.heard) >= 2)
        one.rule = lambda _: 400
        until(lambda: all_told(database))
    with database.connect() as connection:
        said = [*logs, *states(database, ["webhooks.one"]), *connection.execute(select(refusals)).mappings()]
    assert one.heard[0].path == "/hook/sec-ret-path"
    assert one.heard[0].headers["Authorization"].startswith("Basic ")
    for word in ("pass-word", "sec-ret-path", SECRET):
        assert word not in repr(said)
        assert word not in repr(webhooks(one=hidden))


def test_the_settings_of_the_job_have_no_targets():
    settings = validated({"service": {"webhooks": {"one": {"url": "http://x/sec-ret", "secret": SECRET}}}}, "test")
    assert "webhooks" not in settings.pipeline().model_dump_json()
    assert "sec-ret" not in settings.model_dump_json()
