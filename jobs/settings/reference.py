"""The page docs/settings.md: every key of the settings with its meaning, default, unit and range. Run this file to write the page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.settings.walk import holds_duration, holds_many, marks, section_in
from streamgauge.models.catalog import CATALOG, COHORT
from streamgauge.udfs.settings.base import duration_text

PAGE = Path("docs/settings.md")
HEAD = """# Settings

<!-- `make schema` writes this page from the settings' models; edit the descriptions there. -->

A job reads one YAML file. What the file leaves out has the default on this page. `flink-conf/detection.yaml` holds all defaults and can be
copied. An unknown key, or a value out of range, stops the submission with a message that names the key, the value and what is allowed.

The environment overrides the file: `STREAMGAUGE__KAFKA__BOOTSTRAP=broker:9092` sets `kafka.bootstrap`. Values are read as YAML. A name
that the file has is found whatever its capital letters; any other name is in small letters. So a field `Flow` that the file does not have
is given with its section: `STREAMGAUGE__EVENT__FIELDS='{Flow: number}'`.

A duration is a number and a unit: `10 ms`, `5 s`, `2 m`, `1 h` or `30 d`. A number without a unit is refused; only `0` needs none.
`null` switches off what it stands for.

The file is YAML 1.2. A truth value is `true` or `false`; `yes`, `no`, `on`, `off` and `1:30` are text, and `010` is 10. Text in quotes is
no number. A key that is there twice is refused. Anchors and `<<` may be used, tags may not. Messages never show the value of a key that
may hold a secret.

