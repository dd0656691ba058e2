"""The values of a field around an incident, read from the topic of events, and scores from the history, as SVG images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from kafka import TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.read_range import raw_batch, read_range
from streamgauge.jobs.pages.thinned import thinned
from streamgauge.jobs.service.scores import Curve, score_at
from streamgauge.jobs.settings.loading import Settings
from streamgauge.udfs.events.numbers import number_of
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.time import epoch_milliseconds, rfc3339

BEFORE, AFTER = 4_000, 2_000  # offsets of the partition that are read on each side of the incident
LONGEST = 20_000  # offsets that are read at most
NO_SERIES = "The events around this incident are not on the topic any more, or the field is no number."
BUCKETS = 400  # each draws its smallest and its largest value
WIDTH, HEIGHT, EDGE = 900.0, 220.0, 24.0
LARGEST = 1e300
SPANS, FEW = 60, 5  # spans of time in which peers are summed up, and values that one needs
# Text has a contrast of at least 4.5 on both grounds of the page; the image may not ask the page for its colours.
STYLE = (
    "<style>text{font:12px sans-serif;fill:#52606d}.peers{fill:#7a8794;opacity:.3}.incident{fill:#d1495b;opacity:.25}"
    ".usual{stroke:#2d936c;stroke-dasharray:4 4}.line{fill:none;stroke:#2f6aa8;stroke-width:1.2}"
    "@media (prefers-color-scheme:dark){text{fill:#a5b1bd}.line{stroke:#7fb0e6}}</style>"
)


@dataclass(frozen=True, slots=True)
class Series:
    """Values of a field of one entity, in order, and those of its peers.

    Attributes
    ----------
    times : list of int
        Event times, milliseconds since 1970.
    values : list of float
    peers : list of (int, float, float)
        The same field of the other entities of its partition: a time, and the percentiles 10 and 90 around it.
    """

    times: list[int]
    values: list[float]
    peers: list[tuple[int, float, float]] = field(default_factory=list)


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
    source, name = incident["first"]["source"], incident["field"]
    opened = source.get("opened_offset")
    if name is None or opened is None or "aggregate" in incident["first"]:
        return None
    topic = source.get("topic", settings.kafka.topics.event_topics.first)
    place = TopicPartition(topic, source.get("opened_partition", source["partition"]))
    ended = max(opened, incident["last"]["source"].get("offset", opened))
    with clients.consumer(settings.kafka, "read events") as consumer:
        begin = max(opened - BEFORE, consumer.beginning_offsets([place])[place])
        end = min(ended + AFTER, begin + LONGEST, consumer.end_offsets([place])[place])
        records = [record for part in read_range(consumer, place, begin, end) for record in part]
    if not records:
        return None
    events, _ = Reader(settings.event.asked_once()).read(raw_batch(records))
    points = [
        (entity, time, float(value))
        for entity, time, values in zip(events.entities, events.times.tolist(), events.values, strict=True)
        if (value := number_of(values.get(name))) is not None and abs(value) < LARGEST
    ]
    own = [(time, value) for entity, time, value in points if entity == incident["entity"]]
    if len(own) < 2:
        return None
    others = [(time, value) for entity, time, value in points if entity != incident["entity"]]
    return Series([time for time, _ in own], [value for _, value in own], _spread(others, own[0][0], own[-1][0]))


def span_of(incident: dict[str, Any]) -> tuple[int, int]:
    """Event times at which an incident began and ended, or was last changed, in milliseconds since 1970."""
    first, last = incident["first"]["window"], incident["last"]["window"]
    return epoch_milliseconds(first["from"]), epoch_milliseconds(last["to"])


def _spread(points: list[tuple[int, float]], first: int, last: int) -> list[tuple[int, float, float]]:
    """Percentiles 10 and 90 of values in spans of equal length from the first to the last time; a span needs `FEW` values."""
    length = max(last - first, 1) / SPANS
    spans: dict[int, list[float]] = {}
    for time, value in points:
        spans.setdefault(math.floor((time - first) / length), []).append(value)
    chosen = [(number, spans[number]) for number in range(SPANS) if len(spans.get(number, ())) >= FEW]
    edges = [(number, *np.percentile(values, (10.0, 90.0)).tolist()) for number, values in chosen]
    return [(round(first + (number + 0.5) * length), low, high) for number, low, high in edges]


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
        usual = f'<line class="usual" x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{at}" y2="{at}"/>'
    texts = [
        (EDGE, HEIGHT - 6, "start", rfc3339(first)),
        (WIDTH - EDGE, HEIGHT - 6, "end", rfc3339(series.times[-1])),
        (EDGE, EDGE - 8, "start", f"{incident['field']}: {low:.6g} to {high:.6g}"),
    ]
    near = [peer for peer in series.peers if peer[2] >= low and peer[1] <= high]
    edges = [(time, most) for time, _, most in near] + [(time, least) for time, least, _ in reversed(near)]
    outline = " ".join(f"{x(time):.1f},{y(min(max(edge, low), high)):.1f}" for time, edge in edges)
    band = f'<polygon class="peers" points="{outline}"/>' if near else ""
    return _image(
        f'<rect class="incident" x="{began:.1f}" y="{EDGE}" width="{ended - began:.1f}" height="{HEIGHT - 2 * EDGE}"/>'
        f'{band}{usual}<polyline class="line" points="{line}"/>{_written(texts)}'
    )


def svg_of_scores(curve: Curve, marked: tuple[int, int] | None = None) -> str:
    """Scores as an image, from 0 to 1, with the threshold.

    Parameters
    ----------
    curve : Curve
        With at least one score.
    marked : (int, int), optional
        Event times between which an incident was, milliseconds since 1970.
    """
    points: list[tuple[int, float]] = [(row["time"], row["score"]) for row in curve.rows if row["score"] is not None]
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)

    def x(time: int) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * min(max((time - first) / (last - first), 0.0), 1.0)

    def y(score: float) -> float:
        return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * score

    parts, texts = "", [(EDGE, HEIGHT - 6, "start", rfc3339(first)), (WIDTH - EDGE, HEIGHT - 6, "end", rfc3339(last))]
    if marked is not None:
        began, wide = x(marked[0]), max(x(marked[1]) - x(marked[0]), 2.0)
        parts += f'<rect class="incident" x="{began:.1f}" y="{EDGE}" width="{wide:.1f}" height="{HEIGHT - 2 * EDGE}"/>'
    if curve.threshold is not None:
        at = y(score_at(curve.threshold))
        parts += f'<line class="usual" x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{at:.1f}" y2="{at:.1f}"/>'
        texts.append((WIDTH - EDGE, at - 4, "end", f"threshold {score_at(curve.threshold):.3g}"))
    texts.append((EDGE, EDGE - 8, "start", f"score: at most {max(score for _, score in points):.3g}"))
    line = " ".join(f"{x(time):.1f},{y(score):.1f}" for time, score in points)
    return _image(f'{parts}<polyline class="line" points="{line}"/>{_written(texts)}')


def svg_of_words(words: str) -> str:
    """An image that says why there is no series."""
    return _image(f'<text x="{EDGE}" y="{HEIGHT / 2}">{escape(words)}</text>')


def _written(texts: list[tuple[float, float, str, str]]) -> str:
    """Texts, each with its place and the side that is there."""
    return "".join(
        f'<text x="{left}" y="{top:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
        for left, top, anchor, text in texts
    )


def _image(parts: str) -> str:
    wide, high = f"{WIDTH:.0f}", f"{HEIGHT:.0f}"
    size = f'width="{wide}" height="{high}" viewBox="0 0 {wide} {high}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{STYLE}{parts}</svg>'
