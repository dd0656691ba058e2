"""A stream's schema may change at any record."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.field_types import TURNS_AFTER
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import SchemaChange
from streamgauge.udfs.events.schema import VANISHED_AFTER, Alignment
from streamgauge.udfs.settings.event import EventSettings

from tests.streams import batch

SETTINGS = EventSettings()


def align(values, alignment=None):
    alignment = alignment or Alignment(SETTINGS)
    notices: list[SchemaChange] = []
    events, _ = Reader(SETTINGS).read(batch([{"entity": "a", **v} for v in values]))
    return alignment, list(alignment.matrices(events, notices)), [notice.text for notice in notices]


def test_columns_are_numeric_fields_in_order_of_appearance():
    alignment, [(start, stop, X)], notices = align([{"b": 1, "t": "x", "a": 2.5, "flag": True}])
    assert alignment.schema.numeric == ["b", "a", "flag"]
    assert alignment.schema.other == {"t": "text"}
    np.testing.assert_array_equal(X, [[1, 2.5, 1]])
    assert (start, stop) == (0, 1)
    assert notices == [
        "new field 'b' (number)",
        "new field 't' (text)",
        "new field 'a' (number)",
        "new field 'flag' (number)",
    ]


def test_a_new_field_begins_a_new_stretch():
    _, stretches, _ = align([{"x": 1}, {"x": 2}, {"x": 3, "y": 9}, {"x": 4}])
    assert [(start, stop, X.shape) for start, stop, X in stretches] == [(0, 2, (2, 1)), (2, 4, (2, 2))]
    np.testing.assert_array_equal(stretches[1][2], [[3, 9], [4, np.nan]])


def test_a_new_field_of_text_begins_a_new_stretch_unless_it_is_not_looked_at():
    alignment = Alignment(EventSettings(max_fields=1))
    events, _ = Reader(SETTINGS).read(
        batch([{"entity": "a", **v} for v in ({"x": 1}, {"t": "n/a"}, {"t": "on"}, {"u": "off"})])
    )
    assert [(start, stop) for start, stop, _ in alignment.matrices(events, [])] == [(0, 2), (2, 4)]
    assert alignment.text_fields == ["t"]


def test_a_missing_field_is_missing_and_not_zero():
    _, stretches, _ = align([{"x": 1, "y": 2}, {"y": None}, {"x": 0}])
    np.testing.assert_array_equal(stretches[0][2], [[1, 2], [np.nan, np.nan], [0, np.nan]])


def test_a_retyped_field_is_announced_once_and_counts_as_missing():
    alignment, stretches, notices = align([{"x": 1}, {"x": "one"}, {"x": "two"}, {"x": 3}])
    np.testing.assert_array_equal(stretches[0][2], [[1], [np.nan], [np.nan], [3]])
    assert [n for n in notices if "held numbers" in n] == [
        "field 'x' held numbers, now str (\"one\"): counted as missing. See event.fields and event.missing"
    ]
    assert align([{"x": "three"}], alignment)[2] == []


def test_a_vanished_field_is_announced_once_whatever_the_batches():
    alignment, _, _ = align([{"x": 1, "y": 1}])
    notices = [n for _ in range(40) for n in align([{"x": 1}] * 50, alignment)[2]]
    assert notices == [f"field 'y' vanished: absent from {VANISHED_AFTER} events in a row"]


def test_a_number_beyond_float64_becomes_its_largest_or_lowest_number():
    _, stretches, _ = align([{"x": 10**400}, {"x": -(10**400)}, {"x": 2**63}])
    np.testing.assert_array_equal(stretches[0][2][:, 0], [1.7976931348623157e308, -1.7976931348623157e308, 2.0**63])


@pytest.mark.parametrize("x", [1.7e308, -1.7e308])
def test_values_whose_sum_is_beyond_float64_are_values_like_others(x):
    alignment, [(_, _, X)], _ = align([{"x": x}] * 3)
    np.testing.assert_array_equal(X[:, 0], x)
    assert alignment.schema.absent == {"x": 0}


def test_fields_beyond_the_limit_and_ignored_ones_are_left_out():
    alignment = Alignment(EventSettings(max_fields=2, ignore=("secret",)))
    alignment, [(_, _, X)], _ = align([{"a": 1, "secret": 7, "b": 2, "c": 3}], alignment)
    assert alignment.schema.numeric == ["a", "b"]
    assert alignment.schema.other == {"c": "ignored"}
    assert X.shape == (1, 2)


@pytest.mark.parametrize("size", [1, 100])
def test_the_first_field_beyond_the_limit_is_told_once_for_numbers_and_once_for_other_types(size):
    alignment, values = Alignment(EventSettings(max_fields=2)), [{"a": 1, "b": 2, "c": 3}, {"d": 4, "t": "x", "u": "y"}]
    parts = [values[begin : begin + size] for begin in range(0, len(values), size)]
    told = [text for part in parts for text in align(part, alignment)[2] if "max_fields" in text]
    assert told == [
        "the stream has more than 2 fields with numbers (event.max_fields): 'c' and later new ones are not looked at",
        "the stream has more than 2 fields of other types (event.max_fields): 't' and later new ones are not looked at",
    ]


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("later", ["on", 1])
def test_no_field_becomes_a_column_beyond_the_limit_whatever_the_batches(size, later):
    alignment = Alignment(EventSettings(max_fields=2))
    values = [{"x": 0.5, "p": "on", "q": "on"}, {"p": 1, "q": later}, *[{"p": 2, "q": 3}] * TURNS_AFTER]
    for begin in range(0, len(values), size):
        align(values[begin : begin + size], alignment)
    assert alignment.schema.numeric == ["x", "p"]
    assert not alignment.schema.turning


def test_a_field_that_comes_back_is_announced_whatever_the_batches():
    values = [{"x": 1, "y": 1}, *({"x": 1} for _ in range(1500)), {"x": 1, "y": 2}, {"x": 1, "y": 3}]
    for pieces in ([values], [values[:700], values[700:1501], values[1501:]]):
        alignment, notices = Alignment(SETTINGS), []
        for piece in pieces:
            notices += align(piece, alignment)[2]
        assert notices[2:] == ["field 'y' vanished: absent from 1000 events in a row", "field 'y' is there again"]


def test_a_renamed_field_stays_the_same_column():
    settings = EventSettings(rename={"lat_ms": "latency"})
    events, _ = Reader(settings).read(
        batch([{"entity": "a", "latency": 1}, {"entity": "a", "lat_ms": 2}, {"entity": "a", "latency": 3, "lat_ms": 9}])
    )
    alignment = Alignment(settings)
    [(_, _, first), (_, _, second)] = alignment.matrices(events, [])
    assert alignment.schema.numeric == ["latency", "lat_ms"]  # both at once: nothing is thrown away
    np.testing.assert_array_equal(first, [[1], [2]])
    np.testing.assert_array_equal(second, [[3, 9]])


cells = st.dictionaries(
    st.sampled_from("abcd"), st.none() | st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=2) | st.booleans()
)


@given(st.lists(cells, min_size=1, max_size=30), st.lists(st.integers(1, 29), max_size=4))
def test_any_split_gives_the_same_matrix_and_schema(values, cuts):
    def run(pieces):
        alignment, rows, notices = Alignment(SETTINGS), [], []
        for piece in pieces:
            _, stretches, new_notices = align(piece, alignment)
            notices += new_notices
            rows += [
                dict(zip(alignment.schema.numeric, row, strict=False)) for _, _, X in stretches for row in X.tolist()
            ]
        return alignment.schema, notices, repr([{k: v for k, v in row.items() if not math.isnan(v)} for row in rows])

    edges = [0, *sorted(c for c in set(cuts) if c < len(values)), len(values)]
    assert run([values]) == run([values[a:b] for a, b in pairwise(edges)])
