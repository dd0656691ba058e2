"""What a field holds follows from its values: which texts are numbers, and which numbers mean no reading."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Floats
from streamgauge.udfs.events.numbers import is_number, plain_number
from streamgauge.udfs.settings.event import EventSettings

TURNS_AFTER = 16  # values of the other type in a row after which a field is looked at as that type, too
KEPT = 100_000  # texts whose meaning is kept in mind

# Numbers that machines write where they have no reading: fill values, and the ends of the ranges of integers and floats.
NO_READINGS = np.array(
    (
        *(-99999.0, -9999.0, -999.0),
        *(-(2.0**15), 2.0**15 - 1, 2.0**16 - 1, -(2.0**31), 2.0**31 - 1, 2.0**32 - 1, -(2.0**63), 2.0**63, 2.0**64),
        *(-3.4028234663852886e38, 3.4028234663852886e38, 9.969209968386869e36, -1e308, 1e308),
        *(-1.7976931348623157e308, 1.7976931348623157e308),
    )
)
SMALLEST = 999.0  # size of the smallest of them
KNOWN = 30  # other values of a field that must have come since the first such number before one is judged
FAR = 10.0  # such a number is this many times the range of the other values away from them
TIMES = 3  # and has come this often


class Texts:
    """Tells what a text means: a number, a missing value, or a text.

    Parameters
    ----------
    settings : EventSettings
    """

    def __init__(self, settings: EventSettings) -> None:
        self._missing = frozenset(word.strip().casefold() for word in settings.missing)
        self._numbers: dict[str, float | None] = {}

    def is_missing(self, text: str) -> bool:
        """Whether a text stands for a missing value."""
        return text.strip().casefold() in self._missing

    def number(self, text: str) -> float | None:
        """The number that a text holds in plain form; None if it holds none, or stands for a missing value."""
        if text in self._numbers:
            return self._numbers[text]
        if len(self._numbers) >= KEPT:
            self._numbers.clear()
        number = self._numbers[text] = None if self.is_missing(text) else plain_number(text)
        return number

    def first_turn(self, items: list[Any], before: int) -> tuple[int | None, int]:
        """Find where a field of other values has held numbers, `TURNS_AFTER` times in a row.

        Parameters
        ----------
        items : list
            Values of the field, in order. Missing values do not count.
        before : int
            Number of numbers in a row before them.

        Returns
        -------
        place : int or None
            Place of the last of these numbers; None if there are not so many.
        now : int
            Number of numbers in a row at the end of `items`, or at `place`.
        """
        types = set(map(type, items))
        if types <= {str, bool, type(None)}:  # True equals 1, so a set may not hold a number beside it
            distinct = set(items)
            if not any(map(self._is_numeric, distinct)):
                return None, before if all(map(self._is_absent, distinct)) else 0
        for place, item in enumerate(items):
            if self._is_absent(item):
                continue
            before = before + 1 if self._is_numeric(item) else 0
            if before >= TURNS_AFTER:
                return place, before
        return None, before

    def _is_absent(self, item: Any) -> bool:
        return item is None or (isinstance(item, str) and self.is_missing(item))

    def _is_numeric(self, item: Any) -> bool:
        return is_number(item) or (isinstance(item, str) and self.number(item) is not None)


NewNoReading = tuple[str, float, int]  # column, number, and row where it was found to mean no reading


@dataclass
class NoReadings:
    """Finds numbers that mean no reading: a number that machines write then, far from all others, that has come several times.

    Attributes
    ----------
    found, real : dict of str to list of float
        By field: numbers that are read as missing, and numbers that are values like others; in order of size.
    times : dict of str to dict of str to int
        By field and number: how often it came, far from the others.
    ranges : dict of str to [float, float, float]
        By field: lowest and highest of the other values, and their number, which is not counted beyond `KNOWN`.
    """

    found: dict[str, list[float]] = field(default_factory=dict)
    real: dict[str, list[float]] = field(default_factory=dict)
    times: dict[str, dict[str, int]] = field(default_factory=dict)
    ranges: dict[str, list[float]] = field(default_factory=dict)

    def look(self, X: Floats, names: list[str], declared: frozenset[str]) -> tuple[list[NewNoReading], Flags]:
        """Find the numbers that mean no reading.

        Parameters
        ----------
        X : float64[n, d]
        names : list of str
            Names of the columns.
        declared : frozenset of str
            Columns of which the settings say what means no reading. They are not looked at.

        Returns
        -------
        found : list of (str, float, int)
            Column, number and row where it was found that a number means no reading, in the order of rows.
        missing : bool[n, d]
            Where such a number stands, from there on.
        """
        odd = np.zeros(X.shape, np.bool_)
        large = np.abs(X) >= SMALLEST
        if large.any():
            odd[large] = np.isin(X[large], NO_READINGS)
        told: list[NewNoReading] = []
        missing = np.zeros(X.shape, np.bool_)
        columns = set(np.flatnonzero(odd.any(axis=0)).tolist())
        if self.ranges:
            columns.update(column for column, name in enumerate(names) if name in self.ranges)
        for column in sorted(columns):
            name, suspected = names[column], bool(odd[:, column].any())
            if name in declared:
                continue
            others = np.where(odd[:, column], math.nan, X[:, column])
            if name not in self.ranges:  # the other values are followed from the first such number on
                self.ranges[name] = [math.inf, -math.inf, 0.0]
                others[: int(odd[:, column].argmax())] = math.nan
            if suspected:
                found, missing[:, column] = self._judge(X[:, column], odd[:, column], others, name)
                told += found
            self._widen(others, name)
        told.sort(key=itemgetter(2))
        return told, missing

    def _judge(self, values: Floats, odd: Flags, others: Floats, name: str) -> tuple[list[NewNoReading], Flags]:
        """Judge the odd numbers of one column, in order; see `look`."""
        told: list[NewNoReading] = []
        missing = np.zeros(len(values), np.bool_)
        found, real = self.found.get(name, []), self.real.get(name, [])
        low, high, known = self.ranges[name]
        counts = known + np.cumsum(~np.isnan(others))
        for number in np.unique(values[odd]).tolist():
            rows = np.flatnonzero(odd & (values == number))
            if number in found:
                missing[rows] = True
            judged = rows[counts[rows] >= KNOWN]
            if number in found or number in real or not len(judged):
                continue
            lows = np.fmin.accumulate(np.fmin(others, low))[judged]
            highs = np.fmax.accumulate(np.fmax(others, high))[judged]
            with np.errstate(over="ignore"):
                room = FAR * np.maximum(highs - lows, 1.0)
                near = np.flatnonzero((number >= lows - room) & (number <= highs + room))
            before = self.times.get(name, {}).get(repr(number), 0)
            needed = TIMES - before - 1  # place among the judged rows at which it has come often enough
            if len(near) and near[0] <= needed:
                bisect.insort(self.real.setdefault(name, []), number)
                self._forget_times(name, number)
            elif needed < len(judged):
                row = int(judged[needed])
                bisect.insort(self.found.setdefault(name, []), number)
                self._forget_times(name, number)
                told.append((name, number, row))
                missing[rows[rows >= row]] = True
            else:
                self.times.setdefault(name, {})[repr(number)] = before + len(judged)
        return told, missing

    def _forget_times(self, name: str, number: float) -> None:
        """Forget how often a number came, because it is decided what it means."""
        times = self.times.pop(name, {})
        times.pop(repr(number), None)
        if times:
            self.times[name] = times

    def _widen(self, others: Floats, name: str) -> None:
        """Add the other values of one column to its range."""
        count = int((~np.isnan(others)).sum())
        if count:
            low, high, known = self.ranges[name]
            # 0.0 is added because -0.0 equals 0.0, so that batches would decide which of them is kept.
            self.ranges[name] = [
                min(low, float(np.nanmin(others)) + 0.0),
                max(high, float(np.nanmax(others)) + 0.0),
                min(known + count, float(KNOWN)),
            ]
