"""CloudEvents in structured mode: attributes around data. A batch is an array of them."""

from __future__ import annotations

from typing import Any

from streamgauge.udfs.events.formats import connect
from streamgauge.udfs.events.formats.embedded import from_base64, from_text
from streamgauge.udfs.events.formats.record import Record, holds

_REQUIRED = ("specversion", "type", "source", "id")
_KEPT = ("source", "type", "subject")


def fits(document: dict[str, Any]) -> bool:
    """Whether a document is a CloudEvent, by its shape alone.

    It has the four attributes that each CloudEvent must have, all of them texts. An ordinary event has no specversion.
    """
    return all(isinstance(document.get(name), str) for name in _REQUIRED)


def accepts(document: dict[str, Any]) -> bool:
    """Whether a document can be read if the settings say that it is a CloudEvent."""
    return "specversion" in document


def data_of(document: dict[str, Any], place: str) -> Any:
    """The data.

    Returns
    -------
    any
        An object or array that holds events; None if there are no data. Data that are one plain value are an object with the
        field data. Debezium's converter writes the operation beside the data; it is put back to them.

    Raises
    ------
    UnreadableError
        bad_value: data_base64 is no base64. not_json: it holds no JSON.
    """
    data = from_text(document.get("data"))
    if data is None and document.get("data_base64") is not None:
        data = from_base64(document["data_base64"], f"{place}data_base64")
    if data is None:
        return None
    if isinstance(data, dict) and isinstance(document.get("iodebeziumop"), str):
        return _change(document, data, place)
    return data if isinstance(data, dict | list) else {"data": data}


def with_attributes(events: list[dict[str, Any]], document: dict[str, Any], record: Record) -> list[dict[str, Any]]:
    """Add the attributes to the events in the data as ce.source, ce.type and ce.subject, and the time, if not taken."""
    attributes = {f"ce.{name}": document[name] for name in _KEPT if document.get(name) is not None}
    record.add_keys(len(events) * (len(attributes) + 1))
    finished = []
    for event in events:
        for name, value in attributes.items():
            if not holds(event, name):
                event[name] = value
        finished.append(record.with_time(event, document.get("time")))
    return finished


def _change(document: dict[str, Any], data: dict[str, Any], place: str) -> Any:
    """Data of Debezium's CloudEventsConverter, as a change."""
    if connect.fits(data):
        data = connect.payload_of(data, f"{place}data.")
    if not isinstance(data, dict) or "op" in data:
        return data
    time = document.get("iodebeziumtsms")
    if isinstance(time, str) and time.isascii() and time.isdecimal() and len(time) < 20:
        time = int(time)
    source = {"connector": document.get("iodebeziumconnector") or "debezium", "ts_ms": time}
    return {"before": None, "after": None, "source": source, **data, "op": document["iodebeziumop"]}
