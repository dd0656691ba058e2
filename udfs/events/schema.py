"""Events to a matrix of their numeric fields. The schema of a stream may change at any record."""

from __future__ import annotations

import bisect
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.udfs.events.entity import named, shown
from streamgauge.udfs.events.field_types import TURNS_AFTER, NoReadings, Texts
from streamgauge.udfs.events.numbers import declaration_of
from streamgauge.udfs.events.records import Events, Remark, SchemaChange
from streamgauge.udfs.events.time import PARTS
from streamgauge.udfs.settings.event import EventSettings

NUMBERS = {int, float, bool, type(None)}
VANISHED_AFTER = 1000  # events in a row without a field, after which a notice says that it vanished
KEPT = 10_000  # names of ignored fields that are kept in mind


@dataclass
class Schema:
    """The fields that a partition has shown so far.

    Attributes
    ----------
    numeric : list of str
        Columns of the matrix, in order of first appearance.
    other : dict of str to str
        Fields that are not columns, or not only, each with its kind: text, list or ignored.
    absent : dict of str to int
        By column: for how many events in a row it has been missing up to now.
    retyped : list of str
        Columns in which a value that is not a number has come.
    turning : dict of str to int
        By field that is no column: how many values in a row were numbers up to now.
    told : list of str
        What was told of this partition, each once.
    no_readings : NoReadings
    """

    numeric: list[str] = field(default_factory=list)
    other: dict[str, str] = field(default_factory=dict)
    absent: dict[str, int] = field(default_factory=dict)
    retyped: list[str] = field(default_factory=list)
    turning: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    no_readings: NoReadings = field(default_factory=NoReadings)


