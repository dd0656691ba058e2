"""Where in the local day, week and month an event lies, and whether that day is a workday."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import cast
from zoneinfo import ZoneInfo

import numpy as np
from streamgauge.models.contract import Flags, Ints

WORKDAY, SATURDAY, DAY_OFF = 0, 1, 2
SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000  # milliseconds
YEARS = (1970, 2100)  # the first and the last year whose changes of the offset are known
_EPOCH = date(1970, 1, 1)
_THURSDAY = 3  # 1970-01-01; Monday is 0
_CYCLE = 146_097  # days after which the months of the Gregorian calendar repeat: 400 years


class Calendar:
    """Local time of a zone, with its holidays.

    All methods take times in milliseconds since 1970 and return one value for each. They never fail: before 1970 and after 2100, the
    offset from UTC is the one at that end of the table.

    Parameters
    ----------
    time_zone : str
        Name in the IANA database, such as ``Europe/Berlin``.
    holidays : iterable of date, optional
        Days off, beside Sundays.

    Raises
    ------
    zoneinfo.ZoneInfoNotFoundError
        There is no such time zone.
    """

    def __init__(self, time_zone: str, holidays: Iterable[date] = ()) -> None:
        self.time_zone = time_zone
        self._changes, self._offsets = _offsets(time_zone)
        self._instants: list[int] = self._changes.tolist()  # the same; for one time, bisect is faster than numpy
        days = np.array(sorted({(holiday - _EPOCH).days for holiday in holidays}), dtype=np.int64)
        # A flag for each day from one before the first holiday to one after the last. Other days are read as one of the two ends.
        self._first = int(days[0]) - 1 if days.size else 0
        self._is_holiday = np.zeros(int(days[-1]) - self._first + 2 if days.size else 1, dtype=np.bool_)
        self._is_holiday[days - self._first] = True

    def slots(self, times: Ints) -> Ints:
        """Minute of the local day of each event, as a clock on the wall shows it.

        Parameters
        ----------
        times : int64[n]
            Milliseconds since 1970.

        Returns
        -------
        int64[n]
            0 to 1439. Where clocks go back, an hour comes twice; where they go forward, one is missing.
        """
        local = self._local(times)
        return cast("Ints", (local - local // DAY * DAY) // MINUTE)

    def days(self, times: Ints) -> Ints:
        """Local day of each event, counted from 1970-01-01, which is 0.

        Parameters
        ----------
        times : int64[n]
            Milliseconds since 1970.

        Returns
        -------
        int64[n]
        """
        return cast("Ints", self._local(times) // DAY)

    def weekdays(self, times: Ints) -> Ints:
        """Local day of the week of each event.

        Parameters
        ----------
        times : int64[n]
            Milliseconds since 1970.

        Returns
        -------
        int64[n]
            0 (Monday) to 6 (Sunday).
        """
        return _weekdays(self.days(times))

    def day_types(self, times: Ints) -> Ints:
        """Whether the local day of each event is a workday.

        Parameters
        ----------
        times : int64[n]
            Milliseconds since 1970.

        Returns
        -------
        int64[n]
            0 (workday), 1 (Saturday) or 2 (Sunday or holiday, whatever its day of the week).
        """
        days = self.days(times)
        types = np.maximum(_weekdays(days) - 4, WORKDAY)
        types[self._is_holiday.take(days - self._first, mode="clip")] = DAY_OFF
        return types

    def month_starts(self, times: Ints) -> Flags:
        """Whether the local day of each event is the first of its month.

        Parameters
        ----------
        times : int64[n]
            Milliseconds since 1970.

        Returns
        -------
        bool[n]
        """
        return _month_starts().take(self.days(times) % _CYCLE)

    def _local(self, times: Ints) -> Ints:
        """Local time as milliseconds since 1970-01-01 00:00 of the wall clock."""
        if times.size == 0:
            return times
        # Events of a batch are close together: mostly there is no change between them, and seldom more than one.
        low, high = bisect_right(self._instants, int(times.min())), bisect_right(self._instants, int(times.max()))
        places = low if low == high else low + np.searchsorted(self._changes[low:high], times, side="right")
        local: Ints = times + self._offsets[places]
        return local


def _weekdays(days: Ints) -> Ints:
    return (days + _THURSDAY) % 7


@cache
def _month_starts() -> Flags:
    """Whether a day of the cycle is the first of its month. The first day of the cycle is 1970-01-01."""
    days = np.arange(_CYCLE).astype("datetime64[D]")
    return cast("Flags", days == days.astype("datetime64[M]"))


@cache
def _offsets(time_zone: str) -> tuple[Ints, Ints]:
    """Changes of the offset of a zone from UTC in `YEARS`.

    Two changes in any zone are at least six days apart, so a day has one at most.

    Returns
    -------
    changes : int64[n]
        When the offset changes, in milliseconds since 1970, in order.
    offsets : int64[n + 1]
        Milliseconds to add to UTC: before the first change, and from each change on.
    """
    zone = ZoneInfo(time_zone)

    def offset(second: int) -> timedelta:
        return cast("timedelta", datetime.fromtimestamp(second, zone).utcoffset())

    changes: list[int] = []
    offsets = [offset(0)]
    end = int(datetime(YEARS[1] + 1, 1, 1, tzinfo=UTC).timestamp())
    for midnight in range(DAY // SECOND, end + 1, DAY // SECOND):
        after = offset(midnight)
        if after != offsets[-1]:
            low, high = midnight - DAY // SECOND, midnight  # the change is after low, and at high at the latest
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if offset(middle) == after else (middle, high)
            changes.append(high)
            offsets.append(after)
    seconds = np.array([o.total_seconds() for o in offsets])
    return np.array(changes, dtype=np.int64) * SECOND, np.rint(seconds * SECOND).astype(np.int64)
