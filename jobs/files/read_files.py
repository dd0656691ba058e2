"""Read the rows of CSV, Parquet and JSONL files in order, a chunk at a time, split into entity, time, label and fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from streamgauge.jobs.files.column_types import Words
from streamgauge.jobs.files.csv_files import CsvFile, Wanted
from streamgauge.jobs.files.jsonl_files import Changes, JsonlFile, any_time, raw_batch
from streamgauge.jobs.files.not_read import MOST_PLACES, NO_TIME, NOT_A_TIME, NotRead, What
from streamgauge.jobs.files.parquet_files import ParquetFile, values
from streamgauge.jobs.files.sources import blocks, kind_of, name_of
from streamgauge.jobs.files.times import Order, times_of
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.entity import text_of
from streamgauge.udfs.events.numbers import number_of
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.schema import as_float
from streamgauge.udfs.events.time import EARLIEST, LIMITS, as_epoch
from streamgauge.udfs.settings.event import EventSettings

CHUNK = 20_000
USUAL = EventSettings()
_LATEST = (
    int(LIMITS[1]) - 1
)  # milliseconds; `as_epoch` writes no later time that is read as the same, from the year 5138 on
# Dates such as 20240131 and years such as 2024, with the form that reads them.
SHORT = {
    "%Y%m%d": re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"),
    "%Y": re.compile(r"(19|20)\d\d"),
}
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file that are not fields of its events, and how values are written.

    Attributes
    ----------
    entity : str, optional
        Column with the entity. Without it, the name of the file is the entity; in JSONL, the settings say where it stands.
    time : str, optional
        Column with the time of the event. Without it, in JSONL, the settings say where it stands.
    label : str, optional
        Column that is above 0 for anomalies. Detectors never see it.
    drop : tuple of str
        Further columns that are left out.
    time_format : str, optional
        How all times are written, as in ``strptime``.
    thousands : str, optional
        What stands between groups of three digits in CSV.
    """

    entity: str | None = None
    time: str | None = None
    label: str | None = None
    drop: tuple[str, ...] = ()
    time_format: str | None = None
    thousands: str | None = None

    def need(self, names: Sequence[str], path: Path) -> None:
        """Raise InputError if a column is not in the file. The message names the option of the command line."""
        named = (("entity-column", self.entity), ("time-column", self.time), ("label-column", self.label))
        for option, name in (*named, *(("drop", name) for name in self.drop)):
            if name is not None and name not in names:
                raise InputError(f"{path} has no column {name!r} (--{option}); it has: {', '.join(names)}")

    @property
    def taken(self) -> set[str]:
        """All columns that are not fields."""
        return {name for name in (self.entity, self.time, self.label, *self.drop) if name is not None}


