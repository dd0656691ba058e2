"""What a field holds follows from its values."""

from __future__ import annotations

import copy
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamgauge.udfs.events.field_types import KNOWN, TIMES, NoReadings
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.schema import TURNS_AFTER, Alignment
from streamgauge.udfs.settings.event import EventSettings

from tests.streams import batch


def columns_of(values, **settings):
    """Values of the field x by number of the event, as the detectors see them; None where there is no column yet. And the changes."""
    chosen, changes, seen = EventSettings(**settings), [], []
    alignment = Alignment(chosen)
    for value in values:
        events, _ = Reader(chosen).read(batch([{"entity": "a", "x": value}]))
        for _, _, X in alignment.matrices(events, changes):
            seen += X[:, alignment.schema.numeric.index("x")].tolist() if "x" in alignment.schema.numeric else [None]
    return seen, [change.change for change in changes]


def test_numbers_that_are_written_as_text_are_numbers():
    seen, changes = columns_of(["12.5", " 7 ", "1e3"])
    assert seen == [12.5, 7.0, 1000.0]
    assert changes == ["added"]


def test_the_text_is_a_number_for_rules_and_alerts_too():
    events, _ = Reader(EventSettings()).read(batch([{"entity": "a", "x": "12.5"}]))
    list(Alignment(EventSettings()).matrices(events, []))
    assert events.values == [{"entity": "a", "x": 12.5}]


def test_spaces_around_a_declared_word_for_a_missing_value_do_not_matter():
    seen, changes = columns_of([" ", 1, "gone", " Gone "], missing=(" ", "gone "))
    assert changes == ["added"]
    np.testing.assert_array_equal(np.array(seen, np.float64), [np.nan, 1, np.nan, np.nan])


def test_a_number_that_is_declared_as_a_text_for_a_missing_value_is_missing():
    seen, _ = columns_of(["-999", 1.0, "-999", "2"], missing=("-999",))
    assert str(seen) == str([None, 1.0, float("nan"), 2.0])


@pytest.mark.parametrize("word", ["N/A", "", "-", "null", "NaN", "none", " n/a "])
def test_a_word_for_a_missing_value_does_not_decide_the_type(word):
    seen, changes = columns_of([word, 1.0, word, 2.0])
    assert str(seen) == str([None, 1.0, float("nan"), 2.0])
    assert changes == ["added"]


def test_a_field_of_text_becomes_numeric_after_enough_numbers_in_a_row():
    values = ["cold", *range(TURNS_AFTER - 1), "warm", *range(TURNS_AFTER), 99]
    seen, changes = columns_of(values)
    assert seen == [None] * (len(values) - 2) + [TURNS_AFTER - 1, 99]
    assert changes == ["added", "numeric"]


@pytest.mark.parametrize("equal", [True, False], ids=str)
def test_numbers_count_beside_a_boolean_that_equals_them(equal):
    values = [{"entity": "a", "x": value} for value in ["on", equal, *[int(equal)] * TURNS_AFTER]]
    events, _ = Reader(EventSettings()).read(batch(values))
    alignment = Alignment(EventSettings())
    assert list(alignment.matrices(events, []))[-1][2].tolist() == [[float(equal)]]


def test_a_list_at_first_does_not_blind_the_field():
    seen, changes = columns_of([[1], *range(TURNS_AFTER)])
    assert seen[-1] == TURNS_AFTER - 1
    assert changes == ["added", "numeric"]


def test_declared_text_stays_text():
    seen, _ = columns_of([str(i) for i in range(50)], fields={"x": "text"})
    assert seen == [None] * 50


def test_declared_numbers_are_read_as_declared_or_set_aside():
    settings = EventSettings(fields={"x": {"type": "number", "decimal": ",", "thousands": ".", "missing": [-9999]}})
    values = ["1.234,5", "12", 7, -9999, "N/A", "12 ms", True, [1]]
    events, dead = Reader(settings).read(batch([{"entity": "a", "x": value} for value in values]))
    assert [value["x"] for value in events.values] == [1234.5, 12.0, 7, None, None]
    assert [(letter.row, letter.reason) for letter in dead] == [(5, "wrong_type"), (6, "wrong_type"), (7, "wrong_type")]
    assert '"12 ms"' in dead[0].message
    assert "decimal sign ','" in dead[0].message


# ---- numbers that mean no reading -------------------------------------------------------------------------------------


def usual(n, seed=0):
    return np.random.default_rng(seed).normal(20, 2, n).tolist()


def read_as(values, **settings):
    seen, changes = columns_of(values, **settings)
    return np.array(seen), changes.count("no_reading")


@pytest.mark.parametrize("number", [-9999, 65535, 2**31 - 1, 1e308, -999.0])
def test_a_number_that_machines_write_without_a_reading_is_missing_after_it_came_several_times(number):
    values = [number, *usual(KNOWN)]
    for k in range(TIMES + 2):
        values += [number, *usual(5, k)]
    seen, told = read_as(values)
    places = [i for i, value in enumerate(values) if value == number]
    assert np.isfinite(seen[places[:TIMES]]).all()  # the first one came before the others were known
    assert np.isnan(seen[places[TIMES:]]).all()
    assert told == 1


def test_a_number_near_the_others_is_a_value():
    values = [65535.0, *np.linspace(0, 60_000, KNOWN).tolist(), *[65535.0, 1.0] * 20]
    seen, told = read_as(values)
    assert np.isfinite(seen).all()
    assert told == 0


def test_a_large_value_that_no_machine_writes_is_a_value_however_often_it_comes():
    seen, told = read_as([*usual(KNOWN), *[100_000.0, 20.0] * 20])
    assert np.isfinite(seen).all()
    assert told == 0


def test_the_settings_can_keep_such_a_number():
    seen, told = read_as(
        [-9999.0, *usual(KNOWN), *[-9999.0, 20.0] * 20], fields={"x": {"type": "number", "missing": []}}
    )
    assert np.isfinite(seen).all()
    assert told == 0


odd_or_usual = st.sampled_from([-9999.0, 65535.0, np.nan]) | st.floats(0, 50)


@pytest.mark.parametrize("zeros", [[0.0, -0.0], [-0.0, 0.0]], ids=str)
def test_zeros_of_both_signs_give_the_same_range_whatever_the_batches(zeros):
    whole, parts = NoReadings(), NoReadings()
    X = np.array([[-9999.0], *([zero] for zero in zeros)])
    whole.look(X, ["x"], frozenset())
    for row in X:
        parts.look(row[None], ["x"], frozenset())
    assert repr(whole) == repr(parts)


@example([65535.0, 65535.0, 65535.0, -9999.0, -9999.0, -9999.0], 0, [34])  # the larger number is found first
@given(
    st.lists(odd_or_usual, max_size=40),
    st.integers(0, 2),
    st.lists(st.integers(1, 69), max_size=5),
)
def test_any_split_finds_the_same_numbers(rest, wide, cuts):
    values = np.array([-9999.0, *np.linspace(0, [5, 50, 60_000][wide], KNOWN).tolist(), *rest])
    edges = [0, *sorted(cut for cut in set(cuts) if cut < len(values)), len(values)]

    def run(pieces):
        state, rows, told = NoReadings(), [], []
        for begin, end in pairwise(pieces):
            X = values[begin:end, None].copy()
            found, missing = state.look(X, ["x"], frozenset())
            told += [(name, number, begin + row) for name, number, row in found]
            rows += missing[:, 0].tolist()
            state = NoReadings(**copy.deepcopy(asdict(state)))  # as from saved state
        return repr(rows), told, asdict(state)

    assert run([0, len(values)]) == run(edges)
