"""All settings: flink-conf/detection.yaml, overridden by the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.jobs.settings.service import ServiceSettings
from streamgauge.jobs.settings.walk import keys_at
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.settings.base import Duration, Section
from streamgauge.udfs.settings.pipeline import PipelineSettings

DEFAULT_FILE = Path("flink-conf/detection.yaml")
ENVIRONMENT = "STREAMGAUGE__"
_SECRET = ("password", "secret", "jaas", "token", "key", "url")
_HOLD_SECRETS = ("service", "alertmanagers", "webhooks")  # sections that are not shown as a whole


class BatchSettings(Section):
    """How events are grouped before Python sees them."""

    window: Duration = Field(
        8, ge=1, le=60_000, description="Time for which events are collected before they are scored together."
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
    execution: Literal["thread", "process"] = Field("thread", description="Where Python runs (docs/adr/002).")
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
        detectors = self.detectors
        if not any(getattr(detectors, name) for name in type(detectors).model_fields):
            raise ValueError("detectors: at least one is needed")
        if find_spec("numba") is not None:  # programs without numerical libraries cannot check this; the job does
            import_module("streamgauge.jobs.settings.limits").check(self)
        return self

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
        YAML.

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
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise SettingsError(f"{path} is no valid YAML: {error}") from error
        if not isinstance(values, dict):
            raise SettingsError(f"{path} must hold sections (kafka, event, ...), not a {type(values).__name__}")
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(ENVIRONMENT):
            _override(values, name, text)
    return validated(values, str(path or "the defaults"))


def validated(values: dict[str, Any], where: str) -> Settings:
    """Settings from plain values. Raises SettingsError, which names each wrong key, if they are not valid."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"{where}: " + "; ".join(_explain(e) for e in error.errors())) from error


def _override(values: dict[str, Any], name: str, text: str) -> None:
    *sections, key = name.removeprefix(ENVIRONMENT).lower().split("__")
    inner = values
    for section in sections:
        below = inner.get(section)
        if below is None:
            below = inner[section] = {}
        if not isinstance(below, dict):
            raise SettingsError(f"{name}: {section!r} is no section")
        inner = below
    try:
        inner[key] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{name} is no valid YAML: {error}") from error


def _instead_of(budget: Any) -> str:
    """What to write instead of a budget."""
    if isinstance(budget, int | float) and budget > 0:
        return f"write `promise: {budget:g} per day` instead"
    return "leave the key out, or write `promise: 1 per day` instead"


def _explain(error: Any) -> str:
    """An error of pydantic as text: the key, what is allowed, and the value."""
    key = ".".join(str(part) for part in error["loc"])
    if key == "decide.budget":
        return f"{key}: there is no budget of alerts any more, but a promise of false incidents: {_instead_of(error['input'])}"
    if error["type"] == "extra_forbidden":
        allowed = ", ".join(keys_at(Settings, error["loc"][:-1])) or "nothing"
        return f"{key}: there is no such key; allowed here: {allowed}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if not key:
        return message
    hidden = any(word in key.lower() for word in _SECRET) or error["loc"][-1] in _HOLD_SECRETS
    hidden |= error["loc"][0] == "service" and isinstance(error["input"], dict | list)
    hidden |= error["loc"][-2:-1] in (("alertmanagers",), ("webhooks",))
    return f"{key}: {message} (is {'hidden' if hidden else repr(error['input'])})"
