"""The pipeline on files: the same steps as in the job, without Flink and Kafka."""

from __future__ import annotations

import csv
import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn import metrics
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import ALL_FIELDS, Columns, Rows, event_of, payloads, read_rows
from streamgauge.jobs.kafka.topics import partition_of
from streamgauge.jobs.settings.kafka import EVENTS
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.promise import days_by_age, together
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.incidents.promise import AGES, DAY
from streamgauge.udfs.monitoring.quality import TRACKED
from streamgauge.udfs.output.alert import scores_of
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.event import EventSettings

BATCH = 2_000
READING = (
    "format",
    "limit",
    "no_reading",
    "numeric",
    "unread",
    "untimed",
)  # changes of the schema that tell how events are read
START = 1_577_836_800_000  # begin of 2020: rows without a time are one second apart, from here on


@dataclass
class Backtest:
    """The results of one stream.

    Attributes
    ----------
    entities : list of str
        The entity of each row; empty for a record that has none.
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
    times, partitions, offsets : int64[n]
        Event time of each row in milliseconds, its Kafka partition and its offset.
    in_time : bool[n]
        Whether the row is an event that came in time: it is neither a dead letter nor late.
    judged : bool[n]
        Whether such an event has a score: enough was known to judge it.
    promise : dict
        Promised and achieved incidents a day, and by age of the entities ``events``, ``promised`` and ``opened`` incidents, and the
        ``days`` in which there were entities of this age. Empty without events.
    numbers : int64[n], optional
        The number of each row in its files, from 0. It differs from the place in the other attributes where rows were left out.
    not_read : NotRead
        What was not read of the files.
    remarks : list of str
        What the job would tell once of how it reads the events: a sentence each, such as which events hold no field that is looked at.
    """

    entities: list[str]
    scores: Floats
    flags: Ints
    labels: Floats | None
    member_names: list[str] = field(default_factory=list)
    members: Floats = field(default_factory=lambda: np.empty((0, 0)))
    alerts: list[bytes] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    times: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    partitions: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    offsets: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    in_time: Flags = field(default_factory=lambda: np.empty(0, np.bool_))
    judged: Flags = field(default_factory=lambda: np.empty(0, np.bool_))
    promise: dict[str, Any] = field(default_factory=dict)
    numbers: Ints | None = None
    not_read: NotRead = field(default_factory=NotRead)
    remarks: list[str] = field(default_factory=list)

    def row_of(self, source: dict[str, Any], offset: str = "offset") -> int:
        """The row that the source of an alert names.

        Parameters
        ----------
        source : dict
        offset : {"offset", "opened_offset"}
            Which of the rows: that of the alert, or that which opened the incident. Alerts about windows name only the first.
        """
        first = offset == "opened_offset" and offset in source
        rows = self._rows_of[source["opened_partition" if first else "partition"]]
        return int(rows[np.searchsorted(self.offsets[rows], source[offset if first else "offset"])])

    @functools.cached_property
    def _rows_of(self) -> dict[int, Ints]:
        """Rows of each partition, in the order of their offsets."""
        return {p: np.flatnonzero(self.partitions == p) for p in np.unique(self.partitions).tolist()}


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
        Without times, rows are one second apart. Detectors do not see the labels; they are part of the result.
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
    streams = streams_of(files, one_stream)
    if len(streams) == 1 or processes == 1:
        return [_stream(stream, settings, columns, partitions, on_rows) for stream in streams]
    results: dict[int, Backtest] = {}
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        jobs = {pool.submit(_stream, stream, settings, columns, partitions): i for i, stream in enumerate(streams)}
        for job in as_completed(jobs):
            results[jobs[job]] = job.result()
            on_rows(len(results[jobs[job]].entities))
    return [results[i] for i in range(len(streams))]


def streams_of(files: list[Path], one_stream: bool) -> list[list[Path]]:
    """The files of each stream."""
    return [files] if one_stream else [[file] for file in files]


