"""Train a model on files or on a range of the events topic, and publish it in the registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kafka import TopicPartition
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import ALL_FIELDS, USUAL, Columns, numbers_of, read_rows
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.read_range import raw_batch, read_range
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.settings.strict_yaml import read
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.detectors.fitted.fitted_detector import Progress, silent
from streamgauge.models.errors import InputError
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past, make_candidate
from streamgauge.udfs.control.feedback import Stretch
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.events.schema import Alignment
from streamgauge.udfs.settings.event import EventSettings

CANDIDATE = "candidate"  # alias of the version that was trained last
DEFAULT_LAST = 50_000  # newest events of the topic to train on
MOST_QUARANTINED = (
    0.2  # quarantined events are left out, unless they are more than this share: then they are the usual behaviour
)
OFFSETS = re.compile(r"(\d+):(\d+)-(\d+)")


def registry_of(settings: Settings, url: str | None = None, sign_key: Path | None = None) -> Registry:
    """The registry that the settings, or an argument, name. It signs with the key, if there is one.

    Raises
    ------
    InputError
        Neither names one.
    """
    url = url or settings.models.registry
    if url is None:
        raise InputError(
            "name a registry: --registry URL, or models.registry in the settings (a folder, s3://bucket/models, ...)"
        )
    return Registry(url, settings.models.trusted_keys, sign_key)


def train(
    registry: Registry,
    name: str,
    detector: str,
    past: Past,
    settings: dict[str, Any] | None = None,
    say: Progress = silent,
    request: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Train a version, publish it, and point the alias `candidate` at it; see `make_candidate`.

    A training that was interrupted is continued; `tell` is called with a line that says so.
    """
    live = registry.aliases(name).get("live")
    unfinished = registry.unfinished(name, detector, lambda text: tell(f"{detector}: {text}"))
    manifest, variants = make_candidate(name, detector, past, settings, live, say, request, unfinished)
    published = registry.publish(manifest, variants)
    registry.point(name, CANDIDATE, published.version, "train", f"trained on {past.source}")
    unfinished.keep(None)
    return published


