"""Settings for a topic, guessed from some of its records: entity, event time, numbers and categories, each with a reason."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.settings.kafka import KafkaSettings, SecuritySettings
from streamgauge.jobs.settings.loading import parsed
from streamgauge.jobs.settings.strict_yaml import write
from streamgauge.jobs.studies.sampled_fields import MOSTLY, Sample, SeenField, sample_of, text_of
from streamgauge.models.contract import Ints
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.entity import MAX_ENTITY
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.time import DAY, epoch_milliseconds
from streamgauge.udfs.settings.event import EventSettings

REPEATS = 2  # records of each entity on average, at least
SEVERAL = 5  # values of an entity's field whose name says nothing
EACH = 3  # records of each value of such a field of whole numbers; the rare values of a measurement come less often
DATE = 10  # characters of a date without a time
EPOCH = 1e8  # a smaller number is no time
NAMED = 20  # fields that a comment names
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
IDENTIFIER = {"id", "uuid", "guid", "seq", "sequence", "offset", "serial"}
WHEN = ("ts", "timestamp", "time", "at", "date", "datetime", "occurred")
UNIQUE = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Choice:
    """A key of the settings that differs from its default, and why."""

    key: str
    value: Any
    why: str

    @property
    def text(self) -> str:
        """The value as YAML, on one line."""
        plain = write(self.value, on_one_line=True).strip()
        return plain if "\n" not in plain else json.dumps(self.value)  # JSON is YAML on one line


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


def guess(records: Sequence[Any], kafka: KafkaSettings, topic: str, entity: str | None = None) -> Guess:
    """Guess the settings for a topic.

    Parameters
    ----------
    records : sequence of kafka.consumer.fetcher.ConsumerRecord
    kafka : KafkaSettings
        How the topic was reached.
    topic : str
    entity : str, optional
        The field with the entity, if a person names it.

    Raises
    ------
    InputError
        There is no record, none is a JSON object, or no entity can be guessed.
    """
    sample = sample_of(records, topic)
    time, times = _time(sample)
    who, why = _named(sample, entity) if entity is not None else _entity(sample, time)
    taken = {who.name: "entity"} | ({} if time is None else {time.name: "event time"})
    roles = {one.name: taken.get(one.name) or _role(one, sample) for one in sample.fields}
    sharding, notes = _sharding(who, sample)
    wanted = [
        Choice("kafka.bootstrap", kafka.bootstrap, "the broker that was asked"),
        Choice("kafka.topics.events", topic, "the topic that was looked at"),
        Choice("event.entity", who.name, why),
        *times,
        *_ignored(roles),
        *sharding,
        *_categories(roles),
    ]
    defaults = {
        "kafka.bootstrap": KafkaSettings().bootstrap,
        "kafka.topics.events": KafkaSettings().topics.events,
        "event.entity": EventSettings().entity,
        "event.time": EventSettings().time,
    }
    choices = [choice for choice in wanted if choice.value != defaults.get(choice.key)]
    if all(choice.key != "event.entity" for choice in choices):  # the file says nothing of it otherwise
        notes.insert(0, f"The entity is in the field {json.dumps(who.name)}: {why}.")
    notes += _readable(records, choices)
    if kafka.properties or kafka.security != SecuritySettings():
        notes.append("kafka.security and kafka.properties are not written. The job needs them, too.")
    return Guess(topic, len(records), sample.fields, roles, choices, notes)


# ---- the event time -----------------------------------------------------------------------------------------------------


def _time(sample: Sample) -> tuple[SeenField | None, list[Choice]]:
    """The field with the event time, and the keys that follow from it."""
    found = [
        (rank, one, distances)
        for one in sample.fields
        if (distances := _ahead(one, sample)) is not None and (rank := _time_rank(one, distances)) is not None
    ]
    if not found:
        if any(one.name == EventSettings().time for one in sample.fields):
            why = "the field that has this name by default does not hold times; without one, Kafka's timestamp counts"
            return None, [Choice("event.time", None, why)]
        return None, [Choice("event.time", None, "no field holds times, so Kafka's timestamp is the time of an event")]
    _, time, ahead = min(found, key=lambda row: row[0])
    near = float((np.abs(ahead) <= DAY).mean())
    choices = [Choice("event.time", time.name, f"it holds times; {near:.0%} are within a day of Kafka's timestamp")]
    settings = EventSettings()
    for key, most, reach, side in (
        ("max_past", settings.max_past, -int(ahead.min()), "before"),
        ("max_future", settings.max_future, int(ahead.max()), "after"),
    ):
        if reach > most:
            days = math.ceil(2 * reach / DAY)
            why = f"event times are up to {reach / DAY:.0f} days {side} Kafka's timestamp, and this is twice as far"
            choices.append(Choice(f"event.{key}", f"{days} d", why))
    return time, choices


def _ahead(one: SeenField, sample: Sample) -> Ints | None:
    """How far the times in a field are ahead of Kafka's timestamps, in milliseconds; None if a value is no time."""
    if one.share < MOSTLY or one.kind not in ("text", "whole number", "number"):
        return None
    ahead = []
    for value, stamp in zip(one.values, sample.stamps.tolist(), strict=True):
        if value is None:
            continue
        if (len(value) <= DATE or value.isdecimal()) if isinstance(value, str) else abs(value) < EPOCH:
            return None
        try:
            ahead.append(epoch_milliseconds(value) - stamp)
        except (ValueError, OverflowError):
            return None
    return np.array(ahead, np.int64)


