"""Settings of what happens to a batch. Frozen; unknown keys are refused."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator
from streamgauge.udfs.rules import Rule
from streamgauge.udfs.section import Section

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def _milliseconds(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a number and a unit: 10 ms, 5 s, 2 m, 1 h or 30 d")
    return round(float(match[1]) * _UNITS[match[2]])


Duration = Annotated[
    int,
    BeforeValidator(_milliseconds),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$"}),
]
Positive = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Kind = Literal["series", "fields", "records"]


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
    ignore: tuple[str, ...] = Field((), description="Fields never to look at.")
    max_fields: int = Field(1024, ge=1, le=4096, description="Numeric fields looked at; further ones are ignored.")
    max_bytes: int = Field(1_000_000, ge=100, description="Largest payload.")
    max_past: Duration = Field(30_672_000_000, description="Event time may be this far before Kafka's timestamp.")
    max_future: Duration = Field(86_400_000, description="Event time may be this far after Kafka's timestamp.")
    late_after: Duration = Field(86_400_000, description="Older than the entity's newest by more than this is late.")


class EntitySettings(Section):
    """What is kept for each entity."""

    forget_after: Duration = Field(30 * 86_400_000, description="An entity unseen for so long starts anew.")
    most: int = Field(
        2_000_000,
        ge=1000,
        description="Entities known in each log; beyond, those that were away for longest begin anew, from what their cohort is like.",
    )
    rich_memory: float = Field(
        256, ge=0, le=1_000_000, description="MB for entities of the rich tier, in each log; the others are light."
    )


class FeaturizeSettings(Section):
    """Robust normalisation per entity, the input of cohort models."""

    half_life: float = Field(20_000.0, ge=1, description="Events after which a value counts half in centre and scale.")
    short: float = Field(5.0, ge=1, description="Events that the short rolling mean spans.")
    warmup: Positive = Field(20, description="Values of an entity needed before its features are used.")


class DetectorSection(Section):
    """What every detector has: its weight, and the kinds of streams it runs on."""

    weight: float = Field(1.0, gt=0, description="In the ensemble.")
    streams: tuple[Kind, ...] = Field(
        ("series", "fields", "records"), description="Kinds of streams it runs on.", min_length=1
    )


class RollingZScoreSettings(DetectorSection):
    """Rolling z-score, per entity and field."""

    memory: Literal["exponential", "window"] = "exponential"
    half_life: float = Field(200.0, ge=1)
    window: int = Field(50, ge=2, le=10_000)
    warmup: Positive = 20


class ValueNoveltySettings(DetectorSection):
    """One-shot value novelty with seasonal profiles, per entity and field; rich tier."""

    centroids: int = Field(64, ge=8, le=1024)
    refractory: float = Field(
        0.1, ge=0, le=1, description="Share of the past in which a higher novelty silences a lower one."
    )
    warmup: Positive = 20


class HalfSpaceTreesSettings(DetectorSection):
    """Half-space trees over the cohort's normalised features."""

    n_trees: int = Field(10, ge=1, le=1000)
    height: int = Field(8, ge=1, le=20)
    window_size: int = Field(1000, ge=10, le=100_000)
    seed: int = 42


class LinearResidualsSettings(DetectorSection):
    """Mahalanobis distance, vector autoregression, conditional residual: one running covariance for the cohort."""

    ridge: float = Field(0.1, gt=0)
    gain: float = Field(1e-4, gt=0, lt=1, description="Least weight of a new event.")
    warmup: int = Field(128, ge=64)


class LodaSettings(DetectorSection):
    """Histograms of random projections, for the cohort."""

    projections: int = Field(50, ge=2, le=1000)
    memory: int = Field(20_000, ge=100)
    warmup: int = Field(128, ge=10)
    seed: int = 42


class HistogramDensitySettings(DetectorSection):
    """A histogram of each field, for the cohort."""

    memory: int = Field(20_000, ge=100)
    warmup: int = Field(128, ge=10)


class ExtremeValueSettings(DetectorSection):
    """One field farther off than it ever is, for the cohort; heard beside the ensemble, for incidents only."""

    memory: int = Field(20_000, ge=100)
    warmup: int = Field(128, ge=10)


class OnlineIsolationForestSettings(DetectorSection):
    """Isolation trees over a sample of the stream, for the cohort."""

    n_trees: int = Field(32, ge=1, le=1000)
    part: int = Field(128, ge=8, le=4096)
    reservoir: int = Field(1024, ge=16, le=100_000)
    renew: int = Field(64, ge=1)
    memory: int = Field(50_000, ge=100)
    seed: int = 42


class EmpiricalTailSettings(DetectorSection):
    """Empirical tails of each field, for the cohort."""

    memory: int = Field(20_000, ge=100)
    warmup: int = Field(128, ge=10)


class WindowSettings(DetectorSection):
    """Modified z-score, Grubbs: over the last values of each entity and field."""

    window: int = Field(50, ge=5, le=10_000)
    warmup: Positive = 20


class InterquartileRangeSettings(WindowSettings):
    """Interquartile range, over the last values of each entity and field."""

    low: float = Field(0.25, gt=0, lt=0.5)
    high: float = Field(0.75, gt=0.5, lt=1)


class DixonQSettings(DetectorSection):
    """Dixon's Q, over the last values of each entity and field."""

    window: int = Field(20, ge=2, le=29)
    warmup: Positive = 10


class FlatLineSettings(DetectorSection):
    """Runs of equal values, per entity and field."""

    usual: Positive = Field(5, description="A run is never compared with a shorter one.")
    warmup: Positive = 20


