"""Rows of files become events, in order; the sending itself is an integration test."""

from __future__ import annotations

import pytest
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.kafka.replay import events
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import InputError

TEXT = "ts,card,amount,label\n2024-01-01 00:00:00,a,1.5,0\n2024-01-01 00:01:00,b,,1\n2024-01-01 00:00:30,a,3,0"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cards.csv"
    path.write_text(TEXT)
    return path


def test_rows_become_events_with_entity_and_time_and_without_labels(file):
    found = list(events(file, Settings(), Columns("card", "ts", drop=("label",))))
    assert found == [
        (0, "a", {"amount": 1.5, "entity": "a", "ts": 1704067200000}),
        (60_000, "b", {"entity": "b", "ts": 1704067260000}),
        (30_000, "a", {"amount": 3.0, "entity": "a", "ts": 1704067230000}),
    ]


def test_the_files_name_is_the_entity_where_no_column_is(file):
    assert {entity for _, entity, _ in events(file, Settings(), Columns(drop=("ts", "card")))} == {"cards"}


def test_a_wrong_column_is_named(file):
    with pytest.raises(InputError, match=r"no column 'time' .--time-column.; it has: ts, card, amount, label"):
        list(events(file, Settings(), Columns(time="time")))
