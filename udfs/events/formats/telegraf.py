"""Telegraf's JSON (data_format = "json"): one metric, or a batch of them."""

from __future__ import annotations

from typing import Any

from streamgauge.udfs.events.formats.record import Record, bad_value, objects
from streamgauge.udfs.events.records import UnreadableError

_KEYS = {"name", "tags", "fields", "timestamp"}


def fits(document: dict[str, Any]) -> bool:
    """Whether a document is Telegraf's, by its shape alone.

    A metric has the keys name, tags, fields and timestamp, and no others; tags and fields are objects. A batch has the one key
    metrics, whose first item is such a metric. An ordinary event has other keys beside these.
    """
    if len(document) == 1:
        metrics = document.get("metrics")
        return isinstance(metrics, list) and bool(metrics) and _is_metric(metrics[0])
    return _is_metric(document)


def accepts(document: dict[str, Any]) -> bool:
    """Whether a document can be read if the settings say that it is Telegraf's."""
    return isinstance(document.get("fields"), dict) or isinstance(document.get("metrics"), list)


def _is_metric(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and document.keys() == _KEYS
        and isinstance(document["name"], str)
        and isinstance(document["tags"], dict)
        and isinstance(document["fields"], dict)
    )


def read(document: dict[str, Any], record: Record, place: str) -> list[dict[str, Any]]:
    """Read a metric or a batch.

    Returns
    -------
    list of dict
        One event for each metric: tags by their own names, fields as NAME.FIELD. A metric without fields gives none.
    """
    if "fields" in document:
        metrics = [(document, place)]
    else:
        batch = objects(document["metrics"], f"{place}metrics")
        metrics = [(metric, f"{place}metrics[{i}].") for i, metric in enumerate(batch)]
    return [event for metric, where in metrics if (event := _event(metric, record, where))]


def _event(metric: dict[str, Any], record: Record, place: str) -> dict[str, Any]:
    name, fields = metric.get("name"), metric.get("fields")
    tags = {} if metric.get("tags") is None else metric["tags"]
    if not isinstance(fields, dict):
        raise bad_value(f"{place}fields", fields, "an object is allowed")
    if not isinstance(tags, dict):
        raise bad_value(f"{place}tags", tags, "an object is allowed")
    if not isinstance(name, str):
        raise bad_value(f"{place}name", name, "a text is allowed")
    if not fields:
        return {}
    record.add_event(len(tags) + len(fields) + 1)
    event = dict(tags)
    for key, value in fields.items():
        whole = record.joined(name, key)
        if whole in tags:
            raise UnreadableError(
                "name_taken", f"the field {whole[:100]!r} has a tag of the same name: rename one of them"
            )
        event[whole] = value
    return record.with_time(event, metric.get("timestamp"))
