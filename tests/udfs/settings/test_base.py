"""Durations: with a unit wherever people write them, and never negative."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from streamgauge.udfs.settings.base import IN_FILE, Duration, Section, duration_text, milliseconds


class Wait(Section):
    time: Duration = 5_000
    least: Duration | None = None


@pytest.mark.parametrize(
    ("text", "found"),
    [("10 ms", 10), ("1.5s", 1500), (" 2 m ", 120_000), ("1h", 3_600_000), ("30 d", 2_592_000_000), (250, 250), (0, 0)],
)
def test_a_duration_is_a_number_with_a_unit_or_milliseconds(text, found):
    assert milliseconds(text) == found


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1, "at least 0"),
        ("40000 d", "at most 36500 d"),
        (10**30, "at most 36500 d"),
        ("30", "30 has no unit: write 30 ms, 30 s, 30 m, 30 h or 30 d"),
        *((value, "a number and a unit") for value in ("-5 s", "5 parsecs", "٣ s", "1:30", "", True, 1.5, None, [5])),
    ],
)
def test_anything_else_is_refused(value, words):
    with pytest.raises(ValueError, match=words):
        milliseconds(value)


def test_a_program_may_leave_the_unit_out_and_a_file_may_not():
    assert Wait(time=30).time == 30
    assert Wait.model_validate_json('{"time": 30}').time == 30
    assert Wait.model_validate({"time": "30 s", "least": 0}, context=IN_FILE) == Wait(time=30_000, least=0)
    for value in (30, 1.5):
        with pytest.raises(ValidationError, match=f"{value} has no unit"):
            Wait.model_validate({"least": value}, context=IN_FILE)


def test_a_duration_gets_its_unit_when_it_is_written_for_a_file():
    wait = Wait(time=90_000, least=0)
    assert wait.model_dump(mode="json") == {"time": 90_000, "least": 0}
    assert wait.model_dump(mode="json", context=IN_FILE) == {"time": "90 s", "least": "0 ms"}


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 ms"), (10, "10 ms"), (1500, "1500 ms"), (5000, "5 s"), (3_600_000, "1 h")]
)
def test_a_duration_is_shown_with_the_largest_unit(value, text):
    assert duration_text(value) == text
    assert milliseconds(text) == value
