"""OpenTelemetry's OTLP in JSON: metrics. Logs and traces are refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from streamgauge.udfs.events.formats.merger import Merger
from streamgauge.udfs.events.formats.record import MAX_DEPTH, Record, bad_value, integer, number, objects
from streamgauge.udfs.events.records import UnreadableError

_METRICS = ("resourceMetrics", "resource_metrics")
_REFUSED = {
    "resourceLogs": "logs",
    "resource_logs": "logs",
    "resourceSpans": "traces",
    "resource_spans": "traces",
    "resourceProfiles": "profiles",
    "resource_profiles": "profiles",
}
_SCOPES = ("scopeMetrics", "scope_metrics", "instrumentationLibraryMetrics", "instrumentation_library_metrics")
_NUMBERS = ("gauge", "sum")
_HISTOGRAMS = ("histogram", "exponentialHistogram", "exponential_histogram")
NOT_RECORDED = 1  # flag of a data point that only says that there was no value
_INT64 = range(-(2**63), 2**63)
_deterministic = msgspec.json.Encoder(order="deterministic")


def fits(document: dict[str, Any]) -> bool:
    """Whether a document is OTLP's, by its shape alone.

    It has the key resourceMetrics (or resourceLogs, resourceSpans, also in snake_case), an array of objects of which the first
    has a key that begins with scope, instrumentation or resource. An ordinary event has no such key.
    """
    for name in (*_METRICS, *_REFUSED):
        parts = document.get(name)
        if isinstance(parts, list):
            first = parts[0] if parts else {"resource": None}
            return isinstance(first, dict) and any(key.startswith(("scope", "instr", "resource")) for key in first)
    return False


def accepts(document: dict[str, Any]) -> bool:
    """Whether a document can be read if the settings say that it is OTLP's."""
    return any(isinstance(document.get(name), list) for name in (*_METRICS, *_REFUSED))


def read(document: dict[str, Any], record: Record, place: str) -> list[dict[str, Any]]:
    """Read the metrics of an export request.

    Returns
    -------
    list of dict
        Data points with the same resource, attributes and time are one event. Attributes have their own names; those of a data
        point win over those of its resource. A gauge or sum is the field NAME; a histogram NAME.count, NAME.sum, NAME.min and
        NAME.max, without its buckets; a summary NAME.count, NAME.sum and NAME.q0.5 for each quantile. A value that is NaN or
        infinite is null.
    """
    for key, kind in _REFUSED.items():
        if key in document:
            raise UnreadableError(
                "wrong_format", f"this looks like OTLP {kind}, which are not read: send OTLP metrics (resourceMetrics)"
            )
    merger = Merger(record)
    name = _name(document, *_METRICS)
    for i, part in enumerate(objects(document[name], f"{place}{name}")):
        _add_resource(part, merger, record, f"{place}{name}[{i}].")
    return merger.events()


def _add_resource(part: dict[str, Any], merger: Merger, record: Record, place: str) -> None:
    resource = part.get("resource") or {}
    if not isinstance(resource, dict):
        raise bad_value(f"{place}resource", resource, "an object is allowed")
    attributes = _attributes(resource.get("attributes"), f"{place}resource.attributes")
    key = _deterministic.encode(attributes)
    scopes = _name(part, *_SCOPES)
    for i, scope in enumerate(objects(part.get(scopes), f"{place}{scopes}")):
        metrics = f"{place}{scopes}[{i}].metrics"
        for j, metric in enumerate(objects(scope.get("metrics"), metrics)):
            for point, values, where in _points(metric, record, f"{metrics}[{j}]."):
                own = _attributes(point.get("attributes"), f"{where}attributes")
                time = integer(_get(point, "timeUnixNano", "time_unix_nano") or 0, f"{where}timeUnixNano")
                merger.add(attributes, own, (key, _deterministic.encode(own)), time or None, values)


