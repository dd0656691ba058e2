"""All settings: flink-conf/detection.yaml, overridden by the environment."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from streamgauge.jobs.settings.flink import FlinkSettings
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.jobs.settings.service import ServiceSettings
from streamgauge.jobs.settings.strict_yaml import named, read, write
from streamgauge.jobs.settings.walk import Place, field_at, holds_duration, holds_secrets, keys_at, section_in
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.settings.base import IN_FILE, Duration, Section, duration_text
from streamgauge.udfs.settings.pipeline import PipelineSettings

DEFAULT_FILE = Path("flink-conf/detection.yaml")
ENVIRONMENT = "STREAMGAUGE__"
_PLAIN = {
    "bool_type": "write true or false",
    "string_type": "must be text; put a number, true, false or null in quotes to make it text",
    "int_type": "must be a whole number without quotes",
    "float_type": "must be a number without quotes",
    "tuple_type": "must be a list",
    "dict_type": "must be a section: lines with a key, a colon and a value",
    "model_type": "must be a section: lines with a key, a colon and a value",
}  # errors of pydantic in plain words
_TEXT_OR_LIST = str | tuple[str, ...]
_BRANCHES = ("str", "tuple[str, ...]")  # parts of a place that pydantic adds for such a key
_LIMITS = ("greater_than", "greater_than_equal", "less_than_equal")


class BatchSettings(Section):
    """How events are grouped before Python sees them."""

    window: Duration = Field(
        8,
        ge=1,
        le=60_000,
        description="Time for which events are collected before they are scored together. If the job cannot keep up, it is longer: "
        "up to 50 ms, or 10,000 events.",
    )
    sharding: Literal["partition", "entity"] = Field(
        "partition",
        description="partition: state follows Kafka's partitions, producers key by entity, replays are exact. "
        "entity: the payload's entity decides; for topics that are not keyed by entity.",
    )
    shards: int = Field(2, ge=1, le=128, description="Number of shards, fixed for the life of a state.")


class JobSettings(Section):
    """How the Flink job runs."""

    name: str = Field("streamgauge", min_length=1, pattern=r"^[A-Za-z0-9._ -]+$")
    parallelism: int = Field(1, ge=1, le=128)
    delivery: Literal["at_least_once", "exactly_once"] = "at_least_once"
    execution: Literal["thread", "process"] = Field(
        "thread", description="Where Python runs: in the TaskManager, or in a process beside it (docs/adr/002)."
    )
    state_backend: Literal["heap", "rocksdb"] = Field(
        "rocksdb",
        description="rocksdb holds millions of entities, but checkpoints delay some events; heap delays none, but holds some 100,000.",
    )
    checkpoint_interval: Duration | None = Field(
        None,
        ge=100,
        description="Time between two checkpoints; null is 1 s with exactly_once (alerts become visible then), and 10 s otherwise.",
    )

    @property
    def checkpoint_milliseconds(self) -> int:
        """The interval in milliseconds, or its default."""
        return self.checkpoint_interval or (1_000 if self.delivery == "exactly_once" else 10_000)


class RetrainSettings(Section):
    """How `streamgauge train --watch` answers requests, and when a new version replaces the live one."""

    least: int = Field(
        4_000, ge=100, description="Events since the drift began that the trainer waits for, but no longer than `wait`."
    )
    wait: Duration = Field(600_000, ge=0, description="Longest time that the trainer waits for events.")
    most: int = Field(50_000, ge=100, description="Largest number of events to train on.")
    candidates: tuple[str, ...] = Field(
        (),
        description="Other detectors that are trained too; one that separates synthetic anomalies better replaces the live kind.",
    )
    time: Duration = Field(1_800_000, gt=0, description="How long the training of one version may take.")
    compare: int = Field(
        10_000,
        ge=100,
        description="Events for which a version is compared with the live one at each step: as shadow, as canary, as live.",
    )
    canary: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the entities for which a new version counts before it is live; 0 skips the canary.",
    )
    alerts: float = Field(
        5.0,
        gt=0,
        description="A new version may raise this many times the promised number of alerts, or `few` if that is more.",
    )
    few: int = Field(10, ge=0, description="Alerts that a new version may raise in any case.")


class Settings(PipelineSettings):
    """Everything, frozen."""

    kafka: KafkaSettings = KafkaSettings()
    batch: BatchSettings = BatchSettings()
    job: JobSettings = JobSettings()
    retrain: RetrainSettings = RetrainSettings()
    flink: FlinkSettings = FlinkSettings()
    service: ServiceSettings = ServiceSettings()

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.job.parallelism > self.batch.shards:
            raise ValueError(
                f"job.parallelism is {self.job.parallelism}, but at most one task for each of the {self.batch.shards} "
                "shards has work: lower it, or raise batch.shards"
            )
        if self.batch.sharding == "entity" and not (self.event.plain or self.event.needs_keys):
            raise ValueError(
                f"batch.sharding is entity, but Flink cannot find the entity in records of event.format {self.event.format}: "
                "write sharding: partition, or event.entity: $key"
            )
        if self.batch.sharding == "entity" and self.kafka.topics.event_topics.several:
            raise ValueError(
                "batch.sharding is entity, but kafka.topics names several topics of events, whose entities would be mixed: "
                "write sharding: partition, or run one job for each topic"
            )
        detectors = self.detectors
        if not any(getattr(detectors, name) for name in type(detectors).model_fields):
            raise ValueError("detectors: at least one is needed")
        # Programs without numerical libraries cannot check this; the job does. Defaults need no check, which takes 2 s and 200 MB.
        if not self._detects_by_default() and find_spec("numba") is not None:
            import_module("streamgauge.jobs.settings.limits").check(self)
        return self

    def _detects_by_default(self) -> bool:
        chosen, default = (
            (one.detectors, one.event.max_fields, one.retrain.candidates) for one in (self, Settings.model_construct())
        )
        return chosen == default

    def pipeline(self, partitions: int = 1) -> PipelineSettings:
        """The settings that the pipeline uses. Each partition gets an equal share of the promise for the whole stream."""
        values = self.model_dump(include=set(PipelineSettings.model_fields))
        values["decide"]["promise"] = str(self.decide.false_incidents.share(partitions))
        return PipelineSettings.model_validate(values)


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from a YAML file and the environment.

    Parameters
    ----------
    path : Path, optional
        By default `flink-conf/detection.yaml` in the working directory; if there is none, all defaults.
    environment : mapping, optional
        By default `os.environ`. ``STREAMGAUGE__KAFKA__BOOTSTRAP=broker:9092`` overrides ``kafka.bootstrap``; values are read as
        YAML. A name that the file has is found whatever its capital letters; any other name is in small letters.

    Raises
    ------
    SettingsError
        The message names each wrong key, its value, and what is allowed.
    """
    values: Any = {}
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    if path is not None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from error
        values = _sections(content, str(path))
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(ENVIRONMENT):
            _override(values, name, text)
    return _from_yaml(values, str(path or "the defaults"))


