"""Local time of events agrees with zoneinfo and datetime, whatever the zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.detectors.channel.calendar import Calendar

# Whole hours, a zone that gave up daylight saving, half an hour off UTC, daylight saving by half an hour, none;
# then a day that never was, an offset with seconds, two pauses a year, and changes at midnight.
ZONES = (
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "UTC",
    "Pacific/Apia",
    "Africa/Monrovia",
    "Africa/Casablanca",
    "Asia/Gaza",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(2101, 1, 1, tzinfo=UTC)
LAST = int(END.timestamp() * 1000) - 1
moments = st.lists(st.integers(0, LAST), min_size=1, max_size=20)
HOURS = 3_600_000 * np.arange(24)


def milliseconds(*moments: datetime) -> np.ndarray:
    return np.array([round(m.timestamp() * 1000) for m in moments], dtype=np.int64)


def local(time: int, zone: str) -> datetime:
    return (EPOCH + timedelta(milliseconds=time)).astimezone(ZoneInfo(zone))


def check(zone: str, times: list[int], holidays: set[date]) -> None:
    calendar, given_times = Calendar(zone, holidays), np.array(times, dtype=np.int64)
    expected = [local(time, zone) for time in times]
    assert calendar.slots(given_times).tolist() == [e.hour * 60 + e.minute for e in expected]
    assert calendar.days(given_times).tolist() == [e.date().toordinal() - EPOCH.toordinal() for e in expected]
    assert calendar.weekdays(given_times).tolist() == [e.weekday() for e in expected]
    assert calendar.month_starts(given_times).tolist() == [e.day == 1 for e in expected]
    off = [2 if e.date() in holidays or e.weekday() == 6 else int(e.weekday() == 5) for e in expected]
    assert calendar.day_types(given_times).tolist() == off


@pytest.mark.parametrize("zone", ZONES)
@given(times=moments, data=st.data())
def test_local_time_is_that_of_zoneinfo_from_1970_to_2100(zone, times, data):
    days = [local(time, zone).date() for time in times]
    holidays = data.draw(st.sets(st.sampled_from(days) | st.dates(date(1970, 1, 1), date(2100, 12, 31)), max_size=5))
    check(zone, times, holidays)


@pytest.mark.parametrize("zone", ZONES)
def test_local_time_is_that_of_zoneinfo_at_each_change_of_the_offset(zone):
    """Two changes are at least six days apart, so every third day finds them all."""
    seconds = range(0, LAST // 1000, 3 * 86_400)
    offsets = [datetime.fromtimestamp(second, ZoneInfo(zone)).utcoffset() for second in seconds]
    changed = [second for second, (a, b) in zip(seconds, pairwise(offsets), strict=False) if a != b]
    for begin in changed:
        hours = [hour * 1000 for hour in range(begin, begin + 73 * 3600, 1800)]
        check(zone, [time + around for time in hours for around in (-1, 0, 1)], set())
    assert bool(changed) == (zone not in ("UTC", "Asia/Kolkata"))


@given(st.lists(st.integers(-(10**15), 10**15), max_size=20), st.sampled_from(ZONES))
def test_times_before_1970_and_after_2100_have_the_offset_at_that_end(times, zone):
    calendar, given_times = Calendar(zone, [date(2026, 12, 25)]), np.array(times, dtype=np.int64)
    ends = (local(0, zone), local(LAST, zone))
    outside = [(time, ends[time > LAST].utcoffset()) for time in times if not 0 <= time <= LAST]
    minutes = [(time + offset // timedelta(milliseconds=1)) // 60_000 for time, offset in outside]
    mask = (given_times < 0) | (given_times > LAST)
    assert calendar.slots(given_times[mask]).tolist() == [m % 1440 for m in minutes]
    assert calendar.days(given_times[mask]).tolist() == [m // 1440 for m in minutes]
    days = calendar.days(given_times).astype("datetime64[D]")
    assert calendar.weekdays(given_times).tolist() == [(d + 3) % 7 for d in calendar.days(given_times).tolist()]
    assert np.array_equal(calendar.month_starts(given_times), days == days.astype("datetime64[M]"))
    assert set(calendar.day_types(given_times).tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("extreme", [np.iinfo(np.int64).min, np.iinfo(np.int64).max])
def test_no_time_is_too_extreme(extreme):
    calendar, times = Calendar("Europe/Berlin"), np.array([extreme, 0], dtype=np.int64)
    for method in (calendar.slots, calendar.days, calendar.weekdays, calendar.day_types, calendar.month_starts):
        assert len(method(times)) == 2


def test_a_result_does_not_depend_on_the_other_times_of_the_call():
    calendar, rng = Calendar("Europe/Berlin", [date(2026, 10, 25)]), np.random.default_rng(1)
    times = rng.integers(0, LAST, 500)
    for method in (calendar.slots, calendar.days, calendar.weekdays, calendar.day_types, calendar.month_starts):
        together = method(times)
        assert together.tolist() == [method(times[i : i + 1])[0] for i in range(500)]


def test_no_times_give_no_values():
    calendar, none = Calendar("Europe/Berlin"), np.zeros(0, dtype=np.int64)
    for method in (calendar.slots, calendar.days, calendar.weekdays, calendar.day_types):
        assert (method(none).size, method(none).dtype) == (0, np.int64)
    assert (calendar.month_starts(none).size, calendar.month_starts(none).dtype) == (0, np.bool_)


def test_given_times_stay_as_they_are():
    calendar, times = Calendar("Europe/Berlin", [date(2026, 12, 25)]), np.arange(0, LAST, LAST // 50)
    before = times.copy()
    for method in (calendar.slots, calendar.days, calendar.weekdays, calendar.day_types, calendar.month_starts):
        method(times)
    assert np.array_equal(times, before)


def test_where_clocks_go_back_an_hour_comes_twice():
    """Sunday 2026-10-25 has 25 hours in Berlin: two o'clock comes at 00:00 and 01:00 UTC."""
    night = milliseconds(datetime(2026, 10, 24, 22, tzinfo=UTC))[0] + HOURS
    calendar = Calendar("Europe/Berlin")
    hours = (calendar.slots(night) // 60).tolist()
    assert hours == [0, 1, 2, 2, *range(3, 23)]
    assert len(set(calendar.days(night).tolist())) == 1


def test_where_clocks_go_forward_an_hour_is_missing():
    """Sunday 2026-03-29 has 23 hours in Berlin: after 01:59 comes 03:00."""
    night = milliseconds(datetime(2026, 3, 28, 23, tzinfo=UTC))[0] + HOURS
    calendar = Calendar("Europe/Berlin")
    assert (calendar.slots(night) // 60).tolist() == [0, 1, *range(3, 24), 0]
    assert np.diff(calendar.days(night)).tolist() == [0] * 22 + [1]


def test_holidays_around_a_change_of_the_offset_begin_and_end_at_local_midnight():
    """Berlin's clocks go back on Sunday 2026-10-25, and forward on Easter Sunday 2027-03-28; days beside them are holidays here."""
    zone = ZoneInfo("Europe/Berlin")
    holidays = [date(2026, 10, 26), date(2027, 3, 26), date(2027, 3, 29)]  # a Monday, Good Friday, Easter Monday
    calendar = Calendar("Europe/Berlin", holidays)
    for day in holidays:
        begin = datetime(day.year, day.month, day.day, tzinfo=zone)
        end = begin + timedelta(days=1)  # the same time on the clock
        inside, around = milliseconds(begin, end), np.array([0, -1])
        assert calendar.day_types(inside + around).tolist() == [2, 2]
        days = [d.date() for d in (begin - timedelta(minutes=1), end)]
        outside = [2 if d.weekday() == 6 else int(d.weekday() == 5) for d in days]
        assert calendar.day_types(inside + np.array([-1, 0])).tolist() == outside
    sunday = milliseconds(datetime(2026, 10, 24, 22, tzinfo=UTC))[0] + 3_600_000 * np.arange(49)
    assert calendar.day_types(sunday).tolist() == [2] * 49  # 25 hours of Sunday, then 24 of the holiday
    assert calendar.day_types(sunday[-1:] + 3_600_000).tolist() == [0]
    assert calendar.weekdays(sunday).tolist() == [6] * 25 + [0] * 24


def test_a_holiday_is_the_local_day():
    calendar = Calendar("America/Sao_Paulo", [date(2026, 12, 25)])
    begin = milliseconds(datetime(2026, 12, 25, 3, tzinfo=UTC))  # three hours behind UTC
    assert calendar.day_types(begin - 1).tolist() == [0]
    assert calendar.day_types(begin).tolist() == [2]
    assert calendar.day_types(begin + 86_400_000).tolist() == [1]


def test_a_holiday_on_a_saturday_is_a_day_off_like_sunday():
    times = milliseconds(datetime(2026, 12, 26, 12, tzinfo=UTC))
    assert Calendar("UTC").day_types(times).tolist() == [1]
    assert Calendar("UTC", [date(2026, 12, 26)]).day_types(times).tolist() == [2]


def test_without_holidays_weekdays_alone_decide():
    week = milliseconds(datetime(2026, 11, 23, tzinfo=UTC)) + 86_400_000 * np.arange(7)  # from a Monday on
    assert Calendar("UTC").day_types(week).tolist() == [0, 0, 0, 0, 0, 1, 2]
    assert Calendar("UTC").weekdays(week).tolist() == list(range(7))


def test_a_month_starts_at_local_midnight_also_where_clocks_change_that_day():
    """Lord Howe's clocks go back by half an hour on 2029-04-01, which is the first of a month and has 24.5 hours."""
    begin = datetime(2029, 4, 1, tzinfo=ZoneInfo("Australia/Lord_Howe"))
    first = milliseconds(begin)[0]
    steps = 1_800_000 * np.arange(-2, 51)
    calendar = Calendar("Australia/Lord_Howe")
    assert calendar.month_starts(first + steps).tolist() == [False] * 2 + [True] * 49 + [False] * 2


def test_february_of_leap_years_ends_a_day_later():
    calendar = Calendar("UTC")
    for year, leap in ((1972, True), (2000, True), (2026, False), (2100, False), (2400, True)):
        end = milliseconds(datetime(year, 2, 28, tzinfo=UTC)) + 86_400_000 * np.arange(3)
        assert calendar.month_starts(end).tolist() == [False, not leap, leap]


def test_holidays_may_lie_anywhere_and_come_in_any_order():
    holidays = [date(9999, 12, 31), date(2026, 1, 6), date(1, 1, 1), date(2026, 1, 6)]
    times = milliseconds(*(datetime(2026, 1, day, tzinfo=UTC) for day in (5, 6, 7)))
    assert Calendar("UTC", holidays).day_types(times).tolist() == [0, 2, 0]


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(ZoneInfoNotFoundError, match="Mars/Base"):
        Calendar("Mars/Base")