def _stream(
    files: Iterable[Path],
    settings: Settings,
    columns: Columns,
    partitions: int,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Backtest:
    """Score the files as one stream."""
    files = list(files)
    settings = settings.model_copy(update={"event": event_of(files, columns, settings.event)})
    numbers: list[Ints] = [np.empty(0, np.int64)]
    report = NotRead()

    def rows_of_all() -> Iterator[Rows]:
        first = 0
        for path in files:
            count = -report.left_out
            for rows in read_rows(path, columns, settings.event, report):
                numbers.append(first + (np.arange(len(rows)) if rows.numbers is None else rows.numbers))
                count += len(rows)
                yield rows
            first += count + report.left_out

    result = score_stream(rows_of_all(), settings, partitions, on_rows)
    result.numbers, result.not_read = np.concatenate(numbers), report
    if columns.label is not None and result.labels is None:
        result.labels = np.empty(0)  # the files hold no rows
    return result


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
    named = settings.kafka.topics.event_topics.first or EVENTS
    shard = Shard(settings.pipeline(partitions), named, settings.job.name, saves=False)
    topic = _Topic(settings.event, partitions)
    batches = ((topic.append(rows), rows) for rows in chunks)
    return score_parts((Part(raw, rows.entities, raw.stamps, rows.labels) for raw, rows in batches), shard, on_rows)


class Part(NamedTuple):
    """A part of a stream, as records.

    Attributes
    ----------
    raw : RawBatch
    entities : list of str
        The entity of each record; empty for a record that has none.
    times : int64[n]
        Event times in milliseconds.
    labels : float64[n], optional
    """

    raw: RawBatch
    entities: list[str]
    times: Ints
    labels: Floats | None = None


def score_parts(parts: Iterable[Part], shard: Shard, on_rows: Callable[[int], None] = lambda _: None) -> Backtest:
    """Score records, and collect what comes out.

    Parameters
    ----------
    parts : iterable of Part
        The stream in order.
    shard : Shard
        It knows nothing of the stream yet.
    on_rows : callable
        Called with the number of rows that were just scored.
    """
    names = shard.member_names
    members = np.empty((0, len(names)))
    result = Backtest([], np.empty(0), np.empty(0, np.int64), None, member_names=names, members=members)
    labels: list[Floats] = []
    # of each part: scores, flags, members, times, partitions, offsets, in time, judged
    columns: list[tuple[Any, ...]] = []
    reports: list[tuple[int, dict[str, Any]]] = []
    remarks: dict[str, None] = {}  # in order, each once
    for raw, entities, times, labels_of_part in parts:
        score, flag = np.zeros(len(raw)), np.zeros(len(raw), np.int64)
        in_time, judged = np.zeros((2, len(raw)), np.bool_)
        opinions = np.full((len(raw), len(names)), np.nan)
        for start in range(0, len(raw), BATCH):
            rows = np.arange(start, min(start + BATCH, len(raw)))
            out = shard.process(raw.take(rows))
            scored = zip(out.rows, out.evidence, out.members, out.anomalous, out.judged, strict=True)
            for at, evidence, each, anomalous, known in scored:
                score[start + at] = scores_of(evidence)
                opinions[start + at] = each
                flag[start + at] = anomalous
                in_time[start + at], judged[start + at] = True, known
            result.alerts += [text for _, text in out.alerts]
            reports += _reported(out.notices)
            remarks |= dict.fromkeys(_remarks(out.notices))
            for what, n in out.counts.items():
                result.counts[what] = result.counts.get(what, 0) + n
            on_rows(len(rows))
        result.entities += entities
        columns.append((score, flag, opinions, times, raw.partitions, raw.offsets, in_time, judged))
        if labels_of_part is not None:
            labels.append(labels_of_part)
    if columns:
        all_of = (np.concatenate(of_parts) for of_parts in zip(*columns, strict=True))
        result.scores, result.flags, result.members, result.times = itertools.islice(all_of, 4)
        result.partitions, result.offsets, result.in_time, result.judged = all_of
    result.labels = np.concatenate(labels) if labels else None
    result.remarks = list(remarks)
    result.promise = _promise(result, [*reports, *_last_reports(shard)])
    return result


def _reported(notices: list[tuple[str, bytes]]) -> list[tuple[int, dict[str, Any]]]:
    """What notices about the quality of detection report of the promise: partition and report."""
    found = (json.loads(text) for _, text in notices if TRACKED.encode() in text)
    return [(event["data"]["partition"], event["data"]["promise"]) for event in found if event["type"] == TRACKED]


def _remarks(notices: list[tuple[str, bytes]]) -> Iterator[str]:
    """The sentences of the notices that say how events are read. Those of new, missing and retyped fields are left out."""
    for _, text in notices:
        if b".schema." in text:
            data = json.loads(text)["data"]
            if data.get("change") in READING:
                yield data["message"]


def _last_reports(shard: Shard) -> list[tuple[int, dict[str, Any]]]:
    """What each partition has not reported of the promise yet."""
    all_stages = (partition.stages for partition in shard.partitions.values())
    return [(one.origin.partition, one.promise.report(one.promise_replaced)) for one in all_stages]


def _promise(result: Backtest, reports: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    """The promise, with the days in which there were entities of each age."""
    promise = together(reports)
    if promise is None:
        return {}
    rows = np.flatnonzero(result.in_time)
    days = days_by_age([result.entities[row] for row in rows.tolist()], result.times[rows])
    return promise | {"by_age": {age: of | {"days": days[age]} for age, of in promise["by_age"].items()}}


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
        partition = np.array([self.partition_of(entity) for entity in rows.entities], np.int64)
        offset = np.empty(n, np.int64)
        for p in range(len(self.ends)):
            mine = partition == p
            offset[mine] = self.ends[p] + np.arange(mine.sum())
            self.ends[p] += mine.sum()
        return RawBatch(payloads(rows, self.names, times), partition, offset, times)

    def _partition_of(self, entity: str) -> int:
        """The partition that Kafka's clients choose for the key."""
        return partition_of(entity, len(self.ends))


def write_scores(results: list[Backtest], path: Path) -> None:
    """One row for each row that was read: its number in the files, entity, score, alert. The score is empty where there is none.

    Missing folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "entity", "score", "alert"))
        first = 0
        for result in results:
            numbers = np.arange(len(result.entities)) if result.numbers is None else result.numbers
            columns = (result.scores.tolist(), result.judged.tolist(), result.flags.tolist())
            for number, entity, score, judged, flag in zip(numbers.tolist(), result.entities, *columns, strict=True):
                writer.writerow((first + number, _no_formula(entity), repr(score) if judged else "", flag))
            first += len(result.entities) + result.not_read.left_out


def _no_formula(text: str) -> str:
    """A text that programs for tables do not take as a formula: an apostrophe stands before what begins like one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def achieved_by_age(results: list[Backtest]) -> dict[str, dict[str, float]]:
    """Sums over all streams: for each age of entities the events, the days, and the promised and opened incidents."""
    return {
        age: {
            what: sum(of.promise["by_age"][age][what] for of in results if of.promise)
            for what in ("events", "days", "promised", "opened")
        }
        for age in AGES
    }


def days_of(results: list[Backtest]) -> float:
    """Days that the judged rows of all streams take, one stream after the other."""
    return sum(float(np.ptp(of.times[of.judged])) / DAY for of in results if of.judged.any())


def remarks_of(results: list[Backtest]) -> list[str]:
    """The remarks on all streams, each once."""
    return list(dict.fromkeys(text for result in results for text in result.remarks))


def summary(results: list[Backtest]) -> dict[str, Any]:
    """Counts over all streams and, if there are labels, how well the anomalies were found."""
    counts: dict[str, int] = {}
    for result in results:
        for what, n in result.counts.items():
            counts[what] = counts.get(what, 0) + n
    figures: dict[str, Any] = {
        "streams": len(results),
        "entities": len({entity for result in results for entity in result.entities if entity}),
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
