"""Reads many flat messages of Protobuf at once, faster than one by one.

A kernel rewrites them as MessagePack, which msgspec reads. It knows numbers, text, enums and Timestamp, none of them repeated. What it
does not know, and messages in which it finds anything wrong or unusual, are left to Protobuf's own parser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from numba import njit
from streamgauge.models.contract import Ints
from streamgauge.models.kernel import kernel
from streamgauge.udfs.events.registry.message_pack import (
    Mask,
    Octets,
    copy_bytes,
    from_zigzag,
    map_header,
    packed,
    read_in_parts,
    read_varint,
    write_float,
    write_long,
    write_number,
    write_text,
)
from streamgauge.udfs.events.registry.proto_values import NotKnownError

MOST_FIELDS, LARGEST_NUMBER = 500, 5_000
LARGEST_ENUM = 200
SIGNED, UNSIGNED, ZIGZAG, BOOLEAN, ENUM, DOUBLE, FLOAT, TEXT, TIMESTAMP = range(9)
WIRES = (0, 0, 0, 0, 0, 1, 5, 2, 2)  # how each of these is written
_KINDS = {
    FieldDescriptor.TYPE_INT32: SIGNED,
    FieldDescriptor.TYPE_INT64: SIGNED,
    FieldDescriptor.TYPE_UINT32: UNSIGNED,
    FieldDescriptor.TYPE_UINT64: UNSIGNED,
    FieldDescriptor.TYPE_SINT32: ZIGZAG,
    FieldDescriptor.TYPE_SINT64: ZIGZAG,
    FieldDescriptor.TYPE_BOOL: BOOLEAN,
    FieldDescriptor.TYPE_ENUM: ENUM,
    FieldDescriptor.TYPE_DOUBLE: DOUBLE,
    FieldDescriptor.TYPE_FLOAT: FLOAT,
    FieldDescriptor.TYPE_STRING: TEXT,
}
_SHORT = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_SINT32)
_NIL = b"\xc0"
_UNSET = {TEXT: b"\xa0", BOOLEAN: b"\xc2", DOUBLE: b"\xcb" + bytes(8), FLOAT: b"\xca" + bytes(4)}


class BatchReader:
    """Reads many messages of one type.

    Parameters
    ----------
    descriptor : Descriptor
    indexed : bool
        Whether a byte 0 is before each message, which says that it is of the first type; one with another byte is left.

    Raises
    ------
    NotKnownError
        The type has something that the kernel does not know, such as repeated fields.
    """

    def __init__(self, descriptor: Descriptor, indexed: bool) -> None:
        self._indexed = indexed
        fields = list(descriptor.fields)
        if len(fields) > MOST_FIELDS or any(field.number > LARGEST_NUMBER for field in fields):
            raise NotKnownError
        literals = [map_header(len(fields))]
        rows = []  # of each field: its kind, whether it has 32 bits, its one-of, its name, its value if it is not set, its first symbol
        for field in fields:
            kind = _kind(field)
            one_of = (
                -1
                if field.containing_oneof is None or len(field.containing_oneof.fields) == 1
                else field.containing_oneof.index
            )
            rows.append((kind, field.type in _SHORT, one_of, len(literals), len(literals) + 1, len(literals) + 2))
            symbols = _symbols(field.enum_type) if kind == ENUM else []
            unset = _NIL if field.has_presence else symbols[0] if symbols else _UNSET.get(kind, b"\x00")
            literals += [packed(field.name), unset, *symbols]
        self._fields = np.array(rows, dtype=np.int64).reshape(len(fields), 6)
        self._symbols = np.array([len(_symbols(f.enum_type)) if f.enum_type else 0 for f in fields], dtype=np.int64)
        self._by_number = np.full(LARGEST_NUMBER + 1, -1, dtype=np.int64)
        self._by_number[[field.number for field in fields]] = range(len(fields))
        self._ends = np.cumsum([0, *map(len, literals)])
        self._text = np.frombuffer(b"".join(literals), dtype=np.uint8)
        self._most = len(self._text) + 9 * len(fields)  # no value takes more than nine bytes, or five besides its text

    def documents(self, payloads: Sequence[bytes], start: int) -> tuple[list[Any], list[int]]:
        """Read the message of each payload, which begins at `start`.

        Returns
        -------
        documents : list
            None where a message cannot be read so.
        left : list of int
            Places of those.
        """
        return read_in_parts(payloads, start, self._most, self._rewrite)

    def _rewrite(self, data: Octets, starts: Ints, ends: Ints, out: Octets, good: Mask) -> int:
        program = self._fields, self._symbols, self._by_number, self._ends, self._text
        return int(_rewrite(data, starts, ends, self._indexed, *program, out, good))


def _kind(field: FieldDescriptor) -> int:
    if field.label == FieldDescriptor.LABEL_REPEATED:
        raise NotKnownError
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp":
        return TIMESTAMP
    if field.type not in _KINDS:
        raise NotKnownError
    return _KINDS[field.type]


def _symbols(enum: EnumDescriptor) -> list[bytes]:
    """The names of an enum by their numbers; an empty text for a number that has none."""
    numbers = enum.values_by_number
    if min(numbers) < 0 or max(numbers) > LARGEST_ENUM:
        raise NotKnownError
    return [packed(numbers[n].name) if n in numbers else b"" for n in range(max(numbers) + 1)]


@njit(cache=True)
def _rewrite(data, starts, ends, indexed, fields, symbols, by_number, literals, text, out, good):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    """Rewrite messages as one MessagePack array in `out`; returns its size. A message that is not good is nil.

    Literal number k is in `text` from `literals[k]` to `literals[k + 1]`.
    """
    out[0] = 0xDD
    size = write_number(out, 1, len(starts), 4)
    values, stops = np.zeros(len(fields), dtype=np.int64), np.zeros(len(fields), dtype=np.int64)
    for row in range(len(starts)):
        before, place, end = size, starts[row], ends[row]
        ok = not indexed or (place < end and data[place] == 0)
        ok = ok and _scan(data, place + indexed, end, fields, by_number, values, stops)
        if ok:
            size = copy_bytes(out, size, text, literals[0], literals[1])
        for i in range(len(fields)):
            if not ok:
                break
            name, unset = fields[i, 3], fields[i, 4]
            size = copy_bytes(out, size, text, literals[name], literals[name + 1])
            if stops[i] < 0:
                size = copy_bytes(out, size, text, literals[unset], literals[unset + 1])
            elif fields[i, 0] == ENUM:
                symbol = fields[i, 5] + values[i]
                ok = 0 <= values[i] < symbols[i] and literals[symbol] < literals[symbol + 1]
                if ok:
                    size = copy_bytes(out, size, text, literals[symbol], literals[symbol + 1])
            else:
                size, ok = _write(out, size, data, fields[i, 0], fields[i, 1], values[i], stops[i])
        good[row] = ok
        if not ok:
            out[before] = 0xC0
            size = before + 1
    return size


@kernel
def _scan(data, place, end, fields, by_number, values, stops):  # type: ignore[no-untyped-def]
    """Find the value of each field, or its place and where it stops; a field that is not set stops at -1. Returns whether all is usual."""
    stops[:] = -1
    while place < end:
        begin = place
        tag, place = read_varint(data, place, end)
        if place < 0 or place - begin > 5 or tag < 8 or tag > 0xFFFFFFFF:
            return False
        wire, number = tag & 7, tag >> 3
        value, begin = place, place
        if wire == 0:
            value, place = read_varint(data, place, end)
            if place - begin == 10 and data[place - 1] > 1:  # more than 64 bits
                return False
        elif wire == 1:
            place += 8
        elif wire == 5:
            place += 4
        elif wire == 2:
            length, value = read_varint(data, place, end)
            if value < 0 or not 0 <= length <= end - value:
                return False
            place = value + length
        else:
            return False
        if place < 0 or place > end:
            return False
        field = by_number[number] if number < len(by_number) else -1
        if field < 0:
            continue
        if stops[field] >= 0 or wire != WIRES[fields[field, 0]]:
            return False
        if fields[field, 2] >= 0:
            for other in range(len(fields)):
                if fields[other, 2] == fields[field, 2] and stops[other] >= 0:
                    return False
        values[field], stops[field] = value, place
    return True


@kernel
def _write(out, size, data, kind, short, value, stop):  # type: ignore[no-untyped-def]
    """Write the value of a field; returns the new size, and whether the value is usual."""
    if kind in (DOUBLE, FLOAT):
        return write_float(out, size, data, value, 8 if kind == DOUBLE else 4), True
    if kind == TEXT:
        return write_text(out, size, data, value, stop), True
    if kind == TIMESTAMP:
        milliseconds, ok = _milliseconds(data, value, stop)
        return write_long(out, size, milliseconds), ok
    if kind == BOOLEAN:
        out[size] = 0xC3 if value else 0xC2
        return size + 1, True
    if kind == UNSIGNED:
        out[size] = 0xCF
        return write_number(out, size + 1, value, 8), not short or 0 <= value <= 0xFFFFFFFF
    if kind == ZIGZAG:
        value = from_zigzag(value)
    return write_long(out, size, value), not short or -0x80000000 <= value <= 0x7FFFFFFF


@kernel
def _milliseconds(data, place, end):  # type: ignore[no-untyped-def]
    """The moment of a Timestamp in milliseconds since 1970, and whether it is usual: seconds, then nanoseconds, each at most once."""
    seconds = nanoseconds = last = np.int64(0)
    while place < end:
        tag = data[place]
        if tag not in (8, 16) or tag <= last:
            return np.int64(0), False
        last = np.int64(tag)
        begin = place + 1
        value, place = read_varint(data, begin, end)
        if place < 0 or place - begin == 10:
            return np.int64(0), False
        if tag == 8:
            seconds = value
        else:
            nanoseconds = value
    usual = 0 <= seconds < 1_000_000_000_000 and 0 <= nanoseconds < 1_000_000_000
    return seconds * 1000 + nanoseconds // 1_000_000, usual
