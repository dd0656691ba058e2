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
from streamgauge.jobs.files.read_files import chunks, labels_of, need_columns, records, times
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.contract import Floats
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.output.alert import scores_of
from streamgauge.udfs.pipeline.shard import ScoringPipeline

BATCH = 2_000
START = 1_577_836_800_000  # 2020 begins: where rows have no time, they are a second apart from here on


@dataclass
class Backtest:
    """What came out of one stream.

    Attributes
    ----------
    entities : list of str
        Of each row.
    scores : float64[n]
        0 to 1; 0 for rows that were not scored.
    flags : int64[n]
        1 where the row stands at or beyond the threshold.
    labels : float64[n] or None
    member_names : list of str
    members : float64[n, members]
        Each member's surprise; NaN where it has no opinion.
    alerts : list of bytes
        JSON, in order.
    counts : dict
        Events, dead letters by reason, late, alerts.
    places : dict
        Row of each alert's event, by partition and offset.
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
        """Row that an alert's source names."""
        return self.places[source["partition"], source["offset"]]


def backtest(
    files: list[Path],
    settings: Settings,
    *,
    entity_column: str | None = None,
    time_column: str | None = None,
    label_column: str | None = None,
    one_stream: bool = False,
    partitions: int = 1,
    processes: int | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> list[Backtest]:
    """Score files as the job would score them.

    Parameters
    ----------
    files : list of Path
        Each is a stream of its own, and these are spread over the processes.
    settings : Settings
    entity_column : str, optional
        The file's name is the entity where there is none.
    time_column : str, optional
        Rows are a second apart where there is none.
    label_column : str, optional
        Kept from the detectors, given back with the result.
    one_stream : bool
        The files are one stream, one after the other.
    partitions : int
        Kafka partitions to act as: an entity's rows share the cohort of its partition.
    processes : int, optional
        All cores by default.
    on_rows : callable
        Told of rows done.

    Returns
    -------
    list of Backtest
        One for each stream, in order.
    """
    streams = [files] if one_stream else [[file] for file in files]
    options = (entity_column, time_column, label_column, partitions)
    if len(streams) == 1 or processes == 1:
        return [_stream(stream, settings, *options, on_rows) for stream in streams]
    results: dict[int, Backtest] = {}
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        jobs = {pool.submit(_stream, stream, settings, *options): i for i, stream in enumerate(streams)}
        for job in as_completed(jobs):
            results[jobs[job]] = job.result()
            on_rows(len(results[jobs[job]].entities))
    return [results[i] for i in range(len(streams))]


def _stream(
    files: Iterable[Path],
    settings: Settings,
    entity_column: str | None,
    time_column: str | None,
    label_column: str | None,
    partitions: int,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Backtest:
    pipeline = ScoringPipeline(
        settings.pipeline(partitions), settings.kafka.topics.events, settings.job.name, saves=False
    )
    encode = msgspec.json.Encoder().encode

    @functools.cache
    def place(entity: str) -> int:
        """The partition that Kafka's clients would choose for the key."""
        return (murmur2(entity.encode()) & 0x7FFFFFFF) % partitions if partitions > 1 else 0

    names = settings.event
    result = Backtest([], np.empty(0), np.empty(0, np.int64), None)
    scores, flags, labels, members = [], [], [], []
    result.member_names = pipeline.member_names
    offsets = np.zeros(partitions, np.int64)
    done = 0
    for path in files:
        for frame in chunks(path):
            need_columns(frame, path, entity_column=entity_column, time_column=time_column, label_column=label_column)
            stamps = START + (done + np.arange(len(frame))) * 1000
            if time_column:
                stamps = times(frame[time_column], path).to_numpy(np.int64)
            entities = frame[entity_column].astype(str).tolist() if entity_column else [path.stem] * len(frame)
            if label_column:
                labels.append(labels_of(frame[label_column], path))
            used = [c for c in (entity_column, time_column, label_column) if c]
            payloads = []
            for entity, stamp, row in zip(entities, stamps.tolist(), records(frame.drop(columns=used)), strict=True):
                row[names.entity], row[names.time] = entity, stamp
                payloads.append(encode(row))
            partition = np.array([place(entity) for entity in entities], dtype=np.int64)
            offset = np.empty(len(frame), np.int64)
            for p in range(partitions):
                mine = partition == p
                offset[mine] = offsets[p] + np.arange(mine.sum())
                offsets[p] += mine.sum()
            result.entities += entities
            score, flag = np.zeros(len(frame)), np.zeros(len(frame), np.int64)
            said = np.full((len(frame), len(result.member_names)), np.nan)
            for start in range(0, len(frame), BATCH):
                part = slice(start, start + BATCH)
                raw = RawBatch(payloads[part], partition[part], offset[part], stamps[part])
                out = pipeline.process(raw)
                for rows, evidence, each, anomalous in zip(
                    out.rows, out.evidence, out.members, out.anomalous, strict=True
                ):
                    score[start + rows] = scores_of(evidence)
                    said[start + rows] = each
                    flag[start + rows] = anomalous
                result.alerts += [text for _, text in out.alerts]
                if out.alerts:
                    where = zip(raw.partitions.tolist(), raw.offsets.tolist(), strict=True)
                    result.places |= {place: done + start + row for row, place in enumerate(where)}
                for what, n in out.counts.items():
                    result.counts[what] = result.counts.get(what, 0) + n
                on_rows(len(raw))
            scores.append(score)
            members.append(said)
            flags.append(flag)
            done += len(frame)
    result.scores = np.concatenate([np.empty(0), *scores])
    result.flags = np.concatenate([np.empty(0, np.int64), *flags])
    result.members = np.concatenate(members) if members else np.empty((0, len(result.member_names)))
    result.labels = np.concatenate(labels) if labels else None
    return result


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
    """Counts over all streams and, where there are labels, how well they were found."""
    counts: dict[str, int] = {}
    for result in results:
        for what, n in result.counts.items():
            counts[what] = counts.get(what, 0) + n
    told: dict[str, Any] = {
        "streams": len(results),
        "entities": len({entity for result in results for entity in result.entities}),
        "flagged_rows": int(sum(result.flags.sum() for result in results)),
        **counts,
    }
    labelled = [result for result in results if result.labels is not None]
    if labelled:
        from sklearn import metrics  # noqa: PLC0415  a second to import

        labels = np.concatenate([result.labels > 0 for result in labelled if result.labels is not None])
        scores = np.concatenate([result.scores for result in labelled])
        flags = np.concatenate([result.flags for result in labelled])
        hit = int((labels & (flags == 1)).sum())
        told |= {
            "labelled_rows": int(labels.sum()),
            "precision": hit / max(1, int(flags.sum())),
            "recall": hit / max(1, int(labels.sum())),
        }
        if 0 < labels.sum() < len(labels):
            told["roc_auc"] = float(metrics.roc_auc_score(labels, scores))
            told["pr_auc"] = float(metrics.average_precision_score(labels, scores))
    return told
