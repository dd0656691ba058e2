"""State as bytes."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import MAGIC, OLD_MAGIC, demand, pack, unpack


def sealed(content: bytes) -> bytes:
    """Content with the mark and the checksum that make it a state."""
    return MAGIC + zlib.crc32(content).to_bytes(4, "little") + content


def old(kind: str, version: int, meta: dict[str, Any], array: np.ndarray) -> bytes:
    """A state with one array `a` as release 0.1 wrote it."""
    body = array.tobytes()
    described = [("a", array.dtype.str, list(array.shape))]
    header = msgspec.msgpack.encode([kind, version, meta, described, zlib.crc32(body)])
    return OLD_MAGIC + len(header).to_bytes(4, "little") + header + body


arrays = st.dictionaries(
    st.text(min_size=1, max_size=5),
    hnp.arrays(st.sampled_from(["<f8", "<i8", "u1", "<i4", "?"]), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0)),
    max_size=4,
)


@given(arrays)
def test_what_goes_in_comes_out(given_arrays):
    meta, found = unpack(pack("x", 3, {"a": [1, "b"]}, given_arrays), "x", 3)
    assert meta == {"a": [1, "b"]}
    assert found.keys() == given_arrays.keys()
    for name, array in found.items():
        assert array.dtype == given_arrays[name].dtype
        np.testing.assert_array_equal(array, given_arrays[name])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read_and_never_anything_else(junk):
    for state in (junk, OLD_MAGIC + junk, MAGIC + junk, MAGIC + zlib.crc32(junk).to_bytes(4, "little") + junk):
        with pytest.raises(StateError):
            unpack(state, "x", 1)


@pytest.mark.parametrize("seal", [MAGIC, OLD_MAGIC])
def test_a_flipped_bit_of_an_array_is_noticed(seal):
    state = bytearray(
        old("x", 1, {}, np.arange(10.0)) if seal == OLD_MAGIC else pack("x", 1, {}, {"a": np.arange(10.0)})
    )
    state[-5] ^= 4
    with pytest.raises(StateError, match="checksum"):
        unpack(bytes(state), "x", 1)


def test_any_flipped_bit_is_noticed():
    state = pack("x", 1, {"count": 5, "name": "some text"}, {"a": np.arange(4.0)})
    for place in range(len(state)):
        for bit in range(8):
            flipped = bytearray(state)
            flipped[place] ^= 1 << bit
            with pytest.raises(StateError):
                unpack(bytes(flipped), "x", 1)


def test_bytes_of_an_earlier_release_are_read():
    meta, arrays = unpack(old("x", 1, {"a": 1}, np.arange(3.0)), "x", 1)
    assert meta == {"a": 1}
    np.testing.assert_array_equal(arrays["a"], np.arange(3.0))


@pytest.mark.parametrize(
    ("version", "words"), [(2, "a newer Streamgauge wrote it: upgrade"), (0, "no migration is known")]
)
def test_other_versions_are_refused(version, words):
    with pytest.raises(StateError, match=f"^the x state has format {version}, this code reads 1: {words}$"):
        unpack(pack("x", version, {}, {}), "x", 1)


def test_another_kind_is_refused():
    with pytest.raises(StateError, match="state of y, not of x"):
        unpack(pack("y", 1, {}, {}), "x", 1)


def test_objects_are_refused():
    content = pack("x", 1, {}, {"a": np.array([0], "<i8")})[8:].replace(b"<i8", b"|O8")
    with pytest.raises(StateError, match="not allowed"):
        unpack(sealed(content), "x", 1)


def test_an_array_that_does_not_fit_is_told_with_what_it_must_be():
    with pytest.raises(StateError, match=r"^the array 'a' is int64\[3\], it must be float64\[2, any\]$"):
        demand({"a": np.arange(3)}, "a", np.float64, (2, None))
