"""The encoding of a CSV file, the characters between its cells, and its columns are recognised and told."""

from __future__ import annotations

import gzip

import pytest
from streamgauge.jobs.files.dialects import dialect_of
from streamgauge.jobs.files.read_files import Columns, read_rows
from streamgauge.models.errors import InputError

from tests.jobs.files.reading import events_of, read

ROWS = ("name,x", "a,1.5", "b,2.5")
EXPECTED = [{"name": "a", "x": 1.5, "entity": "a.b"}, {"name": "b", "x": 2.5, "entity": "a.b"}]


@pytest.mark.parametrize(("mark", "word"), [(",", None), (";", "semicolon"), ("\t", "tab"), ("|", "vertical bar")])
def test_the_character_between_cells_is_recognised(tmp_path, mark, word):
    file = tmp_path / "a.b.csv"
    file.write_text("\n".join(ROWS).replace(",", mark))
    events, report = read(file)
    assert events == EXPECTED
    assert report.notes == ([f"a.b.csv: a {word} stands between the cells"] if word else [])


def test_decimal_commas_are_read_between_semicolons(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("name;x;n\na;1,5;7\nb;-2,25;8\n")
    events, report = read(file)
    assert [event["x"] for event in events] == [1.5, -2.25]
    assert [event["n"] for event in events] == [7, 8]
    assert "a.csv: a comma stands before decimals" in report.notes


def test_a_comma_is_no_decimal_mark_where_points_are(tmp_path):
    (tmp_path / "a.csv").write_text("x;y\n1.5;1,234\n2.5;2,345\n")
    events, report = read(tmp_path / "a.csv")
    assert events[0]["x"] == 1.5
    assert events[0]["y"] == "1,234"
    assert any("--thousands ','" in note for note in report.notes)


def test_text_with_other_marks_does_not_mislead(tmp_path):
    (tmp_path / "a.csv").write_text('tags,x\n"a;b;c|d",1\n"a;b;c|d",2\n')
    assert events_of(tmp_path / "a.csv")[0] == {"tags": "a;b;c|d", "x": 1, "entity": "a"}


@pytest.mark.parametrize(
    ("encoding", "note"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", "UTF-16"), ("latin-1", "Latin-1")],
)
def test_the_encoding_is_recognised_from_the_whole_file(tmp_path, encoding, note):
    file = tmp_path / "a.csv"
    file.write_bytes("\n".join(["name,x", *["a,1"] * 200_000, "Zürich,2"]).encode(encoding))
    rows = list(read_rows(file, Columns("name")))
    assert rows[-1].entities[-1] == "Zürich"
    _, report = read(file)
    assert report.notes == ([f"a.csv: the encoding is {note}"] if note else [])


@pytest.mark.parametrize(("encoding", "note"), [("utf-8", None), ("latin-1", "Latin-1")])
def test_the_last_character_of_a_file_counts_for_its_encoding(tmp_path, encoding, note):
    file = tmp_path / "a.csv"
    file.write_bytes("name,x\na,café".encode(encoding))
    events, report = read(file)
    assert events[0]["x"] == "café"
    assert report.notes == ([f"a.csv: the encoding is {note}"] if note else [])


def test_a_first_line_of_values_names_no_columns(tmp_path):
    (tmp_path / "a.csv").write_text("2024-01-01 00:00:00,1.5,\n2024-01-01 00:01:00,2.5,3\n")
    events, report = read(tmp_path / "a.csv", Columns(time="c1"))
    assert [event.get("c2") for event in events] == [1.5, 2.5]
    assert [event.get("c3") for event in events] == [None, 3]
    assert report.notes == ["a.csv: the first line holds values: the columns are c1 to c3"]


@pytest.mark.parametrize("text", ["a,b,\n1,2,\n3,4,\n", "a,b\n1,2,\n3,4,\n"])
def test_a_comma_at_the_end_of_rows_changes_nothing(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    assert events_of(tmp_path / "x.csv") == [{"a": 1, "b": 2, "entity": "x"}, {"a": 3, "b": 4, "entity": "x"}]


def test_two_columns_of_one_name_are_both_read(tmp_path):
    (tmp_path / "x.csv").write_text("a,a,b\n1,2,3\n")
    events, report = read(tmp_path / "x.csv")
    assert events == [{"a": 1, "a.1": 2, "b": 3, "entity": "x"}]
    assert report.notes == ["x.csv: columns whose name is there before are renamed: 'a' to 'a.1'"]


def test_one_note_tells_of_all_columns_whose_names_are_there_twice(tmp_path):
    (tmp_path / "x.csv").write_text(",".join(["a", "b"] * 200) + "\n" + ",".join(["1"] * 400) + "\n")
    note = "columns whose name is there before are renamed: 'a' to 'a.1', 'b' to 'b.1', 'a' to 'a.2', and 395 more"
    assert read(tmp_path / "x.csv")[1].notes == [f"x.csv: {note}"]


def test_empty_lines_before_the_header_and_windows_line_ends_are_read(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\r\n\r\n a , b\r\n1,2\r\n\r\n3,4\r\n")
    assert [event["b"] for event in events_of(tmp_path / "x.csv")] == [2, 4]


@pytest.mark.parametrize("content", [b"a,b", b"a,b\n", b"\n\na,b", b'"a\nx",b'])
def test_a_header_alone_is_a_file_without_rows(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    assert events_of(tmp_path / "x.csv") == []


def test_thousands_of_columns_may_have_one_name(tmp_path):
    (tmp_path / "x.csv").write_text(",".join(["a", "a.1", *["a"] * 9_998]) + "\n" + ",".join(["1"] * 10_000) + "\n")
    assert dialect_of(tmp_path / "x.csv").names == ("a", "a.1", *(f"a.{number}" for number in range(2, 10_000)))


def test_a_header_may_be_as_long_as_a_row(tmp_path):
    names = [f"{'x' * 100}{number}" for number in range(4_000)]
    (tmp_path / "x.csv").write_text(",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n")
    [event] = events_of(tmp_path / "x.csv")
    assert event.keys() > set(names)
    (tmp_path / "x.csv").write_text(",".join(names * 6) + "\n")
    with pytest.raises(InputError, match="a row is longer than 2097152 bytes"):
        events_of(tmp_path / "x.csv")


@pytest.mark.parametrize(("content", "words"), [(b"", "it is empty"), (b"a\0b\n", "is no text")])
def test_a_file_that_is_no_csv_is_refused(tmp_path, content, words):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(InputError, match=words):
        events_of(tmp_path / "x.csv")


def test_a_file_that_is_cut_within_its_archive_is_refused(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 1000)[:-20])
    with pytest.raises(InputError, match=r"x\.csv\.gz cannot be read"):
        events_of(tmp_path / "x.csv.gz")
