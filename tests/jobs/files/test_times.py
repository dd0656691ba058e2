"""Times of a column: how each is written is recognised, and the order of day and month follows from the whole column."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from streamgauge.jobs.files.times import DayOrMonth, milliseconds, times_of
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.time import epoch_milliseconds

MOMENT = 1_704_164_645_000  # 2024-01-02 03:04:05


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02 03:04:05",
        "2024-01-02T03:04:05Z",
        "2024-01-02t03:04:05z",
        " 2024-01-02 03:04:05 UTC ",
        "2024-01-02T04:04:05.000+01:00",
        "2024-01-02 03:04:05,000",
        "2024/01/02 03:04:05",
        "Tue, 02 Jan 2024 03:04:05 GMT",
        "2 Jan 2024 3:04:05 am",
        "02/01/2024 03:04:05",
        "2.1.2024 03:04:05",
        "02-01-24 3:04:05 AM",
        "2.1.2024 3:04:05 AM UTC",
        "1704164645",
        "1704164645000",
        "1704164645000000",
        "1704164645000000000",
        "1.704164645e9",
    ],
)
def test_a_time_is_read_however_it_is_written(text):
    times, read = milliseconds(pa.array([text]))
    assert (times[0], read[0]) == (MOMENT, True)


@pytest.mark.parametrize(
    "text",
    [
        *("soon", "", None, "NA", "12:30", "99/99/2024", "1e30", "now", "today", "2 Jan 2024 3:04:05 PM EST"),
        *(
            f"{day} 03:04:05 {zone}"
            for day in ("2024-01-02", "2.1.2024", "2024/01/02")
            for zone in ("EST", "CET", "PT")
        ),
    ],
)
def test_what_is_no_time_is_not_read(text):
    assert not milliseconds(pa.array([text], pa.string()))[1][0]


def test_each_value_is_read_as_it_is_written_even_if_the_others_are_written_otherwise():
    times, read = milliseconds(pa.array(["1704164645000", "2024-01-02 03:04:05", "1704164645"]))
    assert times.tolist() == [MOMENT] * 3
    assert read.all()


@pytest.mark.parametrize("zone", ["+14:00", " -0800", " Z", " UTC"])
@pytest.mark.parametrize(
    "form", ["%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %I:%M:%S %p", "%d %b %Y %H:%M:%S"]
)
def test_a_time_without_a_zone_is_in_utc_beside_others_with_one(form, zone):
    text = datetime.fromtimestamp(MOMENT / 1000, UTC).strftime(form)
    times, read = milliseconds(pa.array([text, text + zone, text, text + zone, text]))
    assert times[::2].tolist() == [MOMENT] * 3
    assert times[1] == times[3] == MOMENT - {"+14:00": 14, " -0800": -8}.get(zone, 0) * 3_600_000
    assert read.all()


def test_the_month_is_first_if_the_column_shows_it():
    times, _ = milliseconds(pa.array(["02/01/2024"]), "month")
    assert datetime.fromtimestamp(times[0] / 1000, UTC) == datetime(2024, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["01/02/2024", "13/02/2024"], "day"),
        (["01/02/2024 10:00", "01/13/2024 10:00"], "month"),
        (["2024-01-02"], "day"),
        ([*["13/02/2024"] * 50, "01/13/2024"], "day"),
    ],
)
def test_the_order_of_day_and_month_follows_from_the_whole_column(cells, order):
    found = DayOrMonth()
    for cell in cells:
        found.add(pa.array([cell]))
    assert found.order(Path("a.csv"), "t") == order


@pytest.mark.parametrize(
    ("cells", "why"), [(["01/02/2024"], "no date shows it"), (["13/02/2024", "02/13/2024"], "others with the month")]
)
def test_an_order_that_nothing_shows_is_not_guessed(cells, why):
    found = DayOrMonth()
    found.add(pa.array(cells))
    with pytest.raises(InputError, match=rf"'t' holds dates such as .* \({why}|--time-format"):
        found.order(Path("a.csv"), "t")


@pytest.mark.parametrize("second", ["05.0014", "05.0015", "05.999999", "05.9999999"])
@pytest.mark.parametrize("day", ["2024-01-02", "1969-12-31"])
def test_parts_of_milliseconds_are_rounded_as_by_the_job(day, second):
    text = f"{day}T03:04:{second}Z"
    expected = epoch_milliseconds(text)
    nanoseconds = pa.array([pd.Timestamp(text).value]).cast(pa.timestamp("ns"))
    columns = [pa.array([text]), pa.array([text.replace("-", "/")]), nanoseconds]
    columns += [pa.array([datetime.fromisoformat(text)], pa.timestamp("us", "UTC"))]
    assert [times_of(column)[0].tolist() for column in columns] == [[expected]] * 4


def test_a_format_decides_alone():
    times, read = milliseconds(pa.array(["02/01/2024", "20240102"]), form="%m/%d/%Y")
    assert datetime.fromtimestamp(times[0] / 1000, UTC) == datetime(2024, 2, 1, tzinfo=UTC)
    assert read.tolist() == [True, False]


def test_a_format_that_is_none_is_refused():
    with pytest.raises(InputError, match="--time-format '%Q' is no format of times"):
        milliseconds(pa.array(["2"]), form="%Q")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_timestamps_of_any_unit_and_zone_are_read(unit, zone):
    column = pa.array([MOMENT, None], pa.timestamp("ms")).cast(pa.timestamp(unit, zone))
    times, read = times_of(column)
    assert (times[0], read.tolist()) == (MOMENT, [True, False])
