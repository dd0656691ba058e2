"""Explain an alert: score its events again from Kafka, and find values that would not have raised it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from kafka import TopicPartition
from matplotlib.figure import Figure
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.follow import records_of
from streamgauge.jobs.kafka.pipeline_settings import pipeline_of
from streamgauge.jobs.kafka.read_range import raw_batch, read_range
from streamgauge.jobs.kafka.topics import read_messages
from streamgauge.jobs.pages.html import plain
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.contract import Floats
from streamgauge.models.errors import InputError, ModelError, SettingsError
from streamgauge.models.evaluation.explanation import Counterfactual, counterfactuals
from streamgauge.udfs.control.feedback import parse_feedback
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.control.proof import Gate
from streamgauge.udfs.events.numbers import number_of
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.events.time import epoch_milliseconds
from streamgauge.udfs.output.alert import SILENCE, score_of, scores_of
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.windows.aggregate import KeptEvents, columns_of

BATCH = 2000
AROUND = 200  # events of the entity that are drawn before the alert, and after it
MOST_WAIT = 7 * 86_400_000  # milliseconds; the clock ends a window at the latest after this time
MOST_FIELDS = 3  # counterfactuals are looked for in this many fields
MOST_STATE = 200_000_000  # bytes; a larger state of a partition is not copied to try counterfactuals


@dataclass
class Explanation:
    """What is known about an alert after its partition was scored again.

    Attributes
    ----------
    alert : dict
        The CloudEvents envelope, as it is on the topic.
    equal : bool
        Whether scoring the partition again gave the same bytes.
    differs : dict
        If not: by key of the alert's data, the value on the topic and the value now.
    notes : list of str
        Possible reasons for a difference.
    counterfactuals : list of str
        Bounds of single fields within which the event would not have raised the alert.
    bounds : list of (field, value)
        The same bounds as numbers.
    times, values : float64[n]
        Values of the field with the largest contribution, around the alert; times in seconds since the alert.
    blamed : str or None
        The field with the largest contribution.
    """

    alert: dict[str, Any]
    equal: bool = False
    differs: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    counterfactuals: list[str] = field(default_factory=list)
    bounds: list[tuple[str, float]] = field(default_factory=list)
    times: Floats = field(default_factory=lambda: np.empty(0))
    values: Floats = field(default_factory=lambda: np.empty(0))
    blamed: str | None = None


def explain(
    settings: Settings,
    alert_id: str,
    say: Callable[[int, int], None] = lambda done, total: None,
    most: int | None = None,
) -> Explanation:
    """Find an alert, and score its partition again up to the alert.

    Parameters
    ----------
    settings : Settings
        Settings of the job that raised it.
    alert_id : str
        Id of the incident, or the beginning of an id that only this incident has.
    say : callable
        Called with the number of events scored, and with their total.
    most : int, optional
        The largest number of records before the alert that are read. They are held in memory.

    Raises
    ------
    InputError
        There is no such alert, its score depends on more than its partition, or too many records come before it.
    ClusterError
        The broker does not answer.
    """
    if settings.batch.sharding != "partition":
        raise InputError(
            "batch.sharding is entity: an alert's score follows from a whole shard, which cannot be replayed exactly"
        )
    alert = _find(settings, alert_id)
    if alert["data"]["agreed"] == [SILENCE]:
        raise InputError(
            f"{alert['data']['entity']} sent nothing, so there is no event to explain: its last event was offset "
            f"{alert['data']['source']['offset']} of partition {alert['data']['source']['partition']}"
        )
    found = Explanation(alert)
    source = alert["data"]["source"]
    records, begin = _records(settings, source, found, most)
    if begin:
        found.notes.append(
            f"the topic's retention has dropped the offsets before {begin}: what was learned from them is missing"
        )
    shard = Shard(pipeline_of(settings), source["topic"], settings.job.name, saves=False)
    gate = Gate(settings.feedback)
    for topic, offset, text in read_messages(settings.kafka):
        try:
            if topic == settings.kafka.topics.feedback:
                said = parse_feedback(text)
                gate.admit(said)
                shard.hear(said, offset)
            else:
                shard.apply(parse(text))
        except (SettingsError, ModelError):
            continue  # the job refused it too
    raised, before = _replay(shard, records, alert["data"], say)
    _compare(found, raised)
    if "aggregate" in alert["data"]:
        _what_if_windows(found, shard, before)
    else:
        _what_if(found, before, records[-1], settings)
    return found


def _find(settings: Settings, alert_id: str) -> dict[str, Any]:
    """The newest message that opened the alert."""
    opened = [record for record in records_of(settings.kafka, alert_id) if record["data"]["state"] == "opened"]
    if not opened:
        raise InputError(f"the message that opened alert {alert_id} is no longer on {settings.kafka.topics.alerts}")
    return opened[-1]


def _records(settings: Settings, source: dict[str, Any], found: Explanation, most: int | None) -> tuple[list[Any], int]:
    """Records of the alert's partition up to its offset, and the first offset. Later records are only read for the picture."""
    partition, offset = source["partition"], source["offset"]
    place = TopicPartition(source["topic"], partition)
    with clients.consumer(settings.kafka, f"read {place.topic!r}") as consumer:
        begin, end = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
        if not begin <= offset < end:
            raise InputError(
                f"{place.topic} partition {partition} holds offsets {begin} to {end}, the alert's is {offset}"
            )
        if most is not None and offset - begin > most:
            raise InputError(
                f"{offset - begin:,} offsets come before it on {place.topic} partition {partition}, and at most {most:,} are "
                f"read here: `streamgauge explain {found.alert['data']['alert_id']}` reads all"
            )
        last = min(end, offset + 1 + 50 * AROUND)
        records = [record for part in read_range(consumer, place, begin, last) for record in part]
    (_windows_around if "aggregate" in found.alert["data"] else _around)(found, settings, records, offset)
    return [r for r in records if r.offset <= offset], begin


