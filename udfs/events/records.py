"""The records that steps hand to each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from streamgauge.models.contract import Flags, Floats, Ints, Kind

EVIDENCE: tuple[Kind, ...] = ("point", "contextual", "collective", "relative", "drift")


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


class ByPlace(Protocol):
    """Numbers of each field of an event, float64[d], by the event's place: an array, or made when asked for."""

    def __getitem__(self, place: int, /) -> Floats:
        """Those of one event."""


@dataclass(slots=True)
class Opinions:
    """What the detectors say of each event.

    Attributes
    ----------
    names : list of str
        The detectors.
    magnitudes : float64[n, detectors]
        Odds of each score; NaN where a detector has no opinion yet.
    contributions : list
        Of each detector: its unscaled weight of each field of an event, by the event's place; NaN is none, None no opinion of any.
    expected : list
        What each field of an event was expected to be, by the event's place, NaN where unknown; the first that knows is right.
    missing : float64[n]
        Largest share of a trained model's fields that the event lacks.
    categories : float64[n, text fields]
        Weight of each text field.
    levels : float64[seated events, d] or float64[seated events, 0]
        Where the peers of the events of rich entities stand.
    canaries : bool[n, models] or bool[n, 0]
        For which events each trained model's shadow is heard in its place; no columns where none is.
    sure : float64[n]
        Surprise of the detectors that decide over the others that an alert may rest on; NaN where none has an opinion.
    seconds : dict of str to float
        What each trained model took.
    """

    names: list[str]
    magnitudes: Floats
    contributions: list[ByPlace | None]
    expected: list[ByPlace]
    missing: Floats
    categories: Floats
    levels: Floats
    canaries: Flags
    sure: Floats
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Verdicts:
    """Calibrated and combined opinions.

    Attributes
    ----------
    surprises : float64[n, detectors]
        Minus ln of each detector's tail probability; NaN where it has no opinion.
    surprise : float64[n]
        How unusual each event is by itself, for its time: the larger of what speaks for a point and for a contextual anomaly; 0 where
        nobody has an opinion.
    disagreement : float64[n]
        0 to 1.
    interval : float64[n, 2]
        In which 90 % of ensembles of such members would see the event, as far as these tell: lower and upper surprise.
    evidence : float64[n, 5]
        Surprise that speaks for each kind of `EVIDENCE`: for a point that of the ensemble, as far as an alert may rest on it, for the
        others that of who looks for them.
    """

    surprises: Floats
    surprise: Floats
    disagreement: Floats
    interval: Floats
    evidence: Floats

    @property
    def total(self) -> Floats:
        """float64[n], surprise that speaks for an incident of any kind: the largest of `evidence`."""
        largest: Floats = self.evidence.max(axis=1)
        return largest


@dataclass(slots=True)
class WindowRows:
    """What entities did in one window of event time: an entity a row, by name.

    Attributes
    ----------
    name : str
        Of the window's settings.
    start, end : int
        From, and before; milliseconds.
    entities : list of str
    columns : list of str
    values : float64[n, columns]
        The first one is the number of events; NaN is missing.
    first, last : int64[n]
        Least and largest offset among its events.
    """

    name: str
    start: int
    end: int
    entities: list[str]
    columns: list[str]
    values: Floats
    first: Ints
    last: Ints

    def actual(self, row: int) -> dict[str, float]:
        """The values of an entity, by name; without those that are missing."""
        values = zip(self.columns, self.values[row].tolist(), strict=True)
        return {name: value for name, value in values if not math.isnan(value)}


@dataclass(slots=True)
class BatchResult:
    """All that comes out of a batch.

    Attributes
    ----------
    alerts, late, scores, dead_letters : list of (key, JSON)
    notices : list of (key, JSON)
        Changes of the schema, answers, comparisons of models.
    requests : list of (key, JSON)
        To retrain a model.
    rows, surprise, members, evidence, flagged
        For each scored event: row of the raw batch, surprise of it alone, each member's surprise, what speaks for an incident, and
        whether that is at or beyond the threshold.
    writes, deletes
        Changes of the saved state, by key.
    counts : dict of str to int
        What happened, for metrics.
    seconds, model_seconds : dict of str to float
        Time of each step, and of each trained model.
    """

    alerts: list[tuple[str, bytes]] = field(default_factory=list)
    dead_letters: list[tuple[str, bytes]] = field(default_factory=list)
    late: list[tuple[str, bytes]] = field(default_factory=list)
    scores: list[tuple[str, bytes]] = field(default_factory=list)
    rows: list[Ints] = field(default_factory=list)
    surprise: list[Floats] = field(default_factory=list)
    members: list[Floats] = field(default_factory=list)
    evidence: list[Floats] = field(default_factory=list)
    flagged: list[Any] = field(default_factory=list)
    writes: dict[str, bytes] = field(default_factory=dict)
    deletes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    model_seconds: dict[str, float] = field(default_factory=dict)
    notices: list[tuple[str, bytes]] = field(default_factory=list)
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    def count(self, what: str, n: int = 1) -> None:
        """Add to a counter."""
        if n:
            self.counts[what] = self.counts.get(what, 0) + n
