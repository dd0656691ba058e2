"""CSV: the type of a column follows from all its cells, and what is not read is told with its line."""

from __future__ import annotations

import pyarrow as pa
import pytest
from streamgauge.jobs.files.column_types import Words, converted
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import Columns, read_rows
from streamgauge.models.errors import InputError
from streamgauge.udfs.settings.event import EventSettings

from tests.jobs.files.reading import events_of, read, told, values_of

MANY = 60_000  # rows


@pytest.fixture
def csv(tmp_path):
    def write(*lines, name="a.csv", encoding="utf-8"):
        (tmp_path / name).write_bytes("\n".join(lines).encode(encoding))
        return tmp_path / name

    return write


def test_entities_are_text_exactly_as_it_is_written(csv):
    file = csv("id,x", "007,1", "7,1", "1.0,1", " a ,1", "NA,1", "1e3,1")
    assert [rows.entities for rows in read_rows(file, Columns("id"))] == [["007", "7", "1.0", " a ", "NA", "1e3"]]


def test_a_row_without_an_entity_is_given_because_it_becomes_a_dead_letter_and_is_told(csv):
    report = NotRead()
    [rows] = read_rows(csv("id,x", ",1", "a,2"), Columns("id"), report=report)
    assert rows.entities == ["", "a"]
    assert told(report) == [("id", "no entity", 1, [2])]


def test_whole_numbers_that_begin_with_zeros_are_text(csv):
    events, report = read(csv("zip,x", "01234,0.5", "98765,007.5"))
    assert [event["zip"] for event in events] == ["01234", "98765"]
    assert [event["x"] for event in events] == [0.5, 7.5]
    assert any("'zip' is text" in note for note in report.notes)


@pytest.mark.parametrize("other", ["", "5", "NA"])
def test_whole_numbers_of_19_digits_are_read_whatever_stands_beside_them(csv, other):
    largest = 2**63 - 1
    events, report = read(csv("sent,x", f"{largest},1", f"{other},2"))
    assert events[0]["sent"] == largest
    assert not report


def test_a_declared_type_is_taken(csv):
    file = csv("zip,x", "01234,1", "98765,2")
    event = EventSettings(fields={"zip": "number", "x": "text"})
    assert values_of(file, "zip", event=event) == [1234, 98765]
    assert values_of(file, "x", event=event) == ["1", "2"]


def test_numbers_are_read_in_the_form_that_is_declared_for_their_field_as_by_the_job(csv):
    form = {"type": "number", "decimal": ",", "thousands": ".", "unit": "EUR"}
    event = EventSettings.model_validate({"fields": {"amount": form}, "rename": {"sum": "amount"}})
    file = csv("amount,sum,x", '"1.234,50 EUR",5 EUR,1.5', "NA,7,2.5", "soon,-3,3.5")
    report = NotRead()
    found = events_of(file, event=event, report=report)
    assert [one.get("amount") for one in found] == [1234.5, None, None]
    assert [one["sum"] for one in found] == [5, 7, -3]
    assert [one["x"] for one in found] == [1.5, 2.5, 3.5]
    assert told(report) == [("amount", "no number", 1, [4])]


def test_a_form_that_the_file_does_not_have_does_not_hold(csv):
    event = EventSettings.model_validate({"fields": {"x": {"type": "number", "decimal": ",", "unit": "EUR"}}})
    assert values_of(csv("x,y", "1.5,1", "2.5,1"), "x", event=event) == [1.5, 2.5]


@pytest.mark.parametrize("word", ["", "NA", "N/A", "null", "-", "nan", " n/a ", "NULL"])
def test_words_for_a_missing_value_leave_a_gap_in_a_column_of_numbers(csv, word):
    events, report = read(csv("x,y", "1,0.5", f"{word},0.5", "3,0.5"))
    assert [event.get("x") for event in events] == [1, None, 3]
    assert not report


def test_a_word_among_many_numbers_is_missing_and_told_with_its_line(csv):
    file = csv("x,y", *(f"{i}.5,1" for i in range(100)), "ERR,1", "7.5,1")
    events, report = read(file)
    assert [event.get("x") for event in events][-3:] == [99.5, None, 7.5]
    assert told(report) == [("x", "no number", 1, [102])]
    assert report.as_list()[0]["example"] == "ERR"


def test_a_column_of_numbers_and_many_words_is_text_and_says_so(csv):
    events, report = read(csv("x,y", "1,1", "2,1", "ERR,1"))
    assert [event["x"] for event in events] == ["1", "2", "ERR"]
    assert report.notes == [
        "a.csv: the column 'x' is text: 1 of 3 cells are no numbers, such as 'ERR' (event.fields: {x: number} reads the others)"
    ]


def test_a_declared_number_that_cannot_be_read_is_told(csv):
    events, report = read(csv("x,y", "1,1", "2,1", "ERR,1", "1e999,1"), event=EventSettings(fields={"x": "number"}))
    assert [event.get("x") for event in events] == [1, 2, None, None]
    assert told(report) == [("x", "no number", 2, [4, 5])]


def test_the_type_is_that_of_the_whole_file_and_not_of_a_chunk(csv):
    file = csv("id,x,z,e,long", *[f"a,1,7,,{'l' * 60}"] * MANY, "b,2.5,007,word,l")
    assert len(list(read_rows(file))) > 1
    events = events_of(file, Columns("id"))
    assert {type(event["x"]) for event in events} == {float}
    assert {event["z"] for event in events} == {"7", "007"}
    assert [event.get("e") for event in events[-2:]] == [None, "word"]


