"""Data points of OTLP that belong together are one event."""

from __future__ import annotations

import re

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from streamgauge.udfs.events.records import UnreadableError

from tests.udfs.events.formats.samples import HOST, NS, OTLP, OTLP_READ, attribute, fresh
from tests.udfs.events.formats.test_unwrap import read, reason_of


def request(*metrics, attributes=()):
    resource = {"attributes": list(attributes)}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": list(metrics)}]}]}


def gauge(name, *points):
    return {"name": name, "gauge": {"dataPoints": list(points)}}


def snake(value):
    """The same document with names in snake_case."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if isinstance(value, dict):
        return {
            re.sub("([A-Z])", lambda found: "_" + found[1].lower(), key): snake(item) for key, item in value.items()
        }
    return value


def test_points_with_the_same_resource_attributes_and_time_are_one_event():
    assert read(OTLP) == OTLP_READ


def test_names_in_snake_case_are_read_alike():
    assert read(snake(OTLP)) == OTLP_READ


@pytest.mark.parametrize("snake_case", [False, True])
def test_what_the_sdk_of_opentelemetry_measures_is_read(snake_case):
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], Resource({"host.name": "web-1"})).get_meter("shop")
    meter.create_counter("requests").add(12, {"route": "/"})
    meter.create_up_down_counter("waiting").add(-2, {"route": "/"})
    meter.create_histogram("latency").record(0.5, {"route": "/"})
    request = MessageToDict(encode_metrics(reader.get_metrics_data()), preserving_proto_field_name=snake_case)
    [event] = read(request)
    assert event.pop("ts") > 1e18
    assert event == {
        "host.name": "web-1",
        "route": "/",
        "requests": 12,
        "waiting": -2,
        "latency.count": 1,
        "latency.sum": 0.5,
        "latency.min": 0.5,
        "latency.max": 0.5,
    }


def test_the_same_resource_in_two_parts_is_one_resource():
    document = request(gauge("a", {"timeUnixNano": NS, "asInt": 1}), attributes=HOST)
    document["resourceMetrics"] += request(gauge("b", {"timeUnixNano": NS, "asInt": 2}), attributes=HOST)[
        "resourceMetrics"
    ]
    assert read(document) == [{"host.name": "web-1", "service.name": "shop", "a": 1, "b": 2, "ts": int(NS)}]


def test_a_metric_that_comes_twice_for_one_time_loses_neither_value():
    points = ({"timeUnixNano": NS, "asInt": "1"}, {"timeUnixNano": NS, "asInt": "2"})
    assert read(request(gauge("a", *points))) == [{"a": 1, "ts": int(NS)}, {"a": 2, "ts": int(NS)}]


def test_attributes_of_a_point_win_over_those_of_its_resource():
    point = {"attributes": [attribute("host.name", "db-1")], "asInt": 1}
    assert read(request(gauge("a", point), attributes=HOST)) == [{"host.name": "db-1", "service.name": "shop", "a": 1}]


def test_attributes_of_all_kinds_are_read():
    attributes = [
        attribute("b", True, "boolValue"),
        attribute("i", "-9223372036854775808", "intValue"),
        attribute("d", 5, "doubleValue"),
        attribute("l", {"values": [{"intValue": "1"}, {}]}, "arrayValue"),
        attribute("k", {"values": [attribute("x", {"values": [attribute("y", "z")]}, "kvlistValue")]}, "kvlistValue"),
        {"key": "none"},
    ]
    assert read(request(gauge("a", {"asInt": 1, "attributes": attributes}))) == [
        {"b": True, "i": -(2**63), "d": 5.0, "l": [1, None], "k": {"x": {"y": "z"}}, "none": None, "a": 1}
    ]


def test_a_point_without_a_value_is_left_out():
    points = ({"timeUnixNano": "1", "flags": 1}, {"timeUnixNano": "2"}, {"timeUnixNano": "3", "asInt": "0"})
    assert read(request(gauge("a", *points))) == [{"a": 0, "ts": 3}]
    empty = {"name": "h", "histogram": {"dataPoints": [{"timeUnixNano": "1", "flags": 1}, {}]}}
    assert read(request(empty)) == []


def test_a_histogram_without_a_count_has_counted_nothing():
    empty = {"name": "h", "histogram": {"dataPoints": [{"timeUnixNano": "1", "bucketCounts": []}]}}
    assert read(request(empty)) == [{"h.count": 0, "ts": 1}]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_values_that_are_not_finite_are_missing(value):
    assert read(request(gauge("a", {"asDouble": value, "timeUnixNano": "1"}))) == [{"a": None, "ts": 1}]


@pytest.mark.parametrize(
    "point",
    [
        {"asInt": "x"},
        {"asInt": 1.5},
        {"asInt": True},
        {"asDouble": "x"},
        {"asDouble": [1]},
        {"asInt": 1, "timeUnixNano": "now"},
        {"asInt": 1, "attributes": 5},
        {"asInt": 1, "attributes": [{"key": 5}]},
        {"asInt": 1, "attributes": [attribute("a", "x", "intValue")]},
        {"asInt": 1, "attributes": [attribute("a", str(2**63), "intValue")]},
        {"asInt": 1, "attributes": [attribute("a", {}, "stringValue")]},
        {"asInt": 1, "flags": "x"},
    ],
)
def test_a_bad_part_is_refused_by_its_place(point):
    where = r"resourceMetrics\[0\].scopeMetrics\[0\].metrics\[1\].gauge.dataPoints\[1\]."
    with pytest.raises(UnreadableError, match=where) as caught:
        read(request(gauge("a"), gauge("b", {"asInt": 1}, point)))
    assert caught.value.reason == "bad_value"


def test_a_quantile_is_from_0_to_1():
    point = {"count": 1, "quantileValues": [{"quantile": 50, "value": 1}]}
    assert reason_of(request({"name": "s", "summary": {"dataPoints": [point]}})) == "bad_value"


def test_a_metric_with_the_name_of_an_attribute_is_refused():
    assert reason_of(request(gauge("pool", {"asInt": 1, "attributes": [attribute("pool", "a")]}))) == "name_taken"


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"resourceLogs": [{"resource": {}, "scopeLogs": []}]}, "logs"),
        ({"resourceSpans": [{"resource": {}, "scopeSpans": []}]}, "traces"),
        ({"resource_spans": [{"scope_spans": []}]}, "traces"),
    ],
)
def test_logs_and_traces_are_refused_by_name(document, kind):
    for form in ("auto", "otlp"):
        with pytest.raises(UnreadableError, match=f"OTLP {kind}") as caught:
            read(document, form)
        assert caught.value.reason == "wrong_format"


def test_requests_without_points_give_no_event():
    assert read({"resourceMetrics": []}) == []
    assert read(request()) == []
    assert read(request({"name": "a"}, gauge("b"))) == []


def test_the_document_stays_as_it_was():
    before = fresh(OTLP)
    read(OTLP)
    assert before == OTLP
