"""What the job will make of the events of a topic, from its newest records."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from streamgauge.jobs.cluster.measurements import is_named_value, name_of_measurements
from streamgauge.jobs.settings.loading import Settings
from streamgauge.udfs.events.entity import shown
from streamgauge.udfs.events.numbers import declaration_of
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import DeadLetter, Events, RawBatch, SchemaChange
from streamgauge.udfs.events.schema import Alignment, pattern_of

NAMED = 8  # names in a message


@dataclass(frozen=True)
class Finding:
    """Result of a check: ok, warning or failure, and a message."""

    check: str
    state: str
    message: str


def about_events(raw: RawBatch, settings: Settings) -> list[Finding]:
    """Read records as the job reads them, and say what was found.

    Parameters
    ----------
    raw : RawBatch
        At least one record; with keys.
    settings : Settings

    Returns
    -------
    list of Finding
        About the format, entities, event times and fields.
    """
    events, dead = Reader(settings.event.asked_once()).read(raw)
    findings = [_format(raw, events, dead)]
    if len(events):
        findings += [_entities(raw, events, settings), _times(raw, events, settings), *_fields(events, settings)]
        findings += _unused_names(events, settings)
    return findings


def _format(raw: RawBatch, events: Events, dead: list[DeadLetter]) -> Finding:
    recognised = [remark.field for remark in events.remarks if remark.change == "format"]
    found = f"{len(raw)} newest records: {', '.join(recognised) or 'plain events'}, {len(events)} events"
    found += f", {events.skipped} records without an event" if events.skipped else ""
    if not dead:
        return Finding("format", "ok", found)
    reasons = Counter(letter.reason for letter in dead)
    reason, count = reasons.most_common(1)[0]
    example = next(letter for letter in dead if letter.reason == reason)
    where = f"partition {raw.partitions[example.row]}, offset {raw.offsets[example.row]}"
    message = f"{found}; {len(dead)} cannot be read: {count} {reason}, such as {where}: {example.message}"
    return Finding("format", "failure" if not len(events) else "warning", message)


def _entities(raw: RawBatch, events: Events, settings: Settings) -> Finding:
    where: dict[str, set[int]] = defaultdict(set)
    for entity, row in zip(events.entities, events.rows.tolist(), strict=True):
        where[entity].add(int(raw.partitions[row]))
    spread = sorted(entity for entity, partitions in where.items() if len(partitions) > 1)
    by_partition = settings.batch.sharding == "partition"
    if spread and by_partition:
        message = (
            f"{len(spread)} entities are on several partitions ({', '.join(spread[:3])}): producers must key by entity"
        )
        return Finding("entities", "failure", f"{message}, or set batch.sharding: entity")
    partitions = Counter(raw.partitions[events.rows].tolist())
    most = max(partitions.values()) / len(events)
    message = f"{len(where)} entities, such as {', '.join(list(where)[:3])}; {len(partitions)} partitions have events"
    unkeyed = sum(key is None for key in raw.keys or ())
    if unkeyed and by_partition:
        message += f"; {unkeyed} of {len(raw)} records have no key, so Kafka may spread an entity over partitions"
        return Finding("entities", "warning", message)
    if by_partition and len(partitions) > 1 and most > 2 / len(partitions):
        return Finding("entities", "warning", f"{message}; the fullest has {most:.0%} of them")
    return Finding("entities", "ok", message)


def _times(raw: RawBatch, events: Events, settings: Settings) -> Finding:
    untimed = [remark for remark in events.remarks if remark.change == "untimed"]
    if untimed:
        return Finding("event time", "warning", f"{untimed[0].text}; event.time: null says that this is meant")
    if settings.event.time is None:
        return Finding("event time", "ok", "Kafka's timestamp, as event.time: null says")
    ahead = (events.times - raw.stamps[events.rows]) / 1000
    low, high = np.percentile(ahead, (1, 99))
    message = f"{settings.event.time}; {low:+.1f} s to {high:+.1f} s from Kafka's timestamp (percentiles 1 and 99)"
    return Finding("event time", "ok", message)


def _fields(events: Events, settings: Settings) -> list[Finding]:
    alignment, changes = Alignment(settings.event), list[SchemaChange]()
    parts = [X for _, _, X in alignment.matrices(events, changes)]
    names, n = alignment.schema.numeric, len(events)
    if not names:
        return [Finding("fields", "failure", alignment.unread(events.values[0]))]
    there = np.zeros(len(names))
    for X in parts:
        there[: X.shape[1]] += (~np.isnan(X)).sum(axis=0)
    unread = sum(int(np.isnan(X).all(axis=1).sum()) for X in parts)
    missing = [
        f"{name} ({1 - share / n:.0%} missing)" if share < n else name for name, share in zip(names, there, strict=True)
    ]
    findings = [Finding("fields", "ok", f"{len(names)} numeric: {_some(missing)}")]
    if unread:
        message = f"{unread} of {n} events have none of these, so nothing of them is looked at"
        findings.append(Finding("fields", "warning", message))
    other = [f"{name} ({kind})" for name, kind in alignment.schema.other.items() if name not in names]
    if other:
        message = f"not numeric: {_some(other)}; only detectors of text fields look at these"
        findings.append(Finding("other fields", "ok", message))
    findings += _undeclared(events, alignment.schema.other)
    told = [change.text for change in changes if change.change in ("retyped", "numeric", "no_reading", "limit")]
    findings += [Finding("fields", "warning", text) for text in told[:NAMED]]
    return findings + _one_measurement_a_record(events, names, settings)


def _undeclared(events: Events, other: dict[str, str]) -> list[Finding]:
    """Fields of text that a declaration would read as numbers."""
    texts = {name: [item for value in events.values if isinstance(item := value.get(name), str)] for name in other}
    found = [(name, declaration_of(of)) for name, of in texts.items() if of]
    return [
        Finding(
            "other fields",
            "warning",
            f"{shown(texts[name][0])} is text: event.fields: {how} reads {name!r} as a number",
        )
        for name, declared in found
        if declared is not None and (how := json.dumps({name: declared.model_dump(exclude_defaults=True)}))
    ][:NAMED]


def _unused_names(events: Events, settings: Settings) -> list[Finding]:
    """Names in the settings that no event has."""
    seen = set().union(*events.values)
    chosen = {
        "ignore": settings.event.ignore,
        "context": settings.event.context,
        "fields": tuple(settings.event.fields),
    }
    unused = [(key, name) for key, names in chosen.items() for name in names if not _matches(name, seen)]
    return [
        Finding("settings", "warning", f"event.{key} names {name!r}, which none of the newest events has")
        for key, name in unused
    ]


def _matches(name: str, seen: set[str]) -> bool:
    return any(map(pattern_of([name]).fullmatch, seen))


def _one_measurement_a_record(events: Events, names: list[str], settings: Settings) -> list[Finding]:
    """Advice for streams of which each record holds the name and the value of one measurement."""
    if settings.event.metric is not None or len(names) != 1 or not is_named_value(names[0]):
        return []
    others = [name for name in events.values[0] if name not in settings.event.entity_fields]
    name, found = name_of_measurements({one: [value.get(one) for value in events.values] for one in others})
    if name is None:
        return []
    message = (
        f"each record seems to hold one measurement: its name in {name!r} ({_some(found)}), its value in {names[0]!r}. "
        f"event.metric: {json.dumps(name)} and event.value: {json.dumps(names[0])} read them as fields"
    )
    return [Finding("fields", "warning", message)]


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
