"""MongoDB's extended JSON: plain values out of objects such as {"$numberLong": "5"}."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from streamgauge.udfs.events.formats.logical_types import moment
from streamgauge.udfs.events.formats.record import MAX_DEPTH, integer, number
from streamgauge.udfs.events.records import UnreadableError


def plain_document(document: dict[str, Any]) -> dict[str, Any]:
    """Turn a document into plain values.

    Returns
    -------
    dict
        A new object. Whole numbers are exact; decimals of 128 bits are text, because they have more digits than a number holds;
        dates are ISO 8601 text in UTC; ids are text.

    Raises
    ------
    UnreadableError
        bad_value: a number is none. too_deep: there are more than `MAX_DEPTH` levels.
    """
    return {key: _plain(value, 1) for key, value in document.items()}


def _plain(value: Any, depth: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if depth > MAX_DEPTH:
        raise UnreadableError("too_deep", f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if len(value) == 1:
        [(kind, inner)] = value.items()
        if kind in _KINDS:
            return _KINDS[kind](inner)
    return {key: _plain(item, depth + 1) for key, item in value.items()}


def _date(inner: Any) -> Any:
    if isinstance(inner, dict) and inner.keys() == {"$numberLong"}:
        inner = integer(inner["$numberLong"], "$date")
    return moment(3, "Z", inner) if isinstance(inner, int) and not isinstance(inner, bool) else inner


_KINDS: dict[str, Callable[[Any], Any]] = {
    "$numberInt": partial(integer, place="$numberInt"),
    "$numberLong": partial(integer, place="$numberLong"),
    "$numberDouble": partial(number, place="$numberDouble"),
    "$numberDecimal": lambda text: text,
    "$oid": lambda text: text,
    "$date": _date,
}
