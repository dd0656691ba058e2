"""Writing the history: the rows of a batch of records and the next offsets, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update
from streamgauge.jobs.kafka.follow import SEVERITIES
from streamgauge.jobs.service.database import insert_into, or_update
from streamgauge.jobs.service.tables import changes, feedback, incidents, notices, offsets, unreadable
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.udfs.events.time import epoch_milliseconds
from streamgauge.udfs.incidents.kinds import CHANGES, RESOLVED, RETRACTED

Place = tuple[str, int]  # a topic and a partition
ENDED = (CHANGES[RESOLVED], CHANGES[RETRACTED])
LONGEST = 400  # characters of a name in an index: three times as many bytes, and PostgreSQL allows 2,700
SHOWN = 200  # characters of an unreadable record that are kept
_WRITER = 7307002  # number of PostgreSQL's lock that orders the numbers of changes


class OvertakenError(Exception):
    """Another service has written these records already."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a topic.

    Attributes
    ----------
    topic : str
    partition, offset, timestamp : int
        The timestamp is Kafka's, in milliseconds.
    value : bytes or None
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None


class History:
    """Writes what the topics say into the database.

    Parameters
    ----------
    engine : Engine
    topics : TopicSettings
    """

    def __init__(self, engine: Engine, topics: TopicSettings) -> None:
        self._engine = engine
        self._rows_of = {topics.alerts: _change, topics.notices: _notice, topics.feedback: _feedback}

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
        rows: dict[str, list[dict[str, Any]]] = {"changes": [], "notices": [], "feedback": [], "unreadable": []}
        for record in records:
            name, row = self._row(record)
            if row is not None:
                rows[name].append(row)
        following = {(record.topic, record.partition): record.offset + 1 for record in records}
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # so that readers see the numbers of changes in order
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER})")
            for place, after in following.items():
                self._move(connection, place, expected.get(place, 0), after)
            for name, table in (("notices", notices), ("unreadable", unreadable)):
                if rows[name]:
                    connection.execute(insert_into(self._engine, table).on_conflict_do_nothing(), rows[name])
            if rows["feedback"]:
                newest = {(row["alert_id"], row["by"]): row for row in rows["feedback"]}
                statement = or_update(
                    insert_into(self._engine, feedback), ("alert_id", "by"), ("verdict", "time", "data")
                )
                connection.execute(statement, list(newest.values()))
            return self._write_changes(connection, rows["changes"])

    def _row(self, record: Record) -> tuple[str, dict[str, Any] | None]:
        """The name of the table that a record belongs to, and its row; None for a record without a value."""
        if record.value is None:
            return "unreadable", None
        try:
            return self._rows_of[record.topic](json.loads(record.value, parse_constant=_no_number), record)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            return "unreadable", _unreadable(record, f"{type(error).__name__}: {error}")

    def set_aside(self, record: Record, expected: dict[Place, int], why: str) -> None:
        """Write a record that the database refuses as unreadable, and the offset after it; see `write`."""
        with self._engine.begin() as connection:
            place = record.topic, record.partition
            self._move(connection, place, expected.get(place, 0), record.offset + 1)
            row = insert_into(self._engine, unreadable).on_conflict_do_nothing()
            connection.execute(row, [_unreadable(record, why)])

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

    def _write_changes(self, connection: Connection, rows: list[dict[str, Any]]) -> int:
        """Add new changes, and move their incidents to the state after them."""
        if not rows:
            return 0
        each = list({row["event_id"]: row for row in rows}.values())
        known = set()
        for begin in range(0, len(each), 500):
            part = [row["event_id"] for row in each[begin : begin + 500]]
            known |= set(connection.scalars(select(changes.c.event_id).where(changes.c.event_id.in_(part))))
        new = [row for row in each if row["event_id"] not in known]
        if not new:
            return 0
        arrived = {row["event_id"]: row.pop("arrived") for row in new}
        connection.execute(insert_into(self._engine, changes), new)
        of: dict[str, dict[str, Any]] = {}
        for row in new:
            before = of.get(row["alert_id"])
            of[row["alert_id"]] = _incident(
                row, arrived[row["event_id"]], row["data"] if before is None else before["first"]
            )
        kept = ("alert_id", "entity", "kind", "opened", "first")
        moved = [column.name for column in incidents.c if column.name not in kept]
        connection.execute(or_update(insert_into(self._engine, incidents), ("alert_id",), moved), list(of.values()))
        return len(new)

    def forget(self, before: int) -> int:
        """Remove the incidents whose end arrived before a time, with their changes and feedback, and older notices.

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
            connection.execute(delete(notices).where(notices.c.arrived < before))
            return int(connection.execute(delete(incidents).where(ended)).rowcount)


def _unreadable(record: Record, why: str) -> dict[str, Any]:
    """The row of a record that cannot be read."""
    beginning = _text((record.value or b"")[: 4 * SHOWN].decode(errors="replace"))[:SHOWN]
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return place | {"reason": _text(why)[:SHOWN], "beginning": beginning}


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _text(value: str) -> str:
    """A text without what databases cannot hold: the character 0, and halves of a character."""
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()


def _clean(value: Any) -> Any:
    """A JSON value whose texts databases can hold."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(name): _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value


def _change(envelope: dict[str, Any], record: Record) -> tuple[str, dict[str, Any]]:
    data = _clean(envelope["data"])
    if data["state"] not in CHANGES.values() or data["severity"] not in SEVERITIES:
        raise ValueError(f"state {data['state']!r} with severity {data['severity']!r} is not known")
    row = {"event_id": _short(envelope["id"]), "alert_id": _short(data["alert_id"]), "state": data["state"]}
    _incident(row | {"time": 0, "data": data}, 0, data)  # raises where a value is missing
    return "changes", row | {"time": _time(envelope["time"]), "data": data, "arrived": record.timestamp}


def _incident(change: dict[str, Any], arrived: int, first: dict[str, Any]) -> dict[str, Any]:
    """The row of an incident after a change."""
    data = change["data"]
    shares = first["contributions"]
    return {
        "alert_id": change["alert_id"],
        "entity": str(data["entity"]),
        "kind": str(data["kind"]),
        "severity": data["severity"],
        "rank": SEVERITIES.index(data["severity"]),
        "state": change["state"],
        "opened": _time(data["window"]["from"]),
        "changed": change["time"],
        "arrived": arrived,
        "field": max(shares, key=shares.__getitem__) if shares else None,
        "score": float(data["peak_score"]),
        "first": first,
        "last": data,
    }


def _notice(envelope: dict[str, Any], record: Record) -> tuple[str, dict[str, Any]]:
    row = {"event_id": _short(envelope["id"]), "type": _short(envelope["type"])}
    times = {"time": _time(envelope["time"]), "arrived": record.timestamp}
    return "notices", row | times | {"data": _clean(envelope["data"])}


def _feedback(message: dict[str, Any], record: Record) -> tuple[str, dict[str, Any]]:
    row = {name: _short(message[name]) for name in ("alert_id", "by", "verdict")}
    return "feedback", row | {"time": record.timestamp, "data": _clean(message)}


def _time(value: Any) -> int:
    """A time in milliseconds since 1970."""
    time = epoch_milliseconds(value)
    if abs(time) >= 1 << 62:
        raise ValueError(f"the time {time} is out of range")
    return time


def _short(value: Any) -> str:
    """A text that an index can hold."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        raise ValueError(f"a text of 1 to {LONGEST} characters is needed, not {str(value)[:50]!r}")
    return _text(value)
