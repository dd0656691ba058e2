"""Spark's operator: it scores the records of one Kafka partition in a micro-batch, with the state of that partition.

This module is imported in Spark's Python processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from pyspark.sql.streaming import StatefulProcessor, StatefulProcessorHandle
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.task import Job, Task
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

INPUT = ("partition", "offset", "unix_millis(timestamp) AS stamp", "key", "value AS payload")
OUTPUT = "topic string, key string, value binary"
SHARD = 0  # a task has one shard here, with one partition


class ScorePartition(StatefulProcessor):  # type: ignore[misc]
    """Scores the records of one Kafka partition; the partition is Spark's key.

    The state is that of the Flink job: a map of parts, each with a name and bytes. Only parts that change are written.

    Parameters
    ----------
    settings_json : str
        `PipelineSettings` as JSON.
    topics : dict of str to str
        Names of all topics, by their keys in the settings.
    job : str
        Named in alerts.
    """

    def __init__(self, settings_json: str, topics: dict[str, str], job: str) -> None:
        self._settings_json, self._topics, self._name = settings_json, topics, job

    def init(self, handle: StatefulProcessorHandle) -> None:
        """Ask Spark for the state."""
        self._parts = handle.getMapState("parts", "name string", "part binary")
        settings = PipelineSettings.model_validate_json(self._settings_json)
        events = EventTopics((self._topics["events"],))
        self._has_keys = settings.event.needs_keys
        self._job = Job(settings, events, self._topics["feedback"], self._name, per_partition=True)

    def handleInputRows(  # noqa: N802  the name is Spark's
        self, key: Any, rows: Iterator[pd.DataFrame], timerValues: Any
    ) -> Iterator[pd.DataFrame]:
        """Score all records of the partition in this micro-batch, and save its state.

        The shard is restored each time: Spark may run the next micro-batch in another process, and a process that failed knows more than
        the state store.
        """
        result = Task(self._job).process(SHARD, _raw_batch(rows, self._has_keys), self._saved())
        for name in result.deletes:
            self._parts.removeKey((name,))
        for name, part in result.writes.items():
            self._parts.updateValue((name,), (part,))
        yield self._messages(result)

    def _saved(self) -> dict[str, bytes]:
        return {name: bytes(part) for (name,), (part,) in self._parts.iterator()}

    def _messages(self, result: BatchResult) -> pd.DataFrame:
        """All records to write: topic, key, value."""
        by_topic = {
            "alerts": result.alerts,
            "scores": result.scores,
            "dead_letters": result.dead_letters,
            "late": result.late,
            "notices": result.notices,
            "retrain_requests": result.requests,
        }
        rows = [(self._topics[topic], key, text) for topic, records in by_topic.items() for key, text in records]
        return pd.DataFrame(rows, columns=["topic", "key", "value"], dtype=object)

    def close(self) -> None:
        """Nothing is open."""


def _raw_batch(rows: Iterator[pd.DataFrame], has_keys: bool) -> RawBatch:
    """The records as a batch, in the order of their offsets. Spark's shuffle keeps no order."""
    records = pd.concat(rows).sort_values("offset")
    partitions, offsets, stamps = (records[name].to_numpy("int64") for name in ("partition", "offset", "stamp"))
    keys = records["key"].tolist() if has_keys else None
    return RawBatch(records["payload"].tolist(), partitions, offsets, stamps, keys)
