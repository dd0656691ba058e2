"""All settings: flink-conf/detection.yaml, overridden by the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_origin

import yaml
from pydantic import Field, ValidationError, model_validator
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.settings.base import Duration, Section
from streamgauge.udfs.settings.pipeline import PipelineSettings

DEFAULT_FILE = Path("flink-conf/detection.yaml")
ENVIRONMENT = "STREAMGAUGE__"
_SECRET = ("password", "secret", "jaas", "token", "key")


class TopicSettings(Section):
    """Names of the Kafka topics."""

    events: str = Field("events", min_length=1)
    alerts: str = Field("alerts", min_length=1)
    dead_letters: str = Field("dead-letters", min_length=1)
    late: str = Field("late", min_length=1)
    scores: str = Field("scores", min_length=1)
    control: str = Field("control", min_length=1)
    notices: str = Field(
        "notices",
        min_length=1,
        description="Changes of the schema, groups of incidents, answers, comparisons of models.",
    )
    feedback: str = Field("feedback", min_length=1, description="What people say of alerts.")
    retrain_requests: str = Field("retrain-requests", min_length=1, description="Models whose data have drifted.")

    @model_validator(mode="after")
    def _distinct(self) -> TopicSettings:
        names = list(self.model_dump().values())
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each topic needs a name of its own, {', '.join(twice)} is used twice")
        return self


class KafkaSettings(Section):
    """Where events come from and alerts go to."""

    bootstrap: str = Field("127.0.0.1:9092", min_length=1, description="Brokers, separated by commas.")
    group: str = Field("streamgauge", min_length=1, description="Consumer group; also the prefix of transactions.")
    start: Literal["earliest", "latest", "committed"] = Field(
        "latest", description="Where to begin without saved state; committed falls back to earliest."
    )
    topics: TopicSettings = TopicSettings()
    properties: dict[str, str] = Field(
        default_factory=dict, description="Further Kafka client properties (security and the like)."
    )


class BatchSettings(Section):
    """How events are grouped before Python sees them."""

    window: Duration = Field(8, ge=1, le=60_000, description="Events of so long are scored together.")
    sharding: Literal["partition", "entity"] = Field(
        "partition",
        description="partition: state follows Kafka's partitions, producers key by entity, replays are exact. "
        "entity: the payload's entity decides; for topics that are not keyed by entity.",
    )
    shards: int = Field(2, ge=1, le=128, description="Units of state and parallelism; fixed for the life of a state.")


class JobSettings(Section):
    """How the Flink job runs."""

    name: str = Field("streamgauge", min_length=1, pattern=r"^[A-Za-z0-9._ -]+$")
    parallelism: int = Field(1, ge=1, le=128)
    delivery: Literal["at_least_once", "exactly_once"] = "at_least_once"
    execution: Literal["thread", "process"] = Field("thread", description="Where Python runs (docs/adr/002).")
    state_backend: Literal["heap", "rocksdb"] = Field(
        "rocksdb",
        description="rocksdb checkpoints only what changed; heap stalls nothing while it does, and holds some 100,000 entities.",
    )
    checkpoint_interval: Duration | None = Field(
        None, ge=100, description="1 s by default when exactly_once (alerts become visible then), 10 s otherwise."
    )

    @property
    def checkpoint_milliseconds(self) -> int:
        """The interval, or its default."""
        return self.checkpoint_interval or (1_000 if self.delivery == "exactly_once" else 10_000)


class RetrainSettings(Section):
    """How `streamgauge train --watch` answers requests, and when a new version takes the place of the one at work."""

    least: int = Field(4_000, ge=100, description="Events since the drift began that are waited for,")
    wait: Duration = Field(600_000, ge=0, description="but no longer than this.")
    most: int = Field(50_000, ge=100, description="Events that are trained on.")
    candidates: tuple[str, ...] = Field(
        (),
        description="Detectors that are trained beside the kind at work; one that separates planted anomalies better replaces it.",
    )
    time: Duration = Field(1_800_000, gt=0, description="How long the training of one version may take.")
    compare: int = Field(
        10_000,
        ge=100,
        description="Events for which a version is compared with the one at work, at each step: as its shadow, as a canary, in its place.",
    )
    canary: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the entities for which it is heard before it takes the place; 0 skips that.",
    )
    alerts: float = Field(
        5.0, gt=0, description="Times as many alerts of its own as promised that it may raise meanwhile,"
    )
    few: int = Field(10, ge=0, description="or so many, where fewer are promised.")


class Settings(PipelineSettings):
    """Everything, frozen."""

    kafka: KafkaSettings = KafkaSettings()
    batch: BatchSettings = BatchSettings()
    job: JobSettings = JobSettings()
    retrain: RetrainSettings = RetrainSettings()

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.job.parallelism > self.batch.shards:
            raise ValueError(
                f"job.parallelism is {self.job.parallelism}, but at most one task for each of the {self.batch.shards} "
                "shards has work: lower it, or raise batch.shards"
            )
        detectors = self.detectors
        if not any(getattr(detectors, name) for name in type(detectors).model_fields):
            raise ValueError("detectors: at least one is needed")
        self._know_candidates()
        self._fit_memory()
        return self

    def _know_candidates(self) -> None:
        if not self.retrain.candidates:
            return
        from streamgauge.models.catalog import FITTED  # noqa: PLC0415  as below

        if unknown := [name for name in self.retrain.candidates if name not in FITTED]:
            raise ValueError(
                f"retrain.candidates: {unknown[0]!r} is none that is trained; these are: {', '.join(FITTED)}"
            )

    def _fit_memory(self) -> None:
        # not at the top: what the operator unpickles imports this file on Flink's thread, where numba must not be imported
        from streamgauge.models.catalog import COHORT  # noqa: PLC0415
        from streamgauge.models.contract import MOST_BYTES  # noqa: PLC0415
        from streamgauge.udfs.scoring.detectors import COLUMNS, OWN  # noqa: PLC0415

        for name, kind in COHORT.items():
            section = getattr(self.detectors, name)
            if section is None:
                continue
            width = min(self.event.max_fields, kind.max_fields) * COLUMNS[kind.input_kind]
            size = kind.bytes_for(width, **section.model_dump(exclude=OWN))
            if size > MOST_BYTES:
                raise ValueError(
                    f"detectors.{name} would take {size / 1e6:.0f} MB in each log with event.max_fields {self.event.max_fields}; "
                    f"{MOST_BYTES / 1e6:.0f} MB are allowed: make it smaller, or look at fewer fields"
                )

    def pipeline(self, logs: int = 1) -> PipelineSettings:
        """The part that decides about scores, as each of so many logs has it: the alert budget is shared evenly."""
        values = self.model_dump(include=set(PipelineSettings.model_fields))
        if self.decide.budget is not None:
            values["decide"]["budget"] = self.decide.budget / logs
        return PipelineSettings.model_validate(values)


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from a YAML file and the environment.

    Parameters
    ----------
    path : Path, optional
        `flink-conf/detection.yaml` of the working directory if there is one, else the defaults.
    environment : mapping, optional
        `os.environ` unless given. ``STREAMGAUGE__KAFKA__BOOTSTRAP=broker:9092`` overrides ``kafka.bootstrap``; values are read as
        YAML.

    Raises
    ------
    SettingsError
        Names each wrong key, its value, and what is allowed.
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
    """Settings from plain values; SettingsError names what is wrong."""
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


def _explain(error: Any) -> str:
    """One error of pydantic's as: key, value, what is allowed."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        section: Any = Settings
        of_many = False  # whether the next part is a place in a list, or a name of the user's
        for part in error["loc"][:-1]:
            if of_many:
                of_many = False
                continue
            fields = getattr(section, "model_fields", {})
            section = fields[part].annotation if part in fields else None
            of_many = get_origin(section) in (dict, tuple)
            section = next((a for a in getattr(section, "__args__", ()) if hasattr(a, "model_fields")), section)
        allowed = ", ".join(getattr(section, "model_fields", {})) or "nothing"
        return f"{key}: there is no such key; allowed here: {allowed}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if not key:
        return message
    hidden = any(word in key.lower() for word in _SECRET)
    return f"{key}: {message} (is {'hidden' if hidden else repr(error['input'])})"
