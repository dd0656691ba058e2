"""What the operator in Java writes is read back."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.flink.batch_format import read_batch

NUMBERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.none() | st.binary(max_size=20)


def written(records, columns):
    """The bytes of a batch, as docs of the format say."""
    positions, stamps, texts = ([record[k] for record in records] for k in range(3))
    n = len(records)
    parts = [struct.pack("<i", n), struct.pack(f"<{n}q", *positions), struct.pack(f"<{n}q", *stamps)]
    for k in range(columns):
        column = [text[k] for text in texts]
        parts.append(struct.pack(f"<{n}i", *(-1 if value is None else len(value) for value in column)))
        parts += [value for value in column if value]
    return b"".join(parts)


@given(
    st.integers(1, 3).flatmap(
        lambda k: st.lists(st.tuples(NUMBERS, NUMBERS, st.tuples(*[TEXTS] * k))).map(lambda r: (r, k))
    )
)
def test_places_timestamps_and_columns_are_read_back(case):
    records, columns = case
    batch = read_batch(written(records, columns), columns)
    assert batch.positions.tolist() == [position for position, _, _ in records]
    assert batch.stamps.tolist() == [stamp for _, stamp, _ in records]
    assert batch.columns == [[texts[k] for _, _, texts in records] for k in range(columns)]


def test_a_heartbeat_is_a_batch_without_records():
    batch = read_batch(written([], 2), 2)
    assert len(batch.positions) == 0
    assert batch.columns == [[], []]
