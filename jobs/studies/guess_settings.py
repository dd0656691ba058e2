"""Settings for a topic, guessed from some of its records: entity, event time, numbers and categories, each with a reason."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.settings.kafka import KafkaSettings, SecuritySettings
from streamgauge.jobs.settings.loading import parsed
from streamgauge.jobs.studies.choice import Choice, listed
from streamgauge.jobs.studies.guess_fields import IDENTIFIER, roles_of
from streamgauge.jobs.studies.guess_time import time_of
from streamgauge.jobs.studies.sampled_fields import MOSTLY, Sample, SeenField, sample_of, text_of
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.settings.event import KEY, EventSettings

REPEATS = 2  # records of each entity on average, at least
SEVERAL = 5  # values of an entity's field whose name says nothing
EACH = 3  # records of each value of such a field of whole numbers; the rare values of a measurement come less often
WIDTH = 110  # of a comment

# fmt: off
WHO = {
    "entity", "device", "sensor", "machine", "pump", "host", "server", "node", "instance", "service", "pod",
    "meter", "vehicle", "truck", "robot", "turbine", "engine", "asset", "equipment", "station", "line", "user",
    "customer", "account", "card", "client", "merchant", "terminal", "player", "session", "source", "unit",
    "tag", "series", "metric",
}
NOT_WHO = {
    "status", "state", "type", "kind", "level", "severity", "country", "currency", "category", "method",
    "version", "message", "text", "reason",
}
# fmt: on
NAME = {"id", "name", "key", "code"}
UNIQUE = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Guess:
    """What was found in the records of a topic.

    Attributes
    ----------
    topic : str
    records : int
        Number of records that were looked at.
    fields : list of SeenField
    roles : dict of str to str
        What each field is taken as, by its name.
    choices : list of Choice
        Keys that differ from their defaults.
    notes : list of str
        What a person should know or check.
    """

    topic: str
    records: int
    fields: list[SeenField]
    roles: dict[str, str]
    choices: list[Choice]
    notes: list[str]


def guess(
    records: Sequence[Any],
    kafka: KafkaSettings,
    topic: str,
    entity: str | None = None,
    event: EventSettings = EventSettings(),  # noqa: B008 - it is frozen
) -> Guess:
    """Guess the settings for a topic.

    Parameters
    ----------
    records : sequence of kafka.consumer.fetcher.ConsumerRecord
    kafka : KafkaSettings
        How the topic was reached.
    topic : str
    entity : str, optional
        The field with the entity, if a person names it.
    event : EventSettings
        How to read the records: its `format` and `registry` are used.

    Raises
    ------
    InputError
        There is no record, none holds an event, or no entity can be guessed.
    """
    sample = sample_of(records, topic, event)
    time, times = time_of(sample)
    who, why = _named(sample, entity) if entity is not None else _entity(sample, time)
    taken = {who.name: "entity"} | ({} if time is None else {time.name: "event time"})
    roles = roles_of(sample, taken)
    notes: list[str] = []
    wanted = [
        Choice("kafka.bootstrap", kafka.bootstrap, "the broker that was asked"),
        Choice("kafka.topics.events", topic, "the topic that was looked at"),
        Choice("event.entity", who.name, why),
        *_wrapping(event),
        *times,
        *roles.choices,
        *_sharding(who, sample),
    ]
    defaults = {
        "kafka.bootstrap": KafkaSettings().bootstrap,
        "kafka.topics.events": KafkaSettings().topics.events,
        "event.format": EventSettings().format,
        "event.entity": EventSettings().entity,
        "event.time": EventSettings().time,
    }
    choices = [choice for choice in wanted if choice.value != defaults.get(choice.key)]
    if all(choice.key != "event.entity" for choice in choices):  # the file says nothing of it otherwise
        notes.insert(0, f"The entity is in the field {json.dumps(who.name)}: {why}.")
    notes += _readable(records, choices, event)
    if kafka.properties or kafka.security != SecuritySettings():
        notes.append("kafka.security and kafka.properties are not written. The job needs them, too.")
    return Guess(topic, len(records), sample.fields, roles.by_name, choices, notes)


def _wrapping(event: EventSettings) -> list[Choice]:
    """How records are read, as the person said it."""
    given = "as in the settings that were given"
    registry = {} if event.registry is None else event.registry.model_dump(mode="json", exclude_unset=True)
    return [
        Choice("event.format", event.format, given),
        *(Choice(f"event.registry.{key}", value, given) for key, value in registry.items()),
    ]


# ---- the entity ---------------------------------------------------------------------------------------------------------


def _named(sample: Sample, name: str) -> tuple[SeenField, str]:
    for one in sample.fields:
        if one.name == name:
            return one, "named with --entity"
    fields = listed(one.name for one in sample.fields)
    raise InputError(f"no record has the field {name!r} (--entity); their fields: {fields}")


def _entity(sample: Sample, time: SeenField | None) -> tuple[SeenField, str]:
    """The field with the entity, and why."""
    fields = [one for one in sample.fields if one is not time and one.names_someone]
    found = _equal_to_key(fields, sample) or _one_for_each_key(fields, sample) or _repeating(fields) or _key(sample)
    if found is None:
        known = listed(f"{one.name} ({one.kind}, {one.distinct} values)" for one in sample.fields)
        raise InputError(
            "no entity can be guessed: no field equals the Kafka key, the keys do not repeat, and none of text or whole numbers looks like "
            f"a name that repeats; name one with --entity. Fields: {known}"
        )
    return found


def _equal_to_key(fields: list[SeenField], sample: Sample) -> tuple[SeenField, str] | None:
    for one in fields:
        equal = sum(text_of(value) == key for value, key in zip(one.values, sample.keys, strict=True))
        if equal < MOSTLY * len(sample.keys):
            continue
        repeats = one.distinct < len(one.there) or len(one.there) == 1
        if repeats or not all(UNIQUE.fullmatch(value) for value in one.counts):
            again = "" if repeats else "; no value came twice, so please check it"
            return one, f"it equals the Kafka key in {equal} of {len(sample.keys)} records{again}"
    return None


def _one_for_each_key(fields: list[SeenField], sample: Sample) -> tuple[SeenField, str] | None:
    """A field that has one value for each key, where keys repeat."""
    keys = {key for key in sample.keys if key is not None}
    if None in sample.keys or not 1 < len(keys) <= len(sample.keys) / REPEATS:
        return None
    for one in sorted(fields, key=lambda one: -_likeness(one)):
        if one.distinct == len(keys) == len(set(zip(map(text_of, one.values), sample.keys, strict=True))):
            return one, f"it has one value for each of the {len(keys)} Kafka keys"
    return None


def _key(sample: Sample) -> tuple[SeenField, str] | None:
    """Kafka's key, if its values repeat."""
    key = SeenField(KEY, list(sample.keys))
    if key.names_someone and len(key.there) >= REPEATS * key.distinct:
        return key, f"Kafka's keys repeat ({key.distinct} different ones), and no field names an entity"
    return None


