"""Rows of files become events, in order. Sending them is tested on the real cluster."""

from __future__ import annotations

import pytest
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.kafka.replay import events
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import InputError


def test_rows_become_events_with_entity_and_time_and_without_labels(payments):
    found = list(events(payments, Settings(), Columns("card", "ts", drop=("fraud",))))
    assert found == [
        (0, "a", {"amount": 1.5, "entity": "a", "ts": 1704067200000}),
        (60_000, "b", {"entity": "b", "ts": 1704067260000}),
        (30_000, "a", {"amount": 3.0, "entity": "a", "ts": 1704067230000}),
    ]


def test_the_files_name_is_the_entity_where_no_column_is(payments):
    assert {entity for _, entity, _ in events(payments, Settings(), Columns(drop=("ts", "card")))} == {"cards"}


def test_a_wrong_column_is_named(payments):
    with pytest.raises(InputError, match=r"no column 'time' .--time-column.; it has: ts, card, amount, fraud"):
        list(events(payments, Settings(), Columns(time="time")))
