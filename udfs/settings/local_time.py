"""Types of the settings about local time: a time zone, and a calendar of holidays.

A calendar file is read when the settings are made from it. From then on the settings hold the dates, so the job needs no file.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

FIRST, END = date(1970, 1, 1), date(2101, 1, 1)  # events of a calendar file are read from FIRST to before END
MOST_HOLIDAYS = 10_000
MOST_BYTES = 10_000_000  # of a calendar file
ALLOWED = "allowed is a list of dates such as [2026-12-25, 2027-01-01], or the path of an .ics file"
_WITHIN_A_DAY = {"SECONDLY", "MINUTELY", "HOURLY"}
# The library raises these, too, for a property that is missing or has another type than it expects.
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


def time_zone(name: str) -> str:
    """Check the name of a time zone.

    Raises
    ------
    ValueError
        The IANA database has no such time zone.
    """
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        by_small = {known.lower(): known for known in available_timezones()}
        near = [by_small[small] for small in get_close_matches(name.lower(), by_small, n=1, cutoff=0.8)]
        hint = f"; the nearest name is {near[0]}" if near else ""
        raise ValueError(
            f"{name!r} is no time zone; allowed is a name of the IANA database, such as UTC or Europe/Berlin{hint}"
        ) from error
    return name


def holidays(value: Any) -> tuple[date, ...]:
    """Read holidays from a list of dates, or from an .ics file.

    Parameters
    ----------
    value : list or tuple of date or str, or str
        Dates as YYYY-MM-DD, or the path of an .ics file, relative to the working directory.

    Returns
    -------
    tuple of date
        In order, each once.

    Raises
    ------
    ValueError
        The value is neither, or the file cannot be used. The message says what is allowed.
    """
    if isinstance(value, str):
        days = _in_file(Path(value))
    elif isinstance(value, list | tuple):
        days = {_day(item) for item in value}
    else:
        raise ValueError(ALLOWED)
    if len(days) > MOST_HOLIDAYS:
        raise ValueError(f"there are {len(days)} holidays, but at most {MOST_HOLIDAYS} are allowed")
    return tuple(sorted(days))


def _day(item: Any) -> date:
    if isinstance(item, date) and not isinstance(item, datetime):
        return item
    if isinstance(item, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", item, re.ASCII):
        try:
            return date.fromisoformat(item)
        except ValueError as error:
            raise ValueError(f"{item!r} is no date: {error}; {ALLOWED}") from error
    raise ValueError(f"{item!r} is no date; {ALLOWED}")


def _in_file(path: Path) -> set[date]:
    """Days that an event of a calendar file covers from midnight to midnight, in the event's own time zone."""
    if path.suffix.lower() != ".ics":
        raise ValueError(ALLOWED)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path} is larger than {MOST_BYTES // 1_000_000} MB, the most that is allowed")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; {ALLOWED}") from error
    try:
        events = _events(content)
        days = {day for start, end in events for day in _whole_days(start, end)}
    except _MALFORMED as error:
        reason = f"an event has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is no usable iCalendar file: {reason}") from error
    if not days:
        raise ValueError(f"{path} has no event that covers a whole day between {FIRST.year} and {END.year - 1}")
    return days


def _events(content: bytes) -> list[tuple[date, date]]:
    """Start and end of all events, each repetition by itself. Cancelled events are left out."""
    # Imported here, because only who loads a calendar file needs these libraries; the job does not.
    calendar = importlib.import_module("icalendar").Calendar.from_ical(content)
    for event in calendar.walk("VEVENT"):
        for rule in event.rrules:
            if within := _WITHIN_A_DAY.intersection(rule.get("FREQ", [])):
                raise ValueError(f"an event repeats {within.pop()}; a holiday repeats DAILY at most")
            if min(rule.get("INTERVAL", [1])) < 1:  # the library would look for repetitions for ever
                raise ValueError("an event has INTERVAL below 1")
    query = importlib.import_module("recurring_ical_events").of(calendar)
    return [(e.start, e.end) for e in query.between(FIRST, END) if e.get("STATUS") != "CANCELLED"]


def _whole_days(start: date, end: date) -> Iterator[date]:
    first = start.date() if isinstance(start, datetime) else start
    if isinstance(start, datetime) and start.time() != time.min:
        first += timedelta(days=1)
    last = end.date() if isinstance(end, datetime) else end
    first, last = max(first, FIRST), min(last, END)
    yield from (first + timedelta(days=i) for i in range((last - first).days))


TimeZone = Annotated[str, AfterValidator(time_zone)]
Holidays = Annotated[
    tuple[date, ...],
    BeforeValidator(holidays),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}},
                {"type": "string", "pattern": r"\.[iI][cC][sS]$"},
            ]
        }
    ),
]
