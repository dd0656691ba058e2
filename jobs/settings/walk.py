"""Find the sections and keys of the settings by the types of the fields. No other module does that."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from streamgauge.udfs.settings.base import Duration, Hidden, Section

Place = tuple[str | int, ...]
_DURATION = get_args(Duration)[1]  # marks a field that holds a duration


def section_in(annotation: Any) -> type[Section] | None:
    """The section in the type of a field: the type itself, an optional one, or the values of a dict or tuple; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_in(part))), None)


def holds_many(annotation: Any) -> bool:
    """Whether a field holds any number of sections: under names that the user chooses, or in a list."""
    return get_origin(annotation) in (dict, tuple)


def marks(field: FieldInfo) -> list[Any]:
    """What is annotated to a field, such as its limits; to an optional type in it, or to the values of a dict, too."""
    return [*_marks(field.annotation), *field.metadata]


def holds_duration(field: FieldInfo) -> bool:
    """Whether a field is a duration."""
    return _DURATION in marks(field)


def holds_secrets(field: FieldInfo) -> bool:
    """Whether the values of a field may be secrets."""
    return Hidden in marks(field) or _has_secret(field.annotation)


def keys_at(model: type[Section], place: Place) -> list[str]:
    """Keys of the section at a place in a model; empty if there is no section at that place.

    Parameters
    ----------
    model : type of Section
    place : tuple of str or int
        Keys, names that the user chose, and indices of lists, as in the errors of pydantic.
    """
    section, _ = _walk(model, place)
    return [] if section is None else list(section.model_fields)


def field_at(model: type[Section], place: Place) -> FieldInfo | None:
    """The field at a place in a model, or the one that holds it; None if the model has none there."""
    return _walk(model, place)[1]


def _walk(model: type[Section], place: Place) -> tuple[type[Section] | None, FieldInfo | None]:
    """The section at a place, and the last field on the way to it."""
    section: type[Section] | None = model
    field: FieldInfo | None = None
    parts = iter(place)
    for part in parts:
        if section is None:
            return None, field
        if part not in section.model_fields:
            return None, None
        field = section.model_fields[str(part)]
        section = section_in(field.annotation)
        if holds_many(field.annotation):
            next(parts, None)  # the name, or the place in the list
    return section, field


def _has_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_has_secret, get_args(annotation)))


def _marks(annotation: Any) -> list[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        found = _marks(arguments[0])
        for mark in arguments[1:]:
            found += mark.metadata if isinstance(mark, FieldInfo) else [mark]
        return found
    if origin is dict:
        return _marks(arguments[1])
    return [mark for part in arguments for mark in _marks(part)] if origin in (Union, UnionType) else []
