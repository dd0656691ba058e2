"""What the fields of the records of a topic are taken as that hold neither the entity nor the event time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from streamgauge.jobs.cluster.measurements import is_named_value, name_of_measurements
from streamgauge.jobs.studies.choice import Choice, listed
from streamgauge.jobs.studies.guess_time import ahead_of
from streamgauge.jobs.studies.sampled_fields import MOSTLY, Sample, SeenField
from streamgauge.udfs.events.field_types import Texts
from streamgauge.udfs.events.numbers import declaration_of, number_of, plain_number
from streamgauge.udfs.events.time import DAY
from streamgauge.udfs.settings.event import EventSettings, FieldSettings

IDENTIFIER = {"id", "uuid", "guid", "seq", "sequence", "offset", "serial"}
_TEXTS = Texts(EventSettings())


@dataclass(frozen=True, slots=True)
class Roles:
    """What each field is taken as, and the keys that follow from it.

    Attributes
    ----------
    by_name : dict of str to str
        What each field is taken as.
    choices : list of Choice
    """

    by_name: dict[str, str]
    choices: list[Choice]


def roles_of(sample: Sample, taken: dict[str, str]) -> Roles:
    """What each field is taken as.

    Parameters
    ----------
    sample : Sample
    taken : dict of str to str
        What the fields with entity and event time are taken as.
    """
    declared = {one.name: how for one in sample.fields if one.name not in taken and (how := _declaration(one))}
    roles = {one.name: taken.get(one.name) or _role(one, sample, declared) for one in sample.fields}
    measured = _one_measurement_a_record(sample, roles, taken)
    roles |= {str(choice.value): f"the {choice.key.partition('.')[2]} of a measurement" for choice in measured}
    return Roles(roles, [*_ignored(roles), *_declared(declared, roles), *measured, *_categories(roles)])


def _role(one: SeenField, sample: Sample, declared: dict[str, FieldSettings]) -> str:
    """What a field is taken as that holds neither the entity nor the event time."""
    numbers = [item for item in one.there if not (isinstance(item, str) and _TEXTS.is_missing(item))]
    written = bool(numbers) and all(isinstance(item, str) and plain_number(item) is not None for item in numbers)
    if one.kind in ("whole number", "number"):
        ahead = ahead_of(one, sample)
        if ahead is not None and (np.abs(ahead) <= DAY).mean() >= MOSTLY:
            return "ignored: holds times"
    if one.words & IDENTIFIER and (one.kind == "whole number" or written):
        return "ignored: holds identifiers, by its name"
    if one.name in declared:
        return "number, as declared"
    if written:
        return "number, written as text"
    if one.is_category:
        return "category"
    if one.kind == "mixed":
        readable = all(number_of(item) is not None for item in numbers)
        return "number" if readable else "as most of its values: types differ"
    return {
        "number": "number",
        "whole number": "number",
        "true or false": "number, 0 or 1",
        "text": "text",
        "list": "not looked at: lists",
    }.get(one.kind, "not looked at: no value")


def _declaration(one: SeenField) -> FieldSettings | None:
    """How to declare a field of text that holds numbers, but not as plain ones."""
    if one.kind != "text":
        return None
    texts = [text for text in one.there if not _TEXTS.is_missing(text)]
    plain = all(plain_number(text) is not None for text in texts)
    return None if plain else declaration_of(texts)


def _declared(declared: dict[str, FieldSettings], roles: dict[str, str]) -> list[Choice]:
    found = {name: how for name, how in declared.items() if roles[name] == "number, as declared"}
    why = f"text that holds numbers, which are read only if they are declared: {listed(found)}"
    fields = {name: how.model_dump(exclude_defaults=True) for name, how in found.items()}
    return [Choice("event.fields", fields, why)] if found else []


def _one_measurement_a_record(sample: Sample, roles: dict[str, str], taken: dict[str, str]) -> list[Choice]:
    numeric = [name for name, role in roles.items() if role.startswith("number")]
    if len(numeric) != 1 or not is_named_value(numeric[0]):
        return []
    name, found = name_of_measurements({one.name: one.values for one in sample.fields if one.name not in taken})
    if name is None:
        return []
    why = f"it holds the names of measurements ({', '.join(found)}), one a record; each becomes a field"
    return [Choice("event.metric", name, why), Choice("event.value", numeric[0], "it holds their values")]


def _ignored(roles: dict[str, str]) -> list[Choice]:
    found = {name: role.partition(": ")[2] for name, role in roles.items() if role.startswith("ignored: ")}
    why = "; ".join(f"{listed([name])} {reason}" for name, reason in found.items())
    return [Choice("event.ignore", list(found), f"numbers that measure nothing: {why}")] if found else []


def _categories(roles: dict[str, str]) -> list[Choice]:
    found = [name for name, role in roles.items() if role == "category"]
    why = f"text of which few values repeat, so a new value is news: {listed(found)}"
    return [Choice("detectors.first_seen_category", {}, why)] if found else []
