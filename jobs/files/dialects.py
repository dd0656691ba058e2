"""How a CSV file is written: its encoding, what stands between its cells, and the names of its columns."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamgauge.jobs.files.column_names import unique
from streamgauge.jobs.files.sources import blocks, opened
from streamgauge.models.errors import InputError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
LOOKED_AT = 2 << 20  # bytes; no row is longer
ROWS = 100
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
SHOWN = {"utf-16": "UTF-16", "latin-1": "Latin-1"}
NUMBER = re.compile(r"[+-]?(\d[\d.,]*|[.,]\d+)([eE][+-]?\d+)?")
TIME = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}:\d\d(:\d\d([.,]\d+)?)?")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written.

    Attributes
    ----------
    encoding : str
    delimiter : str
    names : tuple of str
        The columns.
    skipped : int
        Records before the first row, empty ones included: the header.
    has_rows : bool
        Whether anything comes after the header.
    quotes_closed : bool
        Whether each quote is surely closed. Else the number of quotes is odd, which a mark of inches also makes.
    notes : tuple of str
        What differs from a comma, a header and UTF-8, in words.
    """

    encoding: str
    delimiter: str
    names: tuple[str, ...]
    skipped: int
    has_rows: bool
    quotes_closed: bool
    notes: tuple[str, ...]


def dialect_of(path: Path) -> Dialect:
    """Find out how a file is written. The encoding follows from all of it, the rest from its first lines.

    Raises
    ------
    InputError
        The file is empty or is no text.
    """
    with opened(path) as file:
        head = file.read(LOOKED_AT)
    encoding, quotes = _encoding(path, head)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    if "\0" in text:
        raise InputError(f"{path} is no text: it holds bytes that are 0. UTF-16 is read if it begins with its mark")
    whole = len(head) < LOOKED_AT
    delimiter = _delimiter(text, whole)
    records = _records(text, delimiter, whole)
    empty = next((place for place, record in enumerate(records) if record), len(records))
    rows = records[empty:]
    if not rows:
        why = "it is empty" if whole else f"a row is longer than {LOOKED_AT} bytes"
        raise InputError(f"{path} cannot be read: {why}")
    header = not _is_data(rows[0])
    names, notes = _names(rows[0] if header else None, rows[header:])
    if delimiter != ",":
        notes.insert(0, f"a {DELIMITERS[delimiter]} stands between the cells")
    if encoding in SHOWN:
        notes.insert(0, f"the encoding is {SHOWN[encoding]}")
    has_rows = len(rows) > header or not whole
    return Dialect(encoding, delimiter, names, empty + header, has_rows, quotes % 2 == 0, tuple(notes))


def _encoding(path: Path, head: bytes) -> tuple[str, int]:
    """The encoding, and the number of quotes."""
    found = next((encoding for bom, encoding in BOMS.items() if head.startswith(bom)), "utf-8")
    decoder = codecs.getincrementaldecoder("utf-8")()
    quotes = 0
    for block in itertools.chain(blocks(path), (b"",)):
        quotes += block.count(b'"')
        if found == "utf-8":
            try:
                decoder.decode(block, final=not block)  # at the end, half a character is none
            except UnicodeDecodeError:
                found = "latin-1"
    return found, quotes


def _records(text: str, delimiter: str, whole: bool) -> list[list[str]]:
    """The first records. The last one is left out unless the text is whole, because it may be cut."""
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            records.append(record)
            if len(records) > ROWS:
                break
    except csv.Error:  # a cell is very long, so the last record was not added
        return records
    return records if whole and len(records) <= ROWS else records[:-1]


def _delimiter(text: str, whole: bool) -> str:
    """The character by which most of the first records have as many cells as the first one, and the clearest cells."""

    def fit(delimiter: str) -> tuple[float, float, int]:
        records = [record for record in _records(text, delimiter, whole) if record]
        width = len(_filled(records[0])) if records else 0
        if width < 2:
            return (0.0, 0.0, 0)
        others = set(DELIMITERS) - {delimiter}
        cells = [cell for record in records for cell in record]
        clear = sum(bool(NUMBER.fullmatch(cell)) or not others.intersection(cell) for cell in cells)
        alike = sum(len(_filled(record)) <= width <= len(record) for record in records)
        return alike / len(records), clear / len(cells), width

    return max(DELIMITERS, key=fit)  # the first one, a comma, if nothing fits


def _filled(record: Sequence[str]) -> Sequence[str]:
    """A record without empty cells at its end."""
    end = len(record)
    while end and not record[end - 1].strip():
        end -= 1
    return record[:end]


def _is_data(record: Sequence[str]) -> bool:
    """Whether all cells are numbers or times, so that they name no columns."""
    cells = [cell.strip() for cell in record if cell.strip()]
    return bool(cells) and all(NUMBER.fullmatch(cell) or TIME.fullmatch(cell) for cell in cells)


def _names(header: Sequence[str] | None, rows: list[list[str]]) -> tuple[tuple[str, ...], list[str]]:
    """Names of all columns, no two of them alike, and notes."""
    width = len(rows[0]) if header is None else len(header)
    longer = [len(row) for row in rows if len(row) > width and not any(cell.strip() for cell in row[width:])]
    if longer and len(longer) * 2 > len(rows):  # a comma at the end of each row, but not of the header
        width = max(longer)
    given = [] if header is None else [name.strip() for name in header]
    notes = [] if header is not None else [f"the first line holds values: the columns are c1 to c{width}"]
    filled = [given[place] if place < len(given) and given[place] else f"c{place + 1}" for place in range(width)]
    names, note = unique(filled)
    if note:
        notes.append(note)
    return names, notes
