"""What the job set aside, dead letters and late events: counts by day and reason, each with the newest one as an example."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Insert, case, delete, select
from streamgauge.jobs.service.database import insert_rows
from streamgauge.jobs.service.messages import Row
from streamgauge.jobs.service.tables import not_scored as table

DAY = 86_400_000  # milliseconds


@dataclass(frozen=True, slots=True)
class NotScored:
    """Records and events that were set aside for one reason.

    Attributes
    ----------
    reason : str
        As in dead letters; ``late`` for late events.
    today, records : int
        How many arrived on the day that is not over, in UTC, and how many in all days that are kept.
    since : int
        Beginning of the first of these days, milliseconds since 1970.
    last : int
        When the newest one arrived.
    example : dict
        The newest one: topic, partition, offset and place of the record, the message, and the beginning of the record as text.
    """

    reason: str
    today: int
    records: int
    since: int
    last: int
    example: dict[str, Any]


def count_not_scored(connection: Connection, rows: list[Row]) -> None:
    """Count records and events that were set aside.

    Of rows with the same reason and identity, one counts: every task of the job writes the dead letter of a control message that it
    refuses.

    Parameters
    ----------
    connection : Connection
    rows : list of dict
        As `messages.set_aside_of` gives them.
    """
    now = int(time.time() * 1000)
    found: dict[tuple[int, str], Row] = {}
    for row in {(row["reason"], row["identity"]): row for row in rows}.values():
        # Kafka's timestamps are as producers set them.
        arrived = min(row["arrived"], now) if row["arrived"] >= 0 else now
        day, reason = arrived // DAY, row["reason"]
        before = found.get((day, reason), {"records": 0, "last": 0})
        counted = {"records": before["records"] + 1, "last": max(before["last"], arrived), "example": row["example"]}
        found[day, reason] = {"day": day, "reason": reason} | counted
    if found:
        insert_rows(connection, table, list(found.values()), _added)


def _added(insert: Any) -> Insert:
    """An INSERT that adds to the counts of the same day and reason."""
    new = insert.excluded
    last = case((table.c.last > new.last, table.c.last), else_=new.last)
    changed = {"records": table.c.records + new.records, "last": last, "example": new.example}
    added: Insert = insert.on_conflict_do_update(index_elements=["day", "reason"], set_=changed)
    return added


def not_scored(engine: Engine) -> list[NotScored]:
    """What was set aside in the days that are kept, by reason; the most frequent first."""
    today = int(time.time() * 1000) // DAY
    found: dict[str, NotScored] = {}
    with engine.connect() as connection:
        for row in connection.execute(select(table).order_by(table.c.day)).mappings():
            before = found.get(row["reason"])
            found[row["reason"]] = NotScored(
                row["reason"],
                row["records"] if row["day"] == today else 0,
                row["records"] + (before.records if before else 0),
                before.since if before else row["day"] * DAY,
                row["last"],
                row["example"],
            )
    return sorted(found.values(), key=lambda one: (-one.records, one.reason))


def forget_not_scored(connection: Connection, before: int) -> None:
    """Remove the counts of days of which the newest record arrived before a time, in milliseconds since 1970."""
    connection.execute(delete(table).where(table.c.last < before))
