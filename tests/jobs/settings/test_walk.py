"""Sections are found anywhere in the settings: in other sections, in lists, and under names that the user chose."""

from __future__ import annotations

import pytest
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.settings.walk import keys_at


@pytest.mark.parametrize(
    ("place", "some"),
    [
        ((), {"kafka", "event", "detectors"}),
        (("kafka",), {"bootstrap", "topics"}),
        (("kafka", "topics"), {"events", "alerts"}),
        (("silence",), {"after"}),
        (("models", "use", "pumps"), {"alias", "weight"}),
        (("decide", "rules", 0), {"id", "when"}),
    ],
)
def test_the_keys_of_a_section_are_found(place, some):
    assert some <= set(keys_at(Settings, place))


@pytest.mark.parametrize("place", [("kafka", "bootstrap"), ("kafcka",), ("kafka", "properties", "x")])
def test_where_there_is_no_section_there_are_no_keys(place):
    assert keys_at(Settings, place) == []
