"""Where the sections of the settings lie: the one place that reads a section out of the type of a field."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from streamgauge.udfs.settings.base import Section


def section_in(annotation: Any) -> type[Section] | None:
    """The section that a field holds: itself, optional, or the values of a dict or a tuple; None of a field that holds none."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_in(part))), None)


def holds_many(annotation: Any) -> bool:
    """Whether a field holds many, under names that the user chooses or in a list."""
    return get_origin(annotation) in (dict, tuple)


def keys_at(model: type[Section], place: tuple[str | int, ...]) -> list[str]:
    """Keys of the section at a place below a model; none where there is no section.

    Parameters
    ----------
    model : type of Section
    place : tuple of str or int
        Keys, names that the user chose, and places in lists, as pydantic gives them with an error.
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
