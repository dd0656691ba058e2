"""Rows of Parquet files, with values that JSON can hold."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from streamgauge.jobs.files.column_names import unique
from streamgauge.jobs.files.times import DayOrMonth
from streamgauge.models.contract import Ints
from streamgauge.models.errors import InputError

_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class ParquetFile:
    """A Parquet file.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    names : tuple of str
        All columns; fields of a struct have its name, a dot, and their own name.
    note : str
        Which columns were renamed, in words; empty if none was.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
            columns = _columns(pa.RecordBatch.from_pylist([], self._file.schema_arrow))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        self.names, self.note = unique([name for name, _ in columns])

    def rows(self, chunk: int) -> Iterator[pa.RecordBatch]:
        """All rows, a chunk at a time."""
        try:
            for batch in self._file.iter_batches(chunk):
                yield flat(batch)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self.path} cannot be read: {error}") from error

    def dates(self, column: str, chunk: int) -> DayOrMonth:
        """Evidence of a column of times, from all rows."""
        found = DayOrMonth()
        outer = column if column in self._file.schema_arrow.names else column.partition(".")[0]
        for batch in self._file.iter_batches(chunk, columns=[outer]):
            cells = flat(batch).column(column)
            if not pa.types.is_string(cells.type):
                break
            found.add(cells.drop_null())
        return found


def flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Columns without structs, dictionaries and other forms that only say how values are stored."""
    columns = _columns(batch)
    return pa.RecordBatch.from_arrays([column for _, column in columns], unique([name for name, _ in columns])[0])


def _columns(batch: pa.RecordBatch) -> list[tuple[str, pa.Array]]:
    columns: list[tuple[str, pa.Array]] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        _add(columns, name, column)
    return columns


def _add(columns: list[tuple[str, pa.Array]], name: str, column: pa.Array) -> None:
    if pa.types.is_struct(column.type):
        for inner, part in zip(column.type, column.flatten(), strict=True):
            _add(columns, f"{name}.{inner.name}", part)
    elif pa.types.is_dictionary(column.type):
        _add(columns, name, column.dictionary_decode())
    elif isinstance(column, pa.ExtensionArray):
        _add(columns, name, column.storage)
    elif pa.types.is_large_string(column.type):
        columns.append((name, column.cast(pa.string())))
    elif any(is_kind(column.type) for is_kind in _BYTES):
        columns.append((name, _text(column)))
    else:
        columns.append((name, column))


def _text(column: pa.Array) -> pa.Array:
    """Bytes as text, as some programs store it. Where they are none they are base64, as in JSON, whatever stands beside them."""
    try:
        return column.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if value is None else _one_text(value) for value in column.to_pylist()], pa.string())


def _one_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _whole(column: pa.Array) -> pa.Array:
    """Decimals without decimals as whole numbers; as numbers if one does not fit into 64 bits."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return _number(column)


def _number(column: pa.Array) -> pa.Array:
    """Decimals as the nearest numbers. Arrow's own conversion is wrong in the last place of one in eight."""
    return column.cast(pa.string()).cast(pa.float64())


def _lists(column: pa.Array) -> pa.Array:
    """Lists of values as an event holds them."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    begins = _begins(column, np.append(0, np.cumsum(lengths, dtype=np.int64)))
    return pa.LargeListArray.from_arrays(begins, values(column.flatten()))


def _begins(column: pa.Array, begins: Ints) -> pa.Array:
    """Where the values of each row begin, and the end of the last one; null for a row that is null."""
    absent = column.is_null().to_numpy(zero_copy_only=False)
    return pa.array(begins, pa.int64(), mask=np.append(absent, np.False_))


def values(column: pa.Array) -> pa.Array:
    """Values as an event holds them: decimals and durations (seconds) are numbers, times are text in ISO 8601; also within lists."""
    kind = column.type
    if any(is_kind(kind) for is_kind in _LISTS):
        return _lists(column)
    if pa.types.is_map(kind):
        begins = _begins(column, column.offsets.to_numpy())
        return pa.MapArray.from_arrays(begins.cast(pa.int32()), values(column.keys), values(column.items))
    if pa.types.is_struct(kind):
        parts = [values(part) for part in column.flatten()]
        return pa.StructArray.from_arrays(parts, [part.name for part in kind], mask=column.is_null())
    if pa.types.is_decimal(kind):
        return _whole(column) if kind.scale == 0 else _number(column)
    if pa.types.is_duration(kind):
        return pc.multiply(column.cast(pa.int64()).cast(pa.float64()), _SECONDS[kind.unit])
    if pa.types.is_timestamp(kind):
        text = column.cast(pa.timestamp(kind.unit)).cast(pa.string())
        text = pc.replace_substring(text, " ", "T")
        return text if kind.tz is None else pc.binary_join_element_wise(text, "Z", "")
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        numbers = column.cast(pa.float64())
        return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))
    return column
