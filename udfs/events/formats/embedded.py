"""JSON that stands as text or base64 within JSON."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from streamgauge.udfs.events import encodings
from streamgauge.udfs.events.formats.record import bad_value
from streamgauge.udfs.events.records import UnreadableError

_json = msgspec.json.Decoder()


def from_text(value: Any) -> Any:
    """The object or array in a text; the value itself if it is no such text.

    Senders who send JSON as text mean what is in it, though the standards of their wrappers call it a text.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return _json.decode(value)
    except (ValueError, RecursionError):
        return value


def from_base64(value: Any, place: str) -> Any:
    """The JSON in base64.

    Raises
    ------
    UnreadableError
        bad_value: it is no base64. not_json: it holds no JSON.
    """
    try:
        content = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except ValueError:
        content = None
    if content is None:
        raise bad_value(place, value, "base64 is allowed")
    try:
        return _json.decode(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("not_json", f"{place} holds no JSON: {encodings.hint(content) or error}") from error
