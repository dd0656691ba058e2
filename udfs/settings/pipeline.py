"""All settings that decide about scores and alerts."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from streamgauge.udfs.settings.base import Duration, Positive, Probability, Section, StreamKind
from streamgauge.udfs.settings.detectors import DetectorSettings
from streamgauge.udfs.settings.event import EventSettings
from streamgauge.udfs.settings.feedback import FeedbackSettings
from streamgauge.udfs.settings.local_time import Holidays, TimeZone
from streamgauge.udfs.settings.promise import FalseIncidents, Promise, false_incidents
from streamgauge.udfs.settings.rules import RuleList

MOST_OVERLAP = 100  # largest number of windows that may contain the same event
LOOK_EVERY = 200  # events between two decisions about the kind of a young stream; other intervals are multiples of it


class EntitySettings(Section):
    """What is kept for each entity, and for how long."""

    forget_after: Duration = Field(
        30 * 86_400_000, ge=1_000, description="An entity that sends nothing for this long is forgotten."
    )
    most: int = Field(
        2_000_000,
        ge=1000,
        description="Largest number of entities in a partition. Beyond it, those whose last event is oldest are forgotten.",
    )
    quarantine: int = Field(
        200,
        ge=0,
        le=100_000,
        description="Largest number of quarantined events of an incident. They begin after its first 16, and are scored but not learned.",
    )
    rich_memory: float = Field(
        256,
        ge=0,
        le=1_000_000,
        description="Memory for entities of the rich tier in each partition; the others are light.",
    )


class FeaturizeSettings(Section):
    """Robust normalisation per entity, the input of cohort models."""

    half_life: float = Field(20_000.0, ge=1, description="Events after which a value counts half for centre and scale.")
    short: float = Field(5.0, ge=1, description="Events in the short rolling mean.")
    warmup: Positive = Field(20, description="Values of an entity needed before its features are used.")


class ModelUse(Section):
    """How one trained model of the registry is used."""

    alias: str = Field("live", min_length=1, description="Alias, or number, of the version to start with.")
    shadow: str | None = Field(
        None, description="Alias, or number, of a version that is scored beside it and counts for nothing."
    )
    variant: Literal["full"] = Field(
        "full",
        description="Leave it out: smaller variants were removed. It stays part of the configuration, so alerts keep their ids.",
    )
    weight: float = Field(1.0, gt=0, description="Weight in the ensemble.")
    streams: tuple[StreamKind, ...] = Field(("series", "fields", "records"), min_length=1)

    @field_validator("variant", mode="before")
    @classmethod
    def _no_smaller_variant(cls, variant: Any) -> Any:
        if variant in ("int8", "student"):
            raise ValueError("the variants int8 and student were removed (docs/adr/017): leave the key out")
        return variant


class ModelsSettings(Section):
    """Trained models, from the registry."""

    registry: str | None = Field(
        None, description="A folder, or a URL such as s3://bucket/models, that every TaskManager can read."
    )
    trusted_keys: tuple[str, ...] = Field(
        (),
        description="Ed25519 public keys in base64. If there are any, a version or an alias that none of them signed is refused.",
    )
    history: int = Field(0, ge=0, le=1024, description="Last events kept of each rich entity, for models of runs.")
    use: dict[str, ModelUse] = Field(
        default_factory=dict, description="Models that are used, by their name in the registry."
    )

    @model_validator(mode="after")
    def _named(self) -> ModelsSettings:
        if self.use and self.registry is None:
            raise ValueError("registry: models are used, so it must be named (a folder, s3://bucket/models, ...)")
        return self


class EnsembleSettings(Section):
    """How the evidence of the ensemble's members is combined. The result is calibrated once more."""

    method: Literal["mean", "vote", "consensus"] = Field(
        "mean",
        description="mean: weighted mean of the evidence; vote: share of the weight that finds 1 in 100 or rarer; "
        "consensus: the evidence that half of the weight reaches.",
    )


class CalibrationSettings(Section):
    """How scores become tail probabilities."""

    memory: int = Field(50_000, ge=100, description="Scores that a calibrator remembers.")
    warmup: int = Field(100, ge=20, description="Scores that a calibrator needs before it gives evidence.")


class FieldSettings(Section):
    """Which deviations of a field may raise an incident."""

    direction: Literal["both", "above", "below"] = Field(
        "both", description="Side of the expected value on which a deviation counts."
    )
    absolute: float = Field(
        0.0, ge=0, description="Smallest difference from the expected value that matters, in the field's unit."
    )
    relative: float = Field(
        0.0, ge=0, description="Smallest difference that matters, as a share of the expected value."
    )


def _moment(value: Any) -> Any:
    """A time from text, because settings files are read strictly. What is none is left to pydantic."""
    with suppress(ValueError, TypeError):
        return datetime.fromisoformat(value)
    return value


Moment = Annotated[datetime, BeforeValidator(_moment)]


