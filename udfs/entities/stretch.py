"""Events of one schema, together with what the stages know about their entities."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.events.records import Events


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events in order, all of one schema, with what the stages need to know; all attributes have the same length n.

    Attributes
    ----------
    events : Events
    X : float64[n, d]
        Values of the numeric fields; NaN is missing.
    offsets, partitions : int64[n]
        Where each event is on the topic.
    rows : int64[n]
        Row of each event's entity in the `EntityStore`.
    seen : int64[n]
        Number of events of the entity so far, this one included.
    quarantined : bool[n]
        Whether the event is scored but not learned. In a stretch, all events of an entity are quarantined, or none.
    slots : int64[n]
        Slot of the entity in the `RichStore`; -1 if it has none.
    first : bool[n]
        Whether the event is the first of its entity in the slot: it was given the slot now, or starts from the beginning.
    joins : bool[n]
        Whether the entity joins its peers with the event: it was given the slot now.
    clocks : int64[n]
        Event time of the partition at each event, in milliseconds since 1970. Use it, and not the event's own time, where others than
        its entity are concerned.
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
    joins: Flags
    clocks: Ints

    def __len__(self) -> int:
        return len(self.rows)
