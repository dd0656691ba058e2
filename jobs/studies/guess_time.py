"""Which field of the records of a topic holds the event time."""

from __future__ import annotations

import math

import numpy as np
from streamgauge.jobs.studies.choice import Choice
from streamgauge.jobs.studies.sampled_fields import MOSTLY, Sample, SeenField
from streamgauge.models.contract import Ints
from streamgauge.udfs.events.time import DAY, epoch_milliseconds
from streamgauge.udfs.settings.event import EventSettings

DATE = 10  # characters of a date without a time
EPOCH = 1e8  # a smaller number is no time
WHEN = ("ts", "timestamp", "time", "at", "date", "datetime", "occurred")


def time_of(sample: Sample) -> tuple[SeenField | None, list[Choice]]:
    """The field with the event time, and the keys that follow from it."""
    found = [
        (rank, one, distances)
        for one in sample.fields
        if (distances := ahead_of(one, sample)) is not None and (rank := _rank(one, distances)) is not None
    ]
    if not found:
        if any(one.name == EventSettings().time for one in sample.fields):
            why = "the field that has this name by default does not hold times; without one, Kafka's timestamp counts"
            return None, [Choice("event.time", None, why)]
        return None, [Choice("event.time", None, "no field holds times, so Kafka's timestamp is the time of an event")]
    _, time, ahead = min(found, key=lambda row: row[0])
    near = float((np.abs(ahead) <= DAY).mean())
    choices = [Choice("event.time", time.name, f"it holds times; {near:.0%} are within a day of Kafka's timestamp")]
    settings = EventSettings()
    for key, most, reach, side in (
        ("max_past", settings.max_past, -int(ahead.min()), "before"),
        ("max_future", settings.max_future, int(ahead.max()), "after"),
    ):
        if reach > most:
            days = math.ceil(2 * reach / DAY)
            why = f"event times are up to {reach / DAY:.0f} days {side} Kafka's timestamp, and this is twice as far"
            choices.append(Choice(f"event.{key}", f"{days} d", why))
    return time, choices


def ahead_of(one: SeenField, sample: Sample) -> Ints | None:
    """How far the times in a field are ahead of Kafka's timestamps, in milliseconds; None if a value is no time."""
    if one.share < MOSTLY or one.kind not in ("text", "whole number", "number"):
        return None
    ahead = []
    for value, stamp in zip(one.values, sample.stamps.tolist(), strict=True):
        if value is None:
            continue
        if (len(value) <= DATE or value.isdecimal()) if isinstance(value, str) else abs(value) < EPOCH:
            return None
        try:
            ahead.append(epoch_milliseconds(value) - stamp)
        except (ValueError, OverflowError):
            return None
    return np.array(ahead, np.int64)


def _rank(one: SeenField, ahead: Ints) -> tuple[int, int, float] | None:
    """A smaller rank is more likely the event time; None if it is not."""
    named = min((WHEN.index(word) for word in one.words if word in WHEN), default=len(WHEN))
    near = bool((np.abs(ahead) <= DAY).mean() >= MOSTLY)
    if near or one.kind == "text" or named < len(WHEN):
        return (0 if near else 1, named, float(np.median(np.abs(ahead))))
    return None
