"""Sections are found anywhere in the settings: in other sections, in lists, and under names that the user chose."""

from __future__ import annotations

import pytest
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.settings.walk import field_at, holds_duration, holds_secrets, keys_at


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


@pytest.mark.parametrize(
    ("place", "duration", "secrets"),
    [
        (("kafka", "bootstrap"), False, False),
        (("kafka", "properties"), False, True),
        (("kafka", "properties", "sasl.password"), False, True),
        (("batch", "window"), True, False),
        (("job", "checkpoint_interval"), True, False),
        (("windows", "hour", "size"), True, False),
        (("service", "token"), False, True),
        (("service", "traces"), False, True),
        (("service", "webhooks", "on_call", "secret"), False, True),
        (("decide", "rules", 0, "when"), False, False),
    ],
)
def test_the_field_at_a_place_says_what_it_holds(place, duration, secrets):
    field = field_at(Settings, place)
    assert (holds_duration(field), holds_secrets(field)) == (duration, secrets)


def test_there_is_no_field_at_an_unknown_place():
    assert field_at(Settings, ("kafka", "bootstrp")) is None
    assert field_at(Settings, ()) is None
