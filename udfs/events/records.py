"""Kafka records, and the events that are read from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamgauge.models.contract import Ints

WHOLE = -1  # place of the only event of its record


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


_OFFSETS = 1 << 44  # more offsets than a partition ever has


def with_place(offsets: Ints, places: Ints) -> Ints:
    """Offset and place of events as one number each. It is the offset itself for the only event of a record.

    Parameters
    ----------
    offsets, places : int64[n]
        As in `RawBatch` and `Events`; a place is below 2 ** 19.

    Returns
    -------
    int64[n]
    """
    return offsets + (places + 1) * _OFFSETS if (places != WHOLE).any() else offsets


def offset_of(number: int) -> int:
    """The offset in a number of `with_place`."""
    return number % _OFFSETS if number >= 0 else number


def place_of(number: int) -> int:
    """The place in a number of `with_place`; `WHOLE` for the only event of a record."""
    return number // _OFFSETS - 1 if number >= _OFFSETS else WHOLE


@dataclass(slots=True)
class RawBatch:
    """Kafka records in arrival order; all attributes have the same length n.

    Attributes
    ----------
    payloads : sequence of bytes
        None stands for a record without a value.
    partitions, offsets : int64[n]
    stamps : int64[n]
        Kafka's timestamps, in milliseconds since 1970; a negative one stands for a record without a timestamp.
    keys : sequence of bytes, optional
        Keys of the records, None for a record without one; None if no key is needed to read them.
    topics : sequence of str, optional
        Topics of the records; None if all are of the one topic that the settings name.
    arrivals : int64[n], optional
        When the records arrived, as far as this concerns other entities (`events.arrivals`); `stamps` unless given.
    """

    payloads: Sequence[bytes | None]
    partitions: Ints
    offsets: Ints
    stamps: Ints
    keys: Sequence[bytes | None] | None = None
    topics: Sequence[str] | None = None
    arrivals: Ints | None = None

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def arrived(self) -> Ints:
        """`arrivals`, or `stamps` where they are not given."""
        return self.stamps if self.arrivals is None else self.arrivals

    def take(self, rows: Ints) -> RawBatch:
        """The records in the given rows, int64[m]."""
        chosen = rows.tolist()
        payloads = [self.payloads[i] for i in chosen]
        keys = None if self.keys is None else [self.keys[i] for i in chosen]
        topics = None if self.topics is None else [self.topics[i] for i in chosen]
        return RawBatch(payloads, self.partitions[rows], self.offsets[rows], self.stamps[rows], keys, topics)


@dataclass(slots=True)
class DeadLetter:
    """A record, or one event of a record, that cannot be scored.

    Attributes
    ----------
    row : int
        Row of the record in its `RawBatch`.
    reason : str
        Short code, such as not_json.
    message : str
        The reason in words.
    place : int
        Place of the event in its record; `WHOLE` if the whole record is meant.
    event : dict, optional
        Fields of the event, if the record holds others, too.
    """

    row: int
    reason: str
    message: str
    place: int = WHOLE
    event: dict[str, Any] | None = None


class SchemaChange(NamedTuple):
    """A change of the schema.

    Attributes
    ----------
    change : str
        added, vanished, returned, retyped, numeric (a field that held text has become numeric), no_reading (a number is read as
        missing), limit (too many fields), unread (an event without a field that is looked at), untimed (an event without a time),
        format (records of a format that was recognised).
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


class Remark(NamedTuple):
    """Something about the events of a partition that is told once.

    Attributes
    ----------
    change : str
        As in `SchemaChange`.
    field : str
        Name of the field, or of the format.
    text : str
        The remark in words.
    time : int
        Time of the first event to which it applies, milliseconds since 1970.
    """

    change: str
    field: str
    text: str
    time: int


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
    places : int64[n]
        Place of each event in its record, from 0; `WHOLE` for the only event of a record.
    units : list of str, optional
        Entity and situation of each event as one name (`udfs.entities.situations`); None if the settings declare no situations.
    remarks : list of Remark
        What is told once of a partition.
    skipped : int
        Records that hold no event, and are left out by rule.
    """

    rows: Ints
    values: list[dict[str, Any]]
    entities: list[str]
    times: Ints
    places: Ints
    units: list[str] | None = None
    remarks: list[Remark] = field(default_factory=list)
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def drop(self, places: set[int]) -> Events:
        """The events without those at the given places; the same object if there are no places."""
        if not places:
            return self
        keep = [i for i in range(len(self.values)) if i not in places]
        units = None if self.units is None else [self.units[i] for i in keep]
        return Events(
            self.rows[keep],
            [self.values[i] for i in keep],
            [self.entities[i] for i in keep],
            self.times[keep],
            self.places[keep],
            units,
            self.remarks,
            self.skipped,
        )

    def slice(self, start: int, stop: int) -> Events:
        """Events from `start` to before `stop`."""
        part = slice(start, stop)
        units = None if self.units is None else self.units[part]
        return Events(
            self.rows[part], self.values[part], self.entities[part], self.times[part], self.places[part], units
        )

    @property
    def keys(self) -> list[str]:
        """Names under which the state of the events' entities is kept: `units`, or `entities` if there are no situations."""
        return self.entities if self.units is None else self.units
