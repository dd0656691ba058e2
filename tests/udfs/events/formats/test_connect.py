"""Connect's payloads are events, with values as their schema says."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.records import UnreadableError

from tests.udfs.events.formats.samples import CONNECT, CONNECT_READ, field
from tests.udfs.events.formats.test_unwrap import read, reason_of

DECIMAL = "org.apache.kafka.connect.data.Decimal"


def wrapped(value, kind, logical=None, **more):
    """A struct with the one field x."""
    return {"schema": {"type": "struct", "fields": [field("x", kind, logical, **more)]}, "payload": {"x": value}}


def read_value(*args, **more):
    [event] = read(wrapped(*args, **more))
    return event["x"]


def base64_of(number):
    return base64.b64encode(number.to_bytes(number.bit_length() // 8 + 1, signed=True)).decode()


def test_the_payload_is_the_event_with_values_by_the_schema():
    assert read(CONNECT) == [CONNECT_READ]


def test_a_payload_without_a_schema_stays_as_it_is():
    assert read({"schema": None, "payload": CONNECT["payload"]}) == [CONNECT["payload"]]


def test_a_payload_that_is_null_gives_no_event():
    assert read({**CONNECT, "payload": None}) == []
    assert read({"schema": None, "payload": None}) == []


def test_an_array_as_payload_is_many_events():
    assert read({"schema": {"type": "array", "items": {"type": "struct"}}, "payload": [{"x": 1}, {"x": 2}]}) == [
        {"x": 1},
        {"x": 2},
    ]


def test_json_in_a_text_or_in_bytes_is_read():
    assert read({"schema": {"type": "string", "optional": False}, "payload": '{"x": 1}'}) == [{"x": 1}]
    assert read({"schema": {"type": "bytes"}, "payload": base64.b64encode(b'{"x": 1}').decode()}) == [{"x": 1}]


@pytest.mark.parametrize("payload", ["text", 5, True])
def test_a_payload_that_is_no_object_is_refused(payload):
    assert reason_of({"schema": {"type": "string"}, "payload": payload}) == "not_object"


@given(st.integers(-(2**200), 2**200), st.integers(-20, 40))
def test_a_decimal_is_the_nearest_number(unscaled, scale):
    value = read_value(base64_of(unscaled), "bytes", DECIMAL, parameters={"scale": str(scale)})
    if scale <= 0:
        assert value == unscaled * 10**-scale
    else:
        assert value in (unscaled / 10**scale, unscaled // 10**scale)


def test_whole_decimals_beyond_the_exact_numbers_stay_exact():
    assert read_value(base64_of(900719925474099300), "bytes", DECIMAL, parameters={"scale": "2"}) == 9007199254740993


def test_a_decimal_that_is_a_number_already_stays():
    assert read_value(12.5, "bytes", DECIMAL, parameters={"scale": "2"}) == 12.5
    assert read_value(None, "bytes", DECIMAL) is None


@pytest.mark.parametrize("value", ["", "no base64!", "AAAA" * 100, True, [1]])
def test_a_damaged_decimal_is_refused_by_its_place(value):
    with pytest.raises(UnreadableError, match=r"payload\.x is .* decimal") as caught:
        read_value(value, "bytes", DECIMAL)
    assert caught.value.reason == "bad_value"


@pytest.mark.parametrize("scale", ["100000000", "x", None, [1]])
def test_a_scale_that_no_number_has_is_refused(scale):
    assert reason_of(wrapped("AA==", "bytes", DECIMAL, parameters={"scale": scale})) == "bad_value"
    variable = wrapped({"scale": scale, "value": "AA=="}, "struct", "io.debezium.data.VariableScaleDecimal")
    assert reason_of(variable) == "bad_value"


@pytest.mark.parametrize(
    ("logical", "value", "text"),
    [
        ("org.apache.kafka.connect.data.Date", 0, "1970-01-01"),
        ("org.apache.kafka.connect.data.Timestamp", -1, "1969-12-31T23:59:59.999Z"),
        ("org.apache.kafka.connect.data.Timestamp", 1728000000000, "2024-10-04T00:00:00Z"),
        ("io.debezium.time.NanoTimestamp", 1, "1970-01-01T00:00:00.000000001"),
        ("io.debezium.time.MicroTimestamp", None, None),
        # Debezium writes infinity as a number that is no moment
        ("io.debezium.time.MicroTimestamp", 9223372036825200000, 9223372036825200000),
        ("io.debezium.time.Date", 2147483647, 2147483647),
        ("org.apache.kafka.connect.data.Time", 3_600_000, 3_600_000),
        ("io.debezium.data.Json", "no json", "no json"),
    ],
)
def test_days_and_moments_are_text(logical, value, text):
    assert read_value(value, "int64", logical) == text


@pytest.mark.parametrize("logical", ["org.apache.kafka.connect.data.Date", "org.apache.kafka.connect.data.Timestamp"])
def test_a_moment_that_is_no_whole_number_is_refused(logical):
    assert reason_of(wrapped(1.5, "int64", logical)) == "bad_value"


def test_the_place_of_a_bad_value_is_named_through_arrays_and_maps():
    inner = field("at", "int64", "io.debezium.time.Timestamp")
    items = {"type": "struct", "fields": [inner]}
    with pytest.raises(UnreadableError, match=r"payload\.x\[1\]\.at is true"):
        read_value([{"at": 1}, {"at": True}], "array", items=items)
    with pytest.raises(UnreadableError, match=r"payload\.x\.k\.at"):
        read_value({"k": {"at": True}}, "map", values=items)


def test_a_map_whose_keys_are_no_text_is_an_array_of_pairs():
    day = {"type": "int32", "name": "io.debezium.time.Date"}
    assert read_value([[5, 0]], "map", keys={"type": "int32"}, values=day) == [[5, "1970-01-01"]]
    assert reason_of(wrapped([5], "map", values=day)) == "bad_value"


def test_fields_that_the_schema_does_not_know_stay():
    document = wrapped(0, "int32", "io.debezium.time.Date")
    document["payload"]["y"] = 5
    assert read(document) == [{"x": "1970-01-01", "y": 5}]


def test_a_schema_that_is_nested_without_end_is_refused():
    schema = {"type": "int32"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    assert reason_of({"schema": schema, "payload": {}}) == "too_deep"
