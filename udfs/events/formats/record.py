"""What one record may become: how its events are taken out, and the limits that hold for all of them together."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from streamgauge.udfs.events.entity import shown
from streamgauge.udfs.events.records import UnreadableError

MAX_EVENTS = 100_000
# Labels of one series, or attributes of one resource, are written into each of their events. A key costs about 40 bytes.
KEYS_PER_BYTE, KEYS_AT_LEAST = 0.4, 10_000
# A name that is put together, such as that of a Telegraf field, is a new text each time.
NAMES_PER_BYTE, NAMES_AT_LEAST = 10, 10_000
MAX_DEPTH = 32
_NOT_FINITE = frozenset({"NaN", "Inf", "+Inf", "-Inf", "Infinity", "+Infinity", "-Infinity"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class Unwrapping:
    """How events are taken out of documents.

    Attributes
    ----------
    format : str
        auto, json, debezium, connect, cloudevents, otlp, telegraf or prometheus.
    time_name : str, optional
        Key under which the time of the wrapper is stored; None if it is not wanted.
    deletes : {"skip", "read"}
        What becomes of deleted rows: nothing, or an event with their last values and the field op = d.
    """

    format: str = "auto"
    time_name: str | None = "ts"
    deletes: str = "skip"


class Record:
    """A record whose events are being read; it counts what is written.

    Parameters
    ----------
    how : Unwrapping
    size : int
        Size of the record in bytes.
    """

    def __init__(self, how: Unwrapping, size: int) -> None:
        self.how = how
        self.events_left = MAX_EVENTS
        self.most_keys = self.keys_left = int(KEYS_PER_BYTE * size) + KEYS_AT_LEAST
        self.most_characters = self.characters_left = NAMES_PER_BYTE * size + NAMES_AT_LEAST

    def add_event(self, keys: int) -> None:
        """Count one more event, which has the given number of keys so far."""
        self.events_left -= 1
        if self.events_left < 0:
            raise UnreadableError(
                "too_large", f"the record holds more than {MAX_EVENTS} events, which is the most allowed"
            )
        self.add_keys(keys)

    def add_keys(self, keys: int) -> None:
        """Count keys that are written into events."""
        self.keys_left -= keys
        if self.keys_left < 0:
            raise UnreadableError(
                "too_large",
                f"the events of the record have more than {self.most_keys} fields together, which is the most allowed: "
                "its labels or attributes are repeated in too many events",
            )

    def joined(self, prefix: str, name: str) -> str:
        """The name of a field that is put together from two names."""
        whole = f"{prefix}.{name}"
        self.characters_left -= len(whole)
        if self.characters_left < 0:
            raise UnreadableError(
                "too_large",
                f"the names of its fields have more than {self.most_characters} characters, which is the most allowed",
            )
        return whole

    def with_time(self, event: dict[str, Any], time: Any) -> dict[str, Any]:
        """Store the time of the wrapper in an event that does not have it; returns the same event."""
        name = self.how.time_name
        if time is not None and name is not None and not holds(event, name):
            event[name] = time
        return event


def holds(event: dict[str, Any], name: str) -> bool:
    """Whether an event has a value for a name, at its top or, if the name has dots, within nested objects."""
    if event.get(name) is not None:
        return True
    key, dot, rest = name.partition(".")
    inner = event.get(key)
    return bool(dot) and isinstance(inner, dict) and holds(inner, rest)


def bad_value(place: str, value: Any, allowed: str) -> UnreadableError:
    """An error that names the place of a value, the value and what is allowed there."""
    return UnreadableError("bad_value", f"{place} is {described(value)}: {allowed}")


def described(value: Any) -> str:
    """A value as it is shown in a message; of objects and arrays only that they are such."""
    kinds = {dict: "an object", list: "an array", type(None): "null"}
    return kinds.get(type(value)) or shown(value)


def integer(value: Any, place: str) -> int:
    """A whole number, also if it is written as text, which is how protobuf writes those of 64 bits in JSON."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise bad_value(place, value, "a whole number is allowed")


def number(value: Any, place: str) -> int | float | None:
    """A number, also if it is written as text; None for NaN and infinity, which JSON cannot hold as numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in _NOT_FINITE:
            return None
        if _INTEGER.fullmatch(value):
            return int(value)
        if _DECIMAL.fullmatch(value) and math.isfinite(float(value)):
            return float(value)
    raise bad_value(place, value, "a number is allowed, or NaN, +Inf or -Inf for a missing one")


def objects(value: Any, place: str) -> list[dict[str, Any]]:
    """An array of objects; an empty one if there is none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_value(place, value, "an array of objects is allowed")
    for i, item in enumerate(value):
        if not isinstance(item, dict):
            raise bad_value(f"{place}[{i}]", item, "an object is allowed")
    return value
