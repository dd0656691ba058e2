"""Files to a topic: the events of the past, sent again at any speed."""

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
    """How fast to send: a rate, or a multiple of the events' own time, or neither (as fast as possible)."""

    rate: float | None = None
    speed_up: float | None = None


@dataclass(slots=True)
class Sent:
    """One event on its way: where from, and when it left."""

    file: int
    row: int
    entity: str
    at: float


def events(path: Path, settings: Settings, columns: Columns) -> Iterator[tuple[int | None, str, dict[str, Any]]]:
    """Time (milliseconds since the file's first), entity and fields of each row."""
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

    Several files are sent side by side, each beginning at its own first time. Kafka's timestamp is the event's time, where there is a
    time column.

    Parameters
    ----------
    files : list of Path
    settings : Settings
        Broker, topic and names of the entity and time fields.
    columns : Columns
        Where entity and time are found, and which columns are not sent (labels).
    pace : Pace
    on_sent : callable
        Told of each event, with the producer's future.

    Returns
    -------
    int
        Events sent and acknowledged.

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
        latest = max(latest, elapsed or 0)  # rows keep their order where time goes back
        yield (latest, number, row), entity, fields
