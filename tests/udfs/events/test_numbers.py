"""Numbers that are written as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.numbers import declaration_of, declared_number, number_of, plain_number
from streamgauge.udfs.settings.event import FieldSettings


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12.5", 12.5),
        (" 7 ", 7.0),
        ("-1e-3", -0.001),
        ("+0.5", 0.5),
        ("0", 0.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1E5", 1e5),
    ],
)
def test_plain_decimal_text_is_a_number(text, number):
    assert plain_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "007",
        "00",
        "1234567890123456",
        "1,234.5",
        "12 ms",
        "0x1f",
        "1e999",
        "NaN",
        "inf",
        "1_000",
        "١٢",
        "1.2.3",
        "--1",
        "1" * 50,
    ],
)
def test_identifiers_and_other_texts_are_no_plain_numbers(text):
    assert plain_number(text) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_writes_of_a_number_is_read_as_that_number_or_not_at_all(number):
    assert plain_number(repr(number)) in (number, None)


@pytest.mark.parametrize(
    ("text", "how", "number"),
    [
        ("1.234,5", {"decimal": ",", "thousands": "."}, 1234.5),
        ("1,234.5", {"thousands": ","}, 1234.5),
        ("12 ms", {"unit": "ms"}, 12.0),
        ("99,5%", {"decimal": ",", "unit": "%"}, 99.5),
        ("1'234'567", {"thousands": "'"}, 1234567.0),
        ("0x1F", {}, 31.0),
        ("007", {}, 7.0),
        ("-5", {"unit": "ms"}, -5.0),
    ],
)
def test_declared_numbers_are_read_as_declared(text, how, number):
    assert declared_number(text, FieldSettings(type="number", **how)) == number


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("12,34.5", {"thousands": ","}),
        ("1,5", {}),
        ("12 s", {"unit": "ms"}),
        ("", {}),
        (",", {"decimal": ","}),
        ("1.234", {"decimal": ","}),
        ("1 234.5", {"decimal": ",", "thousands": " "}),
        ("1e999", {}),
    ],
)
def test_what_is_written_otherwise_than_declared_is_no_number(text, how):
    assert declared_number(text, FieldSettings(type="number", **how)) is None


@given(st.text(max_size=20), st.sampled_from([{}, {"decimal": ","}, {"thousands": " "}, {"unit": "ms"}]))
def test_any_text_is_a_number_or_none(text, how):
    declared_number(text, FieldSettings(type="number", **how))
    assert number_of(text) == plain_number(text)


@pytest.mark.parametrize(
    ("texts", "declared"),
    [
        (["1,234.5", "12"], {"thousands": ","}),
        (["1.234,5"], {"decimal": ",", "thousands": "."}),
        (["3,5 €", "7 €"], {"decimal": ",", "unit": "€"}),
        (["12 ms", "1"], {"unit": "ms"}),
        (["+5.0 °C", "-3 °C"], {"unit": "°C"}),
        (["12%"], {"unit": "%"}),
        (["1 234,5"], {"decimal": ",", "thousands": " "}),
        (["1'000"], {"thousands": "'"}),
        (["0x1f"], {}),
    ],
)
def test_a_declaration_is_found_that_reads_all_texts(texts, declared):
    found = declaration_of(texts)
    assert found == FieldSettings(type="number", **declared)
    assert all(declared_number(text, found) is not None for text in texts)


@pytest.mark.parametrize(
    "texts", [["up"], ["007"], ["10.0.0.1"], ["2026-01-01"], ["10:30"], ["1 s", "1 ms"], [" "], ["5", "x"]]
)
def test_names_dates_and_addresses_need_no_declaration(texts):
    assert declaration_of(texts) is None


@given(st.lists(st.text(max_size=50), min_size=1, max_size=4))
def test_advice_for_any_texts_reads_them_or_there_is_none(texts):
    found = declaration_of(texts)
    assert found is None or all(declared_number(text, found) is not None for text in texts)
