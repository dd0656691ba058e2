"""The messages of the control topic: thresholds, trials, rules, maintenance, weights, versions, and requests about entities."""

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
from streamgauge.udfs.settings.rules import RuleList


class Threshold(Section):
    """Replaces `decide.threshold` and `decide.promise`."""

    type: Literal["threshold"]
    value: Probability


class Trial(Section):
    """Tries two thresholds, each on a share of the entities. A message without thresholds ends the trial."""

    type: Literal["trial"]
    a: Probability | None = None
    b: Probability | None = None
    share: float = Field(0.5, gt=0, lt=1, description="Share of the entities that have threshold b.")
    since: datetime | None = Field(None, description="When the trial began: alerts count from then on.")

    @model_validator(mode="after")
    def _two(self) -> Trial:
        if (self.a is None) != (self.b is None):
            raise ValueError("a trial has two thresholds, a and b, or none, when it is over")
        return self

    def arms(self, entities: list[str]) -> list[str]:
        """Which of the two thresholds each entity has, ``a`` or ``b``. An entity always has the same one."""
        return ["b" if place_of(entity, "trial") < self.share else "a" for entity in entities]

    def thresholds(self, arms: list[str]) -> Floats:
        """The threshold of each of some arms, float64[n]."""
        return np.array([self.a if arm == "a" else self.b for arm in arms], dtype=np.float64)


class Rules(Section):
    """Replaces all rules."""

    type: Literal["rules"]
    rules: RuleList


class MaintenanceWindows(Section):
    """Replaces all maintenance windows."""

    type: Literal["maintenance"]
    windows: tuple[Maintenance, ...] = Field(max_length=1000)


class Weights(Section):
    """Replaces the weights of the ensemble's members. A member that is not named has the weight of the settings."""

    type: Literal["weights"]
    weights: dict[str, Annotated[float, Field(ge=0.01, le=100)]]


class DetectorVersion(Section):
    """Replaces the parameters of a running cohort detector, between two batches."""

    type: Literal["detector"]
    detector: Literal["half_space_trees", "river_half_space_trees"]
    version: str = Field(min_length=1)
    settings: HalfSpaceTreesSettings = HalfSpaceTreesSettings()


class ModelVersion(Section):
    """Loads a version of a trained model, or unloads the model if the version is null, between two batches."""

    type: Literal["model"]
    model: str = Field(min_length=1)
    role: Literal["live", "shadow"] = "live"
    version: int | None = Field(ge=1)
    share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the entities for which the shadow counts in place of the live model: a canary.",
    )

    @model_validator(mode="after")
    def _of_a_shadow(self) -> ModelVersion:
        if self.share and self.role != "shadow":
            raise ValueError(f"share: only a shadow has one, {self.role} counts for all entities")
        return self


class EntityAction(Section):
    """Asks what is known of an entity, or changes it, between two batches. The answer is written to the topic of notices.

    The actions are: show what is known; forget the entity, which then starts from the beginning; release it, so that the events of its open
    incident are learned again; rewind it to its state from before the last quarantine.
    """

    type: Literal["entity"]
    entity: str = Field(min_length=1)
    action: Literal["show", "forget", "release", "rewind"]
    id: str = Field(min_length=1, description="Identity of the request; the answer repeats it.")


ControlMessage = (
    Threshold | Trial | Rules | MaintenanceWindows | Weights | DetectorVersion | ModelVersion | EntityAction
)
MESSAGES: TypeAdapter[ControlMessage] = TypeAdapter(Annotated[ControlMessage, Field(discriminator="type")])


def key_of(message: ControlMessage) -> str:
    """The key of a message's record. A later message with the same key replaces it, also when Kafka compacts the topic."""
    match message:
        case DetectorVersion():
            return f"detector {message.detector}"
        case ModelVersion():
            return f"model {message.model} {message.role}"
        case EntityAction():
            return f"entity {message.id}"
    return message.type


def check(message: ControlMessage, settings: PipelineSettings) -> None:
    """Check that the settings have the detectors and models that a message names.

    Parameters
    ----------
    message : ControlMessage
    settings : PipelineSettings

    Raises
    ------
    SettingsError
        They do not; it says which one is not used, and which ones are.
    """
    detectors = [name for name, section in settings.detectors if section is not None]
    match message:
        case Weights():
            known, named = [*detectors, *settings.models.use], sorted(message.weights)
        case ModelVersion():
            known, named = list(settings.models.use), [message.model]
        case _:
            return
    for name in named:
        if name not in known:
            raise SettingsError(
                f"control message: {message.type}: {name!r} is not used by this job; used are: {', '.join(known) or 'none'}"
            )


def parse(text: str | bytes) -> ControlMessage:
    """Read a message of the control topic.

    Raises
    ------
    SettingsError
        The text is no such message; it says which key holds which value, and what is allowed.
    """
    return parsed(MESSAGES, text, "control message")
