"""The type of a column of text: it follows from all its cells, or is declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from streamgauge.udfs.events.numbers import declared_number
from streamgauge.udfs.settings.event import MISSING, FieldSettings

MOSTLY = 0.95  # share of the cells that are numbers in a column of numbers
NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
DIGITS, WHOLE = r"^-?\d+$", r"^-?\d{1,18}$"  # up to 18 digits always fit into int64
ZEROS = r"^[+-]?0\d+$"
TRUTH = r"^(?i:true|false)$"

Kind = Literal["whole number", "number", "true or false", "text"]


@dataclass(frozen=True, slots=True)
class Words:
    """How values are written.

    Attributes
    ----------
    missing : tuple of str
        Words for a missing value; capital letters and spaces around do not matter.
    decimal : {".", ","}
        What stands before decimals.
    thousands : str, optional
        What stands between groups of three digits.
    """

    missing: tuple[str, ...] = MISSING
    decimal: str = "."
    thousands: str | None = None

    @property
    def usual(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self.decimal == "." and self.thousands is None

    def are_missing(self, cells: pa.Array) -> pa.Array:
        """Whether each cell is missing."""
        words = pa.array(sorted({word.strip().lower() for word in self.missing}), pa.string())
        return pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(cells)), words)

    def plain(self, cells: pa.Array) -> pa.Array:
        """Cells without spaces around, and numbers as programs write them: 1234.5."""
        cells = pc.utf8_trim_whitespace(cells)
        if self.thousands is not None:
            grouped = rf"^[+-]?\d{{1,3}}([{self.thousands}]\d{{3}})+([{self.decimal}]\d*)?$"
            joined = pc.replace_substring(cells, self.thousands, "")
            cells = pc.if_else(pc.match_substring_regex(cells, grouped), joined, cells)
        if self.decimal != ".":  # then a point is no part of a number
            cells = pc.replace_substring(pc.replace_substring(cells, ".", "?"), self.decimal, ".")
        return pc.replace_substring_regex(cells, r"^\+(\d|\.\d)", r"\1")


@dataclass(slots=True)
class Evidence:
    """What was seen in a column so far.

    Attributes
    ----------
    words : Words
    cells, numbers : int
        Cells that are not missing, and those of them that are numbers.
    digits, whole, zeros : int
        Numbers without decimals, those that fit into 64 bits, and those that begin with a zero that says nothing, such as 007.
    truths : int
        Cells that are true or false.
    other : str
        The first cell that is no number.
    """

    words: Words
    cells: int = 0
    numbers: int = 0
    digits: int = 0
    whole: int = 0
    zeros: int = 0
    truths: int = 0
    other: str = ""

    def add(self, cells: pa.Array) -> None:
        """Look at more cells."""
        there = numbers = cells
        if not self.words.usual or _finite(cells) is None:
            there = cells.filter(pc.invert(self.words.are_missing(cells)))
            plain = self.words.plain(there)
            are_numbers = pc.match_substring_regex(plain, NUMBER)
            numbers = plain.filter(are_numbers)
            if len(numbers) < len(there):
                self.truths += _count(plain, TRUTH)
                self.other = self.other or there.filter(pc.invert(are_numbers))[0].as_py()
        self.cells += len(there)
        self.numbers += len(numbers)
        whole = len(numbers) if _cast(numbers, pa.int64()) is not None else _count(numbers, WHOLE)
        self.whole += whole
        self.digits += whole if whole == len(numbers) else _count(numbers, DIGITS)
        self.zeros += _count(numbers, ZEROS) if whole else 0

    def kind(self, declared: str | None = None) -> Kind:
        """The type of the column.

        Parameters
        ----------
        declared : {"number", "text"}, optional
        """
        if declared is None and self.cells and self.truths == self.cells:
            return "true or false"
        if declared == "text" or not self.cells:
            return "text"
        if declared is None and (self.numbers < MOSTLY * self.cells or (self.zeros and self.digits == self.numbers)):
            return "text"
        return "whole number" if self.whole == self.numbers else "number"


def converted(cells: pa.Array, kind: Kind, words: Words) -> tuple[pa.Array, pa.Array | None]:
    """Cells as values of a type.

    Returns
    -------
    values : pyarrow.Array
        Null where a cell is missing or is no such value.
    wrong : pyarrow.Array or None
        Whether each cell is neither missing nor such a value. None if there is no such cell.
    """
    if kind == "text":
        return _without(cells, words.are_missing(cells)), None
    if kind == "true or false":
        plain = pc.utf8_lower(words.plain(cells))
        return pc.equal(_without(plain, words.are_missing(cells)), "true"), None
    target, pattern = (pa.int64(), DIGITS) if kind == "whole number" else (pa.float64(), NUMBER)
    if words.usual:
        values = _finite(cells) if kind == "number" else _cast(cells, target)
        if values is not None:
            return values, None
    missing, plain = words.are_missing(cells), words.plain(cells)
    fits = pc.and_not(pc.match_substring_regex(plain, pattern), missing)
    values = pc.cast(_without(plain, pc.invert(fits)), target)
    if kind == "number":
        infinite = pc.fill_null(pc.is_inf(values), False)
        values, fits = _without(values, infinite), pc.and_not(fits, infinite)
    wrong = pc.invert(pc.or_(fits, missing))
    return values, wrong if pc.any(wrong).as_py() else None


def as_declared(cells: pa.Array, form: FieldSettings, words: Words) -> tuple[pa.Array, pa.Array | None]:
    """Cells as numbers in the form that is declared for their field, as the job reads them; returns what `converted` returns."""
    coded = cells.dictionary_encode()  # each text is read once
    numbers = pa.array([declared_number(text, form) for text in coded.dictionary.to_pylist()], pa.float64())
    missing = words.are_missing(cells)
    values = _without(numbers.take(coded.indices), missing)
    wrong = pc.and_not(pc.is_null(values), missing)
    return values, wrong if pc.any(wrong).as_py() else None


def _without(values: pa.Array, where: pa.Array) -> pa.Array:
    return pc.if_else(where, pa.scalar(None, values.type), values)


def _count(cells: pa.Array, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(cells, pattern)).as_py() or 0)


def _cast(cells: pa.Array, target: Any) -> pa.Array | None:
    try:
        return pc.cast(cells, target)
    except pa.ArrowInvalid:
        return None


def _finite(cells: pa.Array) -> pa.Array | None:
    """Cells as numbers; None if one is no finite number."""
    values = _cast(cells, pa.float64())
    return values if values is not None and pc.all(pc.is_finite(values), min_count=0).as_py() else None
