"""Metrics of Telegraf are events."""

from __future__ import annotations

import pytest
from streamgauge.udfs.events.records import UnreadableError

from tests.udfs.events.formats.samples import TELEGRAF, TELEGRAF_BATCH, TELEGRAF_READ
from tests.udfs.events.formats.test_unwrap import read, reason_of


def test_a_metric_is_an_event_with_its_tags_and_its_fields_by_name():
    assert read(TELEGRAF) == [TELEGRAF_READ]


def test_a_batch_is_one_event_for_each_metric():
    assert read(TELEGRAF_BATCH) == [TELEGRAF_READ, {"host": "web-1", "mem.used": 12, "ts": 1790001000}]


@pytest.mark.parametrize("time", [1790001000, 1790001000123, 1790001000123456789, "2026-09-21T14:30:00Z"])
def test_the_time_is_passed_on_in_its_own_unit(time):
    assert read({**TELEGRAF, "timestamp": time}) == [{**TELEGRAF_READ, "ts": time}]


def test_a_metric_without_fields_gives_no_event():
    assert read({"metrics": [{**TELEGRAF, "fields": {}}, TELEGRAF]}, "telegraf") == [TELEGRAF_READ]


def test_an_array_of_metrics_is_read():
    assert read([TELEGRAF, TELEGRAF]) == [TELEGRAF_READ, TELEGRAF_READ]


def test_a_metric_without_tags_is_read_if_the_format_is_set():
    assert read({"name": "cpu", "fields": {"x": 1}}, "telegraf") == [{"cpu.x": 1}]


@pytest.mark.parametrize(("key", "value"), [("fields", 5), ("tags", [1]), ("name", None)])
def test_a_bad_part_is_refused_by_its_place(key, value):
    with pytest.raises(UnreadableError, match=rf"metrics\[1\]\.{key}") as caught:
        read({"metrics": [TELEGRAF, {**TELEGRAF, key: value}]})
    assert caught.value.reason == "bad_value"


def test_a_field_with_the_name_of_a_tag_is_refused():
    assert reason_of({**TELEGRAF, "tags": {"cpu.usage_idle": "x"}}) == "name_taken"
