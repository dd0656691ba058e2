"""The rows that travel together: events of one schema, with what is known of their entities."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.events.records import Events


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events in order, all of one schema, with what the stages need of them; equal lengths.

    Attributes
    ----------
    events : Events
    X : float64[n, d]
        Values of the numeric fields; NaN is missing.
    offsets, partitions : int64[n]
        Where each event lies on the topic.
    rows : int64[n]
        Row of each event's entity in the `EntityStore`.
    seen : int64[n]
        Events of the entity so far, this one included.
    quarantined : bool[n]
        Whether the event is scored but not learned. Of one entity, all events of a stretch are, or none.
    slots : int64[n]
        Place of the entity in the `RichStore`; -1 is none.
    first : bool[n]
        Whether the entity has been given its slot with this event, or starts anew with it.
    """

    events: Events
    X: Floats
    offsets: Ints
    partitions: Ints
    rows: Ints
    seen: Ints
    quarantined: Flags
    slots: Ints
    first: Flags

    def __len__(self) -> int:
        return len(self.rows)
