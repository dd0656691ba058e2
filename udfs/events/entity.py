"""The entity of an event: who it is about."""

from __future__ import annotations

from typing import Any

import msgspec

MAX_ENTITY = 256  # characters
MOST_SHOWN = 60  # characters of a value in a message


def entities_of(values: list[dict[str, Any]], name: str) -> tuple[list[str], dict[int, tuple[str, str]]]:
    """Find the entity of each event.

    Parameters
    ----------
    values : list of dict
        Flat fields of each event.
    name : str
        Field that names the entity: a non-empty string of at most `MAX_ENTITY` characters, or an integer.

    Returns
    -------
    entities : list of str
        One for each event. An entry is of use only if its event is not in `bad`.
    bad : dict
        Reason and message of each event without a usable entity, by its position in `values`.
    """
    entities: list[Any] = [value.get(name) for value in values]
    bad: dict[int, tuple[str, str]] = {}
    if set(map(type, entities)) <= {str} and all(entities) and max(map(len, entities), default=0) <= MAX_ENTITY:
        return entities, bad
    for i, entity in enumerate(entities):
        text = _text(entity)
        if not text:
            what = "is missing" if entity is None else f"is {shown(entity)}"
            bad[i] = ("no_entity", f"the field {name!r} {what}: a non-empty string names the entity")
        elif len(text) > MAX_ENTITY:
            bad[i] = ("no_entity", f"the field {name!r} has {len(text)} characters, at most {MAX_ENTITY} are allowed")
        else:
            entities[i] = text
    return entities, bad


def _text(entity: Any) -> str | None:
    if isinstance(entity, str):
        return entity
    if isinstance(entity, int) and not isinstance(entity, bool):
        return digits(entity)
    return None


def digits(number: int) -> str:
    """An integer as text. A very large one is written in hexadecimal, because Python refuses to write more than 4,300 digits."""
    return hex(number) if abs(number).bit_length() > 10_000 else str(number)


def shown(value: Any) -> str:
    """A value as it is shown in a message: its JSON, at most `MOST_SHOWN` characters of it."""
    try:
        return msgspec.json.encode(value)[:MOST_SHOWN].decode(errors="replace")
    except (ValueError, OverflowError, TypeError):
        return f"of type {type(value).__name__}"
