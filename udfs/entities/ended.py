"""Incidents that no event ends: their entity sends nothing any more, was forgotten, or was set back."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.models.contract import Ints
from streamgauge.udfs.entities.columns import PEAK, STATUS
from streamgauge.udfs.entities.entity_store import EntityStore

ABSENT, EVICTED, FORGOTTEN, REWOUND = "absent", "evicted", "forgotten", "rewound"
REASONS = {
    ABSENT: "the entity sent nothing for longer than entity.forget_after",
    EVICTED: "there are more entities than entity.most, and others sent something since",
    FORGOTTEN: "a person asked to forget the entity",
    REWOUND: "a person set the entity back to before the incident",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """An incident that ended without an event.

    Attributes
    ----------
    unit : str
        Name of the entity in the store.
    incident : int64[25]
        The row of `EntityStore.head` before the end.
    peak : float
        Largest evidence of the incident.
    time : int
        Event time of the partition at the end, in milliseconds since 1970.
    reason : str
        A key of `REASONS`.
    """

    unit: str
    incident: Ints
    peak: float
    time: int
    reason: str


def end(store: EntityStore, rows: Ints, time: int, reason: str) -> list[Ended]:
    """End the open incidents of the entities in these rows, int64[n]; returns them sorted by name, because rows change with a restart."""
    rows = rows[store.head[rows, STATUS] > 0]
    of_name = {store.names[row]: row for row in rows.tolist()}
    ended = [
        Ended(name, store.head[row].copy(), float(store.levels[row, PEAK]), time, reason)
        for name, row in sorted(of_name.items())
    ]
    store.head[rows, STATUS:] = 0
    store.levels[rows] = 0.0
    return ended