def _around(found: Explanation, settings: Settings, records: list[Any], offset: int) -> None:
    """Find the values of the field with the largest contribution, of the same entity, around the alert."""
    data = found.alert["data"]
    numbers = [name for name, value in data["actual"].items() if isinstance(value, int | float)]
    if not numbers:
        return
    found.blamed = max(numbers, key=lambda name: data["contributions"].get(name, 0.0))
    events, _ = Reader(settings.event.asked_once()).read(raw_batch(records))
    mine = [k for k, entity in enumerate(events.entities) if entity == data["entity"]]
    at = int(np.searchsorted([records[int(events.rows[k])].offset for k in mine], offset))
    mine = mine[max(0, at - AROUND) : at + AROUND + 1]
    known = [(k, v) for k in mine if (v := number_of(events.values[k].get(found.blamed))) is not None]
    moment = float(events.times[next(k for k in mine if records[int(events.rows[k])].offset == offset)])
    found.times = (events.times[[k for k, _ in known]] - moment) / 1000.0
    found.values = np.array([float(value) for _, value in known])


def _windows_around(found: Explanation, settings: Settings, records: list[Any], offset: int) -> None:
    """Find the values of the aggregate with the largest contribution, of the same entity, in the windows around the alert."""
    data = found.alert["data"]
    name, of = data["aggregate"]["window"], settings.windows[data["aggregate"]["window"]]
    found.blamed = max(data["actual"], key=lambda field: data["contributions"].get(field, 0.0))
    events, _ = Reader(settings.event.asked_once()).read(raw_batch(records))
    events = events.drop({k for k, entity in enumerate(events.entities) if entity != data["entity"]})
    kept = KeptEvents(columns_of([of]), "")
    kept.add(events.entities, events.times, events.rows, kept.read(events))
    begin = epoch_milliseconds(data["aggregate"]["from"])
    starts = {time // of.every * of.every for time in events.times.tolist()} | {begin}
    windows = [kept.window(name, of, start + of.size) for start in sorted(starts)]
    known = [(w.start, value) for w in windows if w.entities and (value := w.actual(0).get(found.blamed)) is not None]
    at = next(k for k, (start, _) in enumerate(known) if start == begin)
    known = known[max(0, at - AROUND) : at + AROUND + 1]
    found.times = np.array([(start - begin) / 1000.0 for start, _ in known])
    found.values = np.array([value for _, value in known])


def _replay(
    shard: Shard, records: list[Any], data: dict[str, Any], say: Callable[[int, int], None]
) -> tuple[dict[str, Any] | None, Shard]:
    """The alert that the last record raises now, and a copy of the shard from before that record."""
    for start in range(0, len(records) - 1, BATCH):
        shard.process(raw_batch(records[start : min(start + BATCH, len(records) - 1)]))
        say(min(start + BATCH, len(records)), len(records))
    before = _copied(shard)
    alerts = shard.process(raw_batch(records[-1:])).alerts
    if "aggregate" in data and not alerts:  # the clock ended the window, not an event
        alerts = shard.tick(dict.fromkeys(shard.partitions, MOST_WAIT)).alerts
    say(len(records), len(records))
    same = (a for _, text in alerts if (a := json.loads(text))["data"]["alert_id"] == data["alert_id"])
    return next((a for a in same if a["data"]["state"] == "opened"), None), before


def _copied(shard: Shard) -> Shard:
    """A copy of a shard in the same state. The trained models are shared, because scoring does not change them."""
    return copy.deepcopy(shard, {id(shard.models): shard.models})


def _compare(found: Explanation, raised: dict[str, Any] | None) -> None:
    if raised is None:
        found.notes.append(
            "scored again, the event raises no alert: the settings, the models or the threshold have changed since"
        )
        return
    found.equal = msgspec.json.encode(raised) == msgspec.json.encode(found.alert)
    was, now = found.alert["data"], raised["data"]
    found.differs = {key: (was.get(key), now.get(key)) for key in {**was, **now} if was.get(key) != now.get(key)}
    if not found.equal:
        found.notes.append(
            "all control messages and all feedback of today were used, not those of the time of the alert"
        )


def _what_if(found: Explanation, before: Shard, record: Any, settings: Settings) -> None:
    """Find bounds of single fields. Each trial is scored on a copy of the state before the event."""
    partition = before.partitions.get(record.partition)
    if partition is None:
        return
    entities = partition.stages.entities
    if entities.store.head.nbytes + entities.store.fields.nbytes + entities.rich.fields.nbytes > MOST_STATE:
        found.notes.append(
            "the state of the partition is too large to find values that would not have raised the alert"
        )
        return
    data = found.alert["data"]
    names = [
        n
        for n in sorted(data["contributions"], key=lambda n: -data["contributions"][n])
        if data["expected"].get(n) is not None
    ]
    names = [n for n in names if isinstance(data["actual"].get(n), int | float)][:MOST_FIELDS]
    read, _ = Reader(settings.event.asked_once()).read(raw_batch([record]))
    if len(read) != 1:
        found.notes.append(
            "the record holds several events, so no values are tried that would not have raised the alert"
        )
        return
    event = read.values[0]

    def score(X: Floats) -> Floats:
        scores = np.empty(len(X))
        for i, x in enumerate(X):
            changed = {**event, **dict(zip(names, x.tolist(), strict=True))}
            partition, offset, stamp = (np.array([getattr(record, k)]) for k in ("partition", "offset", "timestamp"))
            raw = RawBatch([msgspec.json.encode(changed)], partition, offset, stamp, [record.key])
            evidence = _copied(before).process(raw).alert_evidence
            scores[i] = float(scores_of(evidence[0])[0]) if evidence else 0.0
        return scores

    _bound(found, names, score)


def _what_if_windows(found: Explanation, after: Shard, before: Shard) -> None:
    """Find bounds of single aggregates. Each trial is scored with the state from before the window ended."""
    data = found.alert["data"]
    number, name = data["source"]["partition"], data["aggregate"]["window"]
    partitions = [shard.partitions[number].windows for shard in (after, before) if number in shard.partitions]
    windows = [one.of[name] for one in partitions if one is not None]
    if len(windows) < 2:
        return
    report = windows[0].reports.get(epoch_milliseconds(data["aggregate"]["to"]))
    if report is None or data["entity"] not in windows[1].stages.entities.store.index:
        return
    whole = report.values[data["entity"]]
    names = sorted(data["contributions"], key=lambda n: -data["contributions"][n])
    names = [n for n in names if data["expected"].get(n) is not None][:MOST_FIELDS]

    def score(X: Floats) -> Floats:
        trials = [whole | dict(zip(names, x.tolist(), strict=True)) for x in X]
        rows = np.array([[trial.get(column, np.nan) for column in windows[1].columns] for trial in trials])
        scores: Floats = scores_of(windows[1].evidence_of(data["entity"], rows))
        return scores

    _bound(found, names, score)


def _bound(found: Explanation, names: list[str], score: Callable[[Floats], Floats]) -> None:
    """Find the bounds of single fields within which the score does not reach the threshold."""
    data = found.alert["data"]
    x, usual = (np.array([data[of][n] for n in names], np.float64) for of in ("actual", "expected"))
    bounds: list[Counterfactual] = counterfactuals(score, x, usual, score_of(-np.log(data["threshold"])))
    found.counterfactuals = [bound.sentence(names) for bound in bounds]
    found.bounds = [(names[bound.field], bound.bound) for bound in bounds]


def draw(found: Explanation, path: Path) -> None:
    """Draw the entity around the alert: values, the expected value, and the bound within which there would be no alert.

    Raises
    ------
    InputError
        The alert has no numeric field.
    """
    if found.blamed is None:
        raise InputError("the alert has no numeric field to draw")
    data = found.alert["data"]
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(found.times, found.values, color="#8b98a5", linewidth=0.9, marker=".", markersize=3)
    axes.plot([0], [data["actual"][found.blamed]], "o", color="#d1495b", markersize=9, label="alert")
    expected = data["expected"].get(found.blamed)
    if expected is not None:
        axes.axhline(expected, color="#1f6feb", linestyle=":", label=f"expected {expected:.6g}")
    for name, bound in found.bounds:
        if name == found.blamed:
            axes.axhline(bound, color="#2d936c", linestyle="--", label=f"no alert within {bound:.6g}")
    axes.set_xlabel("seconds from the alert")
    axes.set_ylabel(plain(found.blamed))
    axes.set_title(f"{plain(data['entity'])}: {data['severity']} {data['kind']}, score {data['score']:.3f}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
