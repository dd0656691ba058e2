"""Reading the history."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, exists, func, or_, select
from streamgauge.jobs.service.groups import Groups
from streamgauge.jobs.service.models import Model, models
from streamgauge.jobs.service.not_scored import NotScored, not_scored
from streamgauge.jobs.service.notices import Report
from streamgauge.jobs.service.outbox import states
from streamgauge.jobs.service.quality import Quality, newest_reports, quality
from streamgauge.jobs.service.scores import Curve, around, of_entity
from streamgauge.jobs.service.stream import Latency, Left, Unjudged, latency, left_out, unjudged
from streamgauge.jobs.service.tables import changes, feedback, incidents, notices, scores, unreadable
from streamgauge.jobs.settings.loading import RetrainSettings
from streamgauge.models.errors import InputError
from streamgauge.udfs.incidents.kinds import ENDED, OPEN, SEVERITIES

MOST = 500  # rows in one answer
NOT_HELD = "\0"  # a character that PostgreSQL cannot hold, so nothing has it in its name
SIMILAR = 10  # incidents like another one, or opened together with it, that are shown
TOGETHER = 3_600_000  # milliseconds around an incident in which others of its group are looked for


@dataclass(frozen=True, slots=True)
class Filter:
    """Which incidents to list.

    Attributes
    ----------
    state : str, optional
        ``open`` or ``ended``.
    entity, kind : str, optional
    severity : str, optional
        At least this one.
    since, until : int, optional
        Milliseconds since 1970; the incident opened at or after `since`, and before `until`.
    """

    state: str | None = None
    entity: str | None = None
    kind: str | None = None
    severity: str | None = None
    since: int | None = None
    until: int | None = None

    def of(self, query: Select[Any]) -> Select[Any]:
        """The query with these conditions."""
        if self.state:  # states by name: an index does not help to find those that are not some
            query = query.where(incidents.c.state.in_(ENDED if self.state == "ended" else OPEN))
        if self.entity is not None:
            query = query.where(incidents.c.entity == self.entity)
        if self.kind is not None:
            query = query.where(incidents.c.kind == self.kind)
        if self.severity is not None:
            query = query.where(incidents.c.rank >= SEVERITIES.index(self.severity))
        if self.since is not None:
            query = query.where(incidents.c.opened >= self.since)
        if self.until is not None:
            query = query.where(incidents.c.opened < self.until)
        return query


class Queries:
    """Reads the history.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def incidents(
        self, chosen: Filter, limit: int, cursor: str | None = None, worst_first: bool = False, skip: int = 0
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of incidents, the newest first.

        Parameters
        ----------
        chosen : Filter
        limit : int
            At most `MOST`.
        cursor : str, optional
            As the page before gave it.
        worst_first : bool
            By severity first. Such a list has no cursor.
        skip : int
            Incidents before the first one of the page.

        Returns
        -------
        rows : list of dict
        cursor : str or None
            For the next page; None if there is none.

        Raises
        ------
        InputError
            The cursor is none of ours.
        """
        limit = min(limit, MOST)
        ids = chosen.of(select(incidents.c.alert_id))  # sorted without what the rows hold, which is much
        newest = (incidents.c.opened.desc(), incidents.c.alert_id.desc())
        if cursor is not None:
            opened, alert_id = _read_cursor(cursor)
            older = (incidents.c.opened == opened) & (incidents.c.alert_id < alert_id)
            ids = ids.where(or_(incidents.c.opened < opened, older))
        order = (incidents.c.rank.desc(), *newest) if worst_first else newest
        chosen_ids = ids.order_by(*order).offset(skip).limit(limit + 1)
        query = select(incidents).where(incidents.c.alert_id.in_(chosen_ids)).order_by(*order)
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        further = len(rows) > limit and not worst_first
        last = rows[limit - 1] if further else None
        return rows[:limit], _cursor(last["opened"], last["alert_id"]) if last else None

    def count(self, chosen: Filter) -> int:
        """Number of incidents."""
        with self._engine.connect() as connection:
            return int(connection.scalar(chosen.of(select(func.count()).select_from(incidents))) or 0)

    def incident(self, alert_id: str) -> dict[str, Any] | None:
        """An incident with its changes, its feedback, and past incidents like it; None if there is none with this id."""
        if NOT_HELD in alert_id:
            return None
        with self._engine.connect() as connection:
            row = connection.execute(select(incidents).where(incidents.c.alert_id == alert_id)).mappings().first()
            if row is None:
                return None
            mine = select(changes).where(changes.c.alert_id == alert_id).order_by(changes.c.number)
            said = select(feedback).where(feedback.c.alert_id == alert_id).order_by(feedback.c.time)
            return dict(row) | {
                "changes": [
                    dict(change) | {"data": _as_told(change["data"], row["field"])}
                    for change in connection.execute(mine).mappings()
                ],
                "feedback": [dict(one) for one in connection.execute(said).mappings()],
                "similar": self._similar(connection, row),
            }

    def _similar(self, connection: Connection, of: Any) -> list[dict[str, Any]]:
        """Incidents of the same entity and kind in the same field that opened before; the newest first."""
        same = (incidents.c.entity == of["entity"]) & (incidents.c.kind == of["kind"])
        same &= incidents.c.field == of["field"] if of["field"] is not None else incidents.c.field.is_(None)
        query = select(incidents).where(same & (incidents.c.opened < of["opened"]))
        query = query.order_by(incidents.c.opened.desc()).limit(SIMILAR)
        return [dict(row) for row in connection.execute(query).mappings()]

    def opened_with(self, of: dict[str, Any]) -> list[dict[str, Any]]:
        """Other incidents of the same group of a partition; the newest first."""
        group = of["first"].get("group")
        if group is None:
            return []
        same = incidents.c.first["group", "id"].as_string() == group["id"]
        near = incidents.c.opened.between(of["opened"] - TOGETHER, of["opened"] + TOGETHER)
        query = select(incidents).where(near, same, incidents.c.alert_id != of["alert_id"])
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(incidents.c.opened.desc()).limit(SIMILAR)).mappings()
            return [dict(row) for row in rows]

    def entity(self, name: str) -> dict[str, Any] | None:
        """What the history knows about an entity; None if it has no incident."""
        if NOT_HELD in name:
            return None
        ended = incidents.c.state.in_(ENDED)
        query = select(
            func.count(),
            func.count().filter(~ended),
            func.min(incidents.c.opened),
            func.max(incidents.c.changed),
        ).where(incidents.c.entity == name)
        kinds = select(incidents.c.kind, func.count()).where(incidents.c.entity == name).group_by(incidents.c.kind)
        with self._engine.connect() as connection:
            total, still_open, first, last = connection.execute(query).one()
            by_kind = {row[0]: row[1] for row in connection.execute(kinds)}
        if not total:
            return None
        return {"entity": name, "incidents": total, "open": still_open, "first": first, "last": last, "kinds": by_kind}

    def changes_of(self, alert_id: str) -> list[dict[str, Any]]:
        """The data of all messages about an incident, in order."""
        if NOT_HELD in alert_id:
            return []
        query = select(changes.c.data, incidents.c.field).join(incidents, incidents.c.alert_id == changes.c.alert_id)
        query = query.where(changes.c.alert_id == alert_id).order_by(changes.c.number)
        with self._engine.connect() as connection:
            return [_as_told(data, field) for data, field in connection.execute(query)]

    def changes_after(self, number: int, limit: int = MOST) -> list[dict[str, Any]]:
        """Changes with a larger number, in order, each with the incident that it is about."""
        query = select(changes.c.number, changes.c.state, changes.c.time, changes.c.alert_id, incidents.c.entity)
        query = query.add_columns(incidents.c.kind, incidents.c.severity, incidents.c.field)
        query = query.join(incidents, incidents.c.alert_id == changes.c.alert_id)
        query = query.where(changes.c.number > number).order_by(changes.c.number).limit(limit)
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def last_change(self) -> int:
        """Number of the newest change; 0 if there is none."""
        with self._engine.connect() as connection:
            return int(connection.scalar(select(func.max(changes.c.number))) or 0)

    def notices(self, kind: str | None, limit: int) -> list[dict[str, Any]]:
        """Messages of the job about itself, the newest first; `kind` is the type without ``io.streamgauge.``."""
        query = select(notices)
        if kind is not None:
            query = query.where(notices.c.type == f"io.streamgauge.{kind}")
        query = query.order_by(notices.c.time.desc(), notices.c.event_id).limit(min(limit, MOST))
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def said_of(self, entity: str) -> list[dict[str, Any]]:
        """What people said of the incidents of an entity, as on the topic."""
        query = select(feedback.c.data).join(incidents, incidents.c.alert_id == feedback.c.alert_id)
        with self._engine.connect() as connection:
            return list(connection.scalars(query.where(incidents.c.entity == entity)))

    def said_at(self, alert_id: str, by: str) -> datetime | None:
        """When a person said the newest of what they said of an incident, by the clock of the machine where they did."""
        query = select(feedback.c.data).where(feedback.c.alert_id == alert_id, feedback.c.by == by)
        with self._engine.connect() as connection:
            at = (connection.scalar(query) or {}).get("at")
        return None if at is None else datetime.fromisoformat(at)

    def scores(self, entity: str, since: int | None = None, until: int | None = None) -> Curve:
        """The newest scores of an entity; see `scores.of_entity`."""
        return of_entity(self._engine, entity, since, until)

    def has_scores(self, entity: str) -> bool:
        """Whether there is a score of an entity."""
        with self._engine.connect() as connection:
            return bool(connection.scalar(select(exists().where(scores.c.entity == entity))))

    def scores_around(self, entity: str, began: int, ended: int) -> Curve:
        """The scores of an entity around an incident; see `scores.around`."""
        return around(self._engine, entity, began, ended)

    def groups(self) -> Groups:
        """Which incidents belong together."""
        return Groups(self._engine)

    def quality(self, weeks: int) -> Quality:
        """How good the detection was in the newest weeks."""
        return quality(self._engine, weeks)

    def models(self, gates: RetrainSettings) -> list[Model]:
        """The trained models; `gates` are the trainer's."""
        return models(self._engine, gates)

    def reports(self) -> list[tuple[int, Report]]:
        """The newest report of each partition; see `quality.newest_reports`."""
        return newest_reports(self._engine)

    def verdicts(self) -> dict[str, int]:
        """Number of incidents by the verdict of people."""
        query = select(feedback.c.verdict, func.count()).group_by(feedback.c.verdict)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def unreadable(self) -> int:
        """Number of records that could not be read."""
        with self._engine.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(unreadable)) or 0)

    def not_scored(self) -> list[NotScored]:
        """What the job set aside, by reason; see `not_scored.not_scored`."""
        return not_scored(self._engine)

    def unjudged(self) -> Unjudged | None:
        """How many events were not judged; see `stream.unjudged`."""
        return unjudged(self._engine)

    def left_out(self) -> list[Left]:
        """Which fields are not looked at; see `stream.left_out`."""
        return left_out(self._engine)

    def latency(self) -> Latency | None:
        """How long it took from events to alerts; see `stream.latency`."""
        return latency(self._engine)

    def deliveries(self, targets: list[str]) -> list[dict[str, Any]]:
        """How far targets were told; see `outbox.states`."""
        return states(self._engine, targets)


def _as_told(data: dict[str, Any], field: str | None) -> dict[str, Any]:
    """The data of a message, with the incident's field first among equal shares: PostgreSQL keeps no order of keys."""
    shares = data["contributions"]
    return data | {"contributions": {field: shares[field]} | shares} if field in shares else data


def _cursor(opened: int, alert_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([opened, alert_id]).encode()).decode()


def _read_cursor(cursor: str) -> tuple[int, str]:
    try:
        opened, alert_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if type(opened) is int and abs(opened) < 1 << 62 and isinstance(alert_id, str) and "\0" not in alert_id:
            return opened, alert_id.encode(errors="replace").decode()
    except (ValueError, TypeError, RecursionError):
        pass
    raise InputError("cursor: it is none that this service gave (take `next` of the page before)")
