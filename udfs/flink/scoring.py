"""What travels with the job graph to the operator. Imports no numerical library: it is unpickled on Flink's own thread."""

from __future__ import annotations

from dataclasses import dataclass

HEARTBEAT = -1  # place that says only that time goes on
PLACES = 65_536  # a record's place is offset * PLACES + partition: one array less to cross with


@dataclass(frozen=True)
class Scoring:
    """What the operator needs to know.

    Attributes
    ----------
    settings_json : str
        `PipelineSettings` as JSON.
    shards : int
        Number of shards, fixed for the life of the state.
    topic, feedback_topic, job : str
        Named in alerts and dead letters; messages of other topics than that of feedback are control messages.
    per_partition : bool
        See `ScoringPipeline`.
    """

    settings_json: str
    shards: int
    topic: str
    feedback_topic: str
    job: str
    per_partition: bool
