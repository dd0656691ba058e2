"""Rows of CSV files. All cells are looked at before the first row is given, because one cell far below may decide the type of a column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from streamgauge.jobs.files.column_types import Evidence, Kind, Words, as_declared, converted
from streamgauge.jobs.files.dialects import LOOKED_AT, dialect_of
from streamgauge.jobs.files.not_read import MOST_PLACES, NotRead, What
from streamgauge.jobs.files.sources import opened
from streamgauge.jobs.files.times import DayOrMonth
from streamgauge.models.errors import InputError
from streamgauge.udfs.settings.event import MISSING, FieldSettings

BLOCK = LOOKED_AT  # bytes of a chunk, and the longest row
THOUSANDS = (",", ".", " ", "'", "_")
_GROUPED = re.compile(r"[+-]?\d{1,3}([,.' _]\d{3})+([,.]\d+)?")
_MANY = 0.5  # a column of text with this share of numbers is told of


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known of the columns before they are looked at.

    Attributes
    ----------
    entity, time : str, optional
        Columns whose cells are given as text, exactly as they are written.
    declared : dict of str to str or None
        Types of columns: number or text; None if it is open.
    dropped : tuple of str
    missing : tuple of str
        Words for a missing value.
    thousands : str, optional
        What stands between groups of three digits.
    forms : dict of str to FieldSettings
        Columns of which it is declared how their numbers are written.
    """

    entity: str | None = None
    time: str | None = None
    declared: dict[str, str | None] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    missing: tuple[str, ...] = MISSING
    thousands: str | None = None
    forms: dict[str, FieldSettings] = field(default_factory=dict)