def _time_rank(one: SeenField, ahead: Ints) -> tuple[int, int, float] | None:
    """A smaller rank is more likely the event time; None if it is not."""
    named = min((WHEN.index(word) for word in one.words if word in WHEN), default=len(WHEN))
    near = bool((np.abs(ahead) <= DAY).mean() >= MOSTLY)
    if near or one.kind == "text" or named < len(WHEN):
        return (0 if near else 1, named, float(np.median(np.abs(ahead))))
    return None


# ---- the entity ---------------------------------------------------------------------------------------------------------


def _named(sample: Sample, name: str) -> tuple[SeenField, str]:
    for one in sample.fields:
        if one.name == name:
            return one, "named with --entity"
    fields = _listed(one.name for one in sample.fields)
    raise InputError(f"no record has the field {name!r} (--entity); their fields: {fields}")


def _entity(sample: Sample, time: SeenField | None) -> tuple[SeenField, str]:
    """The field with the entity, and why."""
    fields = [one for one in sample.fields if one is not time and one.names_someone]
    found = _equal_to_key(fields, sample) or _one_for_each_key(fields, sample) or _repeating(fields)
    if found is None:
        known = _listed(f"{one.name} ({one.kind}, {one.distinct} values)" for one in sample.fields)
        raise InputError(
            f"no entity can be guessed: no field equals the Kafka key, and none of text or whole numbers looks like a name that "
            f"repeats; name one with --entity. Fields: {known}"
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


def _sharding(who: SeenField, sample: Sample) -> tuple[list[Choice], list[str]]:
    """How to deal with entities whose records are on several partitions: keys, and notes."""
    places: dict[str, set[int]] = defaultdict(set)
    for value, partition in zip(who.values, sample.partitions, strict=True):
        places[text_of(value)].add(partition)
    spread = sum(len(where) > 1 for where in places.values())
    if not spread:
        return [], []
    why = f"{spread} of {len(places)} entities are on several partitions"
    if "." in who.name:  # Flink's SQL finds the entity at the top level only
        return [], [f"{why}: producers must key by entity. (batch.sharding: entity needs a field that is not nested.)"]
    return [Choice("batch.sharding", "entity", f"{why}; if producers key by entity, leave it out")], []


# ---- the other fields ---------------------------------------------------------------------------------------------------


def _role(one: SeenField, sample: Sample) -> str:
    """What a field is taken as that holds neither the entity nor the event time."""
    if one.kind in ("whole number", "number"):
        ahead = _ahead(one, sample)
        if ahead is not None and (np.abs(ahead) <= DAY).mean() >= MOSTLY:
            return "ignored: holds times"
        if one.kind == "whole number" and one.words & IDENTIFIER:
            return "ignored: holds identifiers, by its name"
    if one.is_category:
        return "category"
    numbers = all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in one.counts)
    if one.kind == "text" and numbers:
        return "not looked at: numbers as text; send them as numbers"
    return {
        "number": "number",
        "whole number": "number",
        "true or false": "number, 0 or 1",
        "text": "text",
        "list": "not looked at: lists",
        "mixed": "as the first value: types differ",
    }.get(one.kind, "not looked at: no value")


def _ignored(roles: dict[str, str]) -> list[Choice]:
    found = {name: role.partition(": ")[2] for name, role in roles.items() if role.startswith("ignored: ")}
    why = "; ".join(f"{_listed([name])} {reason}" for name, reason in found.items())
    return [Choice("event.ignore", list(found), f"numbers that measure nothing: {why}")] if found else []


def _categories(roles: dict[str, str]) -> list[Choice]:
    found = [name for name, role in roles.items() if role == "category"]
    why = f"text of which few values repeat, so a new value is news: {_listed(found)}"
    return [Choice("detectors.first_seen_category", {}, why)] if found else []


def _listed(names: Iterable[str]) -> str:
    """Names as JSON, which cannot end a comment; at most `NAMED` of them."""
    every = list(names)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(json.dumps(name[:MAX_ENTITY]) for name in every[:NAMED]) + more


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
        f"Numbers that are looked at: {_listed(numbers) or 'none'}.",
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


def _readable(records: Sequence[Any], choices: list[Choice]) -> list[str]:
    """How many of the records become events with these settings, and why the others do not."""
    event = {choice.key.partition(".")[2]: choice.value for choice in choices if choice.key.startswith("event.")}
    events, dead = Reader(EventSettings.model_validate(event)).read(raw_batch(records))
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