def _points(
    metric: dict[str, Any], record: Record, place: str
) -> Iterator[tuple[dict[str, Any], dict[str, int | float | None], str]]:
    """The data points of a metric that hold values, with the values by their fields and the place of the point."""
    name = metric.get("name")
    if not isinstance(name, str):
        raise bad_value(f"{place}name", name, "a text is allowed")
    kind = _name(metric, *_NUMBERS, *_HISTOGRAMS, "summary")
    data = metric.get(kind) or {}
    if not isinstance(data, dict):
        raise bad_value(f"{place}{kind}", data, "an object is allowed")
    points = _name(data, "dataPoints", "data_points")
    names: dict[str, str] = {}  # those of the fields, which are put together once for all points
    for i, point in enumerate(objects(data.get(points), f"{place}{kind}.{points}")):
        where = f"{place}{kind}.{points}[{i}]."
        if integer(point.get("flags") or 0, f"{where}flags") & NOT_RECORDED:
            continue
        found = _number(point, where) if kind in _NUMBERS else _parts(point, kind, where)
        for part in found:
            if part not in names:
                names[part] = record.joined(name, part) if part else name
        if found:
            yield point, {names[part]: value for part, value in found.items()}, where


def _number(point: dict[str, Any], place: str) -> dict[str, int | float | None]:
    for camel, snake in (("asInt", "as_int"), ("asDouble", "as_double")):
        value = _get(point, camel, snake)
        if value is not None:
            return {"": integer(value, place + camel) if camel == "asInt" else number(value, place + camel)}
    return {}


def _parts(point: dict[str, Any], kind: str, place: str) -> dict[str, int | float | None]:
    """Count, sum and so on of a histogram or summary."""
    if not point:
        return {}
    # Protobuf's JSON leaves out a count that is zero.
    found: dict[str, int | float | None] = {"count": integer(point.get("count") or 0, f"{place}count")}
    for part in ("sum",) if kind == "summary" else ("sum", "min", "max"):
        if point.get(part) is not None:
            found[part] = number(point[part], place + part)
    if kind == "summary":
        quantiles = _name(point, "quantileValues", "quantile_values")
        for i, item in enumerate(objects(point.get(quantiles), place + quantiles)):
            where = f"{place}{quantiles}[{i}]."
            quantile = number(item.get("quantile", 0), f"{where}quantile")
            if quantile is None or not 0 <= quantile <= 1:
                raise bad_value(f"{where}quantile", quantile, "a number from 0 to 1 is allowed")
            found[f"q{quantile:.12g}"] = number(item.get("value", 0), f"{where}value")
    return found


def _attributes(pairs: Any, place: str) -> dict[str, Any]:
    return {
        _key(pair, f"{place}[{i}].key"): _value(pair.get("value"), f"{place}[{i}].value", 0)
        for i, pair in enumerate(objects(pairs, place))
    }


def _key(pair: dict[str, Any], place: str) -> str:
    key = pair.get("key")
    if not isinstance(key, str):
        raise bad_value(place, key, "a text is allowed")
    return key


def _value(value: Any, place: str, depth: int) -> Any:
    """The value of an attribute; nested ones become objects and arrays."""
    if value is None or value == {}:
        return None
    if not isinstance(value, dict) or len(value) != 1:
        raise bad_value(
            place, value, "an object with one of stringValue, intValue, doubleValue, boolValue and so on is allowed"
        )
    if depth > MAX_DEPTH:
        raise UnreadableError("too_deep", f"its attributes are nested deeper than {MAX_DEPTH} levels")
    [(kind, inner)] = value.items()
    kind = kind.replace("_value", "Value")
    if kind == "intValue":
        inner = integer(inner, place)
        if inner not in _INT64:
            raise bad_value(place, inner, "a whole number of 64 bits is allowed")
    elif kind == "doubleValue":
        found = number(inner, place)
        inner = None if found is None else _double(found, place)
    elif kind in ("kvlistValue", "arrayValue"):
        values = objects(inner.get("values") if isinstance(inner, dict) else inner, place)
        if kind == "arrayValue":
            return [_value(item, place, depth + 1) for item in values]
        return {_key(pair, place): _value(pair.get("value"), place, depth + 1) for pair in values}
    elif isinstance(inner, dict | list):
        raise bad_value(place, inner, "a plain value is allowed")
    return inner


def _double(found: int | float, place: str) -> float:
    try:
        return float(found)
    except OverflowError:
        raise bad_value(place, "a number of more than 308 digits", "a number of 64 bits is allowed") from None


def _name(holder: dict[str, Any], *names: str) -> str:
    """The first of the names that is a key; the first of all if none is."""
    return next((name for name in names if name in holder), names[0])


def _get(holder: dict[str, Any], camel: str, snake: str) -> Any:
    return holder.get(camel) if camel in holder else holder.get(snake)
