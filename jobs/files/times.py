"""The times of a column: ISO 8601, RFC 3339 and 1123, an epoch, or day, month and year in the order that the whole column shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from streamgauge.jobs.files.column_types import MOSTLY, NUMBER
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.time import FACTORS, LIMITS

# 2.1.2024 10:00, 02/01/24, 2-1-2024 10:00 PM: two of the three parts may be the day
DAYS = r"^(?P<first>\d{1,2})(?P<mark>[/.-])(?P<second>\d{1,2})[/.-](?P<year>\d{4}|\d{2})(?:[T,\s]+(?P<clock>\d.*))?$"
YEAR_FIRST = r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})"
MONTH_NAME = r"(?i)(?:^|[^a-z])(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
# A time with a zone: an offset after the clock, or one of the names of UTC.
WITH_ZONE = r"(?i)(?:t\d[\d.,]*|:\d[\d.,]*)(?:\s*[ap]m)?\s*[+-]\d|(?:z|utc|gmt)$"
WORD = r"(?i)[a-z]$"
KNOWN_WORD = r"(?i)(?:^|[^a-z])(?:[ap]m?|z|utc|gmt)$"  # others are such as EST, which stands for several zones, or now
PIVOT = 70  # years below this one, of two digits, are in the years 2000
Order = Literal["day", "month"]


@dataclass(slots=True)
class DayOrMonth:
    """Which of the first two parts of dates such as 02/01/2024 is the day: evidence of a whole column.

    Attributes
    ----------
    days, months : int
        Dates whose first part, or second part, can only be a day.
    open : str
        A date that may be read either way.
    """

    days: int = 0
    months: int = 0
    open: str = ""

    def add(self, cells: pa.Array) -> None:
        """Look at more cells."""
        dates = cells.filter(pc.match_substring_regex(pc.utf8_trim_whitespace(cells), r"^\d{1,2}[/-]\d{1,2}[/-]\d"))
        if not len(dates):
            return
        parts = pc.extract_regex(pc.utf8_trim_whitespace(dates), DAYS).drop_null()
        first, second = (pc.cast(part, pa.int64()).to_numpy() for part in parts.flatten()[:3:2])
        self.days += int(((first > 12) & (second <= 12)).sum())
        self.months += int(((second > 12) & (first <= 12)).sum())
        self.open = self.open or dates[0].as_py()

    def order(self, path: Path, column: str) -> Order:
        """The part that comes first.

        Raises
        ------
        InputError
            Nothing shows it, or the dates contradict each other.
        """
        if not self.open:
            return "day"
        if not max(self.days, self.months) >= MOSTLY * (self.days + self.months) > 0:
            why = "some dates begin with the day, others with the month" if self.days else "no date shows it"
            raise InputError(
                f"{path}: the column {column!r} holds dates such as {self.open!r}: is the day or the month first? ({why}) "
                "Say how they are written: --time-format '%d/%m/%Y %H:%M:%S' or '%m/%d/%Y %H:%M:%S'"
            )
        return "day" if self.days > self.months else "month"


def times_of(column: pa.Array, order: Order = "day", form: str | None = None) -> tuple[Ints, Flags]:
    """A column of any type as times; see `milliseconds` and `epoch`."""
    if form is not None and pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    kind = column.type
    if pa.types.is_string(kind):
        return milliseconds(column, order, form)
    read = pc.is_valid(column).to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(kind) and kind.unit in ("us", "ns"):
        parts = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
        return _rounded(parts if kind.unit == "us" else parts // 1000), read
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        moments = column.cast(pa.timestamp("ms", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        return pc.fill_null(moments, 0).to_numpy(), read
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return epoch(pc.fill_null(column.cast(pa.float64(), safe=False), float("nan")).to_numpy())
    return np.zeros(len(column), np.int64), np.zeros(len(column), np.bool_)


def milliseconds(cells: pa.Array, order: Order = "day", form: str | None = None) -> tuple[Ints, Flags]:
    """Cells of text as times.

    Parameters
    ----------
    cells : pyarrow.Array of str
        Null is no time.
    order : {"day", "month"}
        What comes first in dates such as 02/01/2024. With points, 2.1.2024, it is always the day.
    form : str, optional
        How all times are written, as in ``strptime``.

    Returns
    -------
    times : int64[n]
        Milliseconds since 1970. A time without a zone is UTC.
    read : bool[n]
        Whether each cell is a time.

    Raises
    ------
    InputError
        The form cannot be used.
    """
    trimmed = pc.utf8_trim_whitespace(cells)
    text: pd.Series[Any] = trimmed.to_pandas()
    if form is not None:
        try:
            return _moments(pd.to_datetime(text, format=form, errors="coerce", utc=True))
        except ValueError as error:
            raise InputError(f"--time-format {form!r} is no format of times: {error}") from error
    times, read = np.zeros((2, len(text)), np.int64)
    read = read.astype(np.bool_)
    numbers = _match(trimmed, NUMBER)
    times[numbers], read[numbers] = epoch(text[numbers].to_numpy().astype(np.float64))
    usable = ~numbers & ~(_match(trimmed, WORD) & ~_match(trimmed, KNOWN_WORD))
    with_zone = _match(trimmed, WITH_ZONE)
    for written in (_as_they_are, _year_first, _day_or_month_first(order), _with_names):
        for alike in (with_zone, ~with_zone):  # pandas reads a time without a zone in the zone of the one before it
            rest = np.flatnonzero(usable & ~read & alike)
            if len(rest):
                known = "ISO8601" if written is _as_they_are else "mixed"
                parsed = pd.to_datetime(written(text[rest]), format=known, errors="coerce", utc=True)
                times[rest], read[rest] = _moments(parsed)
    return times, read


def _match(cells: pa.Array, pattern: str) -> Flags:
    matched: Flags = pc.fill_null(pc.match_substring_regex(cells, pattern), False).to_numpy(zero_copy_only=False)
    return matched


def epoch(numbers: Floats) -> tuple[Ints, Flags]:
    """Numbers as milliseconds since 1970, and whether each is a time. The unit of each follows from its size, as in the job."""
    size = np.abs(numbers)
    read = size < LIMITS[-1]  # false for NaN
    usable = np.where(read, numbers, 0.0)
    factors = np.array(FACTORS)[np.searchsorted(LIMITS, np.where(read, size, 0.0), side="right")]
    return np.rint(usable * factors).astype(np.int64), read


def _moments(parsed: pd.Series[Any]) -> tuple[Ints, Flags]:
    read = parsed.notna().to_numpy(np.bool_)
    return np.where(read, _rounded(parsed.astype("int64").to_numpy() // 1000), 0), read


def _rounded(microseconds: Ints) -> Ints:
    """Microseconds as milliseconds, as the job rounds them."""
    milliseconds: Ints = np.rint(microseconds / 1e6 * 1000).astype(np.int64)
    return milliseconds


def _as_they_are(text: pd.Series[Any]) -> pd.Series[Any]:
    return text


def _tidy(text: pd.Series[Any]) -> pd.Series[Any]:
    """The zone UTC as Z, the decimals of seconds after a point."""
    text = text.str.replace(r"\s*(?i:utc|gmt|z)$", " Z", regex=True)
    return text.str.replace(r"(:\d\d),(\d)", r"\1.\2", regex=True)


def _year_first(text: pd.Series[Any]) -> pd.Series[Any]:
    dashes = _tidy(text).str.replace(YEAR_FIRST, r"\1-\2-\3", regex=True)
    return dashes.where(dashes.str.match(r"^\d{4}-", na=False), None)


def _day_or_month_first(order: Order) -> Callable[[pd.Series[Any]], pd.Series[Any]]:
    def written(text: pd.Series[Any]) -> pd.Series[Any]:
        parts = _tidy(text).str.extract(DAYS)
        day_first = (parts["mark"] == ".") | (order == "day")
        day, month = parts["first"].where(day_first, parts["second"]), parts["second"].where(day_first, parts["first"])
        year = parts["year"].where(parts["year"].str.len() == 4, _century(parts["year"]) + parts["year"])
        return year + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + " " + parts["clock"].fillna("00:00")

    return written


def _century(years: pd.Series[Any]) -> pd.Series[Any]:
    return pd.Series(np.where(years.fillna("0").astype(int) < PIVOT, "20", "19"), years.index)


def _with_names(text: pd.Series[Any]) -> pd.Series[Any]:
    tidy = _tidy(text)
    return tidy.where(tidy.str.contains(MONTH_NAME, na=False), None)
