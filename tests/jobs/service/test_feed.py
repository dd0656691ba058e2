"""Open pages get each change once, in order."""

from __future__ import annotations

import asyncio

from sqlalchemy import delete, insert
from streamgauge.jobs.service.feed import KEPT, Feed, Reset
from streamgauge.jobs.service.queries import Queries
from streamgauge.jobs.service.tables import changes

from tests.jobs.service.made import change, records


def anybody():
    """Everybody may listen."""


def test_a_listener_gets_what_comes_from_now_on_and_one_that_was_away_gets_what_it_missed(history, database):
    history.write(records(change("a0"), change("a1")), {})

    async def listen():
        feed = Feed(Queries(database))
        looking = asyncio.create_task(feed.run())
        while not feed._last:
            await asyncio.sleep(0.01)
        fresh, away = feed.after(None, anybody), feed.after(1, anybody)
        begun = asyncio.create_task(anext(fresh))
        missed = await anext(away)
        await asyncio.sleep(0)
        history.write(records(change("a2"), change("a1", "resolved", 3), begin=2), {("alerts", 0): 2})
        came = [await begun, await anext(fresh)]
        caught_up = [await anext(away), await anext(away)]
        looking.cancel()
        return missed, came, caught_up

    missed, came, caught_up = asyncio.run(asyncio.wait_for(listen(), 60))
    assert missed["alert_id"] == "a1"
    assert [(one["alert_id"], one["state"]) for one in came] == [("a2", "opened"), ("a1", "resolved")]
    assert caught_up == came


def test_a_listener_that_comes_before_the_service_has_looked_gets_what_it_missed_at_once(history, database):
    history.write(records(change("a0"), change("a1")), {})

    async def listen():
        feed = Feed(Queries(database))
        away, fresh = feed.after(1, anybody), feed.after(None, anybody)
        missed, newest = asyncio.create_task(anext(away)), asyncio.create_task(anext(fresh))
        await asyncio.sleep(0)
        looking = asyncio.create_task(feed.run())
        got = await missed
        history.write(records(change("a2"), begin=2), {("alerts", 0): 2})
        came = await newest
        looking.cancel()
        return got["alert_id"], came["alert_id"]

    assert asyncio.run(asyncio.wait_for(listen(), 60)) == ("a1", "a2")


def test_a_listener_that_is_far_behind_reads_from_the_database(history, database):
    made = [change(f"a{n}") for n in range(KEPT + 700)]

    async def listen():
        feed = Feed(Queries(database))
        looking = asyncio.create_task(feed.run())
        await asyncio.sleep(0.5)
        history.write(records(*made), {})
        stream, seen = feed.after(0, anybody), []
        while len(seen) < len(made):
            seen.append((await anext(stream))["alert_id"])
        looking.cancel()
        return seen

    seen = asyncio.run(asyncio.wait_for(listen(), 120))
    assert seen == [one["data"]["alert_id"] for one in made]


def test_a_listener_that_has_seen_a_larger_number_than_any_is_told_and_goes_on_from_the_newest(history, database):
    history.write(records(change("a0"), change("a1")), {})

    async def listen():
        feed = Feed(Queries(database))
        looking = asyncio.create_task(feed.run())
        stream = feed.after(1_000, anybody)
        reset = await anext(stream)
        history.write(records(change("a2"), begin=2), {("alerts", 0): 2})
        came = await anext(stream)
        looking.cancel()
        return reset, came["alert_id"]

    assert asyncio.run(asyncio.wait_for(listen(), 60)) == (Reset(2), "a2")


def test_what_another_service_has_written_and_this_one_has_not_seen_is_no_larger_number(history, database):
    history.write(records(change("a0"), change("a1")), {})

    async def listen():
        feed = Feed(Queries(database))
        feed._last = 1
        feed._started.set()
        stream = feed.after(2, anybody)
        begun = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.5)
        looking = asyncio.create_task(feed.run())
        history.write(records(change("a2"), begin=2), {("alerts", 0): 2})
        came = await begun
        looking.cancel()
        return came["alert_id"]

    assert asyncio.run(asyncio.wait_for(listen(), 60)) == "a2"


def test_listeners_are_told_when_the_history_is_restored_while_they_listen(history, database, monkeypatch):
    monkeypatch.setattr("streamgauge.jobs.service.feed.CHECK", 0.1)
    history.write(records(change("a0"), change("a1"), change("a2")), {})

    async def listen():
        feed = Feed(Queries(database))
        looking = asyncio.create_task(feed.run())
        stream = feed.after(2, anybody)
        first = await anext(stream)
        waiting = asyncio.create_task(anext(stream))
        with database.begin() as connection:  # as it was when a1 was not there yet
            connection.execute(delete(changes).where(changes.c.number > 1))
        reset = await waiting
        given = {"number": 2, "event_id": "b", "alert_id": "a0", "state": "resolved", "time": 0, "data": {}}
        with database.begin() as connection:
            connection.execute(insert(changes), [given])
        came = await anext(stream)
        looking.cancel()
        return first["alert_id"], reset, (came["number"], came["state"])

    assert asyncio.run(asyncio.wait_for(listen(), 60)) == ("a2", Reset(1), (2, "resolved"))
