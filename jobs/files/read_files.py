"""Read the rows of CSV, JSONL and Parquet files in order, a chunk at a time, split into entity, time, label and fields."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.errors import InputError

CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file that are not fields of its events.

    Attributes
    ----------
    entity : str, optional
        Column with the entity. Without it, the name of the file is the entity.
    time : str, optional
        Column with the time of the event.
    label : str, optional
        Column that is above 0 for anomalies. Detectors never see it.
    drop : tuple of str
        Further columns that are left out.
    """

    entity: str | None = None
    time: str | None = None
    label: str | None = None
    drop: tuple[str, ...] = ()

    def need(self, frame: pd.DataFrame, path: Path) -> None:
        """Raise InputError if a column is not in the file. The message names the option of the command line."""
        named = (("entity-column", self.entity), ("time-column", self.time), ("label-column", self.label))
        for option, name in (*named, *(("drop", name) for name in self.drop)):
            if name is not None and name not in frame.columns:
                raise InputError(f"{path} has no column {name!r} (--{option}); it has: {', '.join(frame.columns)}")


ALL_FIELDS = Columns()  # every column is a field


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a file.

    Attributes
    ----------
    entities : list of str
    times : int64[n] or None
        Milliseconds since 1970; None without a time column.
    labels : float64[n] or None
        A missing label is 0. None without a label column.
    fields : DataFrame
        All other columns.
    """

    entities: list[str]
    times: Ints | None
    labels: Floats | None
    fields: pd.DataFrame

    def __len__(self) -> int:
        return len(self.entities)


def read_rows(path: Path, columns: Columns) -> Iterator[Rows]:
    """Rows of a file, in order, a chunk at a time.

    Raises
    ------
    InputError
        The file or a column is not there, or a column does not hold times or labels.
    """
    for frame in chunks(path):
        columns.need(frame, path)
        entities = [path.stem] * len(frame) if columns.entity is None else frame[columns.entity].astype(str).tolist()
        moments = None if columns.time is None else times(frame[columns.time], path).to_numpy(np.int64)
        labels = None if columns.label is None else labels_of(frame[columns.label], path)
        taken = {columns.entity, columns.time, columns.label, *columns.drop} - {None}
        yield Rows(entities, moments, labels, frame.drop(columns=[name for name in frame.columns if name in taken]))


def chunks(path: Path) -> Iterator[pd.DataFrame]:
    """Data frames of a file, in row order.

    Raises
    ------
    InputError
        There is no such file, its type is not known, or it cannot be read.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        match path.suffix.lower():
            case ".csv":
                yield from pd.read_csv(path, chunksize=CHUNK, float_precision="round_trip")
            case ".jsonl" | ".ndjson":
                yield from pd.read_json(
                    path, lines=True, chunksize=CHUNK, convert_dates=False, dtype=False, precise_float=True
                )
            case ".parquet":
                for batch in pq.ParquetFile(path).iter_batches(CHUNK):
                    yield batch.to_pandas()
            case other:
                raise InputError(
                    f"{path}: {other or 'no suffix'} is not known; allowed: .csv, .jsonl, .ndjson, .parquet"
                )
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def count_rows(path: Path) -> int:
    """Number of rows of a file, for a progress bar."""
    if path.suffix.lower() == ".parquet":
        return int(pq.ParquetFile(path).metadata.num_rows)
    with path.open("rb") as file:
        lines, last = 0, b"\n"
        for block in iter(lambda: file.read(1 << 20), b""):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return max(0, lines + (last != b"\n") - (path.suffix.lower() == ".csv"))


def times(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    """A time column as milliseconds since 1970. Raises InputError, which names the value, if one is not a time."""
    if pd.api.types.is_numeric_dtype(column):
        size = float(column.abs().max())
        unit: Literal["s", "ms", "us", "ns"]
        unit = "s" if size < 1e11 else "ms" if size < 1e14 else "us" if size < 1e17 else "ns"
        moments = pd.to_datetime(column, unit=unit, utc=True)
    else:
        try:
            moments = pd.to_datetime(column, utc=True, format="ISO8601")
        except ValueError:
            try:
                moments = pd.to_datetime(column, utc=True, format="mixed")
            except ValueError as error:
                raise InputError(f"{path}: the column {column.name!r} does not hold times: {error}") from error
    milliseconds: pd.Series[Any] = moments.astype("int64") // 1_000_000
    return milliseconds


def labels_of(column: pd.Series[Any], path: Path) -> Floats:
    """A label column as numbers, with 0 for missing labels. Raises InputError if it holds anything else."""
    try:
        return column.to_numpy(np.float64, na_value=0.0)
    except (TypeError, ValueError) as error:
        shown = ", ".join(map(repr, column.dropna().unique()[:3].tolist()))
        raise InputError(
            f"{path}: the column {column.name!r} must hold numbers, above 0 for anomalies; it holds {shown}"
        ) from error


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, without missing values."""
    rows = frame.to_dict("records")
    if frame.isna().to_numpy().any():
        rows = [
            {k: v for k, v in row.items() if not (isinstance(v, float) and math.isnan(v)) and v is not None}
            for row in rows
        ]
    return rows  # type: ignore[return-value]