def _repeating(fields: list[SeenField]) -> tuple[SeenField, str] | None:
    """A field with a name that repeats."""
    likely = []
    for one in fields:
        evenly = one.kind == "text" or min(one.counts.values()) >= EACH
        unnamed = one.distinct >= SEVERAL and evenly and not one.words & (NOT_WHO | IDENTIFIER)
        if len(one.there) >= REPEATS * one.distinct and (_likeness(one) or unnamed):
            likely.append(one)
    if not likely:
        return None
    best = max(likely, key=lambda one: (_likeness(one), one.kind == "text", one.distinct))
    each = len(best.there) / best.distinct
    return (
        best,
        f"a guess: it has {best.distinct} values with {each:.0f} records each on average, and no field equals the Kafka key",
    )


def _likeness(one: SeenField) -> int:
    """How much the name of a field is like that of an entity's field: 0 to 3."""
    return 2 * bool(one.words & WHO) + bool(one.words & NAME)


def _sharding(who: SeenField, sample: Sample) -> list[Choice]:
    """How to deal with entities whose records are on several partitions."""
    places: dict[str, set[int]] = defaultdict(set)
    for value, partition in zip(who.values, sample.partitions, strict=True):
        places[text_of(value)].add(partition)
    spread = sum(len(where) > 1 for where in places.values())
    if not spread:
        return []
    why = f"{spread} of {len(places)} entities are on several partitions"
    return [Choice("batch.sharding", "entity", f"{why}; if producers key by entity, leave it out")]


# ---- the file -----------------------------------------------------------------------------------------------------------


def settings_file(found: Guess) -> str:
    """The text of the settings file.

    Raises
    ------
    SettingsError
        The settings are not valid, such as two topics with one name.
    """
    numbers = [name for name, role in found.roles.items() if role.startswith("number")]
    head = [
        f"Written by `streamgauge init` from the {found.records} newest records of the topic {found.topic}.",
        "Keys that are left out have their defaults. `streamgauge where settings` prints the path of a file with all keys.",
        *found.notes,
        f"Numbers that are looked at: {listed(numbers) or 'none'}.",
    ]
    tree: dict[str, Any] = {}
    for choice in found.choices:
        *sections, key = choice.key.split(".")
        inner = tree
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = choice
    text = "\n".join([*(line for one in head for line in _comment(one, "")), *_lines(tree, "")]) + "\n"
    parsed(text, "the settings that were guessed")
    return text


def _lines(tree: dict[str, Any], indent: str) -> Iterator[str]:
    for key, item in tree.items():
        if isinstance(item, Choice):
            yield from _comment(item.why, indent)
            yield f"{indent}{key}: {item.text}"
        else:
            yield from ("", f"{key}:") if not indent else (f"{indent}{key}:",)
            yield from _lines(item, f"{indent}  ")


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _readable(records: Sequence[Any], choices: list[Choice], event: EventSettings) -> list[str]:
    """How many of the records become events with these settings, and why the others do not."""
    sections = [(choice.key.split("."), choice.value) for choice in choices]
    chosen = {keys[1]: value for keys, value in sections if keys[0] == "event" and len(keys) == 2}
    settings = EventSettings.model_validate(chosen | {"registry": event.registry})
    events, dead = Reader(settings.asked_once()).read(raw_batch(records))
    reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(one.reason for one in dead).most_common())
    notes = [
        f"{len(events)} events are read from {len(records)} records with these settings."
        + f" {events.skipped} records hold no event." * bool(events.skipped)
        + f" Dead letters: {reasons}." * bool(dead)
    ]
    return notes + [f"{remark.text[0].upper()}{remark.text[1:]}." for remark in events.remarks]


def as_dict(found: Guess) -> dict[str, Any]:
    """All that was found, as it is printed as JSON."""
    return {
        "records": found.records,
        "fields": [
            {
                "name": one.name,
                "type": one.kind,
                "share": round(one.share, 4),
                "distinct": one.distinct,
                "role": found.roles[one.name],
            }
            for one in found.fields
        ],
        "choices": [asdict(choice) for choice in found.choices],
        "notes": found.notes,
    }
