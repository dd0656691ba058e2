"""The work of the scoring thread: arrays and bytes in, a result out. This module is imported on that thread only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.flink.scoring import PARTITIONS, PLACES, Scoring
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.task import Answer, Job, SavedStateWanted, State, Task
from streamgauge.udfs.pipeline.warm_up import warm_up
from streamgauge.udfs.settings.pipeline import PipelineSettings

Done = tuple[BatchResult, dict[str, float]]


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

    def score(self, shard: int, value: Any, saved: State | None) -> Done | None:
        """Score a batch, given as parallel arrays (see `ScoreBatch.process_element`); None if the saved state is needed."""
        places, stamps = (np.asarray(column, dtype=np.int64) for column in value[1:3])
        partitions, topics = places % PLACES, None
        if self._topics.pattern:
            topics = [bytes(name).decode() for name in value[-1]]
        elif self._topics.several:
            topics = [self._topics.names[k] for k in (partitions // PARTITIONS).tolist()]
            partitions %= PARTITIONS
        raw = RawBatch(value[0], partitions, places // PLACES, stamps, value[3] if self._has_keys else None, topics)
        try:
            return self._task.process(shard, raw, saved), self._task.levels()
        except SavedStateWanted:
            return None

    def tick(self, shard: int, _: Any, saved: State | None) -> Done | None:
        """Let time pass for a shard; None if the saved state is needed."""
        try:
            return self._task.tick(shard, saved), {}
        except SavedStateWanted:
            return None
