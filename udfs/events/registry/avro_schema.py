"""Prepares the schema of an Avro writer, so that fastavro reads plain values and no record can make it take much memory.

Logical types get readers of our own, under names of our own, as fastavro's documentation describes.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from fastavro import parse_schema
from fastavro.read import LOGICAL_READERS

DEEPEST = 64  # levels of a schema
MOST_SCALE = 300  # digits of a decimal after its point; float64 has no smaller numbers
# A value may take no bytes, such as null. If an array of them could be written, a few bytes would fill the memory. So there
# must be a byte for each of so many values of what can be repeated, and a schema as a whole has a limit, too.
VALUES_PER_BYTE, MOST_EMPTY = 4, 10_000
_LEAST = {"boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1, "enum": 1, "null": 0}
_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()


class SchemaError(ValueError):
    """A schema cannot be used."""


class NotKnownError(ValueError):
    """A schema has something that the kernel for many data does not know."""


class Prepared(NamedTuple):
    """A schema as fastavro takes it.

    Attributes
    ----------
    schema : dict
    named : dict
        All named types in it, by their full names.
    wrapped : bool
        Whether it is a record whose field `WRAPPED` is the datum. fastavro finds the types of references only within a record.
    """

    schema: dict[str, Any]
    named: dict[str, Any]
    wrapped: bool


def _finite(value: float, *_: Any) -> float | None:
    return value if math.isfinite(value) else None


def _decimal(value: bytes, schema: Mapping[str, Any], *_: Any) -> float | int | None:
    digits, scale = int.from_bytes(value, "big", signed=True), schema["scale"]
    try:
        return digits / 10**scale if scale else digits
    except OverflowError:
        return None


def _base64(value: bytes, *_: Any) -> str:
    return base64.b64encode(value).decode()


# What is read for each logical type; without an entry the plain value is read. Timestamps become milliseconds.
_READ: dict[str, Any] = {
    "float-finite": _finite,
    "double-finite": _finite,
    "bytes-base64": _base64,
    "fixed-base64": _base64,
    "bytes-decimal": _decimal,
    "fixed-decimal": _decimal,
    "fixed-uuid": lambda value, *_: str(uuid.UUID(bytes=value)),
    "int-date": lambda value, *_: date.fromordinal(value + _EPOCH_DAY).isoformat(),
    "long-timestamp-micros": lambda value, *_: value // 1_000,
    "long-timestamp-nanos": lambda value, *_: value // 1_000_000,
    "long-local-timestamp-millis": lambda value, *_: (_EPOCH + timedelta(milliseconds=value)).isoformat(),
    "long-local-timestamp-micros": lambda value, *_: (_EPOCH + timedelta(microseconds=value)).isoformat(),
    "long-local-timestamp-nanos": lambda value, *_: (_EPOCH + timedelta(microseconds=value // 1_000)).isoformat(),
}
WRAPPED = "datum"
_OURS = "streamgauge-"
_DEFAULT = {"float": "finite", "double": "finite", "bytes": "base64", "fixed": "base64"}
for _name, _function in _READ.items():
    _kind, _, _logical = _name.partition("-")
    LOGICAL_READERS[f"{_kind}-{_OURS}{_logical}"] = _function


def prepared(text: str | bytes, references: Mapping[str, str], repeated: bool = False) -> Prepared:
    """Prepare a schema for `fastavro.schemaless_reader`.

    Parameters
    ----------
    text : str or bytes
        The schema as JSON.
    references : mapping
        Schemas that it refers to; one that others need is before them.
    repeated : bool
        Whether many data stand one after another, as in a file.

    Returns
    -------
    Prepared

    Raises
    ------
    SchemaError
        It is no Avro schema, it refers to itself, or a few bytes could stand for many values.
    """
    named: dict[str, Any] = {}
    try:
        for reference in references.values():
            parse_schema(_plain(msgspec.json.decode(reference)), named)
        schema: Any = _plain(msgspec.json.decode(text))
        wrapped = not isinstance(schema, dict)
        if wrapped:
            fields = [{"name": WRAPPED, "type": schema}]
            schema = {"type": "record", "name": f"streamgauge_{WRAPPED}", "fields": fields}
        schema = parse_schema(schema, named)
        emptiness = _Emptiness(named).of(schema)
    except SchemaError:
        raise
    except Exception as error:  # fastavro raises errors of many types for what is no schema
        raise SchemaError(f"it is no Avro schema: {type(error).__name__}: {error}") from error
    if emptiness > (0 if repeated else MOST_EMPTY):
        raise SchemaError("it has too many values that take no bytes (null)")
    return Prepared(schema, named, wrapped)


def _plain(schema: Any, depth: int = 0) -> Any:
    """A copy with our logical types, and without what only readers with a schema of their own need, such as defaults."""
    if depth > DEEPEST:
        raise SchemaError(f"it is nested deeper than {DEEPEST} levels, which is the most allowed")
    if isinstance(schema, list):
        return [_plain(branch, depth + 1) for branch in schema]
    if isinstance(schema, str):
        return {"type": schema, "logicalType": _OURS + _DEFAULT[schema]} if schema in _DEFAULT else schema
    kind = schema["type"]
    if not isinstance(kind, str):
        return _plain(kind, depth + 1)
    copy = {key: schema[key] for key in ("type", "name", "namespace", "symbols", "size") if key in schema}
    if kind in ("record", "error"):
        copy["fields"] = [
            {"name": field["name"], "type": _plain(field["type"], depth + 1)} for field in schema["fields"]
        ]
    elif kind == "array":
        copy["items"] = _plain(schema["items"], depth + 1)
    elif kind == "map":
        copy["values"] = _plain(schema["values"], depth + 1)
    else:
        if kind == "fixed" and not (isinstance(schema["size"], int) and schema["size"] >= 0):
            raise SchemaError(f"the size of a fixed type is {schema['size']!r}, allowed is a number from 0")
        logical = schema.get("logicalType")
        if f"{kind}-{logical}" not in _READ:
            logical = _DEFAULT.get(kind)
        if logical is not None:
            copy["logicalType"] = _OURS + logical
        if logical == "decimal":
            scale = copy["scale"] = schema.get("scale", 0)
            if not (isinstance(scale, int) and 0 <= scale <= MOST_SCALE):
                raise SchemaError(f"the scale of a decimal is {scale!r}, allowed is 0 to {MOST_SCALE}")
    return copy


class _Emptiness:
    """Finds how many more values than `VALUES_PER_BYTE` for each byte a datum can have, at most."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._known: dict[str, int] = {}
        self._within: set[str] = set()

    def of(self, schema: Any) -> int:
        """The figure for a schema; negative if each datum has more bytes than it needs.

        Raises
        ------
        SchemaError
            The schema refers to itself, or what it repeats takes too few bytes.
        """
        if isinstance(schema, list):
            return max(map(self.of, schema), default=0) - VALUES_PER_BYTE
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind in self._named:
            return self._of_name(kind)
        if kind in ("record", "error"):
            return 1 + sum(self.of(field["type"]) for field in schema["fields"])
        if kind == "array":
            return self._repeated(self.of(schema["items"]))
        if kind == "map":
            return self._repeated(self.of(schema["values"]) + 1 - VALUES_PER_BYTE)
        return 1 - VALUES_PER_BYTE * (schema["size"] if kind == "fixed" else _LEAST[kind])

    def _of_name(self, name: str) -> int:
        if name in self._within:
            raise SchemaError(f"its type {name} refers to itself, which is not read")
        if name not in self._known:
            self._within.add(name)
            self._known[name] = self.of(self._named[name])
            self._within.discard(name)
        return self._known[name]

    @staticmethod
    def _repeated(one: int) -> int:
        if one > 0:
            raise SchemaError(
                f"a list or map in it may hold more than {VALUES_PER_BYTE} values for each byte, which is not read"
            )
        return 1 - VALUES_PER_BYTE
