"""The past of a topic, scored as the job would have scored it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from streamgauge.jobs.kafka.read_range import read_since
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import Backtest, Part, achieved_by_age, days_of, score_parts, summary
from streamgauge.jobs.studies.incident_series import as_numbers
from streamgauge.jobs.studies.judging import openings
from streamgauge.models.contract import Floats
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import Events, RawBatch
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.event import EventSettings

PART = 20_000  # records


@dataclass(frozen=True, slots=True)
class Past:
    """Records of a topic since a time.

    Attributes
    ----------
    topic : str
    records : RawBatch
        In the order of their timestamps.
    partitions : int
        Number of partitions of the topic.
    cut : bool
        Whether earlier records since that time were left out, because there are too many.
    """

    topic: str
    records: RawBatch
    partitions: int = 1
    cut: bool = False

    def parts(self, event: EventSettings) -> Iterator[tuple[RawBatch, Events]]:
        """The records and their events, a part at a time."""
        for start in range(0, len(self.records), PART):
            raw = self.records.take(np.arange(start, min(start + PART, len(self.records))))
            yield raw, Reader(event.asked_once()).read(raw)[0]


@dataclass(frozen=True, slots=True)
class TopicSource:
    """A topic as the source of a backtest's page; see `incident_series.Source`.

    Attributes
    ----------
    past : Past
    event : EventSettings
    """

    past: Past
    event: EventSettings
    timed: ClassVar[bool] = True
    by_offset: ClassVar[bool] = True

    @property
    def names(self) -> list[str]:
        """The name of the topic."""
        return [self.past.topic]

    def values(self, stream: int, fields: Iterable[str]) -> dict[str, Floats]:
        """Values of fields in all records, by name; NaN where one is missing or no number."""
        wanted = sorted(fields)
        columns: dict[str, list[Floats]] = {name: [np.empty(0)] for name in wanted}
        for raw, events in self.past.parts(self.event) if wanted else ():
            for name in wanted:
                column = np.full(len(raw), np.nan)
                column[events.rows] = as_numbers(value.get(name) for value in events.values)
                columns[name].append(column)
        return {name: np.concatenate(parts) for name, parts in columns.items()}


def read_past(
    kafka: KafkaSettings, topic: str, since: int, most: int, say: Callable[[int, int], None] = lambda *_: None
) -> Past:
    """Read the records of a topic since a time; see `read_since`.

    Raises
    ------
    InputError
        There is no such topic, or it has no record since then.
    ClusterError
        The broker does not answer.
    """
    records, partitions, cut = read_since(kafka, topic, since, most, say)
    if not len(records):
        if cut:
            raise InputError(f"more than {most} records of {topic!r} have the same timestamp: --most must be larger")
        raise InputError(
            f"the topic {topic!r} at {kafka.bootstrap} has no record since {rfc3339(since)}: a longer --last reads more"
        )
    return Past(topic, records, partitions, cut)


def preview(past: Past, settings: Settings, on_rows: Callable[[int], None] = lambda _: None) -> Backtest:
    """Score the past of a topic as the job scores it from an empty state.

    Parameters
    ----------
    past : Past
    settings : Settings
        Control messages and feedback do not count.
    on_rows : callable
        Called with the number of records that were just scored.

    Raises
    ------
    InputError
        No record is an event.
    """
    by_partition = settings.batch.sharding == "partition"
    shared = by_partition and settings.decide.threshold is None
    pipeline = settings.pipeline(past.partitions if shared else 1)
    shard = Shard(pipeline, past.topic, settings.job.name, by_partition, saves=False)
    result = score_parts(_parts(past, settings.event), shard, on_rows)
    if not result.in_time.any():
        reasons = ", ".join(f"{n} {what}" for what, n in sorted(result.counts.items()) if "." in what or what == "late")
        raise InputError(
            f"none of the {len(past.records)} records of {past.topic!r} can be scored ({reasons}): event.entity is "
            f"{settings.event.entity!r} and event.time is {settings.event.time!r}; `streamgauge init` finds these in the records"
        )
    return result


def _parts(past: Past, event: EventSettings) -> Iterator[Part]:
    for raw, events in past.parts(event):
        entities, times = [""] * len(raw), raw.stamps.copy()
        times[events.rows] = events.times
        for row, entity in zip(events.rows.tolist(), events.entities, strict=True):
            entities[row] = entity
        yield Part(raw, entities, times)


def figures_of(past: Past, result: Backtest) -> dict[str, Any]:
    """All figures, as they are printed as JSON. Incidents a day are those of the whole stream."""
    days = days_of([result])
    opened = sum(of["opened"] for of in achieved_by_age([result]).values())
    return {
        "topic": past.topic,
        "from": rfc3339(int(past.records.stamps.min())),
        "to": rfc3339(int(past.records.stamps.max())),
        "cut": past.cut,
        **summary([result]),
        "incidents": len(openings(result)),
        "days": round(days, 4),
        "promised_a_day": result.promise.get("promised"),
        "opened_a_day": opened / days if days else None,
        "by_age": achieved_by_age([result]),
    }


def notes(past: Past, result: Backtest, settings: Settings, asked: str) -> list[str]:
    """What a reader has to know of a preview.

    Parameters
    ----------
    past : Past
    result : Backtest
    settings : Settings
    asked : str
        The time that was asked for, such as ``7d``.
    """
    found = []
    if past.cut:
        since = rfc3339(int(past.records.stamps.min()))
        found.append(
            f"Cut: the last {asked} hold more records than --most allows. Only the newest {len(past.records)}, "
            f"since {since}, were scored."
        )
    if settings.batch.sharding == "entity":
        found.append(
            f"batch.sharding is entity: the job spreads the entities over {settings.batch.shards} shards, and here all are in "
            "one. Scores differ a little."
        )
    found += result.remarks
    found.append(
        "The preview knows nothing from before, as the job on its first day. Control messages and feedback do not count."
    )
    return found
