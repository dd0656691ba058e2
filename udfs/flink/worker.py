"""The work of the scoring thread: arrays and bytes in, a result out. This module is imported on that thread only."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.flink.batch_format import Batch, read_batch
from streamgauge.udfs.flink.scoring import PARTITIONS, POSITIONS, Scoring
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.task import Answer, Job, SavedStateWanted, State, Task
from streamgauge.udfs.pipeline.warm_up import warm_up
from streamgauge.udfs.settings.pipeline import PipelineSettings

Done = tuple[BatchResult, dict[str, float], int | None]


class Worker:
    """Runs the task of an operator.

    Parameters
    ----------
    scoring : Scoring
    """

    def __init__(self, scoring: Scoring) -> None:
        settings = PipelineSettings.model_validate_json(scoring.settings_json)
        job = Job(settings, scoring.topics, scoring.feedback_topic, scoring.job, scoring.per_partition)
        self._task = Task(job)
        self._has_keys, self._topics = settings.event.needs_keys, scoring.topics
        warm_up(settings, self._task.models)

    @property
    def versions(self) -> dict[str, str]:
        """Version of each trained model in use."""
        return self._task.models.versions

    def has(self, shard: int) -> bool:
        """Whether a shard is in memory; if not, its saved state is needed."""
        return self._task.has(shard)

    def hear_all(self, messages: Iterable[tuple[str, int, str]]) -> None:
        """Put all messages so far in force: topic, offset and text of each."""
        for topic, offset, text in messages:
            self._task.hear(topic, offset, text)

    def recall(self, alerts: Iterable[bytes]) -> None:
        """Take the alerts on the topic, before the first batch; see `Task.recall`."""
        self._task.recall(alerts)

    def hear(self, topic: str, offset: int, text: str | None) -> Answer:
        """Put a message in force."""
        return self._task.hear(topic, offset, text)

    def score(self, shard: int, data: bytes, saved: State | None) -> Done | None:
        """Score the records of a batch, or let time pass if there are none.

        Returns
        -------
        BatchResult, dict of str to float, int
            Results, levels for metrics, and the middle one of Kafka's timestamps: a producer with a wrong clock must not hide how late the
            others are. After a heartbeat there are no levels and no timestamp.
            None if the saved state is needed.
        """
        batch = read_batch(data, 1 + self._has_keys + bool(self._topics.pattern))
        try:
            if not len(batch.positions):
                return self._task.tick(shard, saved), {}, None
            result = self._task.process(shard, self._raw(batch), saved)
        except SavedStateWanted:
            return None
        levels = self._task.levels() | {"batch_events": len(batch.positions)}
        middle = (len(batch.stamps) - 1) // 2
        return result, levels, int(np.partition(batch.stamps, middle)[middle])

    def _raw(self, batch: Batch) -> RawBatch:
        partitions, topics = batch.positions % POSITIONS, None
        if self._topics.pattern:
            topics = [(name or b"").decode() for name in batch.columns[-1]]
        elif self._topics.several:
            topics = [self._topics.names[k] for k in (partitions // PARTITIONS).tolist()]
            partitions %= PARTITIONS
        keys = batch.columns[1] if self._has_keys else None
        return RawBatch(batch.columns[0], partitions, batch.positions // POSITIONS, batch.stamps, keys, topics)
