"""How good the detection is, by kind of anomaly and by week: the promise, verdicts of people, and probes that were found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Connection, Engine, Label, case, func, select, true
from streamgauge.jobs.service.answers import moment
from streamgauge.jobs.service.notices import TRACKED, Report
from streamgauge.jobs.service.tables import feedback, incidents, notices, reports
from streamgauge.models.calibration.shares import wilson

DAY = 86_400_000
WEEK = 7 * DAY
MONDAY = 3 * DAY  # 1970 began on a Thursday
MOST_WEEKS = 52
Cell = tuple[int, str]  # a week, and a kind of anomaly


class Share(BaseModel):
    """A share, with its interval of 95 %."""

    hits: int
    of: int
    share: float
    least: float
    most: float


class Found(BaseModel):
    """What was found."""

    incidents: int = Field(0, description="Incidents that opened.")
    precision: Share | None = Field(
        None, description="Of the incidents that people judged, the share that more people found true than false."
    )
    recall: Share | None = Field(None, description="Share of the probes that were found.")


class Week(BaseModel):
    """One week, from Monday, by event time in UTC."""

    begins: datetime
    promised: float | None = Field(description="False incidents that were promised for the events of this week.")
    opened: int | None = Field(description="Incidents that opened by evidence; they may be true.")
    found: Found
    kinds: dict[str, Found]


class Quality(BaseModel):
    """How good the detection is."""

    promised: float | None = Field(
        description="False incidents a day, as each partition reported last; null: no report."
    )
    achieved: float | None = Field(
        description="Incidents a day that opened by evidence, as each partition reported last."
    )
    entities: dict[str, int] = Field(description="Numbers of entities, as each partition reported last.")
    verdicts: dict[str, int] = Field(description="Verdicts of people that the job has in force, by its last report.")
    events: int = Field(description="Events of the reports of these weeks.")
    unjudged: int = Field(description="Those of which too little was known.")
    found: Found
    kinds: dict[str, Found]
    weeks: list[Week] = Field(description="The newest first; only weeks in which something happened.")


class _Counts:
    """Counts of one cell, or of several together."""

    def __init__(self, cells: Iterable[dict[str, int]]) -> None:
        self._sums: dict[str, int] = {}
        for cell in cells:
            for what, n in cell.items():
                self._sums[what] = self._sums.get(what, 0) + n

    def found(self) -> Found:
        """The counts as figures."""
        get = self._sums.get
        precision, recall = share(get("right", 0), get("judged", 0)), share(get("found", 0), get("probes", 0))
        return Found(incidents=get("incidents", 0), precision=precision, recall=recall)


def share(hits: int, of: int) -> Share | None:
    """A share with its interval; None where nothing was counted."""
    if not of:
        return None
    middle, least, most = wilson(hits, of)
    return Share(hits=hits, of=of, share=middle, least=least, most=most)


def newest_reports(engine: Engine) -> list[tuple[int, Report]]:
    """The newest report of each partition, each with the time at which it arrived in milliseconds; what arrived last is the last."""
    # One step of the recursion for each partition: with many reports, all of them would take long to read.
    places = select(func.min(reports.c.place).label("place")).cte("places", recursive=True)
    following = select(func.min(reports.c.place)).where(reports.c.place > places.c.place).scalar_subquery()
    places = places.union_all(select(following).where(places.c.place.is_not(None)))
    newest = select(reports.c.event_id).where(reports.c.place == places.c.place)
    newest = newest.order_by(reports.c.time.desc(), reports.c.arrived.desc()).limit(1)
    ids = select(newest.scalar_subquery()).select_from(places)
    query = (
        select(notices.c.arrived, notices.c.data)
        .where(notices.c.event_id.in_(ids))
        .order_by(notices.c.arrived, notices.c.time)
    )
    with engine.connect() as connection:
        return [(arrived, Report.model_validate(data)) for arrived, data in connection.execute(query)]


def quality(engine: Engine, weeks: int) -> Quality:
    """How good the detection was in the newest weeks in which something happened.

    Parameters
    ----------
    engine : Engine
    weeks : int
        At most `MOST_WEEKS`.
    """
    newest = [report for _, report in newest_reports(engine)]
    promises = [report.promise for report in newest if report.promise is not None]
    with engine.connect() as connection:
        chosen = _weeks(connection, weeks)
        cells, promised = (_cells(connection, chosen[-1]), _promised(connection, chosen[-1])) if chosen else ({}, {})
    events, unjudged = (sum(one[what] for one in promised.values()) for what in ("events", "unjudged"))
    return Quality(
        promised=sum(one.promised for one in promises) if promises else None,
        achieved=sum(one.achieved for one in promises) if promises else None,
        entities={what: sum(getattr(one.entities, what) for one in newest) for what in ("known", "warm", "rich")},
        verdicts=newest[-1].feedback if newest else {},
        events=events,
        unjudged=unjudged,
        found=_Counts(cells.values()).found(),
        kinds=_by_kind(cells),
        weeks=[_week(number, cells, promised.get(number)) for number in chosen],
    )


def _week(number: int, cells: dict[Cell, dict[str, int]], promised: dict[str, Any] | None) -> Week:
    own = {cell: counts for cell, counts in cells.items() if cell[0] == number}
    return Week(
        begins=moment(number * WEEK - MONDAY),
        promised=None if promised is None else promised["promised"],
        opened=None if promised is None else promised["opened"],
        found=_Counts(own.values()).found(),
        kinds=_by_kind(own),
    )


def _by_kind(cells: dict[Cell, dict[str, int]]) -> dict[str, Found]:
    kinds = sorted({kind for _, kind in cells})
    return {kind: _Counts(counts for (_, of), counts in cells.items() if of == kind).found() for kind in kinds}


def _week_of(time: ColumnElement[int]) -> Label[int]:
    """The number of the week of a time."""
    return ((time + MONDAY) // WEEK).label("week")


def _weeks(connection: Connection, most: int) -> list[int]:
    """The newest weeks with an incident or a report, the newest first."""
    found: set[int] = set()
    for time, condition in ((incidents.c.opened, true()), (notices.c.time, notices.c.type == TRACKED)):
        week = _week_of(time)
        found.update(connection.scalars(select(week).distinct().where(condition).order_by(week.desc()).limit(most)))
    return sorted(found, reverse=True)[:most]


def _promised(connection: Connection, first: int) -> dict[int, dict[str, Any]]:
    """By week from the first one on: events of the reports, promised and opened incidents (None if no report tells of them)."""
    sums = [func.sum(column) for column in (reports.c.events, reports.c.unjudged, reports.c.promised, reports.c.opened)]
    query = select(_week_of(reports.c.time), *sums).where(reports.c.time >= first * WEEK - MONDAY).group_by("week")
    return {
        week: {
            "events": round(n),
            "unjudged": round(without),
            "promised": promised,
            "opened": None if opened is None else round(opened),
        }
        for week, n, without, promised, opened in connection.execute(query)
    }


def _cells(connection: Connection, first: int) -> dict[Cell, dict[str, int]]:
    """By week from the first one on, and kind: incidents, judged ones, right ones, probes, and found ones."""
    begins, cells = first * WEEK - MONDAY, defaultdict[Cell, dict[str, int]](dict)
    vote = case((feedback.c.verdict == "true", 1), (feedback.c.verdict == "false", -1), else_=0)
    votes = select(feedback.c.alert_id, func.sum(vote).label("votes")).group_by(feedback.c.alert_id).subquery()
    opened = select(
        _week_of(incidents.c.opened),
        incidents.c.kind,
        func.count().label("incidents"),
        func.sum(case((votes.c.votes != 0, 1), else_=0)).label("judged"),
        func.sum(case((votes.c.votes > 0, 1), else_=0)).label("right"),
    )
    opened = opened.outerjoin(votes, votes.c.alert_id == incidents.c.alert_id).where(incidents.c.opened >= begins)
    probes = select(
        _week_of(reports.c.time),
        reports.c.probe.label("kind"),
        func.count().label("probes"),
        func.sum(case((reports.c.found, 1), else_=0)).label("found"),
    ).where(reports.c.time >= begins, reports.c.probe.is_not(None))
    for query in (opened, probes):
        for row in connection.execute(query.group_by("week", "kind")).mappings():
            counts = {what: int(n) for what, n in row.items() if what not in ("week", "kind")}
            cells[row["week"], row["kind"]] |= counts
    return cells