class Maintenance(Section):
    """A time in which entities are scored and learned, but raise no incident."""

    entities: str = Field("*", min_length=1, description="Names, with * and ? as in file names.")
    start: Moment
    end: Moment
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

    promise: Promise = Field(
        "1 per day",
        description="False incidents that may open: in the whole stream (1 per day, 2 per hour), or for each entity "
        "(1 per week per entity). The threshold follows from it and from the rate of events.",
    )
    threshold: Probability | None = Field(
        None, description="Tail probability at or below which an event raises an incident. It replaces the promise."
    )
    quiet_events: int = Field(
        20,
        ge=1,
        le=10_000,
        description="Quiet events in a row that end an incident, each well away from the threshold.",
    )
    warmup: Positive = Field(1, description="Events of an entity before it may alert.")
    hits: int = Field(
        1, ge=1, le=60, description="Anomalous events that open an incident, among the last `within` of the entity."
    )
    within: int = Field(1, ge=1, le=60, description="Last events of the entity, among which `hits` must be anomalous.")
    fields: dict[str, FieldSettings] = Field(
        default_factory=dict,
        description="By field: direction and smallest effect. An event counts if one of the fields to blame fulfils both.",
    )
    group_within: Duration = Field(
        300_000,
        ge=0,
        description="Incidents that open within this time of each other are a group with a likely root; 0 turns groups off.",
    )
    importance: dict[str, Annotated[int, Field(ge=-3, le=3)]] = Field(
        default_factory=dict,
        description="Steps of severity by entity, with * and ? as in file names; the first that fits counts: {db-*: 1, test-*: -3}.",
    )
    rules: RuleList = Field(
        (), description="Expressions that no event may fulfil. A control message replaces them all."
    )
    maintenance: tuple[Maintenance, ...] = Field(
        (), description="Times in which nothing opens an incident. A control message replaces them all."
    )
    time_zone: TimeZone = Field(
        "UTC",
        description="Time zone of the stream, by its name in the IANA database, such as Europe/Berlin. Hours, weekdays and holidays are "
        "local time there, with daylight saving.",
    )
    calendar: Holidays = Field(
        (),
        description="Holidays, which are like Sundays: dates such as [2026-12-25], or the path of an .ics file, which is read when "
        "the job is submitted.",
    )

    @property
    def false_incidents(self) -> FalseIncidents:
        """The promise."""
        return false_incidents(self.promise)

    @model_validator(mode="after")
    def _possible(self) -> DecideSettings:
        if self.hits > self.within:
            raise ValueError(f"hits: {self.hits} anomalous events cannot be among the last {self.within} (within)")
        return self


class SilenceSettings(Section):
    """When an entity that sends nothing is reported. Time is Kafka's timestamp, not event time."""

    after: float = Field(
        3.0, ge=1, description="Times its longest usual gap after which an entity is silent, but not before `at_least`."
    )
    at_least: Duration = Field(300_000, ge=1_000, description="Shortest silence that is reported.")
    events: int = Field(50, ge=2, description="Events of an entity before its silence is reported.")


def _aggregate(value: str) -> str:
    if re.fullmatch(r"sum|mean|deviation|min|max|distinct|p\d{1,2}(\.\d+)?", value) is None:
        raise ValueError("an aggregate is sum, mean, deviation, min, max, distinct, or a quantile such as p95")
    return value


class EventWindow(Section):
    """Aggregates of each entity in windows of event time, scored like events. The number of events is always one of them.

    A window begins at a multiple of `every` since 1970, in UTC.
    """

    size: Duration = Field(ge=1_000)
    every: Duration = Field(
        default_factory=lambda earlier: earlier.get("size", 0),
        ge=1_000,
        description="Time from the begin of one window to the begin of the next; `size` unless given.",
    )
    aggregates: dict[str, tuple[Annotated[str, AfterValidator(_aggregate)], ...]] = Field(
        default_factory=dict,
        description="By field, one or more of: sum, mean, deviation, min, max, distinct, or a quantile such as p95.",
    )

    @model_validator(mode="after")
    def _whole(self) -> EventWindow:
        if self.size % self.every or self.size > MOST_OVERLAP * self.every:
            raise ValueError(
                f"size: {self.size} ms must be 1 to {MOST_OVERLAP} times every, which is {self.every} ms, without a remainder"
            )
        return self


class DriftSettings(Section):
    """When the data of a trained model have drifted so far that a retraining is requested."""

    every: int = Field(
        2_000,
        ge=100,
        le=10_000_000,
        description="Events of a span that is compared with the training data, in each partition.",
    )
    index: float = Field(
        0.25, gt=0, description="A field has moved in a span whose population stability index is at least this."
    )
    spans: int = Field(
        3,
        ge=2,
        le=1000,
        description="Spans in a row in which a field must have moved before a retraining is requested.",
    )
    entities: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the entities that must have moved; fewer are an incident and no drift.",
    )
    rest: int = Field(20, ge=1, description="Spans before the same request may be made again.")


class OutputSettings(Section):
    """What is written in addition to alerts."""

    scores: Literal["none", "sampled", "all"] = "none"
    sample: Probability = Field(
        0.01, description="Share of the events whose scores are written when `scores` is sampled."
    )


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
    silence: SilenceSettings | None = Field(None, description="Silent entities; null does not look for them.")
    windows: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], EventWindow] = Field(
        default_factory=dict, description="Aggregates in windows of event time, under a name that you choose."
    )
    drift: DriftSettings | None = Field(
        DriftSettings(), description="Drift of trained models; null does not look for it."
    )
    track: Annotated[int, Field(ge=LOOK_EVERY, multiple_of=LOOK_EVERY)] | None = Field(
        20_000,
        description="Events of a partition between two notices about the quality of detection, each with a probe; "
        "null turns both off.",
    )
    feedback: FeedbackSettings = FeedbackSettings()
    output: OutputSettings = OutputSettings()