The schema for editors is `flink-conf/detection.schema.json`. Words are explained in the [glossary](glossary.md).
"""
BOUNDS = (
    ("ge", "at least {}"),
    ("gt", "above {}"),
    ("le", "at most {}"),
    ("lt", "below {}"),
    ("multiple_of", "a multiple of {}"),
)

# Meanings of keys that have no description in the model.
MEANINGS = {
    "job.name": "Name of the job in Flink and in alerts.",
    "job.parallelism": "Tasks that score side by side; each needs a TaskManager.",
    "job.delivery": "Whether a failure may repeat alerts, with the same ids, or Kafka transactions prevent that.",
    "kafka.topics.events": "Events to score: a topic, or a list of topics.",
    "kafka.topics.alerts": "One message for each change of an incident.",
    "kafka.topics.dead_letters": "Records that were set aside, each with its reason.",
    "kafka.topics.late": "Events that came too late to be scored.",
    "kafka.topics.scores": "Scores of events, if `output.scores` asks for them.",
    "kafka.topics.control": "Messages that change the running job.",
    "models.use.NAME.streams": "Kinds of streams the model runs on.",
    "decide.rules[].id": "Name of the rule in alerts.",
    "decide.rules[].severity": "Severity of an incident that the rule raises.",
    "decide.maintenance[].start": "When it begins, with a time zone.",
    "decide.maintenance[].end": "When it ends, with a time zone.",
    "decide.maintenance[].why": "A note for people.",
    "windows.NAME.size": "Length of a window: 1 to 100 times `every`, without a remainder.",
    "output.scores": "Whether the score of each event, of a sample of them, or of none is written.",
}
DEFAULTS = {"windows.NAME.every": "as `size`"}  # defaults that follow from another key
UNITS = {
    "event.max_fields": "fields",
    "event.max_bytes": "bytes",
    "entity.most": "entities",
    "entity.quarantine": "events",
    "entity.rich_memory": "MB",
    "batch.shards": "shards",
    "job.parallelism": "tasks",
    "models.history": "events",
    "featurize.half_life": "events",
    "featurize.short": "events",
    "featurize.warmup": "values",
    "calibration.memory": "scores",
    "calibration.warmup": "scores",
    "decide.promise": "false incidents",
    "decide.threshold": "probability",
    "decide.quiet_events": "events",
    "decide.warmup": "events",
    "decide.hits": "events",
    "decide.within": "events",
    "decide.importance": "steps",
    "decide.fields.NAME.absolute": "the field's own",
    "decide.fields.NAME.relative": "share",
    "silence.after": "times",
    "silence.events": "events",
    "drift.every": "events",
    "drift.spans": "spans",
    "drift.entities": "share",
    "drift.rest": "spans",
    "track": "events",
    "output.sample": "share",
    "retrain.least": "events",
    "retrain.most": "events",
    "retrain.compare": "events",
    "retrain.canary": "share",
    "retrain.alerts": "times",
    "retrain.few": "alerts",
    "feedback.by_person": "messages",
    "feedback.by_all": "messages",
    "service.replay": "records",
}
PARAMETERS = {
    "half_life": "values",
    "window": "values",
    "warmup": "values",
    "window_size": "events",
    "memory": "values",
    "short": "values",
    "long": "values",
    "lags": "values",
    "settle": "values",
    "span": "values",
    "samples": "values",
    "stride": "values",
    "visits": "values",
    "usual": "values",
    "reservoir": "events",
    "part": "events",
    "renew": "events",
    "allowance": "deviations",
    "refractory": "share",
    "n_trees": "trees",
    "height": "levels",
    "projections": "projections",
    "centroids": "centroids",
    "components": "components",
    "shapes": "shapes",
    "bits": "bits",
}


@dataclass(frozen=True)
class Key:
    """A line of the page.

    Attributes
    ----------
    name : str
        Name with all sections, such as ``decide.threshold``.
    meaning, default, unit, range : str
        The other columns.
    """

    name: str
    meaning: str
    default: str
    unit: str
    range: str


def keys() -> Iterator[tuple[str, str, list[Key]]]:
    """Sections in the order of the models.

    Yields
    ------
    name, about : str
        Name and description of the section. The empty name holds the keys that are in no section.
    keys : list of Key
    """
    yield from _section("", Settings, None)


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    above = set()
    for name, about, found in keys():
        level = "###" if name.partition(".")[0] in above else "##"
        above.add(name)
        parts.append(f"{level} {f'`{name}`' if name else 'Keys without a section'}\n\n{about}\n")
        if found:
            rows = [f"| `{k.name}` | {k.meaning} | {k.default} | {k.unit} | {k.range} |" for k in found]
            parts.append(
                "\n".join(["| key | meaning | default | unit | range |", "|---|---|---|---|---|", *rows]) + "\n"
            )
    return "\n".join(parts)


def _section(name: str, model: type[BaseModel], default: Any) -> Iterator[tuple[str, str, list[Key]]]:
    """A section and the sections in it. `default` is the default of the section; None if it is off or has no default."""
    own: list[Key] = []
    below: list[tuple[str, type[BaseModel], Any]] = []
    for key, field in model.model_fields.items():
        inner, path = section_in(field.annotation), f"{name}.{key}" if name else key
        value = (
            getattr(default, key)
            if default is not None
            else field.get_default(call_default_factory=True, validated_data={})
        )
        if inner is None or holds_many(field.annotation):
            own.append(_key(path, field, value))
        if inner is not None:
            origin = get_origin(field.annotation)
            many = f"{path}.NAME" if origin is dict else f"{path}[]" if origin is tuple else ""
            below.append((many or path, inner, None if many else value))
    if name or own:
        yield name, _about(name, model, default), own
    for path, section, value in below:
        yield from _section(path, section, value)


def _about(name: str, model: type[BaseModel], default: Any) -> str:
    if not name:
        return "They stand at the top level of the file."
    text = _line(inspect.getdoc(model) or "")
    if name.startswith("detectors."):
        on = (
            f"On by default, for {', '.join(default.streams)}."
            if default is not None
            else "Off by default; `{}` turns it on."
        )
        note = Settings.model_fields["detectors"].default.__class__.model_fields[name.split(".")[1]].description
        return " ".join(filter(None, (text, note, on)))
    if default is None and name in Settings.model_fields:
        text += " Off by default."
    return text


def _key(path: str, field: FieldInfo, value: Any) -> Key:
    duration = holds_duration(field)
    unit = "duration" if duration else UNITS.get(path, "")
    meaning = field.description or MEANINGS.get(path, "")
    if path.startswith("detectors."):
        _, detector, name = path.split(".")
        meaning = meaning or _parameter(detector, name)
        if not _choices(field.annotation):
            unit = "events" if detector in COHORT and name in ("memory", "warmup") else PARAMETERS.get(name, "")
    default = DEFAULTS.get(path) or _shown(value, duration)
    return Key(path, _line(meaning), default, unit, _range(field.annotation, marks(field), duration))


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [f"`{choice}`" for choice in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _range(annotation: Any, limits: list[Any], duration: bool) -> str:
    parts = [
        text.format(_shown(getattr(mark, name), duration).strip("`"))
        for name, text in BOUNDS
        for mark in limits
        if getattr(mark, name, None) is not None
    ]
    if choices := _choices(annotation):
        parts.append(
            "one of " + ", ".join(choices) if get_origin(annotation) in (Literal, dict) else "of " + ", ".join(choices)
        )
    if (annotation is str or get_origin(annotation) is tuple) and any(getattr(m, "min_length", None) for m in limits):
        parts.append("not empty")
    if NoneType in get_args(annotation):
        parts.append("or `null`")
    return ", ".join(parts)


def _shown(value: Any, duration: bool = False) -> str:
    if value is PydanticUndefined:
        return "must be given"
    if value is None:
        return "`null`"
    if duration:
        return f"`{duration_text(value)}`"
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            text = f"{value:g}" if isinstance(value, float) else str(value)
            return f"`{text}`"
        case tuple():
            return f"`[{', '.join(map(str, value))}]`"
        case dict():
            return "`{}`"
    return f"`{value}`" if value else "empty"


def _parameter(detector: str, name: str) -> str:
    """The description of a parameter in the docstring of a detector."""
    for base in CATALOG[detector].__mro__:
        text = inspect.cleandoc(base.__doc__ or "")
        found = re.search(rf"^(?:\w+, )*{name}(?:, \w+)* :.*\n((?:    .*\n?)+)", text, re.MULTILINE)
        if found:
            return found[1]
    return {"seed": "Seed of the random numbers; the same seed gives the same scores."}.get(name, "")


def _line(text: str) -> str:
    """A text on one line of a table."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