def test_numbers_are_exact_and_whole_ones_stay_whole(csv):
    events = events_of(csv("x,y", "9007199254740993,0.1", "+5,1e-7", ",1."))
    assert [event.get("x") for event in events] == [9007199254740993, 5, None]
    assert [event["y"] for event in events] == [0.1, 1e-7, 1.0]


def test_true_and_false_are_read(csv):
    assert values_of(csv("x,y", "True,1", "false,1", ",1"), "x") == [True, False, None]


@pytest.mark.parametrize("mark", [",", ".", " ", "'", "_"])
def test_each_mark_between_thousands_is_read(csv, mark):
    file = csv("x;y", f"1{mark}234;1", f"2{mark}000{mark}000;1", f"1{mark}23;1")
    assert values_of(file, "x", Columns(thousands=mark), EventSettings(fields={"x": "number"})) == [
        1234,
        2_000_000,
        None,
    ]


@pytest.mark.parametrize("text", ["0x1f", "12 ms", "1_000", "inf"])
def test_what_only_looks_like_a_number_is_text(csv, text):
    assert values_of(csv("x,y", f"{text},1"), "x") == [text]


def test_thousands_are_read_if_they_are_declared(csv):
    file = csv("x;y", "1.234,5;1", "12,5;1", "7;1")
    assert values_of(file, "x", Columns(thousands=".")) == [1234.5, 12.5, 7]
    events, report = read(csv("x,y", '"1,234.5",1', '"2,000",1'))
    assert events[0]["x"] == "1,234.5"
    assert "--thousands ','" in report.notes[0]
    assert values_of(csv("x,y", '"1,234.5",1', '"2,000",1'), "x", Columns(thousands=",")) == [1234.5, 2000]


def test_rows_of_another_length_are_left_out_and_told_with_their_lines(csv):
    events, report = read(csv("a,b", "1,2", "", '"3\n",4', "5", "6,7,8", "9,10"))
    assert [event["b"] for event in events] == [2, 4, 10]
    assert told(report) == [("", "not 2 cells", 2, [6, 7])]


def test_lines_are_those_of_the_file_even_after_cells_with_line_breaks_and_empty_lines(csv):
    file = csv("x,note", '1,"two\nlines"', "", *["2,a"] * 50, "ERR,b")
    _, report = read(file)
    assert told(report) == [("x", "no number", 1, [55])]
    assert events_of(file)[0]["note"] == "two\nlines"


def test_a_quote_that_is_never_closed_is_refused(csv):
    with pytest.raises(InputError, match="never closed"):
        read(csv("a,b", "1,2", '3,"4', "5,6"))
    assert values_of(csv("a,b", '1,5" pipe', "2,x"), "b") == ['5" pipe', "x"]


def test_a_row_that_is_too_long_is_refused(csv):
    with pytest.raises(InputError, match="a row is longer than 2097152 bytes"):
        read(csv("a,b", f"1,{'x' * 5_000_000}", "2,y"))


def test_rows_without_a_time_are_left_out_and_told(csv):
    file = csv("t,x", "2024-01-01,1", ",2", "soon,3", "2024-01-02,4")
    report = NotRead()
    [rows] = read_rows(file, Columns(time="t"), EventSettings(), report)
    assert rows.fields["x"].to_pylist() == [1, 4]
    assert rows.numbers.tolist() == [0, 3]
    assert told(report) == [("t", "no time", 1, [3]), ("t", "not a time", 1, [4])]
    assert report.left_out == 2


@pytest.mark.parametrize(("cell", "form"), [("20240131", "%Y%m%d"), ("2024", "%Y")])
def test_days_without_marks_and_years_are_told_because_they_are_read_as_seconds(csv, cell, form):
    _, report = read(csv("t,x", f"{cell},1"), Columns(time="t"))
    assert f"{cell} are read as seconds since 1970; --time-format {form} reads them as dates" in report.notes[0]
    assert not read(csv("t,x", f"{cell},1"), Columns(time="t", time_format=form))[1].notes


def test_columns_with_the_names_of_the_settings_are_told_if_no_option_names_them(csv):
    _, report = read(csv("ts,entity,x", "2024-01-01,a,1"))
    assert len(report.notes) == 2
    assert "--entity-column entity takes the entity from it" in report.notes[0]
    assert not read(csv("ts,entity,x", "2024-01-01,a,1"), Columns("entity", "ts"))[1].notes


def test_a_column_without_any_time_is_refused(csv):
    with pytest.raises(InputError, match="'t' does not hold times, but 'soon'"):
        read(csv("t,x", "soon,1"), Columns(time="t"))


def test_labels_are_numbers_and_missing_ones_are_0(csv):
    [rows] = read_rows(csv("x,l", "1,1", "2,", "3,0"), Columns(label="l"))
    assert rows.labels.tolist() == [1, 0, 0]
    with pytest.raises(InputError, match=r"'l' must hold numbers, above 0 for anomalies; it holds 'yes', 'no'"):
        read(csv("x,l", "1,yes", "2,no"), Columns(label="l"))


def test_other_words_may_be_missing(csv):
    values, wrong = converted(pa.array(["1", "gone"]), "whole number", Words(("Gone",)))
    assert values.to_pylist() == [1, None]
    assert wrong is None
