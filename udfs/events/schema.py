"""Events to a matrix of their numeric fields. The schema of a stream may change at any record."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.udfs.events.records import DeadLetter, Events, SchemaChange
from streamgauge.udfs.settings.pipeline import EventSettings

NUMBERS = {int, float, bool, type(None)}
VANISHED_AFTER = 1000  # events in a row without a field, after which a notice says that it vanished


@dataclass
class Schema:
    """The fields that a partition has shown so far.

    Attributes
    ----------
    numeric : list of str
        Columns of the matrix, in order of first appearance.
    other : dict of str to str
        Fields that are not columns, each with its kind: text, list or ignored.
    absent : dict of str to int
        By column: for how many events in a row it has been missing up to now.
    retyped : list of str
        Columns in which a value that is not a number has come.
    """

    numeric: list[str] = field(default_factory=list)
    other: dict[str, str] = field(default_factory=dict)
    absent: dict[str, int] = field(default_factory=dict)
    retyped: list[str] = field(default_factory=list)


class Alignment:
    """Turns events into the matrix of their numeric fields, and follows the changes of the schema.

    Parameters
    ----------
    settings : EventSettings
    schema : Schema, optional
        The schema that an earlier run saved.
    """

    def __init__(self, settings: EventSettings, schema: Schema | None = None) -> None:
        self.settings = settings
        self.schema = schema or Schema()
        self._reserved = {settings.entity, settings.time, *settings.ignore, *settings.context}
        self._declared_text = [f for f, kind in settings.fields.items() if kind == "text"]

    def reject(self, events: Events) -> list[tuple[int, DeadLetter]]:
        """Find the events in which a declared field has another type than the declared one.

        Returns
        -------
        list of (int, DeadLetter)
            Position in `events`, and the dead letter.
        """
        rejected = []
        fields = self.settings.fields
        for i, value in enumerate(events.values if fields else ()):
            for name, kind in fields.items():
                item = value.get(name)
                if item is None:
                    continue
                numeric = isinstance(item, int | float) and not isinstance(item, bool)
                if numeric != (kind == "number") or (kind == "text" and not isinstance(item, str)):
                    message = f"{name!r} is declared as {kind}, this is {type(item).__name__}"
                    rejected.append((i, DeadLetter(int(events.rows[i]), "wrong_type", message)))
                    break
        return rejected

    def matrices(self, events: Events, changes: list[SchemaChange]) -> Iterator[tuple[int, int, Floats]]:
        """Cut events into stretches of constant schema.

        Parameters
        ----------
        events : Events
        changes : list of SchemaChange
            The changes of the schema are added, each once in the life of a partition, in the order of events.

        Yields
        ------
        start, stop : int
            The stretch begins at the position `start` in `events` and ends before `stop`.
        X : float64[stop - start, d]
            Columns as in ``schema.numeric``; NaN is a missing value.
        """
        start = 0
        while start < len(events):
            stop = self._add_new_fields(events, start, changes)
            yield start, stop, self._matrix(events.values[start:stop], start, changes)
            start = stop
        changes.sort(key=attrgetter("place"))  # several steps add changes, each in its own order

    @property
    def text_fields(self) -> list[str]:
        """The first `event.max_fields` fields that hold text, in order of first appearance."""
        return [name for name, kind in self.schema.other.items() if kind == "text"][: self.settings.max_fields]

    def categories(self, events: Events) -> Floats:
        """A number for each value of each text field. It stands for entity, field and value together.

        Returns
        -------
        float64[n, text fields]
            Whole numbers of 32 bits; NaN where an event has no text in the field.
        """
        names = self.text_fields
        codes = np.full((len(events), len(names)), np.nan)
        encoded_names = [name.encode() for name in names]
        for i, (entity, value) in enumerate(zip(events.entities, events.values, strict=True)):
            entity_code = zlib.crc32(entity.encode())
            for j, name in enumerate(names):
                item = value.get(name)
                if isinstance(item, str):
                    codes[i, j] = zlib.crc32(item.encode(), zlib.crc32(encoded_names[j], entity_code))
        return codes

    def _add_new_fields(self, events: Events, start: int, changes: list[SchemaChange]) -> int:
        """Add the new fields of the event at `start`; returns the position of the next event that brings a new column."""
        schema, values = self.schema, events.values
        known = self._reserved.union(schema.numeric, schema.other)
        rest = values[start:] if start else values
        if set().union(*rest) <= known:
            return len(values)
        for i, value in enumerate(rest, start):
            if value.keys() <= known:
                continue
            if not any(self._is_column(name, value[name]) for name in value.keys() - known):
                self._add_fields_of(value, known, i, changes)
                continue
            if i > start:
                return i
            self._add_fields_of(value, known, i, changes)
        return len(values)

    def _is_column(self, name: str, item: Any) -> bool:
        declared = self.settings.fields.get(name)
        numeric = isinstance(item, int | float) and declared != "text"
        return numeric and len(self.schema.numeric) < self.settings.max_fields

    def _add_fields_of(self, value: dict[str, Any], known: set[str], place: int, changes: list[SchemaChange]) -> None:
        schema = self.schema
        for name, item in value.items():
            if name in known or item is None:
                continue
            known.add(name)
            if self._is_column(name, item):
                schema.numeric.append(name)
                schema.absent[name] = 0
                kind = "number"
            else:
                kind = "text" if isinstance(item, str) else "list" if isinstance(item, list) else "ignored"
                schema.other[name] = kind
            changes.append(SchemaChange("added", name, f"new field {name!r} ({kind})", place))

    def _matrix(self, values: list[dict[str, Any]], start: int, changes: list[SchemaChange]) -> Floats:
        names = self.schema.numeric
        if not names:
            return np.empty((len(values), 0))
        cells: list[Any]
        try:
            cells = list(map(itemgetter(*names), values))
        except KeyError:
            cells = (
                [tuple(map(value.get, names)) for value in values]
                if len(names) > 1
                else [v.get(names[0]) for v in values]
            )
        if len(names) == 1:
            cells = [(cell,) for cell in cells]
        if not set(map(type, chain.from_iterable(cells))) <= NUMBERS:
            cells = [
                tuple(self._number(*pair, place, changes) for pair in zip(names, row, strict=True))
                for place, row in enumerate(cells, start)
            ]
        try:
            X = np.array(cells, dtype=np.float64)
        except OverflowError:
            X = np.array([[as_float(cell) for cell in row] for row in cells], dtype=np.float64)
        if not math.isfinite(X.sum()) or max(self.schema.absent.values(), default=0) >= VANISHED_AFTER:
            self._watch_absent(X, start, changes)
        elif self.schema.absent:
            self.schema.absent = dict.fromkeys(names, 0)
        return X

    def _number(self, name: str, item: Any, place: int, changes: list[SchemaChange]) -> float | None:
        if item is None or isinstance(item, int | float):
            return item
        if name not in self.schema.retyped:
            self.schema.retyped.append(name)
            text = f"field {name!r} held numbers, now {type(item).__name__}: counted as missing"
            changes.append(SchemaChange("retyped", name, text, place))
        return None

    def _watch_absent(self, X: Floats, start: int, changes: list[SchemaChange]) -> None:
        for column, name in enumerate(self.schema.numeric):
            present = np.flatnonzero(~np.isnan(X[:, column]))
            before = self.schema.absent.get(name, 0)
            edges = np.concatenate(([-1 - before], present, [len(X)]))
            for k, gap in enumerate((np.diff(edges) - 1).tolist()):
                if gap < VANISHED_AFTER:
                    continue
                if k or before < VANISHED_AFTER:
                    text = f"field {name!r} vanished: absent from {VANISHED_AFTER} events in a row"
                    changes.append(SchemaChange("vanished", name, text, start + int(edges[k]) + VANISHED_AFTER))
                if k < len(present):
                    changes.append(
                        SchemaChange("returned", name, f"field {name!r} is there again", start + int(present[k]))
                    )
            self.schema.absent[name] = len(X) - 1 - int(edges[-2])


def as_float(item: Any) -> float:
    """A number as float64. An integer beyond the range of float64 becomes its largest or lowest number; None becomes NaN."""
    try:
        return math.nan if item is None else float(item)
    except OverflowError:
        return 1.7976931348623157e308 if item > 0 else -1.7976931348623157e308
