"""What the page says of the stream: which events and fields are not looked at, and how long alerts took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine, func, or_, select
from streamgauge.jobs.service.notices import TRACKED
from streamgauge.jobs.service.tables import incidents, notices, reports

SCHEMA = "io.streamgauge.schema."
# Changes of the schema after which something of an event is not looked at. A new field is among them if it holds no numbers and no text.
LEFT_OUT = ("unread", "limit", "retyped", "no_reading")
ADDED = {"(list)": "it holds lists", "(ignored)": "it holds neither numbers nor text"}
READ_AS_NUMBERS = "send its numbers as fields of their own, or declare what its values mean (event.fields)"
MOST = 100  # messages that are shown
DAY = 86_400_000  # milliseconds
LATELY = 500  # newest incidents whose latency is looked at


@dataclass(frozen=True, slots=True)
class Unjudged:
    """How many events were not judged, by the job's reports on its quality of one day.

    Attributes
    ----------
    events, unjudged : int
        Events of the reports, and those of which too little was known.
    since : int
        Time of the first report, milliseconds since 1970.
    """

    events: int
    unjudged: int
    since: int


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is not looked at.

    Attributes
    ----------
    time : int
        When it was noticed: the time of an event, milliseconds since 1970.
    field : str
        Empty if whole events are meant.
    why : str
        The reason in words; the job's own messages name the setting that changes it.
    """

    time: int
    field: str
    why: str


@dataclass(frozen=True, slots=True)
class Latency:
    """From the time of an event to Kafka's timestamp of the alert about it.

    Attributes
    ----------
    alerts : int
        How many alerts were looked at.
    middle, most : float
        Percentiles 50 and 95, seconds. They are below 0 if the clocks of producers are ahead.
    """

    alerts: int
    middle: float
    most: float


def unjudged(engine: Engine) -> Unjudged | None:
    """How many events were not judged on the newest day of reports; None without a report."""
    newest = select(func.max(notices.c.time)).where(notices.c.type == TRACKED).scalar_subquery()
    query = select(func.sum(reports.c.events), func.sum(reports.c.unjudged), func.min(reports.c.time))
    query = query.where(reports.c.time > newest - DAY)
    with engine.connect() as connection:
        events, some, since = connection.execute(query).one()
    return None if since is None else Unjudged(round(events), round(some), since)


def left_out(engine: Engine) -> list[Left]:
    """What is not looked at, as the job told it; the newest first. The job tells each thing for each partition; here it is once."""
    message = notices.c.data["message"].as_string()
    added = (notices.c.type == f"{SCHEMA}added") & or_(*(message.endswith(kind, autoescape=True) for kind in ADDED))
    told = or_(notices.c.type.in_([f"{SCHEMA}{change}" for change in LEFT_OUT]), added)
    same = (notices.c.type, notices.c.data["topic"].as_string(), notices.c.data["field"].as_string())
    order = (notices.c.time.desc(), notices.c.event_id)
    place = func.row_number().over(partition_by=same, order_by=order).label("place")
    each = select(notices.c.time, notices.c.event_id, notices.c.data, place).where(told).subquery()
    query = select(each.c.time, each.c.data).where(each.c.place == 1).order_by(each.c.time.desc(), each.c.event_id)
    with engine.connect() as connection:
        rows = connection.execute(query.limit(MOST)).all()
    return [Left(time, str(data.get("field") or ""), _why(str(data.get("message") or ""))) for time, data in rows]


def _why(message: str) -> str:
    """The reason in words. The message about a new field only says of which kind it is."""
    kind = message[message.rfind("(") :]
    return f"{ADDED[kind]}: {READ_AS_NUMBERS}" if kind in ADDED else message


def latency(engine: Engine) -> Latency | None:
    """How long it took lately from an event to the alert about it; None if there was no such alert.

    The newest message about each incident is looked at, if an event caused it. Those of silences and of windows, and of incidents that
    ended without an event, are left out: time passed on purpose before them.
    """
    last = incidents.c.last
    threshold, window = last["threshold"].as_float(), last["aggregate", "window"].as_string()
    query = select(incidents.c.arrived - incidents.c.changed, threshold, window)
    query = query.order_by(incidents.c.opened.desc(), incidents.c.alert_id.desc()).limit(LATELY)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    took = [milliseconds for milliseconds, threshold, window in rows if threshold is not None and window is None]
    if not took:
        return None
    middle, most = (np.percentile(took, (50.0, 95.0)) / 1000.0).tolist()
    return Latency(len(took), middle, most)
