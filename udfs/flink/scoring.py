"""What the operator receives with the job graph. It is unpickled on Flink's own thread, so this module imports no numerical library."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.udfs.settings.topics import MOST_NAMES, EventTopics

# A record's position is offset * POSITIONS + partition, so that Flink passes one array instead of two.
POSITIONS = 65_536
# With several names, the partition is that of the k-th topic plus k * PARTITIONS. So the first topic has the same positions as if it were
# the only one.
PARTITIONS = POSITIONS // MOST_NAMES


@dataclass(frozen=True)
class Scoring:
    """What the operator needs to know.

    Attributes
    ----------
    settings_json : str
        `PipelineSettings` as JSON.
    shards : int
        Number of shards; it stays the same for the life of the state.
    topics : EventTopics
    feedback_topic, job : str
        Named in alerts and dead letters. Messages on `feedback_topic` are feedback, all others are control messages.
    per_partition : bool
        See `Shard`.
    """

    settings_json: str
    shards: int
    topics: EventTopics
    feedback_topic: str
    job: str
    per_partition: bool
