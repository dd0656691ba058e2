"""Recognises what a document is wrapped in, and takes the events out of it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from streamgauge.udfs.events.formats import cloudevents, connect, debezium, otlp, prometheus, telegraf
from streamgauge.udfs.events.formats.record import Record, Unwrapping, described
from streamgauge.udfs.events.records import UnreadableError

MAX_LEVELS = 4  # such as an array of CloudEvents with Connect's payloads of Debezium's changes

_FORMATS: dict[str, ModuleType] = {
    "debezium": debezium,
    "connect": connect,
    "cloudevents": cloudevents,
    "otlp": otlp,
    "telegraf": telegraf,
    "prometheus": prometheus,
}
# One key that each wrapper must have. Most events have none of them, which is found out at once.
_MARKS = (
    ("payload", "connect"),
    ("op", "debezium"),
    ("__deleted", "debezium"),
    ("__op", "debezium"),
    ("tableChanges", "debezium"),
    ("data_collections", "debezium"),
    ("specversion", "cloudevents"),
    ("resourceMetrics", "otlp"),
    ("resource_metrics", "otlp"),
    ("resourceLogs", "otlp"),
    ("resource_logs", "otlp"),
    ("resourceSpans", "otlp"),
    ("resource_spans", "otlp"),
    ("fields", "telegraf"),
    ("metrics", "telegraf"),
    ("timeseries", "prometheus"),
    ("labels", "prometheus"),
)
_ALL_MARKS = frozenset(mark for mark, _ in _MARKS)
_FITS: dict[str, Callable[[dict[str, Any]], bool]] = {name: module.fits for name, module in _FORMATS.items()}


def may_be_wrapped(keys: set[str]) -> bool:
    """Whether one of these keys is that of a wrapper. It is asked for all keys of many objects at once."""
    return not _ALL_MARKS.isdisjoint(keys)


def recognise(document: dict[str, Any] | list[Any]) -> str | None:
    """Name the wrapper that a document is in, by its shape alone.

    Parameters
    ----------
    document : dict or list
        Of an array, the first item is looked at.

    Returns
    -------
    str, optional
        A format other than json; None for a plain event. Debezium's changes in Connect's schema and payload are debezium. What
        must be there is written at `fits` of each format: always several keys together with their kinds of values, so that an
        ordinary event that has one of them by chance is not taken for a wrapper.
    """
    if isinstance(document, list):
        return recognise(document[0]) if document and isinstance(document[0], dict) else None
    if _ALL_MARKS.isdisjoint(document):
        return None
    for mark, name in _MARKS:
        if mark in document and _FITS[name](document):
            return "debezium" if name == "connect" and _holds_change(document) else name
    return None


def _holds_change(document: dict[str, Any]) -> bool:
    payload = document["payload"]
    return isinstance(payload, dict) and (
        debezium.fits(payload) or debezium.is_own_message(connect.schema_name(document))
    )


def events_of(document: dict[str, Any] | list[Any], how: Unwrapping, size: int) -> list[dict[str, Any]]:
    """Take the events out of a document.

    Parameters
    ----------
    document : dict or list
        It may become part of the events.
    how : Unwrapping
    size : int
        Size of the record in bytes, which limits what the events may hold.

    Returns
    -------
    list of dict
        Events with nested values, in their order. There may be none, such as for a deleted row.

    Raises
    ------
    UnreadableError
        wrong_format: the document is in another wrapper than the settings say, or in one that is not read. not_object: an event
        is no object. bad_value, no_row, name_taken: a part of it cannot be used. too_large, too_deep: it is beyond the limits.
    """
    return _Reading(how, size).events(document, how.format, 0, "")


class _Reading:
    def __init__(self, how: Unwrapping, size: int) -> None:
        self.record = Record(how, size)

    def events(self, document: Any, form: str, level: int, place: str) -> list[dict[str, Any]]:
        """Events of a document in a format; `level` wrappers are around it, and `place` leads to it."""
        if isinstance(document, dict):
            return self._object(document, form, level, place)
        if not isinstance(document, list):
            raise _not_object(document, place)
        events = []
        for i, item in enumerate(document):
            where = f"{place.removesuffix('.')}[{i}]."
            if not isinstance(item, dict):
                raise _not_object(item, where)
            events += self._object(item, form, _deeper(level), where)
        return events

    def _object(self, document: dict[str, Any], form: str, level: int, place: str) -> list[dict[str, Any]]:
        name = None if form == "json" else recognise(document)
        if form not in ("auto", "json"):
            name = _checked(document, form, name)
        if name is None:
            self.record.add_event(len(document))
            return [document]
        if name in ("connect", "debezium") and connect.fits(document):
            return self._payload(document, form, level, place)
        if name == "cloudevents":
            data = cloudevents.data_of(document, place)
            inner = [] if data is None else self.events(data, "auto", _deeper(level), f"{place}data.")
            return cloudevents.with_attributes(inner, document, self.record)
        found: list[dict[str, Any]] = _FORMATS[name].read(document, self.record, place)
        return found

    def _payload(self, document: dict[str, Any], form: str, level: int, place: str) -> list[dict[str, Any]]:
        """Events of Connect's payload."""
        payload = connect.payload_of(document, place)
        if payload is None or debezium.is_own_message(connect.schema_name(document)):
            return []
        return self.events(payload, "debezium" if form == "debezium" else "auto", _deeper(level), f"{place}payload.")


def _checked(document: dict[str, Any], form: str, name: str | None) -> str:
    """The format by which a document is read if the settings name one."""
    module = _FORMATS[form]
    if form == name or module.fits(document) or (name is None and module.accepts(document)):
        return form
    if form == "debezium" and connect.fits(document):
        return form  # its payload is looked at next
    if name is None:
        keys = ", ".join(repr(key[:30]) for key in list(document)[:5]) or "none"
        looks, remedy = f"an ordinary object (its first keys: {keys})", "json or auto"
    else:
        looks, remedy = name, f"{name} or auto"
    raise UnreadableError("wrong_format", f"event.format is {form}, but this looks like {looks}: set it to {remedy}")


def _deeper(level: int) -> int:
    if level >= MAX_LEVELS:
        raise UnreadableError("too_deep", f"its events are in more than {MAX_LEVELS} wrappers within each other")
    return level + 1


def _not_object(value: Any, place: str) -> UnreadableError:
    where = place.removesuffix(".")
    return UnreadableError(
        "not_object",
        f"an event is a JSON object, but {where or 'this'} is {described(value)}: send an object for each event",
    )
