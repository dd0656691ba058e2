"""The pipeline on files: the same steps as in the job, without Flink and Kafka."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from kafka.partitioner.default import murmur2
from sklearn import metrics
from streamgauge.jobs.files.read_files import ALL_FIELDS, Columns, Rows, read_rows, records
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.contract import Floats
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.output.alert import scores_of
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.pipeline import EventSettings

_encode = msgspec.json.Encoder().encode
BATCH = 2_000
START = 1_577_836_800_000  # begin of 2020: rows without a time are one second apart, from here on


@dataclass
class Backtest:
    """The results of one stream.

    Attributes
    ----------
    entities : list of str
        The entity of each row.
    scores : float64[n]
        0 to 1; 0 for rows that were not scored.
    flags : int64[n]
        1 where the row stands at or beyond the threshold.
    labels : float64[n] or None
    member_names : list of str
    members : float64[n, members]
        Each member's evidence; NaN where it has no opinion.
    alerts : list of bytes
        JSON, in order.
    counts : dict
        Events, dead letters by reason, late, alerts.
    places : dict
        Row of the event of each alert, by partition and offset.
    """

    entities: list[str]
    scores: Floats
    flags: np.ndarray[Any, np.dtype[np.int64]]
    labels: Floats | None
    member_names: list[str] = field(default_factory=list)
    members: Floats = field(default_factory=lambda: np.empty((0, 0)))
    alerts: list[bytes] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    places: dict[tuple[int, int], int] = field(default_factory=dict)

    def row_of(self, source: dict[str, Any]) -> int:
        """The row that the source of an alert names."""
        return self.places[source["partition"], source["offset"]]


def backtest(
    files: list[Path],
    settings: Settings,
    columns: Columns = ALL_FIELDS,
    *,
    one_stream: bool = False,
    partitions: int = 1,
    processes: int | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> list[Backtest]:
    """Score files as the job would score them.

    Parameters
    ----------
    files : list of Path
        Each file is a separate stream. The streams are spread over the processes.
    settings : Settings
    columns : Columns
        Without a time column, rows are one second apart. Detectors do not see the labels; they are part of the result.
    one_stream : bool
        The files are one stream, one after the other.
    partitions : int
        Number of Kafka partitions to act as. Entities of the same partition form a cohort.
    processes : int, optional
        All cores by default.
    on_rows : callable
        Called with the number of rows that were just scored.

    Returns
    -------
    list of Backtest
        One for each stream, in order.
    """
    streams = [files] if one_stream else [[file] for file in files]
    if len(streams) == 1 or processes == 1:
        return [_stream(stream, settings, columns, partitions, on_rows) for stream in streams]
    results: dict[int, Backtest] = {}
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        jobs = {pool.submit(_stream, stream, settings, columns, partitions): i for i, stream in enumerate(streams)}
        for job in as_completed(jobs):
            results[jobs[job]] = job.result()
            on_rows(len(results[jobs[job]].entities))
    return [results[i] for i in range(len(streams))]


def _stream(
    files: Iterable[Path],
    settings: Settings,
    columns: Columns,
    partitions: int,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Backtest:
    """Score the files as one stream."""
    return score_stream((rows for path in files for rows in read_rows(path, columns)), settings, partitions, on_rows)


def score_stream(
    chunks: Iterable[Rows],
    settings: Settings,
    partitions: int = 1,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Backtest:
    """Score rows as the job would score them, in this process.

    Parameters
    ----------
    chunks : iterable of Rows
        The stream in order, a part at a time. Rows without a time are one second apart.
    settings : Settings
    partitions : int
        Number of Kafka partitions to act as.
    on_rows : callable
        Called with the number of rows that were just scored.
    """
    shard = Shard(settings.pipeline(partitions), settings.kafka.topics.events, settings.job.name, saves=False)
    result = Backtest([], np.empty(0), np.empty(0, np.int64), None, member_names=shard.member_names)
    topic = _Topic(settings.event, partitions)
    scores, flags, labels, members = [], [], [], []
    for rows in chunks:
        raw = topic.append(rows)
        score, flag = np.zeros(len(raw)), np.zeros(len(raw), np.int64)
        opinions = np.full((len(raw), len(result.member_names)), np.nan)
        for start in range(0, len(raw), BATCH):
            part = raw.take(np.arange(start, min(start + BATCH, len(raw))))
            out = shard.process(part)
            scored = zip(out.rows, out.evidence, out.members, out.anomalous, strict=True)
            for at, evidence, each, anomalous in scored:
                score[start + at] = scores_of(evidence)
                opinions[start + at] = each
                flag[start + at] = anomalous
            result.alerts += [text for _, text in out.alerts]
            if out.alerts:
                where = zip(part.partitions.tolist(), part.offsets.tolist(), strict=True)
                begin = len(result.entities) + start
                result.places |= {place: begin + row for row, place in enumerate(where)}
            for what, n in out.counts.items():
                result.counts[what] = result.counts.get(what, 0) + n
            on_rows(len(part))
        result.entities += rows.entities
        scores.append(score)
        members.append(opinions)
        flags.append(flag)
        if rows.labels is not None:
            labels.append(rows.labels)
    result.scores = np.concatenate([np.empty(0), *scores])
    result.flags = np.concatenate([np.empty(0, np.int64), *flags])
    result.members = np.concatenate(members) if members else np.empty((0, len(result.member_names)))
    result.labels = np.concatenate(labels) if labels else None
    return result


class _Topic:
    """Gives rows the partition and the offset that they would have on the events topic.

    Parameters
    ----------
    names : EventSettings
        Names of the entity and time fields.
    partitions : int
    """

    def __init__(self, names: EventSettings, partitions: int) -> None:
        self.names = names
        self.ends = np.zeros(partitions, np.int64)  # the next offset of each partition
        self.partition_of = functools.cache(self._partition_of)

    def append(self, rows: Rows) -> RawBatch:
        """The rows as Kafka records. Rows without a time are one second apart."""
        n = len(rows)
        times = START + (self.ends.sum() + np.arange(n)) * 1000 if rows.times is None else rows.times
        payloads = []
        for entity, time, fields in zip(rows.entities, times.tolist(), records(rows.fields), strict=True):
            fields[self.names.entity], fields[self.names.time] = entity, time
            payloads.append(_encode(fields))
        partition = np.array([self.partition_of(entity) for entity in rows.entities], np.int64)
        offset = np.empty(n, np.int64)
        for p in range(len(self.ends)):
            mine = partition == p
            offset[mine] = self.ends[p] + np.arange(mine.sum())
            self.ends[p] += mine.sum()
        return RawBatch(payloads, partition, offset, times)

    def _partition_of(self, entity: str) -> int:
        """The partition that Kafka's clients choose for the key."""
        return (murmur2(entity.encode()) & 0x7FFFFFFF) % len(self.ends) if len(self.ends) > 1 else 0


