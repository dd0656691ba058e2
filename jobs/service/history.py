"""Writing the history: the rows of a batch of records and the next offsets, in one transaction."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Insert, delete, select, update
from streamgauge.jobs.service.database import insert_into, insert_rows, or_update, write_alone
from streamgauge.jobs.service.messages import (
    Record,
    Row,
    UnreadableError,
    change_of,
    comparison_of,
    feedback_of,
    incident_of,
    members_of,
    notice_of,
    report_of,
    score_of,
    set_aside_of,
    unreadable_of,
)
from streamgauge.jobs.service.not_scored import count_not_scored, forget_not_scored
from streamgauge.jobs.service.notices import COMPARED, GROUPED, TRACKED
from streamgauge.jobs.service.scores import forget_scores, thin_scores, write_scores
from streamgauge.jobs.service.tables import (
    changes,
    comparisons,
    feedback,
    group_members,
    incidents,
    notices,
    offsets,
    refusals,
    reports,
    unreadable,
)
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.udfs.incidents.kinds import ENDED
from streamgauge.udfs.settings.feedback import FeedbackSettings

Place = tuple[str, int]  # a topic and a partition
NO_KEYS = FeedbackSettings()
WEEK = 604_800_000  # milliseconds


class OvertakenError(Exception):
    """Another service has written these records already."""


class History:
    """Writes what the topics say into the database.

    Parameters
    ----------
    engine : Engine
    topics : TopicSettings
    trust : FeedbackSettings
        Feedback that nothing proves is unreadable.
    keep_scores : int
        Milliseconds for which scores of events are kept after their arrival.
    thin_scores : int, optional
        Milliseconds after which only some of them are kept; see `scores.thin_scores`.
    """

    def __init__(
        self,
        engine: Engine,
        topics: TopicSettings,
        trust: FeedbackSettings = NO_KEYS,
        keep_scores: int = WEEK,
        thin_scores: int | None = None,
    ) -> None:
        self._engine, self._keep_scores, self._thin_scores = engine, keep_scores, thin_scores
        self._rows_of: dict[str, tuple[str, Callable[[Record], Row]]] = {
            topics.alerts: ("changes", change_of),
            topics.notices: ("notices", notice_of),
            topics.feedback: ("feedback", functools.partial(feedback_of, trust=trust)),
            topics.scores: ("scores", score_of),
            topics.dead_letters: ("not_scored", set_aside_of),
            topics.late: ("not_scored", set_aside_of),
        }

    def positions(self) -> dict[Place, int]:
        """The next offset of each partition that was read before."""
        with self._engine.connect() as connection:
            return {(topic, partition): at for topic, partition, at in connection.execute(select(offsets))}

    def write(self, records: Sequence[Record], expected: dict[Place, int]) -> int:
        """Write records, and the offsets after them.

        A message that was written before changes nothing, so what a job sends again after a failure is in the tables once.

        Parameters
        ----------
        records : sequence of Record
            In the order of each partition.
        expected : dict
            For each partition of the records, the next offset as `positions` gave it; 0 if it gave none.

        Returns
        -------
        int
            Number of changes of incidents that are new.

        Raises
        ------
        OvertakenError
            The offsets in the database are others. Nothing was written.
        sqlalchemy.exc.SQLAlchemyError
            The database failed. Nothing was written.
        """
        rows: dict[str, list[Row]] = defaultdict(list)
        for record in records:
            if record.value is not None:
                name, row = self._row(record)
                rows[name].append(row)
        following = {(record.topic, record.partition): record.offset + 1 for record in records}
        with self._engine.begin() as connection:
            write_alone(connection)  # so that readers see the numbers of changes in order
            for place, after in following.items():
                self._move(connection, place, expected.get(place, 0), after)
            rows["reports"] = [report_of(row) for row in rows["notices"] if row["type"] == TRACKED]
            rows["comparisons"] = [comparison_of(row) for row in rows["notices"] if row["type"] == COMPARED]
            plain = {"notices": notices, "reports": reports, "comparisons": comparisons, "unreadable": unreadable}
            for name, table in plain.items():
                if rows[name]:
                    insert_rows(connection, table, rows[name], lambda insert: insert.on_conflict_do_nothing())
            if rows["feedback"]:
                self._write_feedback(connection, rows["feedback"])
            self._write_groups(connection, [row for row in rows["notices"] if row["type"] in GROUPED])
            write_scores(connection, rows["scores"], self._keep_scores)
            count_not_scored(connection, rows["not_scored"])
            return self._write_changes(connection, rows["changes"])

    def _row(self, record: Record) -> tuple[str, Row]:
        """The name of the table that a record belongs to, and its row."""
        name, row_of = self._rows_of[record.topic]
        try:
            return name, row_of(record)
        except UnreadableError as error:
            return "unreadable", unreadable_of(record, str(error))

    def set_aside(self, record: Record, expected: dict[Place, int], why: str) -> None:
        """Write a record that the database refuses as unreadable, and the offset after it; see `write`."""
        with self._engine.begin() as connection:
            place = record.topic, record.partition
            self._move(connection, place, expected.get(place, 0), record.offset + 1)
            row = insert_into(self._engine, unreadable).on_conflict_do_nothing()
            connection.execute(row, [unreadable_of(record, why)])

    def _move(self, connection: Connection, place: Place, expected: int, after: int) -> None:
        """Move the next offset of a partition, if it is the expected one."""
        topic, partition = place
        same = (offsets.c.topic == topic) & (offsets.c.partition == partition)
        if expected:
            move = update(offsets).where(same & (offsets.c.next == expected)).values(next=after)
            moved = connection.scalar(move.returning(offsets.c.next))
        else:
            row = insert_into(self._engine, offsets).values(topic=topic, partition=partition, next=after)
            moved = connection.scalar(row.on_conflict_do_nothing().returning(offsets.c.next))
        if moved is None:
            raise OvertakenError

    def _write_feedback(self, connection: Connection, rows: list[Row]) -> None:
        """Write what people said. What was said earlier, and came again, replaces nothing; see `Gate.admit`."""
        alerts = select(feedback.c.alert_id, feedback.c.by, feedback.c.data)
        of = alerts.where(feedback.c.alert_id.in_({row["alert_id"] for row in rows}))
        known = {(alert_id, by): data for alert_id, by, data in connection.execute(of)}
        newest: dict[tuple[str, str], Row] = {}
        for row in rows:
            key, at = (row["alert_id"], row["by"]), row["data"]["at"]
            before = (known.get(key) or {}).get("at")
            if before is None or (at is not None and datetime.fromisoformat(at) > datetime.fromisoformat(before)):
                newest[key], known[key] = row, row["data"]
        if newest:
            insert_rows(connection, feedback, list(newest.values()), _newest_verdict)

    def _write_groups(self, connection: Connection, rows: list[Row]) -> None:
        """Write to which group of several partitions each of a single one belongs. A group only grows: its largest notice counts."""
        members: dict[str, Row] = {}
        for member in sorted((member for row in rows for member in members_of(row)), key=lambda one: one["incidents"]):
            members[member["group_id"]] = member
        if members:
            insert_rows(connection, group_members, list(members.values()), _larger_group)

    def _write_changes(self, connection: Connection, rows: list[Row]) -> int:
        """Add new changes, and move their incidents to the state after them."""
        if not rows:
            return 0
        each = {row["event_id"]: row for row in rows}
        columns = [column.name for column in changes.c if column.name != "number"]
        given = [{name: row[name] for name in columns} for row in each.values()]
        added = set(insert_rows(connection, changes, given, _new_change).scalars())
        if not added:
            return 0
        of: dict[str, Row] = {}
        for row in (row for event_id, row in each.items() if event_id in added):
            before = of.get(row["alert_id"])
            of[row["alert_id"]] = incident_of(row, row["data"] if before is None else before["first"])
        insert_rows(connection, incidents, list(of.values()), _moved_incident)
        return len(added)

    def forget(self, before: int) -> int:
        """Remove the incidents whose end arrived before a time, with their changes and feedback.

        Older notices, unreadable records, refusals and counts of what was not scored are removed, too.

        Parameters
        ----------
        before : int
            Milliseconds since 1970.

        Returns
        -------
        int
            Number of incidents removed.
        """
        ended = incidents.c.state.in_(ENDED) & (incidents.c.arrived < before)
        old = select(incidents.c.alert_id).where(ended)
        with self._engine.begin() as connection:
            for table in (changes, feedback):
                connection.execute(delete(table).where(table.c.alert_id.in_(old)))
            for table in (notices, reports, comparisons, group_members, unreadable):
                connection.execute(delete(table).where(table.c.arrived < before))
            connection.execute(delete(refusals).where(refusals.c.time < before))
            forget_not_scored(connection, before)
            return int(connection.execute(delete(incidents).where(ended)).rowcount)

    def forget_scores(self, now: int) -> int:
        """Remove the scores of the days that are not kept any more, and thin those of other past days, if that is asked for.

        Parameters
        ----------
        now : int
            Milliseconds since 1970.

        Returns
        -------
        int
            Number of days that were thinned.
        """
        forget_scores(self._engine, now - self._keep_scores)
        return 0 if self._thin_scores is None else thin_scores(self._engine, now - self._thin_scores)


def _new_change(insert: Any) -> Any:
    return insert.on_conflict_do_nothing().returning(changes.c.event_id)


def _moved_incident(insert: Any) -> Insert:
    kept = ("alert_id", "entity", "kind", "opened", "field", "first")
    return or_update(insert, ("alert_id",), [column.name for column in incidents.c if column.name not in kept])


def _larger_group(insert: Any) -> Insert:
    new, known = insert.excluded, group_members.c
    values = {name: new[name] for name in ("whole", "incidents", "root", "arrived")}
    larger: Insert = insert.on_conflict_do_update(
        index_elements=["group_id"], set_=values, where=new.incidents >= known.incidents
    )
    return larger


def _newest_verdict(insert: Any) -> Insert:
    return or_update(insert, ("alert_id", "by"), ("verdict", "time", "data"))
