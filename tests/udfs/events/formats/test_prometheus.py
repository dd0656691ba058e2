"""Samples of Prometheus that belong together are one event."""

from __future__ import annotations

import pytest
from streamgauge.udfs.events.records import UnreadableError

from tests.udfs.events.formats.samples import ADAPTER, PROMETHEUS, PROMETHEUS_READ, series
from tests.udfs.events.formats.test_unwrap import read, reason_of


def test_samples_with_the_same_labels_and_time_are_one_event():
    assert read(PROMETHEUS) == PROMETHEUS_READ


def test_labels_may_be_an_object():
    one = {"labels": {"__name__": "up", "job": "node"}, "samples": [{"value": 1, "timestamp": 5}]}
    assert read({"timeseries": [one]}) == [{"job": "node", "up": 1, "ts": 5}]


def test_a_message_of_the_adapter_is_an_event():
    assert read(ADAPTER) == [
        {"job": "node", "instance": "web-1:9100", "up": 9007199254740993, "ts": "2026-09-21T14:30:00Z"}
    ]
    assert read({**ADAPTER, "value": None}) == []


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_values_that_are_not_finite_are_missing(value):
    assert read({"timeseries": [series("up", (value, 5))]}) == [{"up": None, "ts": 5}]
    assert read({**ADAPTER, "value": value})[0]["up"] is None


def test_a_sample_without_a_value_is_zero_and_an_empty_or_null_one_is_left_out():
    one = series("up")
    one["samples"] = [{"timestamp": "5"}, {}, {"value": None, "timestamp": "6"}]
    assert read({"timeseries": [one]}) == [{"up": 0, "ts": 5}]


def test_native_histograms_have_a_count_and_a_sum():
    one = {
        "labels": [{"name": "__name__", "value": "latency"}],
        "histograms": [{"countInt": "7", "sum": 1.5, "schema": 3, "zeroCountInt": "0", "timestamp": "5"}],
    }
    assert read({"timeseries": [one]}) == [{"latency.count": 7, "latency.sum": 1.5, "ts": 5}]


def test_a_sample_that_comes_twice_loses_neither_value():
    assert read({"timeseries": [series("up", (1, 5), (2, 5))]}) == [{"up": 1, "ts": 5}, {"up": 2, "ts": 5}]


@pytest.mark.parametrize("sample", [{"value": "x"}, {"value": True}, {"value": 1, "timestamp": "x"}, 5])
def test_a_bad_sample_is_refused_by_its_place(sample):
    one = series("up", (1, 5))
    one["samples"].append(sample)
    with pytest.raises(UnreadableError, match=r"timeseries\[1\]\.samples\[1\]") as caught:
        read({"timeseries": [series("up"), one]})
    assert caught.value.reason == "bad_value"


@pytest.mark.parametrize("labels", [5, [5], [{"name": 5}], [{"name": "a", "value": 5}], {"a": 5}])
def test_bad_labels_are_refused(labels):
    assert reason_of({"timeseries": [{"labels": labels, "samples": []}]}) == "bad_value"


def test_a_metric_with_the_name_of_a_label_is_refused():
    assert reason_of({"timeseries": [series("job", (1, 5), job="node")]}) == "name_taken"


def test_a_request_without_series_gives_no_event_if_the_format_is_set():
    assert read({"timeseries": [], "metadata": []}, "prometheus") == []