def parsed(text: str, where: str) -> Settings:
    """Settings from the text of a settings file; the environment does not count. Raises SettingsError as `load` does."""
    return _from_yaml(_sections(text, where), where)


def as_file(settings: Settings, changes: Mapping[str, Any]) -> str:
    """The text of a settings file with all settings but those of the service. `kafka.properties` are in it.

    Parameters
    ----------
    settings : Settings
    changes : mapping
        Sections, or some of their keys, to write instead.
    """
    values = settings.model_dump(mode="json", exclude={"service"}, context=IN_FILE)
    for section, keys in changes.items():
        values[section] = (values.get(section) or {}) | dict(keys) if isinstance(keys, Mapping) else keys
    return write(values)


def validated(values: dict[str, Any], where: str) -> Settings:
    """Settings from values that a program made. Raises SettingsError, which names each wrong key, if they are not valid."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, where) from None


def _sections(content: str | bytes, where: str) -> dict[str, Any]:
    values = read(content, where)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{where} must hold sections (kafka, event, ...): lines with a key, a colon and a value")
    return values


def _from_yaml(values: dict[str, Any], where: str) -> Settings:
    """Settings from values of YAML. Their types are those of the JSON Schema: text is no number, and `yes` is not true."""
    try:
        return Settings.model_validate(_with_tuples(values), strict=True, context=IN_FILE)
    except ValidationError as error:
        raise _refusal(error, where) from None


def _with_tuples(value: Any) -> Any:
    """The same values with tuples as lists, because strict models take no other lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(one) for key, one in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _override(values: dict[str, Any], name: str, text: str) -> None:
    *sections, key = name.removeprefix(ENVIRONMENT).split("__")
    inner = values
    for part in sections:
        section = _meant(inner, part, name)
        below = inner.get(section)
        if below is None:
            below = inner[section] = {}
        if not isinstance(below, dict):
            raise SettingsError(f"{name}: {section!r} is no section")
        inner = below
    inner[_meant(inner, key, name)] = read(text, name)