def write_scores(results: list[Backtest], path: Path) -> None:
    """One row for each input row: row, entity, score, alert."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "entity", "score", "alert"))
        row = 0
        for result in results:
            for entity, score, flag in zip(result.entities, result.scores.tolist(), result.flags.tolist(), strict=True):
                writer.writerow((row, entity, repr(score), flag))
                row += 1


def summary(results: list[Backtest]) -> dict[str, Any]:
    """Counts over all streams and, if there are labels, how well the anomalies were found."""
    counts: dict[str, int] = {}
    for result in results:
        for what, n in result.counts.items():
            counts[what] = counts.get(what, 0) + n
    figures: dict[str, Any] = {
        "streams": len(results),
        "entities": len({entity for result in results for entity in result.entities}),
        "flagged_rows": int(sum(result.flags.sum() for result in results)),
        **counts,
    }
    labelled = [result for result in results if result.labels is not None]
    if labelled:
        labels = np.concatenate([result.labels > 0 for result in labelled if result.labels is not None])
        scores = np.concatenate([result.scores for result in labelled])
        flags = np.concatenate([result.flags for result in labelled])
        hit = int((labels & (flags == 1)).sum())
        figures |= {
            "labelled_rows": int(labels.sum()),
            "precision": hit / max(1, int(flags.sum())),
            "recall": hit / max(1, int(labels.sum())),
        }
        if 0 < labels.sum() < len(labels):
            figures["roc_auc"] = float(metrics.roc_auc_score(labels, scores))
            figures["pr_auc"] = float(metrics.average_precision_score(labels, scores))
    return figures
