"""What the control topic says while the job runs: thresholds, rules, versions of detectors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, TypeAdapter, model_validator
from streamgauge.models.contract import Floats
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.shares import place_of
from streamgauge.udfs.settings.base import Probability, Section, parsed
from streamgauge.udfs.settings.detectors import HalfSpaceTreesSettings
from streamgauge.udfs.settings.pipeline import Maintenance, PipelineSettings
from streamgauge.udfs.settings.rules import Rule


class Threshold(Section):
    """Replaces `decide.threshold`."""

    type: Literal["threshold"]
    value: Probability


class Trial(Section):
    """Tries two thresholds, each on its share of the entities; without thresholds, a trial is over."""

    type: Literal["trial"]
    a: Probability | None = None
    b: Probability | None = None
    share: float = Field(0.5, gt=0, lt=1, description="Of the entities, for b.")
    since: datetime | None = Field(None, description="When it began: alerts count from then on.")

    @model_validator(mode="after")
    def _two(self) -> Trial:
        if (self.a is None) != (self.b is None):
            raise ValueError("a trial has two thresholds, a and b, or none, when it is over")
        return self

    def arms(self, entities: list[str]) -> list[str]:
        """Which of the two each entity has: always the same one."""
        return ["b" if place_of(entity, "trial") < self.share else "a" for entity in entities]

    def thresholds(self, arms: list[str]) -> Floats:
        """Threshold of each arm, float64[n]."""
        return np.array([self.a if arm == "a" else self.b for arm in arms], dtype=np.float64)


class Rules(Section):
    """Replaces all rules."""

    type: Literal["rules"]
    rules: tuple[Rule, ...]


class MaintenanceWindows(Section):
    """Replaces all maintenance windows."""

    type: Literal["maintenance"]
    windows: tuple[Maintenance, ...]


class Weights(Section):
    """Replaces the weights of the ensemble's members; those not named have their settings' own."""

    type: Literal["weights"]
    weights: dict[str, Annotated[float, Field(ge=0.01, le=100)]]


class DetectorVersion(Section):
    """Replaces the parameters of a running cohort detector, at a batch boundary."""

    type: Literal["detector"]
    detector: Literal["half_space_trees", "river_half_space_trees"]
    version: str = Field(min_length=1)
    settings: HalfSpaceTreesSettings = HalfSpaceTreesSettings()


class ModelVersion(Section):
    """Puts a version of a trained model to work, or takes it off (null), at a batch boundary."""

    type: Literal["model"]
    model: str = Field(min_length=1)
    role: Literal["live", "shadow"] = "live"
    version: int | None = Field(ge=1)
    share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Of the entities, for which a shadow is heard in the place of the one at work: a canary.",
    )

    @model_validator(mode="after")
    def _of_a_shadow(self) -> ModelVersion:
        if self.share and self.role != "shadow":
            raise ValueError(f"share: only a shadow has one, {self.role} is heard for all entities")
        return self


class EntityAction(Section):
    """Asks what is known of an entity, or changes it, at a batch boundary; the answer is on the topic of notices.

    show: what is known. forget: begin anew. release: learn again from an incident that goes on. rewind: go back to before what was
    held back from learning.
    """

    type: Literal["entity"]
    entity: str = Field(min_length=1)
    action: Literal["show", "forget", "release", "rewind"]
    id: str = Field(min_length=1, description="Of the request; it is in the answer.")


ControlMessage = (
    Threshold | Trial | Rules | MaintenanceWindows | Weights | DetectorVersion | ModelVersion | EntityAction
)
MESSAGES: TypeAdapter[ControlMessage] = TypeAdapter(Annotated[ControlMessage, Field(discriminator="type")])


def key_of(message: ControlMessage) -> str:
    """What a message replaces: a later one with the same key stands for it. The key of its record, in a compacted topic."""
    match message:
        case DetectorVersion():
            return f"detector {message.detector}"
        case ModelVersion():
            return f"model {message.model} {message.role}"
        case EntityAction():
            return f"entity {message.id}"
    return message.type


def check(message: ControlMessage, settings: PipelineSettings) -> None:
    """SettingsError if a message names a detector or model that these settings do not have."""
    detectors = [name for name, section in settings.detectors if section is not None]
    match message:
        case Weights():
            known, asked = [*detectors, *settings.models.use], sorted(message.weights)
        case ModelVersion():
            known, asked = list(settings.models.use), [message.model]
        case _:
            return
    for name in asked:
        if name not in known:
            raise SettingsError(
                f"control message: {message.type}: {name!r} is not used by this job; used are: {', '.join(known) or 'none'}"
            )


def parse(text: str | bytes) -> ControlMessage:
    """One message of the control topic.

    Raises
    ------
    SettingsError
        It is none; says which key holds which value and what is allowed.
    """
    return parsed(MESSAGES, text, "control message")
