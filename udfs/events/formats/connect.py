"""Kafka Connect's JsonConverter with schemas: an object of schema and payload."""

from __future__ import annotations

from typing import Any

from streamgauge.udfs.events.formats.embedded import from_base64, from_text
from streamgauge.udfs.events.formats.logical_types import converted

_TYPES = frozenset(
    {"struct", "array", "map", "string", "bytes", "boolean", "float", "double", "int8", "int16", "int32", "int64"}
)


def fits(document: dict[str, Any]) -> bool:
    """Whether a document is Connect's, by its shape alone.

    It has the keys schema and payload, and no others. The schema is null or has one of Connect's types. An ordinary event with a
    payload has other keys beside these, or no such schema.
    """
    if len(document) != 2 or "payload" not in document or "schema" not in document:
        return False
    schema = document["schema"]
    if schema is None:
        return True
    kind = schema.get("type") if isinstance(schema, dict) else None
    return isinstance(kind, str) and kind in _TYPES


def accepts(document: dict[str, Any]) -> bool:
    """Whether a document can be read if the settings say that it is Connect's."""
    return fits(document)


def payload_of(document: dict[str, Any], place: str) -> Any:
    """The payload, with its values converted by the schema; see `logical_types`. JSON in a text or in bytes is decoded."""
    schema, payload = document["schema"], document["payload"]
    if schema is None or payload is None:
        return payload
    if schema["type"] == "bytes" and schema.get("name") is None:
        return from_base64(payload, f"{place}payload")
    return from_text(converted(schema, payload, f"{place}payload"))


def schema_name(document: dict[str, Any]) -> str:
    """Name of the schema; empty if it has none."""
    name = document["schema"].get("name") if isinstance(document["schema"], dict) else None
    return name if isinstance(name, str) else ""
