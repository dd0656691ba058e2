"""The table of scores: each event once, by days of arrival, which go as a whole."""

from __future__ import annotations

import dataclasses
import math
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import make_url, text
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.history import WEEK, History
from streamgauge.jobs.service.queries import Queries
from streamgauge.jobs.service.scores import BUCKETS, DAY, score_at
from streamgauge.jobs.service.series import span_of
from streamgauge.jobs.service.tables import metadata, scores, unreadable
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.udfs.output.alert import score_of

from tests.jobs.service.made import START, change, record, records, score
from tests.jobs.service.test_history import rows

NOON = int(time.time() * 1000) // DAY * DAY - DAY // 2  # of the day before, so that no test runs over midnight


@pytest.fixture(params=["sqlite", "postgresql", "timescaledb"])
def kind(request):
    """Also a database with TimescaleDB, which keeps the days in its own way."""
    return request.param


def arriving(values, begin=0, arrived=NOON):
    """Records of the topic of scores that arrive at a time."""
    made = [record(value, begin + n, "scores") for n, value in enumerate(values)]
    return [dataclasses.replace(one, timestamp=arrived) for one in made]


def test_the_migrations_make_the_table_that_the_code_uses(database):
    with database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    migrate(database)  # again: nothing to do


def test_scores_are_kept_with_the_place_of_their_event_and_the_offset_after_them(history, database):
    unjudged = score(2, value=None, tail_probability=None, interval=None, unjudged=True)
    history.write(arriving([score(1), unjudged, score(3, place=0), score(3, place=1)]), {})
    found = rows(database, scores)
    assert [(row["offset"], row["place"], row["score"]) for row in found] == [
        (1, -1, 0.5),
        (2, -1, None),
        (3, 0, 0.5),
        (3, 1, 0.5),
    ]
    assert (found[0]["topic"], found[0]["entity"], found[0]["time"], found[0]["tail_probability"]) == (
        "events",
        "pump-1",
        START,
        0.1,
    )
    assert history.positions() == {("scores", 0): 4}


