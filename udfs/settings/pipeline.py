"""Settings of what happens to a batch. Frozen; unknown keys are refused."""

from __future__ import annotations

import re
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from streamgauge.udfs.settings.base import Duration, Positive, Probability, Section, StreamKind
from streamgauge.udfs.settings.detectors import DetectorSettings
from streamgauge.udfs.settings.rules import Rule

MOST_OVERLAP = 100  # windows that an event may be in
LOOK_EVERY = 200  # events between decisions about what kind of stream it is; other counts are multiples of it


class EventSettings(Section):
    """How an event is read."""

    entity: str = Field("entity", min_length=1, description="Field that names the entity.")
    time: str = Field(
        "ts", description="Field with the event time (ISO 8601 or epoch); where absent, Kafka's timestamp."
    )
    fields: dict[str, Literal["number", "text"]] = Field(
        default_factory=dict,
        description="Declared fields: another type in one of these is bad input. Others are typed as they first appear.",
    )
    rename: dict[str, str] = Field(
        default_factory=dict,
        description="Other names of fields, by the other name: what a field was or will be called.",
    )
    context: tuple[str, ...] = Field(
        (),
        description="Fields that say in which situation an entity is, as travelling: what is usual is kept for each one's values.",
    )
    ignore: tuple[str, ...] = Field((), description="Fields never to look at.")
    max_fields: int = Field(1024, ge=1, le=4096, description="Numeric fields looked at; further ones are ignored.")
    max_bytes: int = Field(1_000_000, ge=100, description="Largest payload.")
    max_past: Duration = Field(30_672_000_000, description="Event time may be this far before Kafka's timestamp.")
    max_future: Duration = Field(86_400_000, description="Event time may be this far after Kafka's timestamp.")
    late_after: Duration = Field(86_400_000, description="Older than the entity's newest by more than this is late.")
    out_of_order: Duration = Field(
        5_000, ge=0, description="With windows: event time is so far behind the newest event; a window ends by it."
    )
    amend_within: Duration = Field(
        600_000,
        ge=0,
        description="With windows: an event behind that by no more than this amends what was told; older than this is late.",
    )


class EntitySettings(Section):
    """What is kept for each entity."""

    forget_after: Duration = Field(30 * 86_400_000, description="An entity unseen for so long starts anew.")
    most: int = Field(
        2_000_000,
        ge=1000,
        description="Entities known in each log; beyond, those that were away for longest begin anew, from what their cohort is like.",
    )
    quarantine: int = Field(
        200,
        ge=0,
        le=100_000,
        description="Events of an incident, after its first 16, that are scored but not learned, unless they turn out to be a new level.",
    )
    rich_memory: float = Field(
        256, ge=0, le=1_000_000, description="MB for entities of the rich tier, in each log; the others are light."
    )


class FeaturizeSettings(Section):
    """Robust normalisation per entity, the input of cohort models."""

    half_life: float = Field(20_000.0, ge=1, description="Events after which a value counts half in centre and scale.")
    short: float = Field(5.0, ge=1, description="Events that the short rolling mean spans.")
    warmup: Positive = Field(20, description="Values of an entity needed before its features are used.")


class ModelUse(Section):
    """How one trained model of the registry is used."""

    alias: str = Field("live", min_length=1, description="Alias, or number, of the version to start with.")
    shadow: str | None = Field(
        None, description="Alias, or number, of a version that is scored beside it but never alerts."
    )
    variant: Literal["full", "int8", "student"] = "full"
    weight: float = Field(1.0, gt=0, description="In the ensemble.")
    streams: tuple[StreamKind, ...] = Field(("series", "fields", "records"), min_length=1)


class ModelsSettings(Section):
    """Trained models, from the registry."""

    registry: str | None = Field(None, description="A folder, or any URL of fsspec's; readable from every TaskManager.")
    trusted_keys: tuple[str, ...] = Field(
        (), description="Ed25519 public keys, base64; if there are any, what none of them signed is refused."
    )
    history: int = Field(0, ge=0, le=1024, description="Events kept of each rich entity, for models of sequences.")
    use: dict[str, ModelUse] = Field(default_factory=dict, description="By name in the registry.")

    @model_validator(mode="after")
    def _named(self) -> ModelsSettings:
        if self.use and self.registry is None:
            raise ValueError("registry: models are used, so it must be named (a folder, s3://bucket/models, ...)")
        return self


class EnsembleSettings(Section):
    """How the members' opinions become one; what it gives is calibrated once more."""

    method: Literal["mean", "vote", "consensus"] = Field(
        "mean",
        description="mean of the surprises by weight; vote: share of the weight that finds 1 in 100 or rarer; "
        "consensus: the surprise that half of the weight has or exceeds.",
    )


class CalibrationSettings(Section):
    """How scores become tail probabilities."""

    memory: int = Field(50_000, ge=100, description="Scores that count.")
    warmup: int = Field(100, ge=20, description="Scores needed before anything can alert.")


class FieldSettings(Section):
    """What must be so for a field to raise an incident."""

    direction: Literal["both", "above", "below"] = Field("both", description="Of its value, against the expected one.")
    absolute: float = Field(
        0.0, ge=0, description="Smallest difference from the expected value that matters, in the field's unit."
    )
    relative: float = Field(0.0, ge=0, description="The same, as a share of the expected value.")


class Maintenance(Section):
    """A time in which entities are scored and learned, but raise no incident."""

    entities: str = Field("*", min_length=1, description="Names, with * and ? as in file names.")
    start: datetime
    end: datetime
    why: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> Maintenance:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("start and end need a zone: 2026-11-22T10:00:00Z")
        if self.end <= self.start:
            raise ValueError(f"end {self.end.isoformat()} must be after start {self.start.isoformat()}")
        return self


