"""Times of one form are read all at once, with the results of reading them one by one."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.iso_times import utc_milliseconds
from streamgauge.udfs.events.time import epoch_milliseconds

MOMENTS = st.lists(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)), min_size=1, max_size=5)
ENDS = st.sampled_from(["", "Z", "+00:00"])
TEXTS = ["2026-11-29T18:15:00.123Z", "2024-02-29T00:00:00.000Z"]


@given(MOMENTS, st.integers(0, 6), st.sampled_from("T "), ENDS)
def test_all_usual_forms_are_read_as_one_by_one(moments, digits, between, end):
    texts = []
    for moment in moments:
        text = moment.isoformat(between, timespec="microseconds")
        texts.append((text[: 20 + digits] if digits else text[:19]) + end)
    assert utc_milliseconds(texts, zoneless=True).tolist() == [epoch_milliseconds(text) for text in texts]


@given(st.integers(0, 23), st.characters())
def test_a_text_that_differs_in_any_place_is_read_as_one_by_one_or_not_at_all(place, character):
    texts = [*TEXTS, TEXTS[0][:place] + character + TEXTS[0][place + 1 :]]
    found = utc_milliseconds(texts, zoneless=True)
    assert found is None or found.tolist() == [epoch_milliseconds(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T18:15:00.123Z",
        "2026-13-01T18:15:00.123Z",
        "2026-11-00T18:15:00.123Z",
        "2026-11-29T24:15:00.123Z",
        "2026-11-29T18:60:00.123Z",
        "2026-11-29T18:15:60.123Z",
        "0000-11-29T18:15:00.123Z",
        "9999-11-29T18:15:00.123Z",
        "1600-11-29T18:15:00.123Z",
        "2026-11-29T18:15:00Z",
        "2026-11-29T18:15:00.12é",
        "Sun, 29 Nov 2026 18:15:0",
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_what_is_no_time_or_has_another_form_is_left_to_the_other_reader(text, first):
    texts = [text, *TEXTS] if first else [*TEXTS, text]
    assert utc_milliseconds(texts, zoneless=True) is None


def test_a_text_without_a_zone_is_left_to_the_other_reader_if_another_zone_is_meant():
    assert utc_milliseconds(["2026-11-29T18:15:00"], zoneless=False) is None
    assert utc_milliseconds(["2026-11-29T18:15:00Z"], zoneless=False).tolist() == [1_795_976_100_000]
