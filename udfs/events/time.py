"""Reads and writes times. The time of an event is ISO 8601 text or an epoch number, whose unit follows from its size."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from streamgauge.models.contract import Ints
from streamgauge.udfs.events.entity import shown
from streamgauge.udfs.settings.pipeline import EventSettings

LIMITS = (1e11, 1e14, 1e17, 1e20)  # below these an epoch is in seconds, milliseconds, microseconds, nanoseconds
FACTORS = (1000.0, 1.0, 1e-3, 1e-6)  # to milliseconds
DAY = 86_400_000


def epoch_milliseconds(value: Any) -> int:
    """Read one time.

    Parameters
    ----------
    value : str, int or float
        ISO 8601 text (UTC if it names no zone), or an epoch number in seconds, milliseconds, microseconds or nanoseconds.

    Returns
    -------
    int
        Milliseconds since 1970.

    Raises
    ------
    ValueError, OverflowError
        The value is neither.
    """
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"no time: {shown(value)}")
    number = float(value)
    for limit, factor in zip(LIMITS, FACTORS, strict=True):
        if abs(number) < limit:
            return round(number * factor)
    raise ValueError(f"no time: {shown(value)}")


def rfc3339(milliseconds: int) -> str:
    """A moment in milliseconds as RFC 3339 text, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_times(
    values: list[dict[str, Any]], settings: EventSettings, stamps: Ints, bad: dict[int, tuple[str, str]]
) -> Ints:
    """Read the time of each event; Kafka's timestamp where an event has none.

    Parameters
    ----------
    values : list of dict
        Flat fields of each event.
    settings : EventSettings
    stamps : int64[n]
        Kafka's timestamps, in milliseconds since 1970.
    bad : dict
        By position: reason and message of each event without a usable time are added. An event that is in it already keeps its reason.

    Returns
    -------
    int64[n]
        Milliseconds since 1970.
    """
    given = [value.get(settings.time) for value in values]
    times = _all_numbers(given)
    if times is None:
        times = stamps.copy()
        for i, value in enumerate(given):
            if value is None:
                continue
            try:
                times[i] = epoch_milliseconds(value)
            except (ValueError, OverflowError):
                bad.setdefault(i, ("bad_time", f"{settings.time!r} is {shown(value)}: neither ISO 8601 nor an epoch"))
    ahead = times - stamps
    for i in np.flatnonzero((ahead > settings.max_future) | (ahead < -settings.max_past)).tolist():
        days = ahead[i] / DAY
        where = f"{abs(days):.1f} days {'after' if days > 0 else 'before'} Kafka's timestamp"
        bad.setdefault(i, ("time_out_of_range", f"{settings.time!r} is {where} (event.max_past, event.max_future)"))
    return times


def _all_numbers(given: list[Any]) -> Ints | None:
    """Read times that are all numbers, with the results of `epoch_milliseconds`; None if they must be read one by one."""
    if not set(map(type, given)) <= {int, float}:
        return None
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
