"""Send the rows of files to the events topic, at any speed."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import ALL_FIELDS, Columns, payloads, read_rows
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError


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


class Event(NamedTuple):
    """A row as it is sent.

    Attributes
    ----------
    elapsed : int or None
        Milliseconds since the first row; None without times.
    stamp : int or None
        Kafka's timestamp: the time of the event in milliseconds, None without times.
    entity : str
        Kafka's key; empty where there is none.
    payload : bytes
    """

    elapsed: int | None
    stamp: int | None
    entity: str
    payload: bytes


def events(
    path: Path, settings: Settings, columns: Columns = ALL_FIELDS, report: NotRead | None = None
) -> Iterator[Event]:
    """Each row of a file as an event. A line of JSONL is sent as it is, unless columns are left out or get another name.

    Parameters
    ----------
    path : Path
    settings : Settings
    columns : Columns
    report : NotRead, optional
        What is not read is added.
    """
    first: int | None = None
    for rows in read_rows(path, columns, settings.event, report):
        stamps: list[int | None] = [None] * len(rows)
        if rows.times is not None and len(rows):
            stamps = rows.times.tolist()
            first = stamps[0] if first is None else first
        texts = payloads(rows, settings.event, rows.times)
        for stamp, entity, payload in zip(stamps, rows.entities, texts, strict=True):
            yield Event(None if stamp is None or first is None else stamp - first, stamp, entity, payload)


def replay(
    files: list[Path],
    settings: Settings,
    columns: Columns = ALL_FIELDS,
    *,
    pace: Pace = Pace(),
    report: NotRead | None = None,
    on_sent: Callable[[Sent, Any], None] = lambda sent, future: None,
) -> int:
    """Send the rows of files to the events topic, each as one event keyed by its entity.

    Several files are sent at the same time, as if all began at the same moment. If rows have times, Kafka's timestamp is the time of the
    event.

    Parameters
    ----------
    files : list of Path
    settings : Settings
        Broker, topic and names of the entity and time fields.
    columns : Columns
        The columns of entity and time, and those that are not sent, such as labels.
    pace : Pace
    report : NotRead, optional
        What is not read is added.
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
    streams = (_numbered(number, events(path, settings, columns, report)) for number, path in enumerate(files))
    merged = heapq.merge(*streams, key=lambda item: item[0])
    topic, count = settings.kafka.topics.event_topics.first, 0
    failed: list[BaseException] = []
    with clients.producer(settings.kafka, f"write to {topic!r}", linger_ms=1, max_block_ms=15_000) as producer:
        started = time.monotonic()
        for (elapsed, number, row), event in merged:
            wait = started - time.monotonic()
            wait += count / pace.rate if pace.rate else elapsed / 1000 / pace.speed_up if pace.speed_up else 0.0
            if wait > 0.001:
                time.sleep(wait)
            key = event.entity.encode() or None
            future = producer.send(topic, event.payload, key, timestamp_ms=event.stamp)
            future.add_errback(failed.append)
            on_sent(Sent(number, row, event.entity, time.time()), future)
            count += 1
        producer.flush(60)
    if failed:
        raise ClusterError(f"{len(failed)} of {count} events were not taken by Kafka, first reason: {failed[0]}")
    return count


def _numbered(number: int, stream: Iterator[Event]) -> Iterator[tuple[tuple[int, int, int], Event]]:
    latest = 0
    for row, event in enumerate(stream):
        latest = max(latest, event.elapsed or 0)  # rows keep their order even if time goes back
        yield (latest, number, row), event
