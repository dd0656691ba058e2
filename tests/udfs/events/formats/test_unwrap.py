"""Documents are recognised by their shape, read as the settings say, and bounded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamgauge.udfs.events.formats.record import KEYS_AT_LEAST, KEYS_PER_BYTE, MAX_EVENTS, Unwrapping
from streamgauge.udfs.events.formats.unwrap import events_of, recognise
from streamgauge.udfs.events.records import UnreadableError

from tests.udfs.events.formats import samples
from tests.udfs.events.formats.samples import WRAPPED, fresh, size_of

FORMATS = ("auto", "json", *WRAPPED)
SAMPLES = [(name, document) for name, documents in WRAPPED.items() for document in documents]


def read(document, form="auto", **more):
    return events_of(fresh(document), Unwrapping(form, **more), size_of(document))


def reason_of(document, form="auto", **more):
    with pytest.raises(UnreadableError) as caught:
        read(document, form, **more)
    assert caught.value.message
    return caught.value.reason


@pytest.mark.parametrize(("name", "document"), SAMPLES)
def test_a_wrapper_is_recognised_by_its_shape(name, document):
    assert recognise(document) == name
    assert recognise([document]) == name


@pytest.mark.parametrize(("name", "document"), SAMPLES)
def test_a_wrapper_is_read_alike_whether_it_is_recognised_or_set(name, document):
    assert read(document, "auto") == read(document, name)


ORDINARY = [
    {},
    {"entity": "a", "ts": 1, "value": 2.5},
    {"entity": "a", "op": "c", "before": 1, "after": 2},
    {"entity": "a", "op": "d", "source": {"ip": "10.0.0.1"}},
    {"entity": "a", "op": "u", "after": {"x": 1}},
    {"entity": "a", "op": "u", "before": {"x": 0}, "after": {"x": 1}},
    {"source": {"connector": "usb-c"}, "volt": 5.1},
    {"entity": "a", "payload": {"x": 1}},
    {"schema": "v1", "payload": {"x": 1}},
    {"schema": {"id": 3}, "payload": {"x": 1}},
    {"schema": {"type": "struct"}, "payload": {"x": 1}, "ts": 1},
    {"type": "reading", "source": "plant", "id": "7", "time": 1, "data": {"x": 1}},
    {"name": "pump", "tags": {"site": "north"}, "fields": {"bar": 2.5}, "timestamp": 1, "unit": "bar"},
    {"name": "pump", "tags": ["north"], "fields": {"bar": 2.5}, "timestamp": 1},
    {"metrics": {"bar": 2.5}},
    {"metrics": [{"name": "bar", "value": 2.5}]},
    {"timestamp": 1, "value": 2.5, "name": "bar", "labels": {"site": "north"}},
    {"labels": {"__name__": "x"}, "value": 1},
    {"timeseries": [1, 2, 3]},
    {"timeseries": []},
    {"entity": "a", "timeseries": [{"labels": {}, "samples": []}]},
    {"resourceMetrics": 5},
    {"resourceMetrics": [1, 2]},
    {"__op": 3, "x": 1},
    {"__deleted": None, "x": 1},
    {"status": "BEGIN", "id": "7"},
    {"specversion": 2, "type": "a", "source": "b", "id": "c"},
    [],
    [1],
    [[{"x": 1}]],
    [{"entity": "a"}],
]


@pytest.mark.parametrize("document", ORDINARY)
def test_an_ordinary_event_is_taken_for_no_wrapper(document):
    assert recognise(document) is None
    if isinstance(document, dict):
        assert read(document) == [document]


def test_an_array_of_objects_is_many_events():
    assert read([{"x": 1}, {"x": 2}]) == read([{"x": 1}, {"x": 2}], "json") == [{"x": 1}, {"x": 2}]
    assert read([]) == []


def test_json_reads_an_object_as_it_is_whatever_it_looks_like():
    assert read(samples.CHANGE, "json") == [samples.CHANGE]


@pytest.mark.parametrize("item", [5, "x", None, [{"x": 1}], True])
def test_an_array_with_something_else_than_objects_is_refused_by_its_place(item):
    with pytest.raises(UnreadableError, match=r"\[1\]") as caught:
        read([{"x": 1}, item])
    assert caught.value.reason == "not_object"


def test_each_item_of_an_array_is_recognised_by_itself():
    mixed = [samples.CLOUDEVENT, {"x": 1}, samples.TELEGRAF_BATCH]
    assert read(mixed) == [samples.CLOUDEVENT_READ, {"x": 1}, *read(samples.TELEGRAF_BATCH)]


@pytest.mark.parametrize("form", WRAPPED)
def test_another_document_than_the_settings_say_is_refused_with_the_setting_that_reads_it(form):
    for name, document in SAMPLES:
        if name != form:
            if (form, document) in (
                ("debezium", samples.CONNECT),
                ("connect", samples.HEARTBEAT),
                ("connect", samples.ENVELOPE),
            ):
                continue
            with pytest.raises(
                UnreadableError, match=f"event.format is {form}.*looks like {name}.*{name} or auto"
            ) as caught:
                read(document, form)
            assert caught.value.reason == "wrong_format"
    with pytest.raises(UnreadableError, match=r"ordinary object .*'entity'.*json or auto"):
        read({"entity": "a", "x": 1}, form)


def test_a_row_of_connect_that_is_no_change_is_refused_by_debezium():
    assert reason_of(samples.CONNECT, "debezium") == "wrong_format"


def test_connect_reads_the_change_in_its_payload():
    assert read(samples.ENVELOPE, "connect") == read(samples.ENVELOPE, "debezium")
    assert read(samples.HEARTBEAT, "connect") == []


def test_wrappers_within_each_other_are_read_to_four_levels():
    within = {**samples.CLOUDEVENT, "data": {"schema": None, "payload": samples.CHANGE}}
    [event] = read([within])
    assert event == {
        **samples.CHANGE_READ,
        "ce.source": "/plant/north",
        "ce.type": "org.example.pump.measured",
        "ce.subject": "pump-7",
    }
    assert reason_of([{**samples.CLOUDEVENT, "data": [within]}]) == "too_deep"


def test_the_time_of_a_wrapper_does_not_replace_that_of_the_event():
    own = {**samples.CHANGE, "after": {"x": 1, "ts": 5}}
    assert read(own) == [{"x": 1, "ts": 5}]
    nested = {**samples.CHANGE, "after": {"x": 1, "meta": {"at": 5}}}
    assert read(nested, time_name="meta.at") == [{"x": 1, "meta": {"at": 5}}]
    assert read(samples.CHANGE, time_name="meta.at") == [{**samples.CHANGE["after"], "meta.at": 1790001000000}]


def test_a_time_that_is_null_is_no_time():
    assert read({**samples.CHANGE, "after": {"x": 1, "ts": None}}) == [{"x": 1, "ts": 1790001000000}]


def test_no_time_is_stored_if_none_is_wanted():
    for _, document in SAMPLES:
        assert all("ts" not in event and None not in event for event in read(document, time_name=None))


def test_a_record_holds_a_limited_number_of_events():
    assert len(read([{}] * MAX_EVENTS)) == MAX_EVENTS
    assert reason_of([{}] * (MAX_EVENTS + 1)) == "too_large"


def test_labels_of_many_events_are_limited():
    labels = {f"label_{i}": "" for i in range(1000)}
    many = {"timeseries": [samples.series("x", *((1, time) for time in range(1000)), **labels)]}
    assert KEYS_PER_BYTE * size_of(many) + KEYS_AT_LEAST < 1000 * 1000
    assert reason_of(many) == "too_large"
    few = {"timeseries": [samples.series("x", *((1, time) for time in range(20)), **labels)]}
    assert len(read(few)) == 20


def test_attributes_of_many_data_points_are_limited():
    document = fresh(samples.OTLP)
    resource = document["resourceMetrics"][0]
    resource["resource"]["attributes"] = [samples.attribute(f"a{i}", "") for i in range(10_000)]
    gauge = {"dataPoints": [{"timeUnixNano": i, "asInt": i} for i in range(10_000)]}
    resource["scopeMetrics"] = [{"metrics": [{"name": "x", "gauge": gauge}]}]
    assert reason_of(document) == "too_large"


def test_many_metrics_of_one_time_with_many_attributes_are_one_event():
    document = fresh(samples.OTLP)
    resource = document["resourceMetrics"][0]
    resource["resource"]["attributes"] = [samples.attribute(f"a{i}", "") for i in range(10_000)]
    metrics = [{"name": f"m{i}", "gauge": {"dataPoints": [{"timeUnixNano": NOW, "asInt": i}]}} for i in range(10_000)]
    resource["scopeMetrics"] = [{"metrics": metrics}]
    [event] = read(document)
    assert len(event) == 20_001


NOW = 1790001000000000000


def test_long_names_of_many_fields_are_limited():
    metric = {**samples.TELEGRAF, "name": "x" * 10_000, "fields": {str(i): i for i in range(10_000)}}
    assert reason_of(metric) == "too_large"


def keys_of(document):
    """All keys of a document."""
    if isinstance(document, dict):
        return set(document).union(*map(keys_of, document.values()))
    return set().union(*map(keys_of, document)) if isinstance(document, list) else set()


plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
KEYS = sorted(keys_of([document for _, document in SAMPLES]) | {"histograms", "resourceLogs", "__name__", "ts"})
keys = st.sampled_from(KEYS) | st.text(max_size=4)
words = st.sampled_from(["c", "d", "t", "struct", "array", "1.0", "NaN", "12", "BEGIN", '{"a": 1}', "AeJA", "true"])
documents = st.recursive(
    plain | words, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=30
)
forms = st.sampled_from(FORMATS)
deletes = st.sampled_from(["skip", "read"])


def attempt(document, form, deletes):
    """The events, or why there are none; any other error fails the test."""
    try:
        return events_of(fresh(document), Unwrapping(form, deletes=deletes), size_of(document))
    except UnreadableError as error:
        return error


def check(document, form, deletes):
    result = attempt(document, form, deletes)
    if isinstance(result, UnreadableError):
        assert result.reason
        assert 10 < len(result.message) < 2000
    else:
        assert all(type(event) is dict and all(isinstance(key, str) for key in event) for event in result)
        assert result == attempt(document, form, deletes)


@given(st.dictionaries(keys, documents, max_size=6) | st.lists(documents, max_size=4), forms, deletes)
@settings(max_examples=400, deadline=None)
def test_any_document_in_any_format_gives_events_or_says_why_not(document, form, deletes):
    recognise(document)
    check(document, form, deletes)


@st.composite
def damaged(draw):
    """A real record, in which a few parts are replaced, removed or put under another key."""
    document = [fresh(draw(st.sampled_from([document for _, document in SAMPLES])))]
    for _ in range(draw(st.integers(1, 4))):
        parent, place = document, 0
        for _ in range(draw(st.integers(0, 12))):
            inner = parent[place]
            if not isinstance(inner, dict | list) or not inner:
                break
            parent = inner
            place = draw(st.sampled_from(list(parent) if isinstance(parent, dict) else range(len(parent))))
        change = draw(st.sampled_from(["replace", "remove", "rename"]))
        if change == "replace" or parent is document:
            parent[place] = draw(documents)
        elif change == "remove":
            del parent[place]
        elif isinstance(parent, dict):
            parent[draw(keys)] = parent.pop(place)
    return document[0]


@given(damaged(), forms, deletes)
@settings(max_examples=600, deadline=None)
def test_a_damaged_record_gives_events_or_says_why_not(document, form, deletes):
    if isinstance(document, dict | list):
        recognise(document)
        check(document, form, deletes)


@pytest.mark.parametrize("key", ["data", "payload", "after", "metrics", "value"])
def test_deep_nesting_is_no_fault_of_the_reader(key):
    deep = json.loads('{"x":' * 400 + "1" + "}" * 400)
    for _, document in SAMPLES:
        for form in FORMATS:
            check({**document, key: deep}, form, "read")