def past_of_files(
    files: list[Path],
    columns: Columns = ALL_FIELDS,
    event: EventSettings = USUAL,
    *,
    licence: str = "not stated",
    report: NotRead | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Past:
    """The rows of files in the order of their times, or one file after the other where they have no times; see `Past`.

    Parameters
    ----------
    files : list of Path
    columns : Columns
        As in a backtest. None of these columns is a feature.
    event : EventSettings
        As in a backtest.
    licence : str
        Licence of the data.
    report : NotRead, optional
        What is not read is added.
    on_rows : callable
        Called with the number of rows that were just read.

    Raises
    ------
    InputError
        A file or a column is not there, or no column is numeric.
    """
    frames, entities, labels, times = [], [], [], []
    for path in files:
        for rows in read_rows(path, columns, event, report):
            known = np.array([bool(entity) for entity in rows.entities], np.bool_)
            frames.append(pd.DataFrame(numbers_of(rows, event), np.arange(len(rows)))[known])
            entities += [entity for entity in rows.entities if entity]
            labels += [] if rows.labels is None else [rows.labels[known]]
            times += [] if rows.times is None else [rows.times[known]]
            on_rows(len(rows))
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if whole.empty:
        raise InputError(f"{', '.join(map(str, files))}: there is no numeric column to train on")
    stamps = np.concatenate(times) if times else None
    order = np.arange(len(whole))
    if stamps is not None and len(stamps) == len(whole):
        order = np.argsort(stamps, kind="stable")
    return Past(
        X=whole.to_numpy(np.float64, na_value=np.nan)[order],
        features=[str(name) for name in whole.columns],
        groups=pd.factorize(pd.Series(entities))[0].astype(np.int64)[order],
        labels=np.concatenate(labels)[order] if labels else None,
        source=", ".join(path.name for path in files),
        licence=licence,
        first=None if stamps is None else int(stamps.min()),
        last=None if stamps is None else int(stamps.max()),
    )


def past_of_topic(
    settings: Settings,
    topic: str,
    ranges: dict[int, tuple[int, int]] | None = None,
    last: int | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
    confirmed: Sequence[Stretch] = (),
    quarantined: Sequence[Stretch] = (),
) -> Past:
    """Events of a topic, decoded as the job decodes them.

    The events of a partition keep their order. The partitions are mixed evenly, so that the last part of the history is the last part of
    each partition: it is the validation data, and each partition has entities of its own.

    Parameters
    ----------
    settings : Settings
    topic : str
    ranges : dict, optional
        By partition: first offset, and the offset after the last.
    last : int, optional
        Number of newest events to read instead, evenly from all partitions.
    on_rows : callable
        Called with the number of records that were just read.
    confirmed, quarantined : sequence of Stretch
        Offsets of confirmed anomalies, and of events that the job quarantined. Both are left out; but quarantined events only if they are
        at most a fifth of all.

    Raises
    ------
    InputError
        The range holds no readable event.
    ClusterError
        The broker does not answer.
    """
    kafka = settings.kafka
    found = _Gathered(Reader(settings.event), Alignment(settings.event))
    with clients.consumer(kafka, f"read {topic!r}") as consumer:
        partitions = sorted(consumer.partitions_for_topic(topic) or ())
        if not partitions:
            raise InputError(f"there is no topic {topic!r} at {kafka.bootstrap}")
        places = [TopicPartition(topic, p) for p in partitions]
        begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        if ranges is None:
            ranges = newest({p.partition: (begins[p], ends[p]) for p in places}, last or DEFAULT_LAST)
        for partition, (first, after) in sorted(ranges.items()):
            place = TopicPartition(topic, partition)
            if place not in ends:
                raise InputError(f"{topic} has no partition {partition}; it has {partitions}")
            begin, end = max(first, begins[place]), min(after, ends[place])
            found.read.append(f"{partition}:{begin}-{end}")
            for records in read_range(consumer, place, begin, end):
                found.add(raw_batch(records), place, confirmed, quarantined)
                on_rows(len(records))
            found.ends.append(len(found.entities))
    return found.past(topic)


@dataclass
class _Gathered:
    """Events of a topic, collected for a training.

    Attributes
    ----------
    reader : Reader
    alignment : Alignment
        Assigns each field its column.
    read : list of str
        Ranges of offsets that were read.
    matrices, entities, times, quarantined
        Of the events that are kept, one batch after the other.
    ends : list of int
        Number of events that are kept, at the end of each partition.
    unreadable, anomalous : int
        Events that are left out, because they cannot be read, or because they are confirmed anomalies.
    """

    reader: Reader
    alignment: Alignment
    read: list[str] = field(default_factory=list)
    matrices: list[Floats] = field(default_factory=list)
    entities: list[str] = field(default_factory=list)
    times: list[Ints] = field(default_factory=list)
    quarantined: list[Flags] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    unreadable: int = 0
    anomalous: int = 0

    def add(
        self, raw: RawBatch, place: TopicPartition, confirmed: Sequence[Stretch], suspicious: Sequence[Stretch]
    ) -> None:
        """Read a batch of a partition as the job does, and keep the events that a model may learn from."""
        events, letters = self.reader.read(raw)
        anomalies = _of(confirmed, events.entities, raw.offsets[events.rows], place)
        events = events.drop(anomalies)
        quarantined = np.zeros(len(events), np.bool_)
        quarantined[list(_of(suspicious, events.entities, raw.offsets[events.rows], place))] = True
        self.quarantined.append(quarantined)
        self.anomalous += len(anomalies)
        self.unreadable += len(letters)
        self.matrices += [X for _, _, X in self.alignment.matrices(events, [])]
        self.entities += events.entities
        self.times.append(events.times)

    def past(self, topic: str) -> Past:
        """All events, without the quarantined ones if these are few."""
        features = list(self.alignment.schema.numeric)
        X = np.full((len(self.entities), len(features)), np.nan)
        row = 0
        for part in self.matrices:
            X[row : row + len(part), : part.shape[1]] = part
            row += len(part)
        source = f"{topic} {', '.join(self.read)}"
        if not X.size:
            raise InputError(f"{source} holds no event with a number ({self.unreadable} cannot be read)")
        stamps, quarantined = np.concatenate(self.times), np.concatenate(self.quarantined)
        groups = pd.factorize(pd.Series(self.entities))[0].astype(np.int64)
        order = self._order()
        X, groups, quarantined = X[order], groups[order], quarantined[order]
        notes = [f"{self.unreadable} that cannot be read"] * bool(self.unreadable)
        notes += [f"{self.anomalous} of confirmed anomalies"] * bool(self.anomalous)
        if 0.0 < quarantined.mean() <= MOST_QUARANTINED:
            notes.append(f"{quarantined.sum()} that were quarantined")
            X, groups = X[~quarantined], groups[~quarantined]
        left_out, first, last = "; ".join(notes), int(stamps.min()), int(stamps.max())
        return Past(X, features, groups, source=source, left_out=left_out, first=first, last=last)

    def _order(self) -> Ints:
        """Places of all events, by the share of their partition that comes before them."""
        sizes = np.diff(self.ends, prepend=0)
        before = np.concatenate([np.arange(size) / size for size in sizes.tolist() if size])
        return np.argsort(before, kind="stable")


def _of(stretches: Sequence[Stretch], entities: list[str], offsets: Ints, place: TopicPartition) -> set[int]:
    """Places of the events of a partition that lie in one of the stretches."""
    places: set[int] = set()
    for stretch in stretches:
        if stretch.source.partition == place.partition and stretch.source.topic in (None, place.topic):
            within = (offsets >= stretch.source.first) & (offsets <= stretch.source.last)
            places |= {i for i in np.flatnonzero(within).tolist() if entities[i] == stretch.entity}
    return places


def newest(available: dict[int, tuple[int, int]], last: int) -> dict[int, tuple[int, int]]:
    """The newest `last` offsets, taken from all partitions as evenly as possible.

    Parameters
    ----------
    available : dict
        By partition: first offset, and the offset after the last.
    last : int
    """
    ranges, rest = {}, last
    order = sorted(available, key=lambda p: available[p][1] - available[p][0])
    for n, partition in enumerate(order):
        begin, end = available[partition]
        taken = min(end - begin, -(-rest // (len(order) - n)))
        ranges[partition] = (end - taken, end)
        rest -= taken
    return ranges


def parsed_offsets(texts: list[str]) -> dict[int, tuple[int, int]]:
    """Ranges of offsets from ``PARTITION:FROM-TO``; raises InputError if they are not written so."""
    ranges = {}
    for text in texts:
        match = OFFSETS.fullmatch(text)
        if match is None or int(match[2]) >= int(match[3]):
            raise InputError(f"--offsets {text!r}: write PARTITION:FROM-TO, as in 0:1000-5000 (up to before 5000)")
        ranges[int(match[1])] = (int(match[2]), int(match[3]))
    return ranges


def parsed_settings(texts: list[str]) -> dict[str, Any]:
    """Arguments of a detector from ``NAME=VALUE``; raises InputError if they are not written so."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text!r}: write NAME=VALUE, as in hidden=8")
        found[name] = read(value, f"--set {name}")
    return found
