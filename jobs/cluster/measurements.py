"""Streams of which each record holds the name and the value of one measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.udfs.events.entity import shown

FEW = 50  # different names of measurements, at most
METRIC_WORDS = ("metric", "name", "measurement", "sensor", "tag", "signal", "series")
VALUE_WORDS = ("value", "val", "reading", "measure")


def is_named_value(name: str) -> bool:
    """Whether the name of a field says no more than that it holds a value."""
    return _has_word(name, VALUE_WORDS)


def name_of_measurements(columns: Mapping[str, Sequence[Any]]) -> tuple[str | None, list[str]]:
    """The field that holds the names of measurements: it is called so, and holds a few different texts.

    Parameters
    ----------
    columns : mapping of str to sequence
        Values of each field.

    Returns
    -------
    str or None
        Name of the field; None if there is none.
    list of str
        The names of measurements, as JSON.
    """
    for name, values in columns.items():
        found = {value for value in values if isinstance(value, str)}
        if _has_word(name, METRIC_WORDS) and 1 < len(found) <= FEW:
            return name, sorted(map(shown, found))
    return None, []


def _has_word(name: str, words: tuple[str, ...]) -> bool:
    last = name.rpartition(".")[2].lower()
    return any(word in last for word in words)
