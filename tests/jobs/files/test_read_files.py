"""Rows of a file are split into entity, time, label and fields."""

from __future__ import annotations

import pytest
from streamgauge.jobs.files.jsonl_files import raw_batch
from streamgauge.jobs.files.read_files import ALL_FIELDS, Columns, count_rows, event_of, payloads, read_rows
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.settings.event import EventSettings


def test_entity_time_and_label_are_not_fields(payments):
    [rows] = read_rows(payments, Columns("card", "ts", "fraud"))
    assert rows.entities == ["a", "b", "a"]
    assert rows.times.tolist() == [1704067200000, 1704067260000, 1704067230000]
    assert rows.labels.tolist() == [0, 0, 1]
    assert list(rows.fields) == ["amount"]


def test_without_columns_the_name_of_the_file_is_the_entity_and_all_columns_are_fields(payments):
    [rows] = read_rows(payments, ALL_FIELDS)
    assert rows.entities == ["cards"] * 3
    assert rows.times is rows.labels is None
    assert list(rows.fields) == ["ts", "card", "amount", "fraud"]


@pytest.mark.parametrize(
    ("columns", "option"),
    [
        (Columns(entity="x"), "entity-column"),
        (Columns(time="x"), "time-column"),
        (Columns(label="x"), "label-column"),
        (Columns(drop=("fraud", "x")), "drop"),
    ],
)
def test_a_column_that_is_not_there_is_refused_with_the_option_that_named_it(payments, columns, option):
    with pytest.raises(InputError, match=rf"no column 'x' .--{option}.; it has: ts, card, amount, fraud"):
        list(read_rows(payments, columns))


@pytest.mark.parametrize("epoch", [1704067200, 1704067200000, 1704067200000000, 1704067200000000000])
def test_the_unit_of_an_epoch_follows_from_its_size(tmp_path, epoch):
    (tmp_path / "a.csv").write_text(f"t,x\n{epoch},1\n")
    [rows] = read_rows(tmp_path / "a.csv", Columns(time="t"))
    assert rows.times.tolist() == [1704067200000]


def test_rows_are_counted_for_the_progress_bar_with_and_without_a_last_line_break(payments):
    assert count_rows(payments) == 3
    payments.write_text(payments.read_text() + "\n")
    assert count_rows(payments) == 3


@pytest.mark.parametrize("form", ["auto", "debezium"])
def test_a_row_of_a_table_is_an_event_whatever_its_columns_are_called(tmp_path, form):
    path = tmp_path / "rows.csv"
    path.write_text("entity,x,__deleted\na,1,true\na,2,false\n")
    columns, event = Columns("entity"), EventSettings(format=form)
    [rows] = read_rows(path, columns, event)
    event = event_of([path], columns, event)
    events, dead = Reader(event).read(raw_batch(payloads(rows, event)))
    assert [value["x"] for value in events.values] == [1, 2]
    assert not dead


@pytest.mark.parametrize(
    "time", ["0", "1", "86401", "0.001", "-1.5", "1971-01-01T00:00:00.001Z", "1969-12-31", "2026-11-29"]
)
def test_the_record_of_a_row_has_the_time_of_the_row(tmp_path, time):
    path = tmp_path / "rows.csv"
    path.write_text(f"ts,x\n{time},1\n")
    columns = Columns(time="ts")
    event = event_of([path], columns, EventSettings())
    [rows] = read_rows(path, columns, event)
    events, dead = Reader(event).read(raw_batch(payloads(rows, event, rows.times), rows.times))
    assert not dead
    assert events.times.tolist() == rows.times.tolist()
