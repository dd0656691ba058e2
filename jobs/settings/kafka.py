"""How to reach Kafka, and the names of the job's topics.

These settings have a module of their own, because Flink's own thread imports them together with the job's operator. That thread must not
import numerical libraries (docs/adr/002).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from streamgauge.udfs.settings.base import Hidden, Section

Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class TopicSettings(Section):
    """Names of the Kafka topics."""

    events: Topic = Field("events")
    alerts: Topic = Field("alerts")
    dead_letters: Topic = Field("dead-letters")
    late: Topic = Field("late")
    scores: Topic = Field("scores")
    control: Topic = Field("control")
    notices: Topic = Field(
        "notices",
        description="Changes of the schema, groups of incidents, answers, quality, steps of models.",
    )
    feedback: Topic = Field("feedback", description="Feedback: what people say of alerts.")
    retrain_requests: Topic = Field("retrain-requests", description="Models whose data have drifted.")

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
    properties: Annotated[dict[str, str], Hidden] = Field(
        default_factory=dict, repr=False, description="Further Kafka client properties (security and the like)."
    )