def in_maintenance(windows: tuple[Maintenance, ...], entity: str, time: int) -> bool:
    """Whether an entity is in maintenance at a time, in milliseconds."""
    return any(
        w.start.timestamp() * 1000 <= time < w.end.timestamp() * 1000 and fnmatchcase(entity, w.entities)
        for w in windows
    )


class DecideSettings(Section):
    """When an incident opens and ends."""

    threshold: Probability = Field(1e-4, description="Tail probability at or below which an event raises an incident.")
    quiet_events: int = Field(
        20, ge=1, le=10_000, description="Events in a row that end it, each far from the threshold."
    )
    warmup: Positive = Field(30, description="Events of an entity before it may alert.")
    hits: int = Field(1, ge=1, le=60, description="So many anomalous events open an incident,")
    within: int = Field(1, ge=1, le=60, description="among so many last ones of the entity.")
    fields: dict[str, FieldSettings] = Field(
        default_factory=dict,
        description="By field: direction and smallest effect; an event counts if one that matters is to blame.",
    )
    group_within: Duration = Field(
        300_000,
        ge=0,
        description="Incidents that open within so long of each other are a group, with a likely root; 0 is none.",
    )
    budget: float | None = Field(
        None,
        gt=0,
        description="Alerts a day, shared evenly by the partitions; the threshold then follows what is achieved.",
    )
    importance: dict[str, Annotated[int, Field(ge=-3, le=3)]] = Field(
        default_factory=dict,
        description="Steps of severity by entity, with * and ? as in file names; the first that fits: {db-*: 1, test-*: -3}.",
    )
    rules: tuple[Rule, ...] = Field((), description="What an event must not be; the control topic replaces them.")
    maintenance: tuple[Maintenance, ...] = Field(
        (), description="Times without incidents; the control topic replaces them."
    )

    @model_validator(mode="after")
    def _possible(self) -> DecideSettings:
        if self.hits > self.within:
            raise ValueError(f"hits: {self.hits} anomalous events cannot be among the last {self.within} (within)")
        return self


class SilenceSettings(Section):
    """When an entity that sends nothing is told; by arrival, Kafka's timestamps."""

    after: float = Field(3.0, ge=1, description="Times its longest usual gap,")
    at_least: Duration = Field(300_000, ge=1_000, description="but not before so long.")
    events: int = Field(50, ge=2, description="Events of an entity before it can be told.")


def _aggregate(value: str) -> str:
    if re.fullmatch(r"sum|mean|deviation|min|max|distinct|p\d{1,2}(\.\d+)?", value) is None:
        raise ValueError("an aggregate is sum, mean, deviation, min, max, distinct, or a quantile as p95")
    return value


class EventWindow(Section):
    """What each entity did in windows of event time, looked at like an event of its own; the number of events always is.

    A window begins at a multiple of `every` since 1970, in UTC.
    """

    size: Duration = Field(ge=1_000)
    every: Duration = Field(0, ge=1_000, description="From one window's begin to the next; `size` unless given.")
    aggregates: dict[str, tuple[Annotated[str, AfterValidator(_aggregate)], ...]] = Field(
        default_factory=dict, description="By field: sum, mean, deviation, min, max, distinct, p50, p95, p99.9, ..."
    )

    @model_validator(mode="before")
    @classmethod
    def _tumbling(cls, values: Any) -> Any:
        return {"every": values["size"], **values} if isinstance(values, dict) and "size" in values else values

    @model_validator(mode="after")
    def _whole(self) -> EventWindow:
        if self.size % self.every or self.size > MOST_OVERLAP * self.every:
            raise ValueError(
                f"size: {self.size} ms must be 1 to {MOST_OVERLAP} times every, which is {self.every} ms, without a remainder"
            )
        return self


class DriftSettings(Section):
    """When the data of a trained model count as drifted, and a retraining is asked for."""

    every: int = Field(
        2_000,
        ge=100,
        le=10_000_000,
        description="Events of a span that is compared with the training data, in each log.",
    )
    index: float = Field(0.25, gt=0, description="Population stability index of a field from which on it has moved,")
    spans: int = Field(3, ge=2, le=1000, description="for so many spans in a row,")
    entities: float = Field(
        0.5,
        gt=0,
        le=1,
        description="with so large a share of the entities: fewer are an incident.",
    )
    rest: int = Field(20, ge=1, description="Spans until the same may be asked again.")


class OutputSettings(Section):
    """What is written beside alerts."""

    scores: Literal["none", "sampled", "all"] = "none"
    sample: Probability = Field(0.01, description="Share of events in the scores topic when sampled.")


class PipelineSettings(Section):
    """Everything that decides about scores and alerts."""

    event: EventSettings = EventSettings()
    entity: EntitySettings = EntitySettings()
    featurize: FeaturizeSettings = FeaturizeSettings()
    detectors: DetectorSettings = DetectorSettings()
    models: ModelsSettings = ModelsSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    decide: DecideSettings = DecideSettings()
    silence: SilenceSettings | None = Field(None, description="Silent entities; null is not to look for them.")
    windows: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], EventWindow] = Field(
        default_factory=dict, description="Aggregates in windows of event time, by a name of yours."
    )
    drift: DriftSettings | None = Field(DriftSettings(), description="Of trained models; null is not to look for it.")
    track: Annotated[int, Field(ge=LOOK_EVERY, multiple_of=LOOK_EVERY)] | None = Field(
        20_000,
        description="Events of a log from one telling of how good detection is to the next, each with a known anomaly scored on the side; "
        "null is neither.",
    )
    output: OutputSettings = OutputSettings()
