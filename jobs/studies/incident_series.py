"""Which series of a backtest to show, and their values: the fields that the incidents name, of the entities with the severest incidents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from streamgauge.jobs.files.jsonl_files import any_time, raw_batch
from streamgauge.jobs.files.read_files import Columns, event_of, payloads, read_rows
from streamgauge.jobs.files.sources import kind_of, name_of
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.judging import Opening
from streamgauge.models.contract import Floats, Ints
from streamgauge.udfs.events.numbers import number_of
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.schema import as_float
from streamgauge.udfs.incidents.kinds import SEVERITIES
from streamgauge.udfs.settings.event import EventSettings

MOST_SERIES = 12


@dataclass(frozen=True, slots=True)
class IncidentSeries:
    """A field of an entity, with the incidents in it.

    Attributes
    ----------
    stream : int
        Place of the stream in the results of the backtest.
    entity : str
    field : str or None
        None if the incidents name no field.
    incidents : list of Opening
    rows : int64[n]
        The entity's rows that were judged, in the order of their times.
    values : float64[n]
        The field's values, NaN where one is missing. Scores if `of_scores`.
    of_scores : bool
        Whether the values are scores, because the field does not hold numbers or is not in the files.
    """

    stream: int
    entity: str
    field: str | None
    incidents: list[Opening]
    rows: Ints
    values: Floats
    of_scores: bool


class Source(Protocol):
    """Where the streams of a backtest came from."""

    @property
    def names(self) -> list[str]:
        """Name of each stream."""

    @property
    def timed(self) -> bool:
        """Whether the rows have times; else they count as one second apart."""

    @property
    def by_offset(self) -> bool:
        """Whether a row is known by its partition and offset; else by its number."""

    def values(self, stream: int, fields: Iterable[str]) -> dict[str, Floats]:
        """Values of fields in all rows of a stream, by name; NaN where one is missing or no number."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """Streams in files. They are read once more for the values of fields.

    Attributes
    ----------
    streams : list of list of Path
        The files of each stream.
    columns : Columns
    event : EventSettings
        How a record is read.
    """

    streams: list[list[Path]]
    columns: Columns
    event: EventSettings
    by_offset: ClassVar[bool] = False

    @property
    def names(self) -> list[str]:
        """See `Source`."""
        return [", ".join(map(name_of, files)) for files in self.streams]

    @property
    def timed(self) -> bool:
        """See `Source`."""
        files = [path for of in self.streams for path in of]
        if self.columns.time is not None or any(kind_of(path) != "jsonl" for path in files):
            return self.columns.time is not None
        first = (next(read_rows(path, self.columns, self.event), None) for path in files)
        return any(rows is not None and rows.times is not None for rows in first)

    def values(self, stream: int, fields: Iterable[str]) -> dict[str, Floats]:
        """See `Source`."""
        parts: dict[str, list[Floats]] = {name: [] for name in fields}
        event = event_of(self.streams[stream], self.columns, self.event)
        reader = Reader(any_time(event))
        for path in self.streams[stream] if parts else ():
            for rows in read_rows(path, self.columns, event):
                events, _ = reader.read(raw_batch(payloads(rows, event, rows.times)))
                for name, of in parts.items():
                    column = np.full(len(rows), np.nan)
                    column[events.rows] = as_numbers(value.get(name) for value in events.values)
                    of.append(column)
        return {name: np.concatenate([np.empty(0), *of]) for name, of in parts.items()}


def incident_series(source: Source, results: list[Backtest], incidents: list[list[Opening]]) -> list[IncidentSeries]:
    """The series to show, those with the severest incidents first.

    Parameters
    ----------
    source : Source
    results : list of Backtest
        One for each stream.
    incidents : list of list of Opening
        Incidents of each stream.
    """
    found = []
    chosen = choose(incidents)
    for stream in dict.fromkeys(stream for stream, _, _ in chosen):
        result = results[stream]
        wanted = {key: of for key, of in chosen.items() if key[0] == stream}
        fields = {field: _field_of(field, of[0]) for (_, _, field), of in wanted.items()}
        values = source.values(stream, {name for name in fields.values() if name})
        names = np.asarray(result.entities, dtype=object)
        for (_, entity, field), of in wanted.items():
            rows = np.flatnonzero((names == entity) & result.in_time)
            rows = rows[np.argsort(result.times[rows], kind="stable")]
            shown = values.get(fields[field] or "")
            of_scores = shown is None or bool(np.isnan(shown[rows]).all())
            shown = result.scores if shown is None or of_scores else shown
            found.append(IncidentSeries(stream, entity, field, of, rows, shown[rows], of_scores))
    order = {key: place for place, key in enumerate(chosen)}
    return sorted(found, key=lambda one: order[one.stream, one.entity, one.field])


def choose(incidents: list[list[Opening]]) -> dict[tuple[int, str, str | None], list[Opening]]:
    """Incidents of the series to show, by stream, entity and field.

    Entities with the severest incidents come first, and of these the ones with the most incidents. No entity gets a second series while
    another one has none.

    Parameters
    ----------
    incidents : list of list of Opening
        Incidents of each stream.
    """
    by_entity: dict[tuple[int, str], dict[str | None, list[Opening]]] = {}
    for stream, of in enumerate(incidents):
        for one in of:
            by_entity.setdefault((stream, one.entity), {}).setdefault(one.top_field, []).append(one)
    places = []
    ranked = sorted(by_entity.items(), key=lambda item: _rank([one for of in item[1].values() for one in of]))
    for place, ((stream, entity), fields) in enumerate(ranked):
        for turn, (name, of) in enumerate(sorted(fields.items(), key=lambda item: _rank(item[1]))):
            places.append((turn, place, (stream, entity, name), of))
    shown = sorted(places, key=lambda one: one[:2])[:MOST_SERIES]
    return {key: of for _, _, key, of in sorted(shown, key=lambda one: (one[1], one[0]))}


def severest(incident: Opening) -> int:
    """Place in `SEVERITIES` of the highest severity that the incident reached."""
    return SEVERITIES.index(incident.last_alert["severity"])


def _rank(incidents: list[Opening]) -> tuple[int, int]:
    return -max(map(severest, incidents)), -len(incidents)


def _field_of(name: str | None, incident: Opening) -> str | None:
    """The field of events that a field of an alert stands for: for an aggregate of a window, the one that was aggregated."""
    if name is not None and (window := incident.first_alert.get("aggregate")):
        return name.removeprefix(f"{window['window']}.").rpartition(".")[0]
    return name


def as_numbers(values: Iterable[Any]) -> Floats:
    """Values of any type as numbers; NaN for what is not finite, or no number."""
    return _finite(
        np.array([as_float(item) if isinstance(item, bool) else as_float(number_of(item)) for item in values])
    )


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)