ALL_FIELDS = Columns()  # every column is a field


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a file.

    Attributes
    ----------
    entities : list of str
        Empty where there is none.
    times : int64[n] or None
        Milliseconds since 1970; None if the rows have no times.
    labels : float64[n] or None
        A missing label is 0. None without a label column.
    fields : dict of str to pyarrow.Array
        All other columns; none if there are `records`.
    records : list of bytes, optional
        The records that a file of JSONL holds.
    numbers : int64[n], optional
        Numbers of the rows in their file, from 0; None if no row was left out.
    """

    entities: list[str]
    times: Ints | None
    labels: Floats | None
    fields: dict[str, pa.Array]
    records: list[bytes] | None = None
    numbers: Ints | None = None

    def __len__(self) -> int:
        return len(self.entities)


def read_rows(
    path: Path, columns: Columns = ALL_FIELDS, event: EventSettings = USUAL, report: NotRead | None = None
) -> Iterator[Rows]:
    """Rows of a file, in order, a chunk at a time.

    Parameters
    ----------
    path : Path
    columns : Columns
    event : EventSettings
        Declared types of fields; and how a record of JSONL is read.
    report : NotRead, optional
        What is not read is added, and how the file was understood. A row without a time is left out if there is a column of times.

    Raises
    ------
    InputError
        The file or a column is not there, or a column does not hold times or labels.
    """
    report, event = NotRead() if report is None else report, event_of([path], columns, event)
    readers: dict[str, Callable[..., Iterator[Rows]]] = {"csv": _csv, "parquet": _parquet, "jsonl": _jsonl}
    with readable(path):
        yield from readers[kind_of(path)](path, columns, event, report)


def event_of(paths: Sequence[Path], columns: Columns, event: EventSettings) -> EventSettings:
    """How the rows of files are read as events.

    Lines of JSONL name their entity and time as the settings say. In tables, and where options name columns, one field of each row
    holds the entity and one the time.
    """
    kinds = {kind_of(path) for path in paths}
    if columns.entity is None and columns.time is None and kinds == {"jsonl"}:
        return event.of_text()
    made = event.with_one_name()
    return made.model_copy(update={"format": event.of_text().format}) if "jsonl" in kinds else made


def _csv(path: Path, columns: Columns, event: EventSettings, report: NotRead) -> Iterator[Rows]:
    fields = {name: event.fields.get(event.rename.get(name, name)) for name in (*event.fields, *event.rename)}
    declared: dict[str, str | None] = {name: field.type if field else None for name, field in fields.items()}
    forms = {
        name: field
        for name, field in fields.items()
        if field and field.type == "number" and (field.decimal != "." or field.thousands or field.unit)
    }
    missing = event.missing
    wanted = Wanted(columns.entity, columns.time, declared, columns.drop, missing, columns.thousands, forms)
    file = CsvFile(path, wanted)
    columns.need(file.names, path)
    _say_unused(file.names, path, columns, event, report)
    wrong = NotRead()
    split = _Split(path, columns, wrong, missing)
    for begin, batch in file.rows(wrong):
        if columns.time is not None and begin == 0 and columns.time_format is None:
            split.order = file.dates.order(path, columns.time)
        yield split.rows(begin, batch)
    file.report(wrong, report)


def _say_unused(names: Sequence[str], path: Path, columns: Columns, event: EventSettings, report: NotRead) -> None:
    """Say that a column with the name of the job's entity or time does not count as such, because no option names it."""
    for option, column, name in (
        ("entity", columns.entity, event.entity_fields[0]),
        ("time", columns.time, event.time),
    ):
        if column is None and name in names and name not in columns.taken:
            report.say(
                f"{path.name}: the column {name!r} is not read; --{option}-column {name} takes the {option} from it"
            )


def _parquet(path: Path, columns: Columns, event: EventSettings, report: NotRead) -> Iterator[Rows]:
    file = ParquetFile(path)
    if file.note:
        report.say(f"{path.name}: {file.note}")
    columns.need(file.names, path)
    _say_unused(file.names, path, columns, event, report)
    wrong = NotRead()
    split = _Split(path, columns, wrong, event.missing)
    if columns.time is not None and columns.time_format is None:
        split.order = file.dates(columns.time, CHUNK).order(path, columns.time)
    begin = 0
    for batch in file.rows(CHUNK):
        _tell_infinite(batch, begin, path, wrong)
        yield split.rows(begin, batch)
        begin += len(batch)
    for note in wrong.notes:
        report.say(note)
    for what, seen in wrong.seen.items():
        report.add(what, [row + 1 for row in seen.places], seen.count, seen.example)


