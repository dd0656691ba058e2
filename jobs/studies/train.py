"""Train a model on files or on what lies between offsets of the events topic, and publish it in the registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from streamgauge.jobs.files.read_files import chunks, labels_of, need_columns
from streamgauge.jobs.files.read_files import times as times_of
from streamgauge.jobs.kafka.topics import client_options
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.contract import Flags, Ints
from streamgauge.models.detectors.fitted.fitted_detector import Progress, silent
from streamgauge.models.errors import ClusterError, InputError
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past, make_candidate
from streamgauge.udfs.control.feedback import Stretch
from streamgauge.udfs.events.decode import decode
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.events.schema import Alignment

CANDIDATE = "candidate"  # the alias of what was trained last
DEFAULT_LAST = 50_000  # newest events of the topic that are trained on
MOST_HELD_BACK = (
    0.2  # share of the events that are left out because the job did not learn from them: more is no exception
)
OFFSETS = re.compile(r"(\d+):(\d+)-(\d+)")


def registry_of(settings: Settings, url: str | None = None) -> Registry:
    """The registry that the settings, or an argument, name.

    Raises
    ------
    InputError
        None is named.
    """
    url = url or settings.models.registry
    if url is None:
        raise InputError(
            "name a registry: --registry URL, or models.registry in the settings (a folder, s3://bucket/models, ...)"
        )
    return Registry(url, settings.models.trusted_keys)


def train(
    registry: Registry,
    name: str,
    detector: str,
    past: Past,
    settings: dict[str, Any] | None = None,
    sign_key: Path | None = None,
    say: Progress = silent,
    request: str | None = None,
) -> Manifest:
    """Train, publish, and let the alias `candidate` stand for the new version; see `make_candidate`."""
    live = registry.aliases(name).get("live")
    manifest, variants = make_candidate(name, detector, past, settings, live, say, request)
    published = registry.publish(manifest, variants, sign_key)
    registry.point(name, CANDIDATE, published.version, "train", f"trained on {past.source}")
    return published


def past_of_files(
    files: list[Path],
    *,
    entity_column: str | None = None,
    time_column: str | None = None,
    label_column: str | None = None,
    drop: tuple[str, ...] = (),
    licence: str = "not stated",
    on_rows: Callable[[int], None] = lambda _: None,
) -> Past:
    """The rows of files, one file after the other; see `Past`.

    Parameters
    ----------
    files : list of Path
    entity_column, time_column, label_column : str, optional
        As in a backtest; none of them is a feature.
    drop : tuple of str
        Columns that are no features either.
    licence : str
        Of the data.
    on_rows : callable
        Told of rows read.

    Raises
    ------
    InputError
        A file or a column is not there, or there is no number in it.
    """
    frames, entities, labels, moments = [], [], [], []
    for path in files:
        for frame in chunks(path):
            need_columns(frame, path, entity_column=entity_column, time_column=time_column, label_column=label_column)
            for column in drop:
                need_columns(frame, path, drop=column)
            entities += frame[entity_column].astype(str).tolist() if entity_column else [path.stem] * len(frame)
            if label_column:
                labels.append(labels_of(frame[label_column], path))
            if time_column:
                moments.append(times_of(frame[time_column], path).to_numpy(np.int64))
            used = [column for column in (entity_column, time_column, label_column, *drop) if column in frame]
            frames.append(frame.drop(columns=used).select_dtypes(["number", "bool"]))
            on_rows(len(frame))
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if whole.empty:
        raise InputError(f"{', '.join(map(str, files))}: there is no numeric column to train on")
    stamps = np.concatenate(moments) if moments else None
    return Past(
        whole.to_numpy(np.float64, na_value=np.nan), [str(c) for c in whole.columns], pd.factorize(pd.Series(entities))[0].astype(np.int64),
        np.concatenate(labels) if labels else None, ", ".join(path.name for path in files), licence,
        first=None if stamps is None else int(stamps.min()), last=None if stamps is None else int(stamps.max()),
    )  # fmt: skip


def past_of_topic(
    settings: Settings,
    ranges: dict[int, tuple[int, int]] | None = None,
    last: int | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
    confirmed: Sequence[Stretch] = (),
    held_back: Sequence[Stretch] = (),
) -> Past:
    """Events of the topic, decoded as the job decodes them, partition by partition.

    Parameters
    ----------
    settings : Settings
    ranges : dict, optional
        First offset, and the one after the last, of each partition.
    last : int, optional
        Instead: so many newest events, evenly from all partitions.
    on_rows : callable
        Told of records read.
    confirmed, held_back : sequence of Stretch
        Confirmed anomalies, which are left out, and what the job did not learn from, which is where it is no more than a fifth.

    Raises
    ------
    InputError
        Nothing readable is there.
    ClusterError
        The broker does not answer.
    """
    topic = settings.kafka.topics.events
    alignment = Alignment(settings.event)
    matrices, entities, times, seen, dead, anomalous = [], [], [], [], 0, 0
    suspicious: list[Flags] = []
    try:
        consumer = KafkaConsumer(**client_options(settings.kafka), enable_auto_commit=False)
        try:
            partitions = sorted(consumer.partitions_for_topic(topic) or ())
            if not partitions:
                raise InputError(f"there is no topic {topic!r} at {settings.kafka.bootstrap}")
            places = [TopicPartition(topic, p) for p in partitions]
            begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
            if ranges is None:
                ranges = newest({p.partition: (begins[p], ends[p]) for p in places}, last or DEFAULT_LAST)
            for partition, (first, after) in sorted(ranges.items()):
                place = TopicPartition(topic, partition)
                if place not in ends:
                    raise InputError(f"{topic} has no partition {partition}; it has {partitions}")
                begin, end = max(first, begins[place]), min(after, ends[place])
                seen.append(f"{partition}:{begin}-{end}")
                consumer.assign([place])
                consumer.seek(place, begin)
                while consumer.position(place) < end:
                    records = [r for part in consumer.poll(1000).values() for r in part if r.offset < end]
                    raw = RawBatch(
                        [r.value for r in records],
                        *(
                            np.array([getattr(r, what) for r in records], np.int64)
                            for what in ("partition", "offset", "timestamp")
                        ),
                    )
                    events, letters = decode(raw, settings.event)
                    rejected = alignment.reject(events)
                    events = events.drop({at for at, _ in rejected})
                    anomalies = _of(confirmed, events.entities, raw.offsets[events.rows], partition)
                    events = events.drop(anomalies)
                    anomalous += len(anomalies)
                    held = np.zeros(len(events), np.bool_)
                    held[list(_of(held_back, events.entities, raw.offsets[events.rows], partition))] = True
                    suspicious.append(held)
                    dead += len(letters) + len(rejected)
                    matrices += [X for _, _, X in alignment.matrices(events, [])]
                    entities += events.entities
                    times.append(events.times)
                    on_rows(len(records))
        finally:
            consumer.close()
    except KafkaError as error:
        raise ClusterError(f"cannot read {topic!r} at {settings.kafka.bootstrap}: {error}") from error
    features = list(alignment.schema.numeric)
    X = np.full((len(entities), len(features)), np.nan)
    row = 0
    for part in matrices:
        X[row : row + len(part), : part.shape[1]] = part
        row += len(part)
    if not X.size:
        raise InputError(f"{topic} {', '.join(seen)} holds no event with a number ({dead} cannot be read)")
    stamps, held, groups = np.concatenate(times), np.concatenate(suspicious), pd.factorize(pd.Series(entities))[0]
    notes = [f"{dead} that cannot be read"] * bool(dead) + [f"{anomalous} of confirmed anomalies"] * bool(anomalous)
    if 0.0 < held.mean() <= MOST_HELD_BACK:
        notes.append(f"{held.sum()} that were held back from learning")
        X, groups = X[~held], groups[~held]
    return Past(
        X, features, groups.astype(np.int64), None, f"{topic} {', '.join(seen)}", left_out="; ".join(notes),
        first=int(stamps.min()), last=int(stamps.max()),
    )  # fmt: skip


def _of(stretches: Sequence[Stretch], entities: list[str], offsets: Ints, partition: int) -> set[int]:
    """Places of the events that lie in some stretches."""
    places: set[int] = set()
    for stretch in stretches:
        if stretch.source.partition == partition:
            within = (offsets >= stretch.source.first) & (offsets <= stretch.source.last)
            places |= {i for i in np.flatnonzero(within).tolist() if entities[i] == stretch.entity}
    return places


def newest(held: dict[int, tuple[int, int]], last: int) -> dict[int, tuple[int, int]]:
    """The newest `last` offsets, as evenly from all partitions as what they hold allows."""
    ranges, rest = {}, last
    order = sorted(held, key=lambda p: held[p][1] - held[p][0])
    for n, partition in enumerate(order):
        begin, end = held[partition]
        taken = min(end - begin, -(-rest // (len(order) - n)))
        ranges[partition] = (end - taken, end)
        rest -= taken
    return ranges


def parsed_offsets(texts: list[str]) -> dict[int, tuple[int, int]]:
    """Ranges of offsets from ``PARTITION:FROM-TO``; InputError says what is wrong."""
    ranges = {}
    for text in texts:
        match = OFFSETS.fullmatch(text)
        if match is None or int(match[2]) >= int(match[3]):
            raise InputError(f"--offsets {text!r}: write PARTITION:FROM-TO, as in 0:1000-5000 (up to before 5000)")
        ranges[int(match[1])] = (int(match[2]), int(match[3]))
    return ranges


def parsed_settings(texts: list[str]) -> dict[str, Any]:
    """Arguments of a detector from ``NAME=VALUE``; InputError says what is wrong."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text!r}: write NAME=VALUE, as in hidden=8")
        found[name] = yaml.safe_load(value)
    return found
