"""Records of Kafka, and the events that are read from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from streamgauge.models.contract import Ints


@dataclass(slots=True)
class RawBatch:
    """Kafka records as they came, in arrival order; equal lengths.

    Attributes
    ----------
    payloads : sequence of bytes
        None is a record without a value.
    partitions, offsets : int64[n]
    stamps : int64[n]
        Kafka's timestamps, milliseconds.
    """

    payloads: Sequence[bytes | None]
    partitions: Ints
    offsets: Ints
    stamps: Ints

    def __len__(self) -> int:
        return len(self.payloads)

    def take(self, rows: Ints) -> RawBatch:
        """The records at some rows."""
        payloads = [self.payloads[i] for i in rows.tolist()]
        return RawBatch(payloads, self.partitions[rows], self.offsets[rows], self.stamps[rows])


@dataclass(slots=True)
class DeadLetter:
    """A record that cannot be scored."""

    row: int
    reason: str
    message: str


class Notice(NamedTuple):
    """A change of the schema: added, vanished, returned, or retyped; of which field; in words; at which of the events."""

    change: str
    field: str
    text: str
    place: int


@dataclass(slots=True)
class Events:
    """Decoded events, in order.

    Attributes
    ----------
    rows : int64[n]
        Row of each event in its `RawBatch`.
    values : list of dict
        Flat fields by name, entity and time included.
    entities : list of str
    times : int64[n]
        Event times, milliseconds.
    units : list of str, optional
        What is kept apart: entities in their situations (`udfs.entities.situations`), where situations are declared.
    """

    rows: Ints
    values: list[dict[str, Any]]
    entities: list[str]
    times: Ints
    units: list[str] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def drop(self, places: set[int]) -> Events:
        """Without the events at some places; the same object where there are none."""
        if not places:
            return self
        keep = [i for i in range(len(self.values)) if i not in places]
        units = None if self.units is None else [self.units[i] for i in keep]
        return Events(
            self.rows[keep], [self.values[i] for i in keep], [self.entities[i] for i in keep], self.times[keep], units
        )

    def slice(self, start: int, stop: int) -> Events:
        """Events from `start` to before `stop`."""
        part = slice(start, stop)
        units = None if self.units is None else self.units[part]
        return Events(self.rows[part], self.values[part], self.entities[part], self.times[part], units)

    @property
    def keys(self) -> list[str]:
        """Under what is kept what is known: the units, or else the entities."""
        return self.entities if self.units is None else self.units
