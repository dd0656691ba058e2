"""What is shared by the kernels that rewrite data of other formats as MessagePack. msgspec reads that as fast as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from streamgauge.models.contract import Ints
from streamgauge.models.kernel import kernel

MOST_MEMORY = 16 << 20  # bytes for the data that are rewritten at once
Octets = NDArray[np.uint8]
Mask = NDArray[np.bool_]
# Writes the data (bytes, starts, ends) as one array into the bytes given, notes which of them are good, and returns the size.
Rewrite = Callable[[Octets, Ints, Ints, Octets, Mask], int]
_decoder = msgspec.msgpack.Decoder()


def read_in_parts(payloads: Sequence[bytes], start: int, most: int, rewrite: Rewrite) -> tuple[list[Any], list[int]]:
    """Read the datum of each payload.

    Parameters
    ----------
    payloads : sequence of bytes
    start : int
        Where the datum of each payload begins.
    most : int
        How many bytes a datum may grow when it is rewritten.
    rewrite : callable

    Returns
    -------
    documents : list
        None where a datum cannot be read so.
    left : list of int
        Places of those.
    """
    documents: list[Any] = []
    left: list[int] = []
    at_once = max(1, MOST_MEMORY // most)
    for first in range(0, len(payloads), at_once):
        found, good = _part(payloads[first : first + at_once], start, most, rewrite)
        documents += found
        left += (first + np.flatnonzero(~good)).tolist()
    return documents, left


def _part(payloads: Sequence[bytes], start: int, most: int, rewrite: Rewrite) -> tuple[list[Any], Mask]:
    data = np.frombuffer(b"".join(payloads), dtype=np.uint8)
    ends = np.cumsum(np.fromiter(map(len, payloads), np.int64, len(payloads)))
    starts = np.concatenate(([0], ends[:-1])) + start
    out = np.empty(len(data) + len(payloads) * most + 5, dtype=np.uint8)
    good = np.zeros(len(payloads), dtype=np.bool_)
    size = rewrite(data, starts, ends, out, good)
    try:
        return _decoder.decode(out[:size].data), good
    except (ValueError, RecursionError):  # text that is no UTF-8
        return [None] * len(payloads), np.zeros_like(good)


def packed(text: str) -> bytes:
    """A text as MessagePack. Raises UnicodeEncodeError if it has half a character, as JSON may hold it."""
    return msgspec.msgpack.encode(text)


def map_header(fields: int) -> bytes:
    """The bytes before the fields of an object."""
    return b"\xdf" + fields.to_bytes(4, "big")


@kernel
def write_float(out, size, data, place, width):  # type: ignore[no-untyped-def]
    """Write a float of 4 or 8 bytes, which has its lowest byte first, or nil if it is not finite; returns the new size."""
    high, next_high = data[place + width - 1] & 0x7F, data[place + width - 2]
    if high == 0x7F and next_high >= (0x80 if width == 4 else 0xF0):
        out[size] = 0xC0
        return size + 1
    out[size] = 0xCA if width == 4 else 0xCB
    for i in range(width):
        out[size + 1 + i] = data[place + width - 1 - i]
    return size + 1 + width


@kernel
def read_varint(data, place, end):  # type: ignore[no-untyped-def]
    """A number in variable length, as its 64 bits, and the place behind it, or -1 if it does not end."""
    number = shift = np.int64(0)
    while place < end and shift < 64:
        number |= np.int64(data[place] & 0x7F) << shift
        shift += 7
        place += 1
        if data[place - 1] < 0x80:
            return number, place
    return number, -1


@kernel
def from_zigzag(number):  # type: ignore[no-untyped-def]
    """The signed number that these 64 bits stand for in zigzag encoding."""
    return ((number >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(number & 1)


@kernel
def write_number(out, size, number, width):  # type: ignore[no-untyped-def]
    """Write a number with so many bytes, the highest first; returns the new size."""
    for i in range(width):
        out[size + width - 1 - i] = number & 0xFF
        number >>= 8
    return size + width


@kernel
def write_long(out, size, number):  # type: ignore[no-untyped-def]
    """Write a signed number; returns the new size."""
    out[size] = 0xD3
    return write_number(out, size + 1, number, 8)


@kernel
def copy_bytes(out, size, source, start, end):  # type: ignore[no-untyped-def]
    """Copy bytes; returns the new size."""
    for i in range(start, end):
        out[size + i - start] = source[i]
    return size + end - start


@kernel
def write_text(out, size, data, start, end):  # type: ignore[no-untyped-def]
    """Write bytes as a text; returns the new size."""
    out[size] = 0xDB
    return copy_bytes(out, write_number(out, size + 1, end - start, 4), data, start, end)
