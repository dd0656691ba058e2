"""Reads and writes times. The time of an event is a text in a usual form, or an epoch number, whose unit follows from its size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from streamgauge.models.contract import Ints
from streamgauge.udfs.events.entity import Bad, shown
from streamgauge.udfs.events.iso_times import utc_milliseconds
from streamgauge.udfs.events.numbers import is_number
from streamgauge.udfs.settings.event import EventSettings

LIMITS = (1e11, 1e14, 1e17, 1e20)  # below these an epoch is in seconds, milliseconds, microseconds, nanoseconds
FACTORS = (1000.0, 1.0, 1e-3, 1e-6)  # to milliseconds
DAY = 86_400_000
EARLIEST, LATEST = (
    -62_104_060_800_000,
    253_370_764_800_000,
)  # begin of the years 2 and 9999: RFC 3339 ends with these two, and zones differ
# Parts of a time that is an object, after the name of its field and a dot: MongoDB's extended JSON, and protobuf's timestamp.
DATE, DATE_LONG, SECONDS, NANOS = (
    "$date",
    "$date.$numberLong",
    ("seconds", "_seconds"),
    ("nanos", "nanoseconds", "_nanoseconds"),
)
PARTS = (DATE, DATE_LONG, *SECONDS, *NANOS)
MOST_CHARACTERS = 64
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
_COMPACT = re.compile(r"(19|20)\d{6}(\d{6})?", re.ASCII)
_ZONE_WORD = re.compile(r"\s*(?:UTC|GMT|[zZ])$")
_LEAP = re.compile(r"(:\d\d):60(?=\D|$)")


def epoch_milliseconds(value: Any, zone: tzinfo = UTC) -> int:
    """Read one time.

    Parameters
    ----------
    value : str, int or float
        An epoch number in seconds, milliseconds, microseconds or nanoseconds, also in quotes; ISO 8601 text with its usual
        variations (a space instead of T, z or UTC for the zone, second 60, no separators); or RFC 1123 text.
    zone : tzinfo
        Zone of a text that names none.

    Returns
    -------
    int
        Milliseconds since 1970.

    Raises
    ------
    ValueError, OverflowError
        The value is none of these.
    """
    if isinstance(value, str):
        return _of_text(value, zone)
    if not is_number(value):
        raise ValueError(f"no time: {shown(value)}")
    number = float(value)
    for limit, factor in zip(LIMITS, FACTORS, strict=True):
        if abs(number) < limit:
            return round(number * factor)
    raise ValueError(f"no time: {shown(value)}")


def _of_text(text: str, zone: tzinfo) -> int:
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"no time: {shown(text)}")
    text = text.strip()
    compact = _COMPACT.fullmatch(text)
    if _NUMBER.fullmatch(text) and not compact:
        return epoch_milliseconds(int(text) if text.lstrip("+-").isdigit() else float(text))
    leap = 0
    if _LEAP.search(text):
        text, leap = _LEAP.sub(r"\1:59", text), 1000
    if compact:
        moment = datetime.strptime(text, "%Y%m%d%H%M%S" if compact[2] else "%Y%m%d")
    elif text[:1].isdigit() or text[:1] in "+-":
        moment = datetime.fromisoformat(_ZONE_WORD.sub("+00:00", text).replace(" +", "+").replace(" -", "-"))
    else:
        moment = parsedate_to_datetime(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000) + leap


def as_epoch(milliseconds: int) -> int | float:
    """A moment in milliseconds as the number that `epoch_milliseconds` reads as that moment: in seconds if it is near 1970."""
    return milliseconds if abs(milliseconds) >= LIMITS[0] else milliseconds / 1000


def rfc3339(milliseconds: int) -> str:
    """A moment in milliseconds as RFC 3339 text, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TimeReader:
    """Reads the time of each event; Kafka's timestamp where an event has none.

    Parameters
    ----------
    settings : EventSettings
    """

    def __init__(self, settings: EventSettings) -> None:
        self._name, self._past, self._future = settings.time, settings.max_past, settings.max_future
        self._zone: tzinfo = UTC if settings.zone == "UTC" else ZoneInfo(settings.zone)
        self._parts = frozenset(f"{settings.time}.{part}" for part in PARTS)

    def read(self, values: list[dict[str, Any]], stamps: Ints, bad: Bad) -> tuple[Ints, int | None]:
        """Read the time of each event.

        Parameters
        ----------
        values : list of dict
            Flat fields of each event.
        stamps : int64[n]
            Kafka's timestamps, in milliseconds since 1970; negative where a record has none.
        bad : dict
            By position: reason and message of each event without a usable time are added. An event that is in it already keeps its reason.

        Returns
        -------
        times : int64[n]
            Milliseconds since 1970.
        untimed : int or None
            Position of the first event without a time; None if all have one, or if the settings name no field.
        """
        name = self._name
        untimed: Sequence[int] = ()
        if name is None:
            times, untimed = stamps.copy(), range(len(values))
        else:
            given = [value.get(name) for value in values]
            if given.count(None) == len(given) and all(map(self._parts.isdisjoint, values)):
                times, untimed = stamps.copy(), range(len(values))
            elif (read := self._all_at_once(given)) is not None:
                times = read
            else:
                times, untimed = self._one_by_one(name, given, values, stamps, bad)
        of_events = np.ones(len(times), np.bool_)
        of_events[list(untimed)] = False
        for i in np.flatnonzero(of_events & ((times < EARLIEST) | (times > LATEST))).tolist():
            bad.setdefault(i, ("bad_time", f"{name!r} is not in the years 2 to 9998"))
        known = stamps >= 0
        for i in untimed if not known.all() else ():
            if not known[i]:
                bad.setdefault(
                    i, ("no_time", "the event has no time, and its record has no timestamp of Kafka (event.time)")
                )
        ahead = times - stamps
        for i in np.flatnonzero(known & ((ahead > self._future) | (ahead < -self._past))).tolist():
            days = ahead[i] / DAY
            where = f"{abs(days):.1f} days {'after' if days > 0 else 'before'} Kafka's timestamp"
            bad.setdefault(i, ("time_out_of_range", f"{name!r} is {where} (event.max_past, event.max_future)"))
        return times, None if name is None or not untimed else untimed[0]

    def _all_at_once(self, given: list[Any]) -> Ints | None:
        """Times that are all numbers, or all texts of one form; None if they must be read one by one."""
        kinds = set(map(type, given))
        if kinds <= {int, float}:
            return _of_numbers(given)
        return utc_milliseconds(given, self._zone is UTC) if kinds == {str} else None

    def _one_by_one(
        self, name: str, given: list[Any], values: list[dict[str, Any]], stamps: Ints, bad: Bad
    ) -> tuple[Ints, list[int]]:
        times = stamps.copy()
        untimed: list[int] = []
        for i, value in enumerate(given):
            moment = value
            if value is None and not self._parts.isdisjoint(values[i]):
                moment = _of_parts(name, values[i])
            if moment is None or moment == "":
                untimed.append(i)
                continue
            try:
                times[i] = epoch_milliseconds(moment, self._zone)
            except (ValueError, OverflowError, TypeError, IndexError):  # the reader of RFC 1123 raises the last two
                bad.setdefault(
                    i, ("bad_time", f"{name!r} is {shown(moment)}: neither a time in a usual form nor an epoch")
                )
        return times, untimed


def _of_parts(name: str, value: dict[str, Any]) -> Any:
    """The time of an event in which it is an object; None if there is none."""
    for part in (DATE, DATE_LONG):
        if f"{name}.{part}" in value:
            return value[f"{name}.{part}"]
    for seconds, nanos in ((s, n) for s in SECONDS for n in NANOS):
        whole = value.get(f"{name}.{seconds}")
        if whole is not None:
            try:
                return int(whole) * 1000 + int(value.get(f"{name}.{nanos}") or 0) // 1_000_000
            except (TypeError, ValueError):
                return whole
    return None


def _of_numbers(given: list[Any]) -> Ints | None:
    """Read times that are all numbers, with the results of `epoch_milliseconds`; None if one of them is no time."""
    try:
        numbers = np.array(given, dtype=np.float64)
    except OverflowError:
        return None
    size = np.abs(numbers)
    if size.max(initial=0.0) >= LIMITS[-1]:
        return None
    factors = np.array(FACTORS)[np.searchsorted(LIMITS, size, side="right")]
    milliseconds: Ints = np.rint(numbers * factors).astype(np.int64)
    return milliseconds