class Alignment:
    """Turns events into the matrix of their numeric fields, and follows the changes of the schema.

    A field is a column from its first number on; plain decimal text is a number. A field that begins with other values becomes a column
    after `TURNS_AFTER` numbers in a row. Text that comes in a column later is missing.

    Parameters
    ----------
    settings : EventSettings
    """

    def __init__(self, settings: EventSettings) -> None:
        self.settings = settings
        self._names = {*settings.entity_fields, *settings.context}
        if settings.time is not None:
            self._names |= {settings.time, *(f"{settings.time}.{part}" for part in PARTS)}
        self._names |= {name for name in settings.ignore if "*" not in name}
        self._ignored = pattern_of([name for name in settings.ignore if "*" in name])
        self._texts = Texts(settings)
        self._declared = frozenset(name for name, declared in settings.fields.items() if declared.missing is not None)
        self.schema = Schema()

    @property
    def schema(self) -> Schema:
        """The fields so far. They are replaced as a whole when saved state is read."""
        return self._schema

    @schema.setter
    def schema(self, schema: Schema) -> None:
        self._schema = schema
        self._known = self._names.union(schema.numeric, schema.other)
        self._left_out: set[str] = set()

    def matrices(self, events: Events, changes: list[SchemaChange]) -> Iterator[tuple[int, int, Floats]]:
        """Cut events into stretches of constant schema.

        Parameters
        ----------
        events : Events
            Numbers that are written as text become numbers in its values.
        changes : list of SchemaChange
            The changes of the schema are added, each once in the life of a partition, in the order of events.

        Yields
        ------
        start, stop : int
            The stretch begins at the position `start` in `events` and ends before `stop`.
        X : float64[stop - start, d]
            Columns as in ``schema.numeric``; NaN is a missing value.
        """
        values, n = events.values, len(events)
        seen = set().union(*values)
        all_known = seen <= self._known
        turns: dict[str, int] = {}  # where a field of texts becomes a column
        for name in [name for name in self.schema.other if name in seen and name not in self.schema.absent]:
            self._find_turn(name, values, 0, turns)
        start = 0
        while start < n:
            for name in [name for name, place in turns.items() if place == start]:
                if turns.pop(name, None) is None:  # the column before it was the last one
                    continue
                self._add_column(name, turns)
                text = f"field {name!r} has held numbers {TURNS_AFTER} times in a row: it is looked at as a number"
                changes.append(SchemaChange("numeric", name, text, start))
            stop = n if all_known else self._add_new_fields(values, start, turns, changes)
            stop = min([stop, *turns.values()])
            yield start, stop, self._matrix(values[start:stop], start, changes)
            start = stop
        changes.sort(key=attrgetter("place"))  # several steps add changes, each in its own order

    def remarks(self, events: Events) -> list[Remark]:
        """What has to be told of the partition, and was not told before."""
        return [one for one in events.remarks if self.tell(f"{one.change}:{one.field}")]

    def tell(self, what: str) -> bool:
        """Note that something is told; False if it was told before."""
        if what in self.schema.told:
            return False
        bisect.insort(self.schema.told, what)  # in the same order, however the stream is cut into batches
        return True

    @property
    def text_fields(self) -> list[str]:
        """Fields that hold text, in order of first appearance."""
        return [name for name, kind in self.schema.other.items() if kind == "text"]

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
                if isinstance(item, str) and not self._texts.is_missing(item):
                    codes[i, j] = zlib.crc32(item.encode(), zlib.crc32(encoded_names[j], entity_code))
        return codes

    def unread(self, value: dict[str, Any]) -> str:
        """Say why nothing of an event is looked at."""
        seen = {name: item for name, item in value.items() if name not in self._names}
        if not seen:
            return "an event has no field beside entity and time, so nothing of it is looked at"
        why = f"nothing of an event is looked at, because none of its fields holds a number: {named(seen)}"
        for name, item in seen.items():
            if isinstance(item, str) and (declared := declaration_of([item])) is not None:
                how = json.dumps({name: declared.model_dump(exclude_defaults=True)})
                return f"{why}; {name!r} is {shown(item)}, which event.fields: {how} reads as a number"
        first = next(iter(seen))
        return (
            f"{why}; {first!r} is {shown(seen[first])}. See event.fields, event.metric and event.ignore, and the detectors of text "
            "fields"
        )

    # ---- fields -------------------------------------------------------------------------------------------------------

    def _add_new_fields(
        self, values: list[dict[str, Any]], start: int, turns: dict[str, int], changes: list[SchemaChange]
    ) -> int:
        """Add the new fields of the event at `start`; returns the position of the next event that brings a field that is looked at."""
        known, left_out = self._known, self._left_out
        for i in range(start, len(values)):
            value = values[i]
            if value.keys() <= known:
                continue
            new = [name for name in value if name not in known and name not in left_out and value[name] is not None]
            new = [name for name in new if not self._is_ignored(name)]
            if i > start and any(self._is_looked_at(name, value[name]) for name in new):
                return i
            for name in new:
                self._add_field(name, values, i, turns, changes)
        return len(values)

    def _is_ignored(self, name: str) -> bool:
        """Whether a pattern of the settings matches a name."""
        if not self._ignored.pattern or not self._ignored.fullmatch(name):
            return False
        if len(self._left_out) >= KEPT:
            self._left_out.clear()
        self._left_out.add(name)
        return True

    def _is_number(self, name: str, item: Any) -> bool:
        declared = self.settings.fields.get(name)
        if declared is not None and declared.type == "text":
            return False
        return isinstance(item, int | float) or (isinstance(item, str) and self._texts.number(item) is not None)

    def _begins_column(self, name: str, item: Any) -> bool:
        return self._is_number(name, item) and len(self.schema.numeric) < self.settings.max_fields

    def _is_looked_at(self, name: str, item: Any) -> bool:
        """Whether a new field with this value becomes a column or a field of text."""
        is_text = isinstance(item, str) and not self._texts.is_missing(item)
        return self._begins_column(name, item) or (is_text and len(self.schema.other) < self.settings.max_fields)

    def _add_field(
        self, name: str, values: list[dict[str, Any]], place: int, turns: dict[str, int], changes: list[SchemaChange]
    ) -> None:
        schema, item, most = self.schema, values[place][name], self.settings.max_fields
        if isinstance(item, str) and self._texts.is_missing(item):
            return
        if self._begins_column(name, item):
            self._add_column(name, turns)
            kind = "number" if not isinstance(item, str) else "number, written as text"
        else:
            is_number, is_full = self._is_number(name, item), len(schema.other) >= most
            fields = "fields with numbers" if is_number else "fields of other types"
            if (is_number or is_full) and self.tell(f"limit of {fields}"):
                text = f"the stream has more than {most} {fields} (event.max_fields): {name!r} and later new ones are not looked at"
                changes.append(SchemaChange("limit", name, text, place))
            if is_full:
                return
            kind = "text" if isinstance(item, str) else "list" if isinstance(item, list) else "ignored"
            schema.other[name] = kind
            self._find_turn(name, values, place, turns)
        self._known.add(name)
        changes.append(SchemaChange("added", name, f"new field {name!r} ({kind})", place))

    def _add_column(self, name: str, turns: dict[str, int]) -> None:
        self.schema.numeric.append(name)
        self.schema.absent[name] = 0
        self.schema.turning.pop(name, None)
        if len(self.schema.numeric) >= self.settings.max_fields:  # no other field becomes a column
            self.schema.turning.clear()
            turns.clear()

    def _find_turn(self, name: str, values: list[dict[str, Any]], begin: int, turns: dict[str, int]) -> None:
        """Find the event at which a field of other values becomes a column."""
        declared = self.settings.fields.get(name)
        if declared is not None or len(self.schema.numeric) >= self.settings.max_fields:
            return
        items = [value.get(name) for value in values[begin:]] if begin else [value.get(name) for value in values]
        before = self.schema.turning.get(name, 0)
        place, now = self._texts.first_turn(items, before)
        if place is not None:
            turns[name] = begin + place
        if now:
            self.schema.turning[name] = now
        else:
            self.schema.turning.pop(name, None)

    # ---- values -------------------------------------------------------------------------------------------------------

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
                tuple(self._number(name, value, place, changes) for name in names)
                for place, value in enumerate(values, start)
            ]
        try:
            X = np.array(cells, dtype=np.float64)
        except OverflowError:
            X = np.array([[as_float(cell) for cell in row] for row in cells], dtype=np.float64)
        found, missing = self.schema.no_readings.look(X, names, self._declared)
        for row, column in zip(*(at.tolist() for at in np.nonzero(missing)), strict=True):
            X[row, column] = math.nan
            values[row][names[column]] = None
        for name, number, row in found:
            text = (
                f"field {name!r}: {number:.15g} comes again and again, far from all other values: it is read as missing"
            )
            text += f" (event.fields.{name}.missing: [] keeps it)"
            changes.append(SchemaChange("no_reading", name, text, start + row))
        with np.errstate(over="ignore", invalid="ignore"):
            all_present = math.isfinite(X.sum())  # False also where a sum is beyond the largest float
        if not all_present or max(self.schema.absent.values(), default=0) >= VANISHED_AFTER:
            self._watch_absent(X, start, changes)
        elif self.schema.absent:
            self.schema.absent = dict.fromkeys(names, 0)
        return X

    def _number(self, name: str, value: dict[str, Any], place: int, changes: list[SchemaChange]) -> float | None:
        """The number of a column in an event. A number that is written as text replaces the text in the event."""
        item = value.get(name)
        if item is None or isinstance(item, int | float):
            return item
        if isinstance(item, str):
            number = self._texts.number(item)
            if number is not None:
                value[name] = number
                return number
            if self._texts.is_missing(item):
                return None
        if name not in self.schema.retyped:
            self.schema.retyped.append(name)
            what = f"field {name!r} held numbers, now {type(item).__name__} ({shown(item)}): counted as missing"
            changes.append(SchemaChange("retyped", name, f"{what}. See event.fields and event.missing", place))
        return None

    def _watch_absent(self, X: Floats, start: int, changes: list[SchemaChange]) -> None:
        """Count for how many events each column has been missing, and tell which vanished and which returned."""
        names, n = self.schema.numeric, len(X)
        before = np.fromiter(self.schema.absent.values(), np.int64, len(names))
        present = ~np.isnan(X)
        since_last = np.where(present.any(axis=0), present[::-1].argmax(axis=0), before + n)
        for column in np.flatnonzero(before + n >= VANISHED_AFTER).tolist():
            self._tell_absent(
                names[column], np.flatnonzero(present[:, column]), int(before[column]), (start, n), changes
            )
        self.schema.absent = dict(zip(names, since_last.tolist(), strict=True))

    def _tell_absent(
        self, name: str, present: Ints, before: int, stretch: tuple[int, int], changes: list[SchemaChange]
    ) -> None:
        """Tell of a column that vanished, or that returned.

        Parameters
        ----------
        name : str
        present : int64[m]
            Rows of the stretch in which it is present.
        before : int
            For how many events it was missing before the stretch.
        stretch : (int, int)
            Place of the first row in the batch, and number of rows.
        changes : list of SchemaChange
            The changes are added.
        """
        start, n = stretch
        edges = np.concatenate(([-1 - before], present, [n]))
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


def pattern_of(names: Iterable[str]) -> re.Pattern[str]:
    """The pattern of names in which ``*`` stands for any characters; an empty pattern for no names."""
    return re.compile("|".join(".*".join(map(re.escape, name.split("*"))) for name in names), re.DOTALL)


def as_float(item: Any) -> float:
    """A number as float64. An integer beyond the range of float64 becomes its largest or lowest number; None becomes NaN."""
    try:
        return math.nan if item is None else float(item)
    except OverflowError:
        return 1.7976931348623157e308 if item > 0 else -1.7976931348623157e308
