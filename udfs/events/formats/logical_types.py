"""Values of Kafka Connect, converted by their schema: decimals become numbers; dates and moments become ISO 8601 text."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from streamgauge.udfs.events.formats.record import MAX_DEPTH, described
from streamgauge.udfs.events.numbers import is_number
from streamgauge.udfs.events.records import UnreadableError

Convert = Callable[[Any], Any]

MAX_SCALE = 400  # decimal places; more do not fit into a number of 64 bits
MAX_DECIMAL = 100  # bytes of a decimal's digits
EXACT = 2**53  # numbers of 64 bits with decimal places hold whole numbers up to this one exactly
_EPOCH = datetime(1970, 1, 1)
_DAY_0 = _EPOCH.toordinal()
_json = msgspec.json.Decoder()


class _MisfitError(Exception):
    """A value does not fit its schema; `path` leads to it, from the inside to the outside."""

    def __init__(self, value: Any, allowed: str) -> None:
        super().__init__(allowed)
        self.value, self.allowed = value, allowed
        self.path: list[str | int] = []


def converted(schema: dict[str, Any], value: Any, place: str) -> Any:
    """Convert a value by its schema.

    Parameters
    ----------
    schema : dict
        Schema of Kafka Connect's JsonConverter.
    value : any
        The payload.
    place : str
        Where the payload stands, for messages.

    Returns
    -------
    any
        The same object if nothing is to be converted. Decimals are numbers, as exact as JSON numbers are. Dates are like
        2024-10-04. Moments of Connect end with Z. Those of Debezium have no zone, because their columns have none; those with
        a zone are text already. Times of day and durations stay the numbers that they are. Text of type JSON is decoded.

    Raises
    ------
    UnreadableError
        bad_value: a value does not fit its schema. too_deep: the schema is nested too deep.
    """
    # The schema is walked once and not for each value, because an array may hold many values of one large schema.
    convert = _converter(schema, 0)
    if convert is None:
        return value
    try:
        return convert(value)
    except _MisfitError as misfit:
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step[:100]}" for step in reversed(misfit.path))
        text = f"{place}{path} is {described(misfit.value)}, but its schema allows only {misfit.allowed}"
        raise UnreadableError("bad_value", text) from misfit


def _converter(schema: Any, depth: int) -> Convert | None:
    """What converts values of a schema; None if they stay as they are."""
    if not isinstance(schema, dict):
        return None
    if depth > MAX_DEPTH:
        raise UnreadableError("too_deep", f"its schema is nested deeper than {MAX_DEPTH} levels")
    name, kind = schema.get("name"), schema.get("type")
    if name == "org.apache.kafka.connect.data.Decimal":
        return partial(_decimal, _scale(schema))
    if isinstance(name, str) and name in _LOGICAL:
        return _LOGICAL[name]
    if kind == "struct":
        fields = schema.get("fields")
        converters = {
            field["field"]: convert
            for field in (fields if isinstance(fields, list) else [])
            if isinstance(field, dict)
            and isinstance(field.get("field"), str)
            and (convert := _converter(field, depth + 1))
        }
        return partial(_struct, converters) if converters else None
    if kind in ("array", "map"):
        inner = _converter(schema.get("items" if kind == "array" else "values"), depth + 1)
        return partial(_array if kind == "array" else _map, inner) if inner else None
    return None


def _scale(schema: dict[str, Any]) -> int:
    parameters = schema.get("parameters")
    scale = parameters.get("scale", "0") if isinstance(parameters, dict) else "0"
    try:
        places = int(scale)
    except (TypeError, ValueError, OverflowError):
        places = MAX_SCALE + 1
    if abs(places) > MAX_SCALE:
        field = str(schema.get("field"))[:100]
        raise UnreadableError(
            "bad_value",
            f"the schema of {field!r} has the scale {described(scale)}: -{MAX_SCALE} to {MAX_SCALE} is allowed",
        )
    return places


def _struct(converters: dict[str, Convert], value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _MisfitError(value, "an object")
    result = {}
    for key, item in value.items():
        convert = converters.get(key)
        result[key] = item if convert is None else _step(convert, key, item)
    return result


def _array(convert: Convert, value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, list):
        raise _MisfitError(value, "an array")
    return [_step(convert, i, item) for i, item in enumerate(value)]


def _map(convert: Convert, value: Any) -> Any:
    """A map is an object, or an array of pairs if its keys are no text."""
    if isinstance(value, dict):
        return {key: _step(convert, key, item) for key, item in value.items()}
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise _MisfitError(value, "an object or an array of pairs")
    return [[key, _step(convert, i, item)] for i, (key, item) in enumerate(value)]


def _step(convert: Convert, step: str | int, value: Any) -> Any:
    try:
        return convert(value)
    except _MisfitError as misfit:
        misfit.path.append(step)
        raise


def _decimal(scale: int, value: Any) -> int | float | None:
    """A decimal: base64 of its digits as one large integer, or a number, if the sender sets decimal.format to numeric."""
    if value is None or is_number(value):
        return value
    try:
        digits = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        digits = b""
    if not 0 < len(digits) <= MAX_DECIMAL:
        raise _MisfitError(value, f"a decimal: base64 of at most {MAX_DECIMAL} bytes")
    unscaled = int.from_bytes(digits, signed=True)
    shift: int = 10 ** abs(scale)
    if scale <= 0:
        return unscaled * shift
    whole, rest = divmod(unscaled, shift)
    return whole if not rest and abs(whole) > EXACT else unscaled / shift


def _variable_decimal(value: Any) -> int | float | None:
    if value is None:
        return None
    scale = value.get("scale") if isinstance(value, dict) else None
    if not isinstance(scale, int) or isinstance(scale, bool) or abs(scale) > MAX_SCALE:
        raise _MisfitError(value, f"an object with value and a scale from -{MAX_SCALE} to {MAX_SCALE}")
    return _decimal(scale, value.get("value"))


def _days(value: Any) -> Any:
    """Days since 1970 as a date. A number that is no date stays as it is, such as that for infinity."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise _MisfitError(value, "days since 1970, a whole number")
    try:
        return date.fromordinal(_DAY_0 + value).isoformat()
    except (ValueError, OverflowError):
        return value


def moment(digits: int, zone: str, value: Any) -> Any:
    """Parts of seconds since 1970 as a moment; `digits` are their decimal places. A number that is no moment stays as it is."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise _MisfitError(value, "an epoch, a whole number")
    seconds, part = divmod(value, 10**digits)
    try:
        text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return value
    return f"{text}.{part:0{digits}d}{zone}" if part else text + zone


def _decoded(value: Any) -> Any:
    """Text of type JSON, decoded; text that is no JSON stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return _json.decode(value)
    except (ValueError, RecursionError):
        return value


_LOGICAL: dict[str, Convert] = {
    "org.apache.kafka.connect.data.Date": _days,
    "org.apache.kafka.connect.data.Timestamp": partial(moment, 3, "Z"),
    "io.debezium.time.Date": _days,
    "io.debezium.time.Timestamp": partial(moment, 3, ""),
    "io.debezium.time.MicroTimestamp": partial(moment, 6, ""),
    "io.debezium.time.NanoTimestamp": partial(moment, 9, ""),
    "io.debezium.data.VariableScaleDecimal": _variable_decimal,
    "io.debezium.data.Json": _decoded,
}
