"""The fields of some records of a topic: their types, how many records have them, and how often each value comes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.models.contract import Ints
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.entity import MAX_ENTITY, shown
from streamgauge.udfs.events.entity import text_of as entity_text
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.settings.event import EventSettings

MOSTLY = 0.95  # share of the records of which something must hold
CATEGORIES, OF_EACH = 50, 10  # a category has at most so many values, and on average at least so many records of each


@dataclass(frozen=True)
class SeenField:
    """A field in the records.

    Attributes
    ----------
    name : str
        Nested fields are joined by dots.
    values : list
        A value for each event; None where the field is missing.
    """

    name: str
    values: list[Any] = field(repr=False)

    @cached_property
    def there(self) -> list[Any]:
        """Values that are not missing."""
        return [value for value in self.values if value is not None]

    @cached_property
    def kind(self) -> str:
        """Type of the values: text, whole number, number, true or false, list, mixed; empty if there is none."""
        types = set(map(type, self.there))
        if types == {int, float}:
            types = {float}
        names = {str: "text", int: "whole number", float: "number", bool: "true or false", list: "list"}
        return "" if not types else "mixed" if len(types) > 1 else names[types.pop()]

    @property
    def share(self) -> float:
        """Share of the events that have the field."""
        return len(self.there) / len(self.values)

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value came, as text."""
        return Counter(map(text_of, self.there))

    @property
    def distinct(self) -> int:
        """Number of different values."""
        return len(self.counts)

    @property
    def example(self) -> str:
        """A value, as JSON."""
        return shown(self.there[-1]) if self.there else ""

    @cached_property
    def words(self) -> set[str]:
        """The words of the last part of the name, in small letters."""
        last = self.name.rpartition(".")[2]
        return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", last)}

    @property
    def names_someone(self) -> bool:
        """Whether each event has a value that may name an entity."""
        fits = self.kind in ("text", "whole number") and self.share >= MOSTLY
        return fits and all(0 < len(value) <= MAX_ENTITY for value in self.counts)

    @property
    def is_category(self) -> bool:
        """Whether it is text of which few values repeat."""
        return self.kind == "text" and 1 < self.distinct <= CATEGORIES and len(self.there) >= OF_EACH * self.distinct


@dataclass(frozen=True, slots=True)
class Sample:
    """The events of the records.

    Attributes
    ----------
    fields : list of SeenField
    keys : list of str or None
        Kafka's keys.
    partitions : list of int
    stamps : int64[n]
        Kafka's timestamps in milliseconds.
    """

    fields: list[SeenField]
    keys: list[str | None]
    partitions: list[int]
    stamps: Ints


def sample_of(records: Sequence[Any], topic: str, event: EventSettings) -> Sample:
    """The events of records.

    Parameters
    ----------
    records : sequence of kafka.consumer.fetcher.ConsumerRecord
    topic : str
        Named in errors.
    event : EventSettings
        How to read the records: its `format` and `registry` are used.

    Raises
    ------
    InputError
        There is no record, or none holds an event.
    """
    if not records:
        raise InputError(f"the topic {topic!r} is empty: nothing can be guessed before it has records")
    read = Reader(event.asked_once()).find(raw_batch(records))
    found = [(records[row], value) for row, value in zip(read.rows, read.values, strict=True)]
    if not found:
        why = f"; the last one: {read.dead[-1].message}" if read.dead else ""
        raise InputError(f"none of the {len(records)} newest records of {topic!r} holds an event{why}")
    names = dict.fromkeys(name for _, value in found for name in value)
    return Sample(
        [SeenField(name, [value.get(name) for _, value in found]) for name in names],
        [None if record.key is None else record.key.decode(errors="replace") for record, _ in found],
        [record.partition for record, _ in found],
        np.array([record.timestamp for record, _ in found], np.int64),
    )


def text_of(value: Any) -> str:
    """A value as text: text and whole numbers as in the name of an entity."""
    text = entity_text(value)
    return shown(value) if text is None else text
