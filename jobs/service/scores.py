"""The scores of events: a table that is kept by days, because there are many, and a past day is of little use.

A past day may be thinned: of each entity and hour the event with the largest score stays, and stands for the others.

In PostgreSQL each day is a partition of its own, which is dropped as a whole. With TimescaleDB these are the chunks of a hypertable, which
that makes itself.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Connection, Engine, Select, bindparam, delete, func, select, text
from streamgauge.jobs.pages.thinned import thinned
from streamgauge.jobs.service.database import insert_rows, write_alone
from streamgauge.jobs.service.messages import Row
from streamgauge.jobs.service.tables import incidents, scores

DAY = 86_400_000  # milliseconds
IDENTITY = ("topic", "partition", "offset", "place")  # of an event
ORDER = (scores.c.time, scores.c.offset, scores.c.place)
MOST = 20_000  # scores of an entity that are read at most
BEFORE, AFTER = 2_000, 1_000  # scores on each side of an incident that are read
BUCKETS = 400  # each shows its smallest and its largest score
LONGEST_WAIT = "5s"  # for readers of the table to end; after it the removal fails, and is tried again an hour later
HOUR = 3_600_000  # milliseconds
# The rows that stay of a day. Both databases read it; neither takes parameters where a table is made.
KEPT = f"""
CREATE TEMPORARY TABLE kept_scores AS
SELECT topic, "partition", "offset", place, arrived, entity, "time", score, tail_probability, total AS events FROM (
  SELECT *, sum(coalesce(events, 1)) OVER (PARTITION BY entity, "time" / {HOUR}) AS total, row_number() OVER (
    PARTITION BY entity, "time" / {HOUR}
    ORDER BY score DESC NULLS LAST, arrived, topic, "partition", "offset", place
  ) AS nth
  FROM scores WHERE arrived >= {{begin}} AND arrived < {{end}}
) AS numbered WHERE nth = 1
"""
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'scores'::regclass"


@dataclass(frozen=True, slots=True)
class Curve:
    """Scores of one entity, by event time.

    Attributes
    ----------
    rows : list of dict
        Rows of the table `scores`; of many, the smallest and the largest score of each of `BUCKETS` parts.
    threshold : float or None
        Tail probability at or below which an event was anomalous, as the newest alert of the entity says; None if it has none.
    whole : bool
        Whether all scores that were asked for were looked at. Only the newest `MOST` are.
    """

    rows: list[Row]
    threshold: float | None
    whole: bool


def write_scores(connection: Connection, rows: list[Row], keep: int) -> None:
    """Add the scores of events that have none yet. One writer at a time may do so, which `History` sees to.

    The day of a row is that of its arrival. Event times may be of any age, and Kafka's timestamps are as producers set them: what is
    older than `keep` is left out, and what is ahead counts as of now, so there are never more days than are kept.

    Parameters
    ----------
    connection : Connection
    rows : list of dict
    keep : int
        Milliseconds.
    """
    now = int(time.time() * 1000)
    young = [row | {"arrived": min(row["arrived"], now)} for row in rows if row["arrived"] >= now - keep]
    each = {tuple(row[name] for name in IDENTITY): row for row in young}
    if not each:
        return
    if _by_partition(connection):
        for day in sorted({row["arrived"] // DAY for row in each.values()}):
            _make(connection, day)
    insert_rows(connection, scores, list(each.values()), unless=IDENTITY)


def forget_scores(engine: Engine, before: int) -> None:
    """Remove the days that had ended at a time.

    Parameters
    ----------
    engine : Engine
    before : int
        Milliseconds since 1970.
    """
    first = before // DAY * DAY
    with engine.begin() as connection:
        if connection.dialect.name != "postgresql":
            connection.execute(delete(scores).where(scores.c.arrived < first))
            return
        _wait_little(connection)
        if not _by_partition(connection):
            connection.execute(select(func.drop_chunks("scores", bindparam("first", first, BigInteger)))).all()
            return
        for name in connection.scalars(text(PARTITIONS)).all():
            if name < _partition(first // DAY):
                connection.exec_driver_sql(f"DROP TABLE {name}")


def thin_scores(engine: Engine, before: int) -> int:
    """Keep the largest score of each entity and hour, in the days that had ended at a time. It stands for the others.

    An hour is one of event time. A day that was thinned before is thinned again only if further scores of it came.

    Parameters
    ----------
    engine : Engine
    before : int
        Milliseconds since 1970.

    Returns
    -------
    int
        Number of days that were thinned.
    """
    day = (scores.c.arrived // DAY).label("day")
    whole = select(day).distinct().where(scores.c.arrived < before // DAY * DAY, scores.c.events.is_(None))
    with engine.connect() as connection:
        days = sorted(connection.scalars(whole))
    for day_number in days:
        with engine.begin() as connection:
            write_alone(connection)
            _thin(connection, day_number)
    return len(days)


def _thin(connection: Connection, day: int) -> None:
    """Thin a day. It is emptied as a whole, because PostgreSQL gives the room of single rows back to no one."""
    begin, end = day * DAY, (day + 1) * DAY
    connection.exec_driver_sql("DROP TABLE IF EXISTS kept_scores")  # SQLite keeps it where a thinning before failed
    connection.exec_driver_sql(KEPT.format(begin=begin, end=end))
    if connection.dialect.name != "postgresql":
        connection.execute(delete(scores).where(scores.c.arrived >= begin, scores.c.arrived < end))
    else:
        _wait_little(connection)
        if _by_partition(connection):
            connection.exec_driver_sql(f"TRUNCATE {_partition(day)}")
        else:
            ends = {name: bindparam(name, at, BigInteger) for name, at in (("last", end), ("first", begin))}
            connection.execute(select(func.drop_chunks("scores", ends["last"], ends["first"]))).all()
    columns = ", ".join(f'"{column.name}"' for column in scores.c)
    connection.exec_driver_sql(f"INSERT INTO scores ({columns}) SELECT {columns} FROM kept_scores")
    connection.exec_driver_sql("DROP TABLE kept_scores")


def _wait_little(connection: Connection) -> None:
    """Let what needs a table for itself wait at most `LONGEST_WAIT` for its readers."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LONGEST_WAIT}'")


