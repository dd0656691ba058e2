"""Settings of what happens to a batch. Frozen; unknown keys are refused."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

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


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    ignore: tuple[str, ...] = Field((), description="Fields never to look at.")
    max_fields: int = Field(1024, ge=1, le=4096, description="Numeric fields looked at; further ones are ignored.")
    max_bytes: int = Field(1_000_000, ge=100, description="Largest payload.")
    max_past: Duration = Field(30_672_000_000, description="Event time may be this far before Kafka's timestamp.")
    max_future: Duration = Field(86_400_000, description="Event time may be this far after Kafka's timestamp.")
    late_after: Duration = Field(86_400_000, description="Older than the entity's newest by more than this is late.")


class EntitySettings(Section):
    """What is kept for each entity."""

    forget_after: Duration = Field(30 * 86_400_000, description="An entity unseen for so long starts anew.")


class FeaturizeSettings(Section):
    """Robust normalisation per entity, the input of cohort models."""

    half_life: float = Field(500.0, ge=1, description="Events after which a value counts half in centre and scale.")
    short: float = Field(5.0, ge=1, description="Events that the short rolling mean spans.")
    warmup: Positive = Field(20, description="Values of an entity needed before its features are used.")


class RollingZScoreSettings(Section):
    """Rolling z-score, per entity and field."""

    weight: float = Field(1.0, gt=0)
    memory: Literal["exponential", "window"] = "exponential"
    half_life: float = Field(200.0, ge=1)
    window: int = Field(50, ge=2, le=10_000)
    warmup: Positive = 20


class HalfSpaceTreesSettings(Section):
    """Half-space trees over the cohort's normalised features."""

    weight: float = Field(1.0, gt=0)
    n_trees: int = Field(10, ge=1, le=1000)
    height: int = Field(8, ge=1, le=20)
    window_size: int = Field(1000, ge=10, le=100_000)
    seed: int = 42


class DetectorSettings(Section):
    """Which detectors run; leave one out, or set it to null, to do without it."""

    rolling_z_score: RollingZScoreSettings | None = RollingZScoreSettings()
    half_space_trees: HalfSpaceTreesSettings | None = HalfSpaceTreesSettings()
    river_half_space_trees: HalfSpaceTreesSettings | None = Field(None, description="River's own: slow, the reference.")


class CalibrationSettings(Section):
    """How scores become tail probabilities."""

    memory: int = Field(6000, ge=100, description="Scores that count.")
    warmup: int = Field(100, ge=20, description="Scores needed before anything can alert.")


class DecideSettings(Section):
    """When an incident opens and ends."""

    threshold: Probability = Field(1e-4, description="Tail probability at or below which an event raises an incident.")
    quiet_events: int = Field(
        20, ge=1, le=10_000, description="Events in a row that end it, each far from the threshold."
    )
    warmup: Positive = Field(30, description="Events of an entity before it may alert.")


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
    calibration: CalibrationSettings = CalibrationSettings()
    decide: DecideSettings = DecideSettings()
    output: OutputSettings = OutputSettings()