class CsvFile:
    """A CSV file.

    Parameters
    ----------
    path : Path
    wanted : Wanted

    Attributes
    ----------
    names : tuple of str
        All columns.
    dates : DayOrMonth
        Evidence of the column of times, as soon as all rows were looked at.
    """

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.path, self.wanted = path, wanted
        self.dialect = dialect_of(path)
        self.names = self.dialect.names
        self.dates = DayOrMonth()
        self._of_other_length = 0

    def rows(self, wrong: NotRead) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The values of all rows but those of a wrong length.

        Parameters
        ----------
        wrong : NotRead
            Cells that are not read are added, with numbers of rows, and how the file was understood. `report` takes it.

        Yields
        ------
        int
            The number of the first row, from 0.
        pyarrow.RecordBatch
            All columns but the dropped ones.
        """
        kinds, words, forms = self._look(wrong)
        begin = 0
        for batch in self._cells([name for name in self.names if name not in self.wanted.dropped]):
            columns = {}
            for name, cells in zip(batch.schema.names, batch.columns, strict=True):
                if name not in kinds:
                    columns[name] = cells
                    continue
                form = forms.get(name)
                columns[name], bad = as_declared(cells, form, words) if form else converted(cells, kinds[name], words)
                if bad is not None:
                    self._add(wrong, name, "no number", begin, bad, cells)
            yield begin, pa.RecordBatch.from_pydict(columns)
            begin += len(batch)

    def report(self, wrong: NotRead, report: NotRead) -> None:
        """Add what was not read, with lines of the file for the numbers of rows, and the rows of a wrong length."""
        lines, others = self._lines({row for seen in wrong.seen.values() for row in seen.places})
        for note in wrong.notes:
            report.say(note)
        for what, seen in wrong.seen.items():
            report.add(what, [lines[row] for row in seen.places if row in lines], seen.count, seen.example)
        if self._of_other_length:
            report.add(What(self.path.name, "", f"not {len(self.names)} cells"), others, self._of_other_length)
            self._of_other_length = 0

    def _add(self, wrong: NotRead, name: str, reason: str, begin: int, bad: pa.Array, cells: pa.Array) -> None:
        places = pc.indices_nonzero(bad)
        rows = [begin + place for place in places[:MOST_PLACES].to_pylist()]
        wrong.add(What(self.path.name, name, reason), rows, len(places), cells[places[0].as_py()].as_py())

    def _look(self, report: NotRead) -> tuple[dict[str, Kind], Words, dict[str, FieldSettings]]:
        """The types of the columns, how numbers are written, and the declared forms that hold, from all rows."""
        wanted = self.wanted
        as_text = {wanted.entity, wanted.time}
        looked = [name for name in self.names if name not in as_text and name not in wanted.dropped]
        found = {
            decimal: {name: Evidence(Words(wanted.missing, decimal, wanted.thousands)) for name in looked}
            for decimal in self._decimals()
        }
        unread = {name: 0 for name in looked if name in wanted.forms}
        times = [] if wanted.time is None else [wanted.time]
        for batch in self._cells([*looked, *times]) if looked or times else ():
            for evidence in found.values():
                for name in looked:
                    evidence[name].add(batch.column(name))
            for name in unread:
                _, bad = as_declared(batch.column(name), wanted.forms[name], Words(wanted.missing))
                unread[name] += 0 if bad is None else pc.sum(bad).as_py()
            for name in times:
                self.dates.add(batch.column(name))
        decimal = _decimal(found)
        kinds = {name: of.kind(wanted.declared.get(name)) for name, of in found[decimal].items()}
        notes = [*self.dialect.notes, *["a comma stands before decimals"] * (decimal == "," and len(found) > 1)]
        notes += [note for name, of in found[decimal].items() if (note := _remark(name, of, kinds[name], wanted))]
        for note in notes:
            report.say(f"{self.path.name}: {note}")
        # A file may be written otherwise than the records of the topic, for which the form is declared.
        forms = {
            name: wanted.forms[name]
            for name, count in unread.items()
            if count <= found[decimal][name].cells - found[decimal][name].numbers
        }
        return kinds, Words(wanted.missing, decimal, wanted.thousands), forms

    def _decimals(self) -> tuple[str, ...]:
        """What may stand before decimals, the usual first."""
        if self.wanted.thousands in (",", "."):
            return (".",) if self.wanted.thousands == "," else (",",)
        return (".",) if self.dialect.delimiter == "," else (".", ",")

    def _cells(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The text of all cells of some columns, a chunk at a time."""
        self._of_other_length = 0
        if not self.dialect.has_rows:  # pyarrow takes a header without a line end for a row that is too long
            return
        last = None
        with opened(self.path) as file:
            try:
                for last in self._reader(file, columns):
                    yield last
            except pa.ArrowInvalid as error:
                why = f"a row is longer than {BLOCK} bytes" if "straddling" in str(error) else error
                raise InputError(f"{self.path} cannot be read: {why}") from error
        if last is not None and len(last) and not self.dialect.quotes_closed:
            end = last.slice(len(last) - 1)
            if any("\n" in (cell[0].as_py() or "") for cell in end.columns):
                raise InputError(f"{self.path} cannot be read: a quote is opened near its end, and never closed")

    def _reader(self, file: Any, columns: list[str]) -> Any:
        def other_length(_: Any) -> str:
            self._of_other_length += 1
            return "skip"

        return pacsv.open_csv(
            file,
            pacsv.ReadOptions(
                column_names=self.names,
                skip_rows_after_names=self.dialect.skipped,
                encoding=self.dialect.encoding,
                block_size=BLOCK,
            ),
            pacsv.ParseOptions(
                delimiter=self.dialect.delimiter, newlines_in_values=True, invalid_row_handler=other_length
            ),
            pacsv.ConvertOptions(column_types=dict.fromkeys(self.names, pa.string()), include_columns=columns),
        )

    def _lines(self, rows: set[int]) -> tuple[dict[int, int], list[int]]:
        """The lines on which some rows begin, by the row, and those of the first rows of another length."""
        lines: dict[int, int] = {}
        others: list[int] = []
        most = min(MOST_PLACES, self._of_other_length)
        if not rows and not most:
            return lines, others
        with opened(self.path) as file:
            text = io.TextIOWrapper(file, self.dialect.encoding, newline="")
            reader = csv.reader(text, delimiter=self.dialect.delimiter)
            row, begin = 0, 1
            with suppress(csv.Error):  # a cell is too long for this reader: no line below it is told
                for number, record in enumerate(reader):
                    if record and number >= self.dialect.skipped:
                        if len(record) != len(self.names):
                            others.append(begin)
                        else:
                            if row in rows:
                                lines[row] = begin
                            row += 1
                        if len(lines) == len(rows) and len(others) >= most:
                            break
                    begin = reader.line_num + 1
        return lines, others[:most]


def _decimal(found: dict[str, dict[str, Evidence]]) -> str:
    """What stands before decimals in the whole file: a comma if some column has numbers only with a comma, and none only with a point."""
    first, *others = found
    for decimal in others:
        fits = {mark: [of.kind() == "number" for of in found[mark].values()] for mark in (first, decimal)}
        if any(fits[decimal]) and not any(fits[first]):
            return decimal
    return first


def _remark(name: str, of: Evidence, kind: Kind, wanted: Wanted) -> str:
    """What a reader has to know of a column of text that holds something like numbers; empty if there is nothing to say."""
    if kind != "text" or wanted.declared.get(name) or not of.cells:
        return ""
    if of.zeros and of.digits == of.numbers >= of.cells * _MANY:
        return f"the column {name!r} is text, because numbers in it begin with 0 (event.fields: {{{name}: number}} reads them as numbers)"
    if wanted.thousands is None and _GROUPED.fullmatch(of.other.strip()):
        mark = next(mark for mark in of.other.strip("+- ") if not mark.isdigit())
        return (
            f"the column {name!r} is text, with cells such as {of.other!r} (--thousands {mark!r} reads them as numbers)"
        )
    if of.numbers >= of.cells * _MANY:
        return (
            f"the column {name!r} is text: {of.cells - of.numbers} of {of.cells} cells are no numbers, such as {of.other!r} "
            f"(event.fields: {{{name}: number}} reads the others)"
        )
    return ""
