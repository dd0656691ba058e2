"""Records that were set aside: dead letters with their reason, and late events."""

from __future__ import annotations

import base64
import traceback
from pathlib import PurePath
from typing import Any

from streamgauge.udfs.events.records import WHOLE, DeadLetter, Events, RawBatch
from streamgauge.udfs.output.limits import as_json, encode, key_of

INTERNAL = "internal"  # reason of a record that a stage did not expect
PACKAGE = __name__.partition(".")[0]
MOST_MESSAGE = 200  # characters of an error's message


def _set_aside(raw: RawBatch, row: int, topic: str, **details: Any) -> dict[str, Any]:
    """A record that is set aside: its place on the topic, the details, and its bytes in base64.

    If the record holds several events and only one of them is set aside, the details hold its `place`, and `event`: its fields.
    They are written instead of the bytes. Otherwise a record of many such events would be written as often as it has events.
    """
    payload, event = raw.payloads[row], details.pop("event", None)
    if event is not None:
        payload = as_json(event)
    return {
        "topic": topic,
        "partition": int(raw.partitions[row]),
        "offset": int(raw.offsets[row]),
        **details,
        "payload": None if payload is None else base64.b64encode(payload).decode(),
    }


def _keyed(record: dict[str, Any]) -> tuple[str, bytes]:
    """A record's key, made of its place on the topic, and its JSON."""
    place = f"-{record['place']}" if "place" in record else ""
    return key_of(f"{record['topic']}-{record['partition']}-{record['offset']}{place}"), encode(record)


def _part(place: int, event: dict[str, Any] | None) -> dict[str, Any]:
    """The details that say which event of a record is meant; none if it is the only one."""
    return {} if place == WHOLE else {"place": place, "event": event}


def dead_letter(raw: RawBatch, letter: DeadLetter, topic: str) -> tuple[str, bytes]:
    """Write a dead letter: the record's place on the topic, what is wrong with it, and its bytes in base64.

    Parameters
    ----------
    raw : RawBatch
    letter : DeadLetter
        Row of the record in `raw`, and the reason.
    topic : str
        Topic of the events.

    Returns
    -------
    (str, bytes)
        Key and JSON.
    """
    part = _part(letter.place, letter.event)
    return _keyed(_set_aside(raw, letter.row, topic, reason=letter.reason, message=letter.message, **part))


def internal_letter(raw: RawBatch, row: int, topic: str, error: Exception) -> tuple[str, bytes]:
    """Write the dead letter of a record that a stage did not expect: with the stage, and the type and message of the error.

    Parameters
    ----------
    raw : RawBatch
    row : int
        Row of the record in `raw`.
    topic : str
        Topic of the events.
    error : Exception
        What the stage raised.

    Returns
    -------
    (str, bytes)
        Key and JSON.
    """
    stage, _ = place_of(error)
    message = str(error)[:MOST_MESSAGE]
    return _keyed(
        _set_aside(raw, row, topic, reason=INTERNAL, message=message, stage=stage, error=type(error).__name__)
    )


def place_of(error: Exception) -> tuple[str, str]:
    """Where in this package an error was raised.

    Returns
    -------
    stage : str
        The room, such as ``events``.
    place : str
        File and line, such as ``udfs/events/payload.py:57``: the innermost one that belongs to this package. Both are ``unknown``
        where the error came from elsewhere.
    """
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        # The name of the module decides, not that of the file: a checkout may lie below a folder of any name.
        package, *folders = str(frame.f_globals.get("__name__")).split(".")
        file = PurePath(frame.f_code.co_filename)
        if package == PACKAGE and folders[:1] in (["udfs"], ["models"]) and file.suffix == ".py":
            if file.stem != "__init__":
                folders.pop()
            return folders[:2][-1], f"{'/'.join(folders)}/{file.name}:{line}"
    return "unknown", "unknown"


def late_event(raw: RawBatch, events: Events, i: int, topic: str, late_by: int) -> tuple[str, bytes]:
    """Write an event that came too late to be scored.

    Parameters
    ----------
    raw : RawBatch
    events : Events
    i : int
        Position of the event in `events`. Its entity is the key of the record that is written.
    topic : str
        Topic of the events.
    late_by : int
        Milliseconds.

    Returns
    -------
    (str, bytes)
        Key and JSON.
    """
    entity, place = events.entities[i], int(events.places[i])
    part = _part(place, events.values[i])
    return entity, encode(_set_aside(raw, int(events.rows[i]), topic, entity=entity, late_by_ms=late_by, **part))