class TwoSpansSettings(DetectorSection):
    """Level shift, spread change: a short past against a long one, per entity and field."""

    short: float = Field(20.0, ge=2)
    long: float = Field(400.0, ge=10)
    warmup: Positive = 60


class ForecastResidualSettings(DetectorSection):
    """Autoregression learned as it goes, per entity and field; rich tier."""

    lags: int = Field(4, ge=1, le=32)
    forget: float = Field(0.998, gt=0.9, lt=1)
    warmup: Positive = 50


class SeasonalProfileSettings(DetectorSection):
    """Hour of the week, per entity and field; rich tier."""

    memory: float = Field(50.0, ge=1)
    visits: Positive = 8
    warmup: Positive = 50


class CusumSettings(DetectorSection):
    """Runs of small deviations, per entity and field; rich tier."""

    allowance: float = Field(0.35, gt=0, description="Deviations that are no news.")
    settle: int = Field(200, ge=10, description="Values after which a shift is the new level.")
    memory: int = Field(5000, ge=100)
    warmup: Positive = 100


class SlowDriftSettings(DetectorSection):
    """A slow mean against the whole past, per entity and field; rich tier."""

    span: int = Field(300, ge=5)
    memory: int = Field(10_000, ge=100)
    warmup: Positive = 1200


class PeerDeviationSettings(DetectorSection):
    """Entities against their peers, per field; rich tier."""

    short: float = Field(5.0, ge=1)
    memory: int = Field(2000, ge=100)
    warmup: Positive = 100


class ShapeDictionarySettings(DetectorSection):
    """Shapes of the last values, per entity and field; rich tier."""

    samples: int = Field(32, ge=4, le=1024)
    shapes: int = Field(64, ge=2, le=4096)
    near: float = Field(0.1, ge=0)
    stride: Positive = 4
    warmup: Positive = 100


class OnlineGaussianMixtureSettings(DetectorSection):
    """A few bells, for the cohort."""

    components: int = Field(4, ge=1, le=64)
    gain: float = Field(0.002, gt=0, lt=1)
    warmup: int = Field(128, ge=10)


class FirstSeenCategorySettings(DetectorSection):
    """New values of text fields, for each entity."""

    bits: int = Field(
        1 << 20, ge=1 << 10, le=1 << 30, description="A power of two; a million holds 170,000 categories."
    )
    memory: int = Field(10_000, ge=100)
    warmup: int = Field(50, ge=10)

    @field_validator("bits")
    @classmethod
    def _power_of_two(cls, bits: int) -> int:
        if bits & (bits - 1):
            raise ValueError("must be a power of two, as 1048576")
        return bits


class DetectorSettings(Section):
    """Which detectors run; leave one out, or set it to null, to do without it.

    By default, each kind of stream has its own: one series, many fields in order, records without order.
    """

    rolling_z_score: RollingZScoreSettings | None = RollingZScoreSettings(streams=("series",))
    value_novelty: ValueNoveltySettings | None = ValueNoveltySettings(streams=("series",))
    half_space_trees: HalfSpaceTreesSettings | None = HalfSpaceTreesSettings(streams=("series",))
    river_half_space_trees: HalfSpaceTreesSettings | None = Field(None, description="River's own: slow, the reference.")
    histogram_density: HistogramDensitySettings | None = HistogramDensitySettings(
        weight=2.0, streams=("fields", "records")
    )
    loda: LodaSettings | None = LodaSettings(streams=("fields", "records"))
    online_isolation_forest: OnlineIsolationForestSettings | None = OnlineIsolationForestSettings(
        streams=("fields", "records")
    )
    extreme_value: ExtremeValueSettings | None = ExtremeValueSettings(streams=("fields", "records"))
    empirical_tail: EmpiricalTailSettings | None = None
    online_gaussian_mixture: OnlineGaussianMixtureSettings | None = None
    mahalanobis: LinearResidualsSettings | None = None
    vector_autoregression: LinearResidualsSettings | None = None
    conditional_residual: LinearResidualsSettings | None = None
    modified_z_score: WindowSettings | None = None
    interquartile_range: InterquartileRangeSettings | None = None
    grubbs: WindowSettings | None = None
    dixon_q: DixonQSettings | None = None
    flat_line: FlatLineSettings | None = FlatLineSettings(streams=("fields",))
    level_shift: TwoSpansSettings | None = None
    spread_change: TwoSpansSettings | None = None
    forecast_residual: ForecastResidualSettings | None = None
    seasonal_profile: SeasonalProfileSettings | None = SeasonalProfileSettings(streams=("fields",))
    cusum: CusumSettings | None = CusumSettings(streams=("fields",))
    slow_drift: SlowDriftSettings | None = SlowDriftSettings(streams=("fields",))
    peer_deviation: PeerDeviationSettings | None = PeerDeviationSettings(streams=("fields",))
    shape_dictionary: ShapeDictionarySettings | None = None
    first_seen_category: FirstSeenCategorySettings | None = None


class ModelUse(Section):
    """How one trained model of the registry is used."""

    alias: str = Field("live", min_length=1, description="Alias, or number, of the version to start with.")
    shadow: str | None = Field(
        None, description="Alias, or number, of a version that is scored beside it but never alerts."
    )
    variant: Literal["full", "int8", "student"] = "full"
    weight: float = Field(1.0, gt=0, description="In the ensemble.")
    streams: tuple[Kind, ...] = Field(("series", "fields", "records"), min_length=1)


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
        None, gt=0, description="Alerts a day in each log; the threshold then follows what is achieved."
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
    output: OutputSettings = OutputSettings()
