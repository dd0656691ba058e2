"""Time zones and calendars of holidays in the settings."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from streamgauge.udfs.settings.local_time import MOST_HOLIDAYS
from streamgauge.udfs.settings.pipeline import DecideSettings, PipelineSettings

LIST = r"allowed is a list of dates such as \[2026-12-25, 2027-01-01\], or the path of an .ics file"
EVENT = "BEGIN:VEVENT\nUID:{uid}\nDTSTAMP:20200101T000000Z\n{lines}\nEND:VEVENT\n"


def calendar_file(folder, *events: str, head: str = ""):
    """An .ics file; each event is given by its lines, separated by blanks."""
    file = folder / "holidays.ics"
    body = "".join(EVENT.format(uid=i, lines=lines.replace(" ", "\n")) for i, lines in enumerate(events))
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//t//t//EN\n{head}{body}END:VCALENDAR\n"
    file.write_text(text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    return file


def read(file) -> list[str]:
    return [day.isoformat() for day in DecideSettings(calendar=str(file)).calendar]


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"])
def test_a_time_zone_is_a_name_of_the_iana_database(name):
    assert DecideSettings(time_zone=name).time_zone == name


@pytest.mark.parametrize("name", ["Mars/Base", "", "/etc/localtime", "../Europe/Berlin", "Europe", "+02:00", "a\0b"])
def test_another_time_zone_is_refused(name):
    with pytest.raises(ValidationError, match="is no time zone; allowed is a name of the IANA database, such as UTC"):
        DecideSettings(time_zone=name)


@pytest.mark.parametrize(
    ("wrong", "near"), [("europe/berlin", "Europe/Berlin"), ("America/Sao Paulo", "America/Sao_Paulo")]
)
def test_the_error_names_the_time_zone_that_was_meant(wrong, near):
    with pytest.raises(ValidationError, match=f"the nearest name is {near}"):
        DecideSettings(time_zone=wrong)


def test_by_default_there_are_no_holidays_and_time_is_utc():
    assert (DecideSettings().time_zone, DecideSettings().calendar) == ("UTC", ())


def test_holidays_are_dates_in_order_each_once():
    given_days = ["2027-01-01", date(2026, 12, 25), "2026-12-25"]
    assert DecideSettings(calendar=given_days).calendar == (date(2026, 12, 25), date(2027, 1, 1))


@pytest.mark.parametrize(
    "wrong", [20261225, [20261225], ["25.12.2026"], ["20261225"], [datetime(2026, 12, 25)], "2026-12-25", None, {}]
)
def test_what_is_neither_a_list_of_dates_nor_a_file_is_refused(wrong):
    with pytest.raises(ValidationError, match=LIST):
        DecideSettings(calendar=wrong)


def test_a_day_that_does_not_exist_is_refused():
    with pytest.raises(ValidationError, match=f"'2026-02-30' is no date: day is out of range for month; {LIST}"):
        DecideSettings(calendar=["2026-02-30"])


def test_the_settings_of_the_job_carry_the_dates_and_not_the_file(tmp_path):
    file = calendar_file(tmp_path, "DTSTART;VALUE=DATE:20261225", "DTSTART;VALUE=DATE:20260101")
    text = PipelineSettings(decide=DecideSettings(calendar=str(file))).model_dump_json()
    file.unlink()
    assert "holidays.ics" not in text
    decide = PipelineSettings.model_validate_json(text).decide
    assert decide.calendar == (date(2026, 1, 1), date(2026, 12, 25))


def test_a_file_is_found_from_the_working_directory(tmp_path, monkeypatch):
    calendar_file(tmp_path, "DTSTART;VALUE=DATE:20261225")
    monkeypatch.chdir(tmp_path)
    assert read("holidays.ics") == ["2026-12-25"]


def test_a_yearly_holiday_comes_each_year_until_2100(tmp_path):
    days = read(calendar_file(tmp_path, "DTSTART;VALUE=DATE:20201225 RRULE:FREQ=YEARLY"))
    assert days == [f"{year}-12-25" for year in range(2020, 2101)]


def test_a_yearly_holiday_may_be_a_day_of_the_week_and_end(tmp_path):
    """The fourth Thursday of November."""
    rule = "DTSTART;VALUE=DATE:20241128 RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;UNTIL=20261231"
    assert read(calendar_file(tmp_path, rule)) == ["2024-11-28", "2025-11-27", "2026-11-26"]


def test_a_single_repetition_may_be_left_out_or_moved(tmp_path):
    yearly = "DTSTART;VALUE=DATE:20201225 RRULE:FREQ=YEARLY;COUNT=4 EXDATE;VALUE=DATE:20211225"
    file = calendar_file(tmp_path, yearly, "RECURRENCE-ID;VALUE=DATE:20221225 DTSTART;VALUE=DATE:20221227")
    file.write_bytes(file.read_bytes().replace(b"UID:1", b"UID:0"))
    assert read(file) == ["2020-12-25", "2022-12-27", "2023-12-25"]


def test_an_event_of_several_days_is_a_holiday_on_each(tmp_path):
    event = "DTSTART;VALUE=DATE:20261224 DTEND;VALUE=DATE:20261227"  # the end is not part of it
    assert read(calendar_file(tmp_path, event)) == ["2026-12-24", "2026-12-25", "2026-12-26"]


def test_an_event_counts_on_days_that_it_covers_from_midnight_to_midnight_in_its_zone(tmp_path):
    whole = "DTSTART;TZID=Europe/Berlin:20261003T000000 DTEND;TZID=Europe/Berlin:20261004T000000"
    long = "DTSTART:20261223T150000 DTEND:20261226T100000"
    meeting = "DTSTART:20261126T090000Z DTEND:20261126T170000Z"
    assert read(calendar_file(tmp_path, whole, long, meeting)) == ["2026-10-03", "2026-12-24", "2026-12-25"]


def test_a_cancelled_event_is_no_holiday(tmp_path):
    cancelled = "DTSTART;VALUE=DATE:20261224 STATUS:CANCELLED"
    assert read(calendar_file(tmp_path, cancelled, "DTSTART;VALUE=DATE:20261225")) == ["2026-12-25"]


def test_only_1970_to_2100_is_read(tmp_path):
    early = "DTSTART;VALUE=DATE:19691230 DTEND;VALUE=DATE:19700103"
    late = "DTSTART;VALUE=DATE:21001231 DTEND;VALUE=DATE:21010105"
    assert read(calendar_file(tmp_path, early, late)) == ["1970-01-01", "1970-01-02", "2100-12-31"]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "has no event that covers a whole day between 1970 and 2100"),
        (["DTSTART:20261126T090000Z DTEND:20261126T170000Z"], "has no event that covers a whole day"),
        (["SUMMARY:Christmas"], "is no usable iCalendar file: an event has no 'DTSTART'"),
        (["DTSTART;VALUE=DATE:20261345"], "is no usable iCalendar file: .*20261345"),
        (["DTSTART;VALUE=DATE:20260101 RRULE:FREQ=NEVER"], "is no usable iCalendar file: .*NEVER"),
        (["DTSTART:20260101T000000 RRULE:FREQ=SECONDLY"], "an event repeats SECONDLY; a holiday repeats DAILY at most"),
        (["DTSTART;VALUE=DATE:20260101 RRULE:FREQ=YEARLY;INTERVAL=0"], "an event has INTERVAL below 1"),
        (
            ["DTSTART;VALUE=DATE:20600101 RRULE:FREQ=DAILY"],
            f"there are 14975 holidays, but at most {MOST_HOLIDAYS} are allowed",
        ),
    ],
)
def test_a_file_without_usable_holidays_is_refused_with_its_name_and_the_reason(tmp_path, events, words):
    with pytest.raises(ValidationError, match=words):
        read(calendar_file(tmp_path, *events))


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\xff\xfe\0\0", b"BEGIN:VCALENDAR\r\n", b"BEGIN:VEVENT\r\n" * 2]
)
def test_what_is_no_icalendar_file_is_refused(tmp_path, content):
    file = tmp_path / "x.ics"
    file.write_bytes(content)
    with pytest.raises(ValidationError, match=r"x\.ics is no usable iCalendar file: .+"):
        read(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ValidationError, match=f"none.ics: No such file or directory; {LIST}"):
        read(tmp_path / "none.ics")
    (tmp_path / "folder.ics").mkdir()
    with pytest.raises(ValidationError, match=r"folder\.ics: Is a directory"):
        read(tmp_path / "folder.ics")
    big = tmp_path / "big.ics"
    with big.open("wb") as file:
        file.truncate(10_000_001)
    with pytest.raises(ValidationError, match=r"big\.ics is larger than 10 MB"):
        read(big)
    (tmp_path / "days.txt").write_text("2026-12-25")
    with pytest.raises(ValidationError, match=LIST):
        read(tmp_path / "days.txt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=st.sets(st.dates(date(1970, 1, 1), date(2100, 12, 31)), min_size=1, max_size=10))
def test_a_file_and_a_list_of_the_same_days_are_equal(tmp_path, days):
    file = calendar_file(tmp_path, *(f"DTSTART;VALUE=DATE:{day:%Y%m%d}" for day in days))
    assert DecideSettings(calendar=str(file)) == DecideSettings(calendar=list(days))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_never_fails_otherwise(tmp_path, data):
    yearly = (
        "DTSTART;VALUE=DATE:20201225 DTEND;VALUE=DATE:20201227 RRULE:FREQ=YEARLY;COUNT=9 EXDATE;VALUE=DATE:20221225"
    )
    zoned = "DTSTART;TZID=Europe/Berlin:20211003T000000 DURATION:P1D RRULE:FREQ=YEARLY;UNTIL=20241002T220000Z"
    file = calendar_file(tmp_path, yearly, zoned)
    content = bytearray(file.read_bytes())
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)
    ):
        content[place] = byte
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        days = DecideSettings(calendar=str(file)).calendar
    except ValidationError:
        return
    assert all(timedelta(0) <= day - date(1970, 1, 1) < timedelta(days=47_847) for day in days)