def _meant(section: Mapping[Any, Any], part: str, name: str) -> str:
    """The key that a part of a variable's name means: one that is there, with its capital letters, or else the part in small letters."""
    alike = [key for key in section if str(key).lower() == part.lower()]
    for exact in (part, part.lower()):
        if exact in alike:
            return exact
    if len(alike) > 1:
        raise SettingsError(f"{name}: {part!r} may be {' or '.join(map(repr, alike))}: write it as one of these")
    return alike[0] if alike else part.lower()


def _instead_of(budget: Any) -> str:
    """What to write instead of a budget."""
    if isinstance(budget, int | float) and budget > 0:
        return f"write `promise: {budget:g} per day` instead"
    return "leave the key out, or write `promise: 1 per day` instead"


def _refusal(error: ValidationError, where: str) -> SettingsError:
    # An error without its cause: the cause holds the values.
    # A default that follows from a key which is wrong itself is no further mistake.
    wrong = [one for one in error.errors() if one["type"] != "default_factory_not_called"]
    return SettingsError(f"{where}: " + "; ".join(map(_explain, wrong)))


def _explain(error: Any) -> str:
    """An error of pydantic as text: the key, what is allowed, and the value if it may be shown."""
    place, value, kind = _place_of(error["loc"]), error["input"], error["type"]
    key = ".".join(named(str(part)) for part in place)
    if key == "decide.budget":
        return f"{key}: there is no budget of alerts any more, but a promise of false incidents: {_instead_of(value)}"
    if kind == "extra_forbidden":
        return f"{key}: there is no such key{_instead_of_key(place)}"
    if kind == "missing":
        return f"{key}: must be given"
    message = _PLAIN.get(kind) or str(error["msg"]).removeprefix("Value error, ")
    if error["loc"][-1:] == ("[key]",):
        return f"{key}: this name is not allowed: {message}"
    if not place:  # a check of several sections, whose words may name values of them
        return re.sub(r"://\S*@", "://(hidden)@", message)
    field = field_at(Settings, place)
    if field is not None and holds_duration(field) and kind in _LIMITS:
        (limit,) = error["ctx"].values()
        message, value = message.replace(str(limit), duration_text(limit)), duration_text(value)
    if _may_be_shown(field, value):
        shown = (
            json.dumps(value)
            if value is None or isinstance(value, bool)
            else repr(list(value) if isinstance(value, tuple) else value)
        )
        return f"{key}: {message}" if message.startswith(shown) else f"{key}: {message} (is {shown})"
    words = re.findall(r"\w{3,}", str(value)) if kind == "value_error" and _is_plain(field) else []
    if any(word in message for word in words):
        message = (
            "this value is not allowed"  # the check of a key that holds no secrets repeats the value, or a part of it
        )
    return f"{key}: {message}" if isinstance(value, dict | list | tuple) else f"{key}: {message} (is hidden)"


def _place_of(place: Place) -> Place:
    """The place of an error as a person would write it: keys, names and numbers of items only."""
    return tuple(
        part
        for k, part in enumerate(place)
        if part != "[key]" and not (part in _BRANCHES and _takes_text_or_list(field_at(Settings, place[:k])))
    )


def _takes_text_or_list(field: FieldInfo | None) -> bool:
    return field is not None and field.annotation == _TEXT_OR_LIST


def _instead_of_key(place: Place) -> str:
    """What to write instead of an unknown key."""
    allowed = keys_at(Settings, place[:-1])
    near = get_close_matches(str(place[-1]).partition(":")[0], allowed, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{hint}; allowed here: {', '.join(allowed) or 'nothing'}"


def _may_be_shown(field: FieldInfo | None, value: Any) -> bool:
    """Whether a value can hold no secret: its key takes plain values that are none, and it is plain and no address."""
    values = value if isinstance(value, list | tuple) else [value]
    return _is_plain(field) and all(
        one is None or (isinstance(one, str | int | float) and "://" not in str(one)) for one in values
    )


def _is_plain(field: FieldInfo | None) -> bool:
    """Whether a key takes plain values that are no secrets."""
    return field is not None and section_in(field.annotation) is None and not holds_secrets(field)
