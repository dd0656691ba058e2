"""The values of a field around an incident, read from the topic of events, as an SVG image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from kafka import TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.read_range import raw_batch, read_range
from streamgauge.jobs.pages.thinned import thinned
from streamgauge.jobs.settings.loading import Settings
from streamgauge.udfs.events.decode import decode
from streamgauge.udfs.events.time import epoch_milliseconds, rfc3339

BEFORE, AFTER = 4_000, 2_000  # offsets of the partition that are read on each side of the incident
LONGEST = 20_000  # offsets that are read at most
BUCKETS = 400  # each draws its smallest and its largest value
WIDTH, HEIGHT, EDGE = 900.0, 220.0, 24.0
LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Series:
    """Values of a field of one entity, in order.

    Attributes
    ----------
    times : list of int
        Event times, milliseconds since 1970.
    values : list of float
    """

    times: list[int]
    values: list[float]


def around(settings: Settings, incident: dict[str, Any]) -> Series | None:
    """The field with the largest share, around an incident.

    Parameters
    ----------
    settings : Settings
    incident : dict
        As `Queries.incident` gives it.

    Returns
    -------
    Series or None
        None if the incident has no numeric field of an event, or its events are no longer on the topic.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    source, field = incident["first"]["source"], incident["field"]
    opened = source.get("opened_offset")
    if field is None or opened is None or "aggregate" in incident["first"]:
        return None
    place = TopicPartition(settings.kafka.topics.events, source.get("opened_partition", source["partition"]))
    ended = max(opened, incident["last"]["source"].get("offset", opened))
    with clients.consumer(settings.kafka, "read events", isolation_level="read_committed") as consumer:
        begin = max(opened - BEFORE, consumer.beginning_offsets([place])[place])
        end = min(ended + AFTER, begin + LONGEST, consumer.end_offsets([place])[place])
        records = [record for part in read_range(consumer, place, begin, end) for record in part]
    if not records:
        return None
    events, _ = decode(raw_batch(records), settings.event)
    points = [
        (time, float(values[field]))
        for entity, time, values in zip(events.entities, events.times.tolist(), events.values, strict=True)
        if entity == incident["entity"] and _is_number(values.get(field))
    ]
    return Series([time for time, _ in points], [value for _, value in points]) if len(points) > 1 else None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST and not math.isnan(value)


def svg(series: Series, incident: dict[str, Any]) -> str:
    """The series as an image, with the stretch of the incident marked.

    Parameters
    ----------
    series : Series
    incident : dict
        As `Queries.incident` gives it.
    """
    first, last = series.times[0], max(series.times[-1], series.times[0] + 1)
    low, high = min(series.values), max(series.values)
    room = high - low or 1.0

    def x(time: int) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * min(max((time - first) / (last - first), 0.0), 1.0)

    def y(value: float) -> float:
        return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - low) / room

    drawn = thinned(np.array(series.values), BUCKETS).tolist()
    line = " ".join(f"{x(series.times[k]):.1f},{y(series.values[k]):.1f}" for k in drawn)
    began = x(epoch_milliseconds(incident["first"]["window"]["from"]))
    ended = max(x(epoch_milliseconds(incident["last"]["window"]["to"])), began + 2.0)
    expected = incident["first"].get("expected", {}).get(incident["field"])
    usual = ""
    if isinstance(expected, int | float) and low <= expected <= high:
        at = f"{y(expected):.1f}"
        usual = f'<line x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{at}" y2="{at}" stroke="#2d936c" stroke-dasharray="4 4"/>'
    texts = [
        (EDGE, HEIGHT - 6, "start", rfc3339(first)),
        (WIDTH - EDGE, HEIGHT - 6, "end", rfc3339(series.times[-1])),
        (EDGE, EDGE - 8, "start", f"{incident['field']}: {low:.6g} to {high:.6g}"),
    ]
    written = "".join(
        f'<text x="{left}" y="{top}" text-anchor="{anchor}" font-size="12" font-family="sans-serif" fill="#7a8794">{escape(text)}</text>'
        for left, top, anchor, text in texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img">'
        f'<rect x="{began:.1f}" y="{EDGE}" width="{ended - began:.1f}" height="{HEIGHT - 2 * EDGE}" fill="#d1495b" opacity="0.25"/>'
        f'{usual}<polyline points="{line}" fill="none" stroke="#4a7fb5" stroke-width="1.2"/>{written}</svg>'
    )
