"""The time of an event: in all usual forms, else Kafka's timestamp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.time import epoch_milliseconds, rfc3339
from streamgauge.udfs.settings.event import EventSettings

from tests.streams import START, batch

MOMENT = 1_760_000_000_000  # 2025-10-09T08:53:20Z


@pytest.mark.parametrize(
    "given_time",
    [
        *(1_760_000_000, 1_760_000_000_000, 1_760_000_000_000_000, 1_760_000_000.0),
        *("1760000000", "1760000000000", "1760000000.0", " 1760000000000 "),
        *("2025-10-09T08:53:20Z", "2025-10-09T08:53:20z", "2025-10-09 08:53:20 UTC", "2025-10-09T08:53:20"),
        *(
            "2025-10-09 08:53:20.000",
            "2025-10-09T10:53:20+02:00",
            "2025-10-09T10:53:20 +0200",
            "2025-10-09T04:53:20 -0400",
        ),
        *("20251009T085320Z", "20251009085320", "Thu, 09 Oct 2025 08:53:20 GMT", "2025-10-09T08:53:20.000000000Z"),
        *({"$date": "2025-10-09T08:53:20Z"}, {"$date": {"$numberLong": "1760000000000"}}),
        *({"seconds": 1_760_000_000, "nanos": 0}, {"_seconds": 1_760_000_000, "_nanoseconds": 0}),
        *({"seconds": "1760000000"},),
    ],
    ids=str,
)
def test_times_in_usual_forms_are_read_and_are_no_features(given_time):
    events, dead = Reader(EventSettings()).read(batch([{"entity": "a", "ts": given_time, "x": 1}], stamps=[START + 7]))
    assert dead == []
    assert events.times.tolist() == [MOMENT]
    assert events.remarks == []


def test_second_60_is_the_next_minute():
    assert epoch_milliseconds("2016-12-31T23:59:60Z") == epoch_milliseconds("2017-01-01T00:00:00Z")


def test_a_time_without_a_zone_is_in_the_zone_of_the_settings():
    values = [{"entity": "a", "ts": "2025-10-09 10:53:20"}, {"entity": "a", "ts": "2025-10-09T08:53:20Z"}]
    events, _ = Reader(EventSettings(zone="Europe/Berlin")).read(batch(values))
    assert events.times.tolist() == [MOMENT, MOMENT]


def test_kafkas_timestamp_can_be_meant():
    events, dead = Reader(EventSettings(time=None)).read(batch([{"entity": "a", "ts": "nonsense"}], stamps=[START]))
    assert (events.times.tolist(), events.remarks, dead) == ([START], [], [])


def test_an_absent_time_is_told_with_the_fields_that_there_are():
    events, _ = Reader(EventSettings()).read(batch([{"entity": "a", "when": "2025-10-09T08:53:20Z"}], stamps=[START]))
    assert events.times.tolist() == [START]
    [remark] = events.remarks
    assert (remark.change, remark.field) == ("untimed", "ts")
    assert "entity, when" in remark.text


def test_a_record_without_kafkas_timestamp_needs_a_time_of_its_own():
    values = [{"entity": "a", "ts": MOMENT}, {"entity": "a"}]
    events, [letter] = Reader(EventSettings()).read(batch(values, stamps=[-1, -1]))
    assert events.times.tolist() == [MOMENT]
    assert (letter.row, letter.reason) == (1, "no_time")


@given(st.text(max_size=30) | st.floats() | st.integers() | st.booleans())
def test_any_time_is_read_or_refused_with_its_reason(value):
    events, dead = Reader(EventSettings(max_past="36500 d", max_future="36500 d")).read(
        batch([{"entity": "a", "ts": value}])
    )
    assert len(events) + len(dead) == 1
    assert {letter.reason for letter in dead} <= {"bad_time", "not_finite", "time_out_of_range"}


@given(st.integers(0, 4_000_000_000_000))
def test_what_is_written_is_read_as_the_same_moment(moment):
    assert epoch_milliseconds(rfc3339(moment)) == moment
    assert np.int64(moment) == moment


@pytest.mark.parametrize("time", ["1969-12-31T23:59:59Z", -1, -86_400.5])
def test_a_time_before_1970_is_a_time_also_without_a_timestamp_of_kafka(time):
    values = [{"entity": "a", "ts": time}, {"entity": "a"}, {"entity": "a", "ts": "x"}]
    events, dead = Reader(EventSettings()).read(batch(values, stamps=[-1] * 3))
    assert events.times.tolist() == [epoch_milliseconds(time)]
    assert [(letter.row, letter.reason) for letter in dead] == [(1, "no_time"), (2, "bad_time")]
    alone, _ = Reader(EventSettings()).read(batch(values[:1], stamps=[-1]))
    assert alone.times.tolist() == events.times.tolist()


@pytest.mark.parametrize(
    "time",
    [-9e13, -62_135_596_800_000, "0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00", "9999-06-01T00:00:00Z"],
)
@pytest.mark.parametrize("others", [(), (START,), ("2025-10-09T08:53:20Z",)])
def test_a_time_that_cannot_be_written_as_text_is_refused(time, others):
    values = [{"entity": "p", "ts": one} for one in (time, *others)]
    events, [letter] = Reader(EventSettings()).read(batch(values, stamps=[-1] * len(values)))
    assert (letter.row, letter.reason) == (0, "bad_time")
    assert len(events) == len(others)
    assert all(rfc3339(moment) for moment in events.times.tolist())
