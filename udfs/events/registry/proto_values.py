"""Messages of Protobuf to plain values. What a message needs is worked out once for its type, so that a record costs little."""

from __future__ import annotations

import base64
import math
import sys
from collections.abc import Callable
from functools import partial
from keyword import iskeyword
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

# An empty message takes two bytes and may stand for many fields. So a record may have this many values for each of its
# bytes in messages that are repeated, plus a minimum.
VALUES_PER_BYTE, VALUES_AT_LEAST = 10, 10_000
MOST_SCALE = 300
Convert = Callable[[Any], Any]


class TooManyValuesError(ValueError):
    """A record has far more values than bytes."""


def finite(value: float) -> float | None:
    """A number, or None where it is not finite."""
    return value if math.isfinite(value) else None


def in_base64(value: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(value).decode()


class NotKnownError(ValueError):
    """A type of messages has something that the kernel for many messages does not know."""


class MessageTypes:
    """Converts the messages of one schema.

    Attributes
    ----------
    left : int
        How many values in repeated messages the record at hand may still have.
    counts : bool
        Whether there are repeated messages, so that `left` matters.
    """

    def __init__(self) -> None:
        self.left = 0
        self.counts = False
        self._known: dict[str, Convert] = {}

    def converter(self, descriptor: Descriptor) -> Convert:
        """The function that turns a message of this type into plain values."""
        name = descriptor.full_name
        if name not in self._known:
            self._known[name] = partial(self._convert, name)  # for a type that holds itself
            self._known[name] = _well_known(name) or self._message(descriptor)
        return self._known[name]

    def _convert(self, name: str, message: Any) -> Any:
        return self._known[name](message)

    def _message(self, descriptor: Descriptor) -> Convert:
        """The function for a type, made from source text: it is called for each record, and any other way takes twice as long.

        protoc lets only letters, digits and `_` into the names of fields, so the text holds nothing else.
        """
        converters: dict[str, Convert] = {}
        parts = []
        for number, field in enumerate(descriptor.fields):
            name = field.name
            value = f"getattr(m, {name!r})" if iskeyword(name) else f"m.{name}"
            convert = self._field(field)
            if convert is finite:
                value = f"(v if -largest <= (v := {value}) <= largest else None)"
            elif convert is not None:
                converters[f"c{number}"] = convert
                value = f"c{number}({value})"
            if field.has_presence:
                value = f"({value} if m.HasField({name!r}) else None)"
            parts.append(f"{name!r}: {value}")
        convert_all: Convert = eval(f"lambda m: {{{', '.join(parts)}}}", {"largest": sys.float_info.max} | converters)
        return convert_all

    def _field(self, field: FieldDescriptor) -> Convert | None:
        """How the value of a field is converted; None if it is plain already."""
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            return self._map(inner)
        one = self._value(field)
        if field.label != FieldDescriptor.LABEL_REPEATED:
            return one
        if one is None:
            return list
        return self._repeated(one, inner) if inner is not None else lambda values: [one(value) for value in values]

    def _map(self, entry: Descriptor) -> Convert:
        value = entry.fields_by_name["value"]
        convert = self._value(value)
        if convert is None:
            return lambda entries: {str(key): item for key, item in entries.items()}
        if value.message_type is None:
            return lambda entries: {str(key): convert(item) for key, item in entries.items()}
        many = self._repeated(convert, value.message_type)
        return lambda entries: dict(zip(map(str, entries), many(list(entries.values())), strict=True))

    def _repeated(self, convert: Convert, inner: Descriptor) -> Convert:
        """The function for a list of messages."""
        values = len(inner.fields) + 1
        self.counts = True

        def read(messages: Any) -> list[Any]:
            self.left -= len(messages) * values
            if self.left < 0:
                raise TooManyValuesError("it has far more values than bytes")
            return [convert(message) for message in messages]

        return read

    def _value(self, field: FieldDescriptor) -> Convert | None:
        """How one value is converted."""
        if field.message_type is not None:
            return self.converter(field.message_type)
        if field.enum_type is not None:
            return _enum_converter(field.enum_type)
        if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
            return finite
        if field.type == FieldDescriptor.TYPE_BYTES:
            return in_base64
        return _text if field.type == FieldDescriptor.TYPE_STRING and not _checks_text(field.file) else None


def _checks_text(file: FileDescriptor) -> bool:
    """Whether Protobuf itself refuses text that is no UTF-8, as it does in files of proto3."""
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    return bool(proto.syntax == "proto3")


def _text(value: str | bytes) -> str:
    """Text of a file in which Protobuf does not check it: what is no UTF-8 comes as bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _enum_converter(enum: EnumDescriptor) -> Convert:
    names = {number: value.name for number, value in enum.values_by_number.items()}
    return lambda number: names.get(number) or str(number)


def _decimal(message: Any) -> float | int | None:
    digits, scale = int.from_bytes(message.value, "big", signed=True), int(message.scale)
    if not -MOST_SCALE <= scale <= MOST_SCALE:
        raise ValueError(f"the scale of a decimal is {scale}, allowed is {-MOST_SCALE} to {MOST_SCALE}")
    try:
        return digits / 10**scale if scale > 0 else digits * int(10**-scale)
    except OverflowError:
        return None


def _struct_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _struct(value.struct_value)
    if kind == "list_value":
        return [_struct_value(item) for item in value.list_value.values]
    if kind == "number_value":
        return finite(value.number_value)
    return None if kind in (None, "null_value") else getattr(value, kind)


def _struct(message: Any) -> dict[str, Any]:
    return {key: _struct_value(value) for key, value in message.fields.items()}


def _well_known(name: str) -> Convert | None:
    """How a message that stands for a plain value is read; None for all others."""
    place, _, kind = name.rpartition(".")
    if place == "google.protobuf":
        return _GOOGLE.get(kind)
    return {"confluent.type.Decimal": _decimal, "google.type.Date": _date}.get(name)


def _date(message: Any) -> str:
    return f"{message.year:04}-{message.month:02}-{message.day:02}"  # 0 where a part is not known


def _wrapped(message: Any) -> Any:
    return message.value


_GOOGLE: dict[str, Convert] = {
    "Timestamp": lambda message: message.seconds * 1000 + message.nanos // 1_000_000,  # milliseconds since 1970
    "Duration": lambda message: message.seconds + message.nanos / 1e9,  # seconds
    "DoubleValue": lambda message: finite(message.value),
    "FloatValue": lambda message: finite(message.value),
    "BytesValue": lambda message: in_base64(message.value),
    **dict.fromkeys(("Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue", "StringValue"), _wrapped),
    "Struct": _struct,
    "Value": _struct_value,
    "ListValue": lambda message: [_struct_value(item) for item in message.values],
    "FieldMask": lambda message: ",".join(message.paths),
}
