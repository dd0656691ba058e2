"""The bytes of a batch, as `RecordBatches.java` writes them.

All numbers are little-endian. The number n of records comes first (4 bytes); then the n positions and the n timestamps (8 bytes each); then
the columns, each with the n lengths of its values (4 bytes; -1 for none), and the values themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from streamgauge.models.contract import Ints

Column = list[bytes | None]


class Batch(NamedTuple):
    """Records in arrival order: positions and timestamps, int64[n], and columns of n values, of which the payload is the first."""

    positions: Ints
    stamps: Ints
    columns: list[Column]


def read_batch(data: bytes, columns: int) -> Batch:
    """The records of a batch with this number of columns."""
    n = int(np.frombuffer(data, "<i4", 1)[0])
    positions, stamps = np.frombuffer(data, "<i8", 2 * n, 4).reshape(2, n)
    at, found = 4 + 16 * n, []
    for _ in range(columns):
        lengths = np.frombuffer(data, "<i4", n, at)
        ends = at + 4 * n + np.cumsum(np.maximum(lengths, 0, dtype=np.int64))
        begins, at = ends - np.maximum(lengths, 0), int(ends[-1]) if n else at
        values: Column = [data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        for i in np.flatnonzero(lengths < 0).tolist():
            values[i] = None
        found.append(values)
    return Batch(positions, stamps, found)
