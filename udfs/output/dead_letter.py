"""Records that were set aside: dead letters with their reason, and late events."""

from __future__ import annotations

import base64
import traceback
from pathlib import PurePath
from typing import Any

from streamgauge.udfs.events.records import DeadLetter, RawBatch
from streamgauge.udfs.output.limits import encode, key_of

INTERNAL = "internal"  # reason of a record that a stage did not expect
MOST_MESSAGE = 200  # characters of an error's message


def _set_aside(raw: RawBatch, row: int, topic: str, **said: Any) -> dict[str, Any]:
    payload = raw.payloads[row]
    return {
        "topic": topic,
        "partition": int(raw.partitions[row]),
        "offset": int(raw.offsets[row]),
        **said,
        "payload": None if payload is None else base64.b64encode(payload).decode(),
    }


def _keyed(record: dict[str, Any]) -> tuple[str, bytes]:
    return key_of(f"{record['topic']}-{record['partition']}-{record['offset']}"), encode(record)


def dead_letter(raw: RawBatch, letter: DeadLetter, topic: str) -> tuple[str, bytes]:
    """Key and JSON of a dead letter: where it came from, what is wrong, and its bytes in base64."""
    return _keyed(_set_aside(raw, letter.row, topic, reason=letter.reason, message=letter.message))


def internal_letter(raw: RawBatch, row: int, topic: str, error: Exception) -> tuple[str, bytes]:
    """Key and JSON of the dead letter of a record that a stage did not expect: the stage, and the error's type and message."""
    stage, _ = place_of(error)
    message = str(error)[:MOST_MESSAGE]
    return _keyed(
        _set_aside(raw, row, topic, reason=INTERNAL, message=message, stage=stage, error=type(error).__name__)
    )


def place_of(error: Exception) -> tuple[str, str]:
    """The stage (room) and the place (file and line) in which an error was raised, as far as it was in this package."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        parts = PurePath(frame.filename).parts
        for top in ("udfs", "models"):
            if top in parts and "site-packages" not in parts[parts.index(top) :]:
                room = parts[parts.index(top) + 1 : -1]
                name = "/".join(parts[parts.index(top) :])
                return (room[0] if room else top), f"{name}:{frame.lineno}"
    return "unknown", "unknown"


def late_event(raw: RawBatch, row: int, topic: str, entity: str, late_by: int) -> tuple[str, bytes]:
    """Key and JSON of an event that came too late to be scored, by so many milliseconds."""
    return entity, encode(_set_aside(raw, row, topic, entity=entity, late_by_ms=late_by))