def test_an_event_that_is_scored_again_is_there_once_also_if_that_is_a_day_later(history, database):
    history.write(arriving([score(1), score(2), score(1)]), {})
    history.write(arriving([score(2), score(3)], begin=3, arrived=NOON + DAY // 2), {("scores", 0): 3})
    assert [(row["offset"], row["arrived"]) for row in rows(database, scores)] == [
        (1, NOON),
        (2, NOON),
        (3, NOON + DAY // 2),
    ]


def test_a_day_is_removed_as_a_whole_when_it_is_over(history, database):
    for n in range(4):
        history.write(arriving([score(n)], begin=n, arrived=NOON - n * DAY), {("scores", 0): n})
    history.forget_scores(NOON + WEEK - 2 * DAY)  # a little more than two days back
    assert [row["offset"] for row in rows(database, scores)] == [0, 1, 2]
    history.forget_scores(NOON + WEEK + DAY)
    assert rows(database, scores) == []


def test_hostile_times_make_no_days(history, database):
    """What arrived too long ago is left out, and what claims to arrive later counts as of now, whatever the events' own times are."""
    now = int(time.time() * 1000)
    for n, arrived in enumerate((0, NOON - WEEK - DAY, now + 90 * DAY, (1 << 62))):
        history.write(arriving([score(n, moment=n * 10**13)], begin=n, arrived=arrived), {("scores", 0): n})
    assert [row["offset"] for row in rows(database, scores)] == [2, 3]
    assert all(now <= row["arrived"] <= time.time() * 1000 for row in rows(database, scores))
    assert history.positions() == {("scores", 0): 4}


HOSTILE = [
    b"no json",
    b"[]",
    b"\xff",
    score(entity=""),
    score(entity="x" * 513),
    score(topic=None),
    score(-1),
    score(1 << 63),
    score(partition=1 << 31),
    score(value=1.5),
    score(value="high"),
    score(moment=1 << 62),
    score(moment="now"),
    score(place=-1),
    score(tail_probability=-1),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:40])
def test_a_record_that_is_no_score_is_kept_with_its_reason(history, database, value):
    history.write(arriving([score(1), value, score(2)]), {})
    assert [row["offset"] for row in rows(database, scores)] == [1, 2]
    [bad] = rows(database, unreadable)
    assert (bad["topic"], bad["offset"], bool(bad["reason"])) == ("scores", 1, True)


def test_a_long_name_of_an_entity_fits_its_index(history, database):
    name = "\U0001f600" * 512
    history.write(arriving([score(entity=name), score(1, entity="p\0")]), {})
    assert [len(Queries(database).scores(one).rows) for one in (name, "p\ufffd")] == [1, 1]


def test_the_curve_of_an_entity_is_in_order_of_event_times_and_keeps_its_peaks(history, database):
    values = [0.9 if n == 1234 else 0.1 for n in range(3_000)]
    made = [score(n, moment=START + n, value=value) for n, value in enumerate(values)]
    history.write(arriving([*made, score(9_999, entity="pump-2")]), {})
    curve = Queries(database).scores("pump-1")
    assert curve.whole
    assert len(curve.rows) <= 2 * BUCKETS
    assert [row["time"] for row in curve.rows] == sorted(row["time"] for row in curve.rows)
    assert max(row["score"] for row in curve.rows) == 0.9
    part = Queries(database).scores("pump-1", START + 10, START + 12)
    assert [row["offset"] for row in part.rows] == [10, 11]
    assert Queries(database).scores("nobody").rows == []


def test_the_curve_around_an_incident_has_the_threshold_of_the_entity(history, database):
    history.write(arriving([score(n, moment=START + 1000 * n) for n in range(200)]), {})
    history.write(records(change("a1"), change("a1", "resolved", 1)), {})
    curve = Queries(database).scores_around("pump-1", *span_of(Queries(database).incident("a1")))
    assert (len(curve.rows), curve.threshold, curve.whole) == (200, 1e-4, True)


def test_the_score_of_a_threshold_is_the_one_that_the_job_writes():
    assert all(score_at(p) == pytest.approx(score_of(-math.log(p)), abs=1e-4) for p in (0.5, 1e-3, 1e-9))


def kept(database):
    """What is left: offset, score, and for how many events it stands."""
    return [(row["offset"], row["score"], row["events"]) for row in rows(database, scores)]


def thinning(database):
    """A history that thins what arrived before yesterday."""
    return History(database, TopicSettings(), thin_scores=DAY)


HOUR = 3_600_000
NOW = NOON + DAY + DAY // 4  # of the day after NOON; what arrived at NOON is a day old


def test_of_a_past_day_the_largest_score_of_each_entity_and_hour_stays_and_says_how_many_it_stands_for(database):
    history, hour = thinning(database), START // HOUR * HOUR
    made = [
        score(0, moment=hour, value=0.2),
        score(1, moment=hour + 10, value=0.7, place=3),
        score(2, moment=hour + HOUR - 1, value=None, tail_probability=None),
        score(3, moment=hour + HOUR, value=0.1),
        score(4, "pump-2", moment=hour, value=None, tail_probability=None),
    ]
    history.write(arriving(made, arrived=NOON - DAY), {})
    assert history.forget_scores(NOW) == 1
    assert sorted(kept(database)) == [(1, 0.7, 3), (3, 0.1, 1), (4, None, 1)]
    [largest] = [row for row in rows(database, scores) if row["offset"] == 1]
    assert (largest["place"], largest["time"], largest["entity"], largest["tail_probability"]) == (
        3,
        hour + 10,
        "pump-1",
        0.1,
    )
    assert [one["events"] for one in Queries(database).scores("pump-1").rows] == [3, 1]


def test_a_day_is_thinned_once_and_again_only_if_more_of_it_arrives(database):
    history = thinning(database)
    history.write(arriving([score(n, value=0.1 * n) for n in range(4)], arrived=NOON - DAY), {})
    assert (history.forget_scores(NOW), history.forget_scores(NOW)) == (1, 0)
    history.write(arriving([score(9, value=0.9)], begin=4, arrived=NOON - DAY), {("scores", 0): 4})
    assert history.forget_scores(NOW) == 1
    assert kept(database) == [(9, 0.9, 5)]


def test_younger_days_are_whole_and_older_ones_are_removed(database):
    history = History(database, TopicSettings(), keep_scores=4 * DAY, thin_scores=DAY)
    for n, days in enumerate((0, 1, 2)):
        made = [score(10 * n, value=0.5), score(10 * n + 1, value=0.6)]
        history.write(arriving(made, 2 * n, NOON - days * DAY), {("scores", 0): 2 * n} if n else {})
    history.forget_scores(NOW)
    assert sorted(kept(database)) == [(0, 0.5, None), (1, 0.6, None), (11, 0.6, 2), (21, 0.6, 2)]
    history.forget_scores(NOW + 2 * DAY)
    assert sorted(kept(database)) == [(1, 0.6, 2), (11, 0.6, 2)]


def test_without_the_setting_nothing_is_thinned(history, database):
    history.write(arriving([score(0), score(1)], arrived=NOON - DAY), {})
    assert history.forget_scores(NOW) == 0
    assert len(kept(database)) == 2


def test_two_services_thin_a_day_one_after_the_other(database):
    """The second one waits for the first, and finds nothing that is left to do."""
    history = thinning(database)
    history.write(arriving([score(n, value=0.1 * n) for n in range(4)], arrived=NOON - DAY), {})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: one.forget_scores(NOW), (history, thinning(database))))
    assert kept(database) == [(3, pytest.approx(0.3), 4)]


DAYS = {
    "postgresql": "SELECT count(*) FROM pg_inherits WHERE inhparent = 'scores'::regclass",
    "timescaledb": "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'scores'",
}


@pytest.mark.parametrize("kind", DAYS, indirect=True)
def test_each_day_is_a_part_of_its_own_in_postgresql(history, database, kind):
    for n in range(3):
        history.write(arriving([score(n)], begin=n, arrived=NOON - n * DAY), {("scores", 0): n})
    with database.connect() as connection:
        assert connection.scalar(text(DAYS[kind])) == 3
    thinning(database).forget_scores(NOW)
    with database.connect() as connection:
        assert connection.scalar(text(DAYS[kind])) == 3
    history.forget_scores(NOON + WEEK)
    with database.connect() as connection:
        assert connection.scalar(text(DAYS[kind])) == 1


def test_a_server_with_timescaledb_whose_user_may_not_make_the_extension_gets_partitions(timescaledb, tmp_path):
    url = make_url(timescaledb.database())
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(), autocommit=True) as owner:
        owner.execute("CREATE ROLE plain LOGIN")
        owner.execute("GRANT ALL ON SCHEMA public TO plain")
    engine = connect(url.set(username="plain").render_as_string(), tmp_path)
    migrate(engine)
    History(engine, TopicSettings()).write(arriving([score()]), {})
    with engine.connect() as connection:
        assert connection.scalar(text(DAYS["postgresql"])) == 1
    engine.dispose()
