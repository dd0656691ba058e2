"""How to reach Kafka, and the names of the job's topics.

These settings have a module of their own, because Flink's own thread imports them together with the job's operator. That thread must not
import numerical libraries (docs/adr/002).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator
from streamgauge.udfs.settings.base import Hidden, Section


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
        description="Changes of the schema, groups of incidents, answers, quality, steps of models.",
    )
    feedback: str = Field("feedback", min_length=1, description="Feedback: what people say of alerts.")
    retrain_requests: str = Field("retrain-requests", min_length=1, description="Models whose data have drifted.")

    @model_validator(mode="after")
    def _possible(self) -> TopicSettings:
        for key, name in self.model_dump().items():
            if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) or name in (".", ".."):
                raise ValueError(
                    f"{key}: {name!r} is no name of one topic: letters, digits, dots, dashes and underscores, at most 249"
                )
        return self

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
