"""The entity of an event: who it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from streamgauge.udfs.settings.event import KEY, EventSettings

MAX_ENTITY = 512  # characters
MOST_SHOWN = 60  # characters of a value in a message
MOST_NAMED = 8  # names of fields in a message
Bad = dict[int, tuple[str, str]]  # reason and message by position


class EntityReader:
    """Finds the entity of each event.

    A field names an entity by a text that is not empty, or by a whole number: 42 and 42.0 are both the entity 42. Parts of several
    fields are joined by ``/``. A ``/`` in a part becomes ``%2F`` and a ``%`` becomes ``%25``, so that other parts give another entity.

    Parameters
    ----------
    settings : EventSettings
    """

    def __init__(self, settings: EventSettings) -> None:
        entity = settings.entity
        self._fields = settings.entity_fields
        self._texts: list[str] | None = None  # between the fields of a text with fields
        if isinstance(entity, str) and "${" in entity:
            self._texts = re.split(r"\$\{[^{}]+\}", entity)
        self._single = self._texts is None and len(self._fields) == 1 and self._fields[0] != KEY

    def read(self, values: list[dict[str, Any]], keys: Sequence[bytes | None] | None) -> tuple[list[str], Bad]:
        """Find the entity of each event.

        Parameters
        ----------
        values : list of dict
            Flat fields of each event.
        keys : sequence of bytes, optional
            The key of each event's record; not used unless the settings name the key.

        Returns
        -------
        entities : list of str
            One for each event. An entry is of use only if its event is not in `bad`.
        bad : dict
            Reason and message of each event without a usable entity, by its position in `values`.
        """
        bad: Bad = {}
        if self._single:
            name = self._fields[0]
            entities: list[Any] = [value.get(name) for value in values]
            if set(map(type, entities)) <= {str} and all(entities) and max(map(len, entities), default=0) <= MAX_ENTITY:
                return entities, bad
        entities = [""] * len(values)
        for i, value in enumerate(values):
            try:
                entities[i] = self._entity(value, keys[i] if keys is not None else None)
            except ValueError as error:
                bad[i] = ("no_entity", str(error))
        return entities, bad

    def _entity(self, value: dict[str, Any], key: bytes | None) -> str:
        parts = [_key_text(key) if name == KEY else _part(name, value) for name in self._fields]
        if self._texts is not None:
            first, *rest = self._texts
            entity = first + "".join(part + text for part, text in zip(parts, rest, strict=True))
        elif len(parts) == 1:
            entity = parts[0]
        else:
            entity = "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)
        if len(entity) > MAX_ENTITY:
            raise ValueError(
                f"the entity has {len(entity)} characters, at most {MAX_ENTITY} are allowed (event.entity)"
            )
        return entity


def _part(name: str, value: dict[str, Any]) -> str:
    item = value.get(name)
    text = text_of(item)
    if not text:
        if item is not None:
            raise ValueError(f"the field {name!r} is {shown(item)}: a text or a whole number names the entity")
        raise ValueError(f"the field {name!r} is missing: event.entity must name one of {named(value)}, or $key")
    return text


def _key_text(key: bytes | None) -> str:
    if not key:
        raise ValueError("the record has no key, and event.entity is $key")
    try:
        text = key.decode()
    except UnicodeDecodeError:
        raise ValueError("the key of the record is no UTF-8 text, and event.entity is $key") from None
    if text.startswith('"'):  # a JSON text
        try:
            plain = msgspec.json.decode(key)
        except ValueError:
            return text
        return plain if isinstance(plain, str) and plain else text
    return text


def text_of(item: Any) -> str | None:
    """An entity as text: a text as it is, a whole number by its digits; None for anything else."""
    if isinstance(item, str):
        return item
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    if isinstance(item, int) and not isinstance(item, bool):
        return digits(item)
    return None


def named(value: dict[str, Any]) -> str:
    """The names of an event's fields, as they are shown in a message."""
    names = [name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}..." for name in list(value)[:MOST_NAMED]]
    more = len(value) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "") if names else "its fields, but it has none"


def digits(number: int) -> str:
    """An integer as text. A very large one is written in hexadecimal, because Python refuses to write more than 4,300 digits."""
    return hex(number) if abs(number).bit_length() > 10_000 else str(number)


def shown(value: Any) -> str:
    """A value as it is shown in a message: its JSON, at most `MOST_SHOWN` characters of it."""
    try:
        return msgspec.json.encode(value)[:MOST_SHOWN].decode(errors="replace")
    except (ValueError, OverflowError, TypeError):
        return f"of type {type(value).__name__}"
