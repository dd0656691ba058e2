"""Send the rows of files to the events topic, at any speed."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from streamgauge.jobs.files.read_files import ALL_FIELDS, Columns, read_rows, records
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Pace:
    """How fast to send.

    Attributes
    ----------
    rate : float, optional
        Events a second.
    speed_up : float, optional
        How many times faster than the events' own times. Without both, events are sent as fast as possible.
    """

    rate: float | None = None
    speed_up: float | None = None


@dataclass(slots=True)
class Sent:
    """An event that was handed to the producer: its file, its row, and the time (seconds since 1970)."""

    file: int
    row: int
    entity: str
    at: float


def events(path: Path, settings: Settings, columns: Columns) -> Iterator[tuple[int | None, str, dict[str, Any]]]:
    """Time (milliseconds since the first row), entity and fields of each row."""
    names = settings.event
    first: int | None = None
    for rows in read_rows(path, columns):
        stamps: list[int | None] = [None] * len(rows)
        if rows.times is not None:
            stamps = rows.times.tolist()
            first = stamps[0] if first is None else first
        for stamp, entity, fields in zip(stamps, rows.entities, records(rows.fields), strict=True):
            fields[names.entity] = entity
            if stamp is not None:
                fields[names.time] = stamp
            yield None if stamp is None or first is None else stamp - first, entity, fields


def replay(
    files: list[Path],
    settings: Settings,
    columns: Columns = ALL_FIELDS,
    *,
    pace: Pace = Pace(),
    on_sent: Callable[[Sent, Any], None] = lambda sent, future: None,
) -> int:
    """Send the rows of files to the events topic, each as one event keyed by its entity.

    Several files are sent at the same time, as if all began at the same moment. If there is a time column, Kafka's timestamp is the time of
    the event.

    Parameters
    ----------
    files : list of Path
    settings : Settings
        Broker, topic and names of the entity and time fields.
    columns : Columns
        The columns of entity and time, and those that are not sent, such as labels.
    pace : Pace
    on_sent : callable
        Called with each event and the producer's future.

    Returns
    -------
    int
        Number of events that were sent and acknowledged.

    Raises
    ------
    InputError
        A file or column cannot be used.
    ClusterError
        The broker does not take the events.
    """
    streams = (_numbered(number, events(path, settings, columns)) for number, path in enumerate(files))
    merged = heapq.merge(*streams, key=lambda item: item[0])
    topic, count = settings.kafka.topics.events, 0
    failed: list[BaseException] = []
    with clients.producer(settings.kafka, f"write to {topic!r}", linger_ms=1, max_block_ms=15_000) as producer:
        started = time.monotonic()
        for (elapsed, number, row), entity, fields in merged:
            wait = started - time.monotonic()
            wait += count / pace.rate if pace.rate else elapsed / 1000 / pace.speed_up if pace.speed_up else 0.0
            if wait > 0.001:
                time.sleep(wait)
            stamp = fields.get(settings.event.time)
            future = producer.send(topic, _encode(fields), entity.encode(), timestamp_ms=stamp)
            future.add_errback(failed.append)
            on_sent(Sent(number, row, entity, time.time()), future)
            count += 1
        producer.flush(60)
    if failed:
        raise ClusterError(f"{len(failed)} of {count} events were not taken by Kafka, first reason: {failed[0]}")
    return count


def _numbered(
    number: int, stream: Iterator[tuple[int | None, str, dict[str, Any]]]
) -> Iterator[tuple[tuple[int, int, int], str, dict[str, Any]]]:
    latest = 0
    for row, (elapsed, entity, fields) in enumerate(stream):
        latest = max(latest, elapsed or 0)  # rows keep their order even if time goes back
        yield (latest, number, row), entity, fields
