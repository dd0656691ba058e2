"""Parquet: each type of column becomes what an event can hold."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.jobs.files.parquet_files import values
from streamgauge.jobs.files.read_files import Columns, count_rows, read_rows
from streamgauge.models.errors import InputError

from tests.jobs.files.reading import events_of, read, told, values_of

FAR = 253_402_300_800_000  # milliseconds: the year 10000, which Python's times do not reach
MOMENT = datetime.datetime(2024, 1, 2, 3, 4, 5)


def write(folder, **columns):
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pa.array([Decimal("1.50")], pa.decimal128(10, 2)), 1.5),
        (pa.array([Decimal("9007199254740993")], pa.decimal128(38, 0)), 9007199254740993),
        (pa.array([Decimal("12345678901234567890")], pa.decimal128(38, 0)), 12345678901234567890.0),
        (pa.array([Decimal("1704067200.123")], pa.decimal128(20, 3)), 1704067200.123),
        (pa.array([Decimal("1.5")], pa.decimal256(50, 3)), 1.5),
        (pa.array([1500], pa.duration("ms")), 1.5),
        (pa.array([2**53 + 1], pa.int64()), 2**53 + 1),
        (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
        (pa.array([0.5], pa.float32()), 0.5),
        (pa.array([0.5]).cast(pa.float16()), 0.5),
        (pa.array([True]), True),
        (pa.array(["a"]).dictionary_encode(), "a"),
        (pa.array(["a"], pa.large_string()), "a"),
        (pa.array([b"a"]), "a"),
        (pa.array([b"a"], pa.large_binary()), "a"),
        (pa.array([b"ab"], pa.binary(2)), "ab"),
        (pa.array([b"\xff"]), "/w=="),
        (pa.array([[1, None, 3]]), [1, None, 3]),
        (pa.array([[MOMENT]], pa.list_(pa.timestamp("ms"))), ["2024-01-02T03:04:05.000"]),
        (pa.array([[FAR, None]], pa.list_(pa.timestamp("ms", "UTC"))), ["10000-01-01T00:00:00.000Z", None]),
        (pa.array([[FAR]], pa.large_list(pa.date64())), ["10000-01-01"]),
        (pa.array([[FAR]], pa.list_(pa.timestamp("ms"), 1)), ["10000-01-01T00:00:00.000"]),
        (
            pa.array([[{"at": FAR}]], pa.list_(pa.struct({"at": pa.timestamp("ms")}))),
            [{"at": "10000-01-01T00:00:00.000"}],
        ),
        (pa.array([[("at", FAR)]], pa.map_(pa.string(), pa.timestamp("ms"))), [["at", "10000-01-01T00:00:00.000"]]),
        (pa.array([[Decimal("1.5")]], pa.list_(pa.decimal128(3, 1))), [1.5]),
        (pa.array([datetime.date(2024, 1, 2)]), "2024-01-02"),
        (pa.array([MOMENT], pa.timestamp("ms")), "2024-01-02T03:04:05.000"),
        (pa.array([MOMENT], pa.timestamp("ms", "UTC")), "2024-01-02T03:04:05.000Z"),
        (pa.array([None], pa.float64()), None),
        (pa.array([float("nan")]), None),
        (pa.array([None], pa.null()), None),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_a_value_is_what_json_can_hold(tmp_path, column, value):
    [event] = events_of(write(tmp_path, x=column))
    assert event == {"entity": "a"} | ({} if value is None else {"x": value})


@pytest.mark.parametrize("kind", [pa.list_(pa.timestamp("ms")), pa.map_(pa.string(), pa.timestamp("ms"))], ids=str)
def test_lists_that_are_empty_or_missing_are_kept_apart(tmp_path, kind):
    is_map = pa.types.is_map(kind)
    cells = [None, [], [("a", 0)] if is_map else [0], None, [("b", None), ("c", FAR)] if is_map else [None, FAR]]
    far, begin = "10000-01-01T00:00:00.000", "1970-01-01T00:00:00.000"
    expected = [
        None,
        [],
        [["a", begin]] if is_map else [begin],
        None,
        [["b", None], ["c", far]] if is_map else [None, far],
    ]
    assert values_of(write(tmp_path, x=pa.array(cells, kind)), "x") == expected


@pytest.mark.parametrize(("cell", "form"), [(2024, "%Y"), (20240101, "%Y%m%d")])
def test_days_and_years_as_whole_numbers_are_told_and_read_by_their_form(tmp_path, cell, form):
    file = write(tmp_path, t=pa.array([cell]), x=pa.array([1]))
    _, report = read(file, Columns(time="t"))
    assert f"--time-format {form} reads them as dates" in report.notes[0]
    [rows] = read_rows(file, Columns(time="t", time_format=form))
    assert rows.times.tolist() == [1_704_067_200_000]


@given(st.lists(st.decimals(-(10**12), 10**12, places=3), min_size=1))
def test_decimals_are_the_nearest_numbers(found):
    assert values(pa.array(found, pa.decimal128(20, 3))).to_pylist() == [float(one) for one in found]


def test_a_cell_of_bytes_is_read_alike_whatever_stands_beside_it(tmp_path):
    column = pa.array([b"a", b"\xff", None, "\u00e9".encode()])
    assert values_of(write(tmp_path, x=column), "x") == ["a", "/w==", None, "\u00e9"]
    [rows] = read_rows(write(tmp_path, id=column, x=[1.0] * 4), Columns(entity="id"))
    assert rows.entities == ["a", "/w==", "", "\u00e9"]


def test_columns_with_one_name_are_all_read(tmp_path):
    inner = pa.StructArray.from_arrays([pa.array([4])], ["x"])
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3]), inner], ["a", "a", "s.x", "s"])
    pq.write_table(table, tmp_path / "a.parquet")
    events, report = read(tmp_path / "a.parquet")
    assert events == [{"a": 1, "a.1": 2, "s.x": 3, "s.x.1": 4, "entity": "a"}]
    assert report.notes == ["a.parquet: columns whose name is there before are renamed: 'a' to 'a.1', 's.x' to 's.x.1'"]


def test_fields_of_structs_have_names_with_dots(tmp_path):
    file = write(tmp_path, host=pa.array([{"name": "a", "load": {"cpu": 0.5}}, None]))
    [rows] = read_rows(file, Columns(entity="host.name"))
    assert rows.entities == ["a", ""]
    assert {name: column.to_pylist() for name, column in rows.fields.items()} == {"host.load.cpu": [0.5, None]}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_a_column_of_timestamps_holds_the_times(tmp_path, unit, zone):
    file = write(tmp_path, t=pa.array([MOMENT, None], pa.timestamp("s")).cast(pa.timestamp(unit, zone)), x=[1.0, 2.0])
    events, report = read(file, Columns(time="t"))
    assert events == [{"x": 1.0, "entity": "a", "ts": 1_704_164_645_000}]
    assert told(report) == [("t", "no time", 1, [2])]


@pytest.mark.parametrize("year", [-1000, 1, 5200, 10_000])
@pytest.mark.parametrize(("unit", "factor"), [("ms", 1_000), ("us", 1_000_000)])
def test_rows_with_times_that_the_job_cannot_read_are_left_out_and_told(tmp_path, year, unit, factor):
    seconds = (year - 1970) * 31_556_952
    file = write(tmp_path, t=pa.array([seconds * factor, factor], pa.timestamp(unit)), x=[1.0, 2.0])
    events, report = read(file, Columns(time="t"))
    assert events == [{"x": 2.0, "entity": "a", "ts": 1.0}]
    assert told(report) == [("t", "not a time", 1, [1])]


def test_dates_epochs_and_text_are_times_too(tmp_path):
    day = [datetime.date(2024, 1, 2)]
    for column in (pa.array(day), pa.array([1_704_153_600]), pa.array([1_704_153_600e9]), pa.array(["2024-01-02"])):
        [rows] = read_rows(write(tmp_path, t=column, x=[1.0]), Columns(time="t"))
        assert rows.times.tolist() == [1_704_153_600_000]


def test_the_order_of_day_and_month_follows_from_the_whole_file(tmp_path):
    file = write(tmp_path, t=[*["01/02/2024"] * 30_000, "31/01/2024"], x=[1.0] * 30_001)
    assert next(read_rows(file, Columns(time="t"))).times[0] == 1_706_745_600_000  # 1 February


def test_infinite_numbers_are_missing_and_told(tmp_path):
    events, report = read(write(tmp_path, x=[1.0, float("inf")]))
    assert events == [{"x": 1.0, "entity": "a"}, {"entity": "a"}]
    assert told(report) == [("x", "not finite", 1, [2])]


def test_numbers_name_entities(tmp_path):
    decimal = pa.decimal128(38, 0)
    for column in (pa.array([7, None]), pa.array([7.0, None]), pa.array([Decimal(7), None], decimal)):
        [rows] = read_rows(write(tmp_path, id=column, x=[1.0, 2.0]), Columns(entity="id"))
        assert rows.entities == ["7", ""]


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    for reader in (events_of, count_rows):
        with pytest.raises(InputError, match=r"a\.parquet cannot be read"):
            reader(tmp_path / "a.parquet")
