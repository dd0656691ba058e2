"""Find the sections of the settings by the types of the fields. No other module does that."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from streamgauge.udfs.settings.base import Section


def section_in(annotation: Any) -> type[Section] | None:
    """The section in the type of a field: the type itself, an optional one, or the values of a dict or tuple; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_in(part))), None)


def holds_many(annotation: Any) -> bool:
    """Whether a field holds any number of sections: under names that the user chooses, or in a list."""
    return get_origin(annotation) in (dict, tuple)


def keys_at(model: type[Section], place: tuple[str | int, ...]) -> list[str]:
    """Keys of the section at a place in a model; empty if there is no section at that place.

    Parameters
    ----------
    model : type of Section
    place : tuple of str or int
        Keys, names that the user chose, and indices of lists, as in the errors of pydantic.
    """
    section: type[Section] | None = model
    parts = iter(place)
    for part in parts:
        if section is None or part not in section.model_fields:
            return []
        annotation = section.model_fields[str(part)].annotation
        section = section_in(annotation)
        if holds_many(annotation):
            next(parts, None)  # the name, or the place in the list
    return [] if section is None else list(section.model_fields)
