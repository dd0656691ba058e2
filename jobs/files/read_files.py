"""Rows of CSV, JSONL and Parquet files, in order, a chunk at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from streamgauge.models.contract import Floats
from streamgauge.models.errors import InputError

CHUNK = 20_000


def chunks(path: Path) -> Iterator[pd.DataFrame]:
    """Data frames of a file, in row order.

    Raises
    ------
    InputError
        No such file, an unknown kind of file, or one that cannot be read.
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
    """Rows of a file, for a progress bar."""
    if path.suffix.lower() == ".parquet":
        return int(pq.ParquetFile(path).metadata.num_rows)
    with path.open("rb") as file:
        lines, last = 0, b"\n"
        for block in iter(lambda: file.read(1 << 20), b""):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return max(0, lines + (last != b"\n") - (path.suffix.lower() == ".csv"))


def times(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    """A time column as milliseconds since 1970; InputError names a value that is no time."""
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
    """A label column as numbers, missing ones 0; InputError where it holds anything else."""
    try:
        return column.to_numpy(np.float64, na_value=0.0)
    except (TypeError, ValueError) as error:
        told = ", ".join(map(repr, column.dropna().unique()[:3].tolist()))
        raise InputError(
            f"{path}: the column {column.name!r} must hold numbers, above 0 for anomalies; it holds {told}"
        ) from error


def need_columns(frame: pd.DataFrame, path: Path, **columns: str | None) -> None:
    """InputError if a named column is not there."""
    for what, name in columns.items():
        if name is not None and name not in frame.columns:
            raise InputError(
                f"{path} has no column {name!r} (--{what.replace('_', '-')}); it has: {', '.join(frame.columns)}"
            )


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, without missing values."""
    rows = frame.to_dict("records")
    if frame.isna().to_numpy().any():
        rows = [
            {k: v for k, v in row.items() if not (isinstance(v, float) and math.isnan(v)) and v is not None}
            for row in rows
        ]
    return rows  # type: ignore[return-value]
