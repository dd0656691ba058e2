"""Kafka records, and the events that are read from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from streamgauge.models.contract import Ints


@dataclass(slots=True)
class RawBatch:
    """Kafka records in arrival order; all attributes have the same length n.

    Attributes
    ----------
    payloads : sequence of bytes
        None stands for a record without a value.
    partitions, offsets : int64[n]
    stamps : int64[n]
        Kafka's timestamps, in milliseconds since 1970.
    """

    payloads: Sequence[bytes | None]
    partitions: Ints
    offsets: Ints
    stamps: Ints

    def __len__(self) -> int:
        return len(self.payloads)

    def take(self, rows: Ints) -> RawBatch:
        """The records in the given rows, int64[m]."""
        payloads = [self.payloads[i] for i in rows.tolist()]
        return RawBatch(payloads, self.partitions[rows], self.offsets[rows], self.stamps[rows])


@dataclass(slots=True)
class DeadLetter:
    """A record that cannot be scored.

    Attributes
    ----------
    row : int
        Row of the record in its `RawBatch`.
    reason : str
        Short code, such as not_json.
    message : str
        The reason in words.
    """

    row: int
    reason: str
    message: str


class SchemaChange(NamedTuple):
    """A change of the schema.

    Attributes
    ----------
    change : {"added", "vanished", "returned", "retyped"}
    field : str
        Name of the field that changed.
    text : str
        The change in words.
    place : int
        Position, in the batch, of the event that made the change.
    """

    change: str
    field: str
    text: str
    place: int


@dataclass(slots=True)
class Events:
    """Decoded events in the order of their records; all attributes have the same length n.

    Attributes
    ----------
    rows : int64[n]
        Row of each event in its `RawBatch`.
    values : list of dict
        Flat fields by name; the fields with entity and time are among them.
    entities : list of str
    times : int64[n]
        Event times, in milliseconds since 1970.
    units : list of str, optional
        Entity and situation of each event as one name (`udfs.entities.situations`); None if the settings declare no situations.
    """

    rows: Ints
    values: list[dict[str, Any]]
    entities: list[str]
    times: Ints
    units: list[str] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def drop(self, places: set[int]) -> Events:
        """The events without those at the given places; the same object if there are no places."""
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
        """Names under which the state of the events' entities is kept: `units`, or `entities` if there are no situations."""
        return self.entities if self.units is None else self.units


class UnreadableError(Exception):
    """A record cannot be read.

    Attributes
    ----------
    reason : str
        Short code, such as not_json.
    message : str
        The reason in words, with the setting that would read it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message
