"""How far a target was told is known after any stop, and one service at a time moves it."""

from __future__ import annotations

import threading

import pytest
from streamgauge.jobs.service.history import OvertakenError
from streamgauge.jobs.service.outbox import Lease, Outbox, states

from tests.jobs.service.made import START, change, records

SHORT, LONG = Lease(renew=0.0, lost=0.0), Lease(renew=0.0, lost=3600.0)


def numbers(outbox):
    return [one.number for one in outbox.pending("low", 100)]


def test_a_target_begins_after_the_newest_change_and_only_once(history, database):
    outbox = Outbox(database, "webhooks.one", LONG)
    history.write(records(change("a1")), {})
    assert not outbox.known()
    outbox.begin()
    assert outbox.known()
    assert (numbers(outbox), outbox.behind()) == ([], 0)
    history.write(records(change("a2"), begin=1), {("alerts", 0): 1})
    outbox.begin()
    assert [one.alert_id for one in outbox.pending("low", 100)] == ["a2"]
    assert outbox.behind() == 1


def test_a_change_comes_with_what_opened_its_incident_and_with_the_change_before(history, database):
    outbox = Outbox(database, "webhooks.one", LONG)
    outbox.begin()
    messages = [change("a1"), change("a2"), change("a1", "updated", 3, severity="critical", actual={"flow": 12.0})]
    history.write(records(*messages), {})
    first, _, last = outbox.pending("low", 100)
    assert first.before is None
    assert (last.before, last.first) == (messages[0]["data"], messages[0]["data"])
    assert (last.data, last.event_id) == (messages[2]["data"], messages[2]["id"])
    assert (last.field, last.opened, last.time) == ("flow", START, START + 180_000)
    assert len(outbox.pending("low", 2)) == 2


def test_one_service_holds_a_target_until_it_lets_go(history, database):
    one, other = Outbox(database, "webhooks.one", LONG), Outbox(database, "webhooks.one", LONG)
    one.begin()
    assert one.hold()
    assert one.hold()
    assert not other.hold()
    assert not other.hold()
    one.release()
    assert other.hold()
    assert not one.hold()


def test_without_a_sign_of_life_another_service_takes_over_and_the_first_one_cannot_go_on(history, database):
    one, other = Outbox(database, "webhooks.one", Lease(3600.0, 3600.0)), Outbox(database, "webhooks.one", SHORT)
    one.begin()
    history.write(records(change("a1"), change("a2")), {})
    first, second = numbers(one)
    assert one.hold()
    one.done(first, True)
    assert other.hold()
    assert one.hold()  # it believes so for an hour
    with pytest.raises(OvertakenError):
        one.done(second, True)
    with pytest.raises(OvertakenError):
        one.refused(one.pending("low", 1)[0], "HTTP 400")
    one.failed("away")
    one.release()
    [row] = states(database, ["webhooks.one"])
    assert (row["done"], row["problem"], row["refused"]) == (first, None, 0)
    other.done(second, True)
    with pytest.raises(OvertakenError):
        other.done(second, True)


def test_of_services_that_take_over_at_the_same_time_one_gets_the_target(history, database):
    dead = Outbox(database, "webhooks.one", LONG)
    dead.begin()
    for _ in range(5):
        assert dead.hold()
        outboxes = [Outbox(database, "webhooks.one", SHORT) for _ in range(4)]
        barrier, got = threading.Barrier(len(outboxes)), []

        def take(outbox, barrier=barrier, got=got):
            row = outbox._last_sign()
            barrier.wait()
            if outbox._take(*row):
                got.append(outbox)

        threads = [threading.Thread(target=take, args=(outbox,)) for outbox in outboxes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        got[0].release()


def test_a_problem_is_shown_with_its_beginning_until_a_change_is_told(history, database):
    outbox = Outbox(database, "webhooks.one", LONG)
    outbox.begin()
    history.write(records(change("a1"), change("a2")), {})
    first, second = outbox.pending("low", 100)
    assert outbox.hold()
    outbox.failed("HTTP 500")
    [before] = states(database, ["webhooks.one"])
    outbox.failed("HTTP 502 \0")
    [after] = states(database, ["webhooks.one"])
    assert (before["problem"], after["problem"]) == ("HTTP 500", "HTTP 502 \ufffd")
    assert before["since"] == after["since"]
    outbox.answers()
    assert states(database, ["webhooks.one"])[0]["problem"] is None
    outbox.failed("HTTP 500")
    outbox.refused(first, "HTTP 400")
    outbox.done(second.number, True)
    [well] = states(database, ["webhooks.one"])
    assert (well["problem"], well["since"], well["refused"], well["behind"]) == (None, None, 1, 0)


def test_open_incidents_are_those_that_the_target_was_told_of(history, database):
    outbox = Outbox(database, "alertmanagers.main", LONG)
    history.write(records(change("past"), change("changed")), {})
    outbox.begin()
    messages = [change("a1"), change("a2", severity="low"), change("a3"), change("a3", "resolved", 1)]
    messages += [change("changed", "updated", 2, severity="critical"), change("later")]
    history.write(records(*messages, begin=2), {("alerts", 0): 2})
    assert outbox.hold()
    outbox.done(outbox.pending("low", 100)[-2].number, True)
    found = outbox.open_incidents("low", "", 10)
    assert [(one.alert_id, one.data["severity"]) for one in found] == [
        ("a1", "high"),
        ("a2", "low"),
        ("changed", "critical"),
    ]
    assert [one.alert_id for one in outbox.open_incidents("medium", "", 1)] == ["a1"]
    assert [one.alert_id for one in outbox.open_incidents("medium", "a1", 10)] == ["changed"]
    outbox.refused(outbox.pending("low", 1)[0], "HTTP 400")
    assert [one.alert_id for one in outbox.open_incidents("medium", "a1", 10)] == ["changed"]


def test_an_open_incident_that_became_less_severe_is_one_that_the_target_was_told_of(history, database):
    outbox = Outbox(database, "alertmanagers.main", LONG)
    history.write(records(change("past"), change("low", severity="low")), {})
    outbox.begin()
    messages = [change("a1"), *(change(name, "updated", 1, severity="low") for name in ("a1", "past", "low"))]
    history.write(records(*messages, begin=2), {("alerts", 0): 2})
    assert outbox.hold()
    assert [one.heard for one in outbox.pending("high", 10)] == [False, True, False, False]
    outbox.done(outbox.pending("high", 10)[-1].number, True)
    assert [(one.alert_id, one.data["severity"]) for one in outbox.open_incidents("high", "", 10)] == [("a1", "low")]


def test_refusals_are_forgotten_with_what_else_is_old(history, database):
    outbox = Outbox(database, "webhooks.one", LONG)
    outbox.begin()
    history.write(records(change("a1")), {})
    assert outbox.hold()
    outbox.refused(outbox.pending("low", 1)[0], "HTTP 400")
    history.forget(START)
    assert states(database, ["webhooks.one"])[0]["refused"] == 1
    history.forget(1 << 60)
    assert states(database, ["webhooks.one"])[0]["refused"] == 0