def of_entity(engine: Engine, entity: str, since: int | None = None, until: int | None = None) -> Curve:
    """The newest scores of an entity.

    Parameters
    ----------
    engine : Engine
    entity : str
    since, until : int, optional
        Event times, milliseconds since 1970; `until` is excluded.
    """
    query = _of(entity)
    if since is not None:
        query = query.where(scores.c.time >= since)
    if until is not None:
        query = query.where(scores.c.time < until)
    with engine.connect() as connection:
        rows = _newest(connection, query, MOST + 1)
        return _curve(connection, entity, rows[-MOST:], len(rows) <= MOST)


def around(engine: Engine, entity: str, began: int, ended: int) -> Curve:
    """The scores of an entity around an incident, whose event times are given in milliseconds since 1970."""
    own = _of(entity)
    later = own.where(scores.c.time > ended).order_by(*ORDER).limit(AFTER)
    with engine.connect() as connection:
        rows = _newest(connection, own.where(scores.c.time < began), BEFORE)
        within = _newest(connection, own.where(scores.c.time.between(began, ended)), MOST + 1)
        rows += within[-MOST:] + [dict(row) for row in connection.execute(later).mappings()]
        return _curve(connection, entity, rows, len(within) <= MOST)


def score_at(tail_probability: float) -> float:
    """The score of a tail probability, as `streamgauge.udfs.output.alert.score_of` has it, which needs the numerical libraries."""
    size = -math.log10(tail_probability)
    return size / (1.0 + size)


def _of(entity: str) -> Select[Any]:
    return select(scores).where(scores.c.entity == entity)


def _newest(connection: Connection, query: Select[Any], most: int) -> list[Row]:
    """The newest rows of a query, in order."""
    newest = query.order_by(*(column.desc() for column in ORDER)).limit(most)
    return [dict(row) for row in connection.execute(newest).mappings()][::-1]


def _curve(connection: Connection, entity: str, rows: list[Row], whole: bool) -> Curve:
    newest = select(incidents.c.last).where(incidents.c.entity == entity).order_by(incidents.c.opened.desc()).limit(1)
    values = np.array([math.nan if row["score"] is None else row["score"] for row in rows])
    alert = connection.scalar(newest) or {}
    return Curve([rows[k] for k in thinned(values, BUCKETS).tolist()], alert.get("threshold"), whole)


def _by_partition(connection: Connection) -> bool:
    """Whether the table has PostgreSQL's own partitions."""
    if connection.dialect.name != "postgresql":
        return False
    return bool(connection.scalar(text("SELECT relkind = 'p' FROM pg_class WHERE oid = 'scores'::regclass")))


def _partition(day: int) -> str:
    """Name of the partition of a day, which is counted from 1970; names are ordered like days."""
    return f"scores_{datetime.fromtimestamp(day * DAY / 1000, UTC):%Y%m%d}"


def _make(connection: Connection, day: int) -> None:
    """Make the partition of a day. Attached afterwards, it does not wait for readers of the other days."""
    name = _partition(day)
    if connection.scalar(select(func.to_regclass(name))) is None:
        connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE scores INCLUDING ALL)")
        connection.exec_driver_sql(
            f"ALTER TABLE scores ATTACH PARTITION {name} FOR VALUES FROM ({day * DAY}) TO ({(day + 1) * DAY})"
        )