def _tell_infinite(batch: pa.RecordBatch, begin: int, path: Path, wrong: NotRead) -> None:
    """Say where numbers are infinite, which are missing for the job."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_floating(column.type):
            rows = pc.indices_nonzero(pc.fill_null(pc.is_inf(column.cast(pa.float64())), False))
            if len(rows):
                places = [begin + row for row in rows[:MOST_PLACES].to_pylist()]
                wrong.add(What(path.name, name, "not finite"), places, len(rows))


def _jsonl(path: Path, columns: Columns, event: EventSettings, report: NotRead) -> Iterator[Rows]:
    names = {columns.entity: event.entity_fields[0], columns.time: event.time}
    renamed = {old: new for old, new in names.items() if old is not None and new is not None and old != new}
    form = columns.time_format
    file = JsonlFile(path, event, Changes(renamed, columns.drop, columns.label, event.time if form else None, form))
    if columns.taken:
        columns.need(file.names(CHUNK), path)
    for part in file.rows(CHUNK, report):
        labels = None if part.labels is None else _label_numbers(part.labels, columns.label, path)
        yield Rows(part.entities, part.times, labels, {}, part.payloads, part.numbers)


class _Split:
    """Splits the rows of a table into entity, time, label and fields.

    Parameters
    ----------
    path : Path
    columns : Columns
    wrong : NotRead
        Rows without a time are added, with their numbers.
    missing : tuple of str
        Words for a missing time.

    Attributes
    ----------
    order : {"day", "month"}
        What comes first in dates such as 02/01/2024.
    """

    def __init__(self, path: Path, columns: Columns, wrong: NotRead, missing: tuple[str, ...]) -> None:
        self.path, self.columns, self.wrong = path, columns, wrong
        self.words = Words(missing)
        self.order: Order = "day"

    def rows(self, begin: int, batch: pa.RecordBatch) -> Rows:
        """The rows that have a time, if there is a column of times; else all.

        Parameters
        ----------
        begin : int
            Number of the first row in the file.
        batch : pyarrow.RecordBatch
        """
        columns = self.columns
        numbers = np.arange(begin, begin + len(batch))
        times = None
        if columns.time is not None:
            times, read = times_of(batch.column(columns.time), self.order, columns.time_format)
            read = read & (times >= EARLIEST) & (times <= _LATEST)
            if begin == 0 and columns.time_format is None:
                self._say_short(batch.column(columns.time))
            if not read.all():
                self._tell(numbers, batch.column(columns.time), read)
                batch, numbers, times = batch.filter(pa.array(read)), numbers[read], times[read]
        entities = [name_of(self.path)] * len(batch)
        if columns.entity is not None:
            entities = _texts(batch.column(columns.entity))
            if "" in entities:
                rows = [number for number, entity in zip(numbers.tolist(), entities, strict=True) if not entity]
                self.wrong.add(What(self.path.name, columns.entity, "no entity"), rows, len(rows))
        labels = None if columns.label is None else self._labels(batch.column(columns.label))
        fields = {name: batch.column(name) for name in batch.schema.names if name not in columns.taken}
        return Rows(entities, times, labels, fields, None, numbers)

    def _say_short(self, cells: pa.Array) -> None:
        """Say that 20240131 and 2024 are read as epochs, which the sender may not have meant."""
        first = _shown(cells, 0) if len(cells) else ""
        for form, short in SHORT.items():
            if short.fullmatch(first):
                self.wrong.say(
                    f"{self.path.name}: times such as {first} are read as seconds since 1970; --time-format {form} reads them as dates"
                )

    def _tell(self, numbers: Ints, cells: pa.Array, read: Flags) -> None:
        """Say which rows have no time."""
        missing = pc.is_null(cells)
        if pa.types.is_string(cells.type):
            missing = pc.or_(missing, pc.fill_null(self.words.are_missing(cells), True))
        absent = missing.to_numpy(zero_copy_only=False)
        for reason, where in ((NO_TIME, ~read & absent), (NOT_A_TIME, ~read & ~absent)):
            rows = np.flatnonzero(where)
            if not len(rows):
                continue
            example = "" if reason == NO_TIME else _shown(cells, int(rows[0]))
            if example and numbers[0] == 0 and not read.any():
                raise InputError(
                    f"{self.path}: the column {self.columns.time!r} does not hold times, but {example!r} (--time-format "
                    "says how they are written, such as '%d.%m.%Y %H:%M')"
                )
            what = What(self.path.name, str(self.columns.time), reason)
            self.wrong.add(what, numbers[rows[:MOST_PLACES]].tolist(), len(rows), example)

    def _labels(self, column: pa.Array) -> Floats:
        column = values(column)
        kind = column.type
        if column.null_count == len(column):
            return np.zeros(len(column))
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            labels: Floats = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy()
            return labels
        raise _wrong_labels(self.path, self.columns.label, pc.unique(column.drop_null())[:3].to_pylist())


def _shown(cells: pa.Array, place: int) -> str:
    """A cell as text. Python has no times after the year 9999."""
    return str(values(cells[place : place + 1])[0].as_py())


def _label_numbers(labels: list[Any], name: str | None, path: Path) -> Floats:
    """Labels of JSON as numbers, 0 where there is none."""
    wrong = [label for label in labels if not isinstance(label, int | float | None)]
    if wrong:
        raise _wrong_labels(path, name, wrong[:3])
    return np.array([as_float(label or 0.0) for label in labels], np.float64)


def _wrong_labels(path: Path, name: str | None, found: list[Any]) -> InputError:
    shown = ", ".join(map(repr, found))
    return InputError(f"{path}: the column {name!r} must hold numbers, above 0 for anomalies; it holds {shown}")


def payloads(rows: Rows, event: EventSettings, times: Ints | None = None) -> list[bytes]:
    """Each row as the record that the job would read.

    Parameters
    ----------
    rows : Rows
    event : EventSettings
        Names of the entity and the time.
    times : int64[n], optional
        Milliseconds since 1970.
    """
    if rows.records is not None:
        return rows.records
    names = list(rows.fields)
    columns = [values(column) for column in rows.fields.values()]
    gaps = any(column.null_count for column in columns)
    cells = [_listed(column) for column in columns]
    event = event.with_one_name()
    names, cells = [*names, event.entity_fields[0]], [*cells, rows.entities]
    if times is not None and event.time is not None:
        names, cells = [*names, event.time], [*cells, list(map(as_epoch, times.tolist()))]
    if not gaps:
        return [_encode(dict(zip(names, row))) for row in zip(*cells)]  # noqa: B905 - speed; all have the same length
    return [
        _encode({name: cell for name, cell in zip(names, row) if cell is not None})  # noqa: B905
        for row in zip(*cells)  # noqa: B905
    ]


def numbers_of(rows: Rows, event: EventSettings) -> dict[str, Floats]:
    """The fields that hold numbers, or true and false.

    Parameters
    ----------
    rows : Rows
    event : EventSettings
        How the records of JSONL are read.

    Returns
    -------
    dict of str to float64[n]
        NaN where a value is missing.
    """
    found: dict[str, Floats] = {}
    if rows.records is not None:
        events, _ = Reader(any_time(event)).read(raw_batch(rows.records))
        reserved = {*event.entity_fields, event.time}
        for row, value in zip(events.rows.tolist(), events.values, strict=True):
            for name, item in value.items():
                number = item if isinstance(item, bool) else number_of(item)
                if number is not None and name not in reserved:
                    found.setdefault(name, np.full(len(rows), np.nan))[row] = as_float(number)
        return found
    for name, cells in rows.fields.items():
        column = values(cells)
        kind = column.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            found[name] = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy()
    return found


def _texts(column: pa.Array) -> list[str]:
    """Values as names of entities; empty where there is none."""
    column = column if pa.types.is_decimal(column.type) else values(column)
    if pa.types.is_string(column.type):
        names: list[str] = pc.fill_null(column, "").to_numpy(zero_copy_only=False).tolist()
        return names
    return ["" if value is None else text_of(value) or str(value) for value in column.to_pylist()]


def _listed(column: pa.Array) -> list[Any]:
    """Values as a list of Python's objects; faster than ``to_pylist`` for the types of most columns."""
    kind = column.type
    if pa.types.is_string(kind):
        texts: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return texts
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        items: list[Any] = column.to_pylist()
        return items
    items = pc.fill_null(column, 0).to_numpy().tolist()
    if column.null_count:
        for place in pc.indices_nonzero(pc.is_null(column)).to_pylist():
            items[place] = None
    return items


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise InputError where a file turns out to be damaged, or cannot be read for another reason."""
    try:
        yield
    except (OSError, EOFError, UnicodeError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def count_rows(path: Path) -> int:
    """Number of rows of a file, for a progress bar. Raises InputError if the file cannot be read."""
    lines, last = 0, b"\n"
    with readable(path):
        if kind_of(path) == "parquet":
            return int(pq.ParquetFile(path).metadata.num_rows)
        for block in blocks(path):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return max(0, lines + (last != b"\n") - (kind_of(path) == "csv"))
