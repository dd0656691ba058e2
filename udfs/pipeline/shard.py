"""All partitions of a shard. Flink-free: the same object works in the job, in the backtest and in the tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.control.messages import (
    ControlMessage,
    DetectorVersion,
    EntityAction,
    ModelVersion,
    Weights,
    check,
)
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.monitoring.performance import PerformanceWatch
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.partition import Partition
from streamgauge.udfs.pipeline.stages import Stages
from streamgauge.udfs.scoring.detectors import Detectors
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings


class ScoringPipeline:
    """All partitions of a shard.

    Parameters
    ----------
    settings : PipelineSettings
    topic, job : str
        Named in alerts.
    per_partition : bool
        Whether the state is kept for each Kafka partition, or for the shard as a whole.
    saves : bool
        Whether results say what changed in the state.
    models : Models, optional
        Shared with other shards; loaded unless given.

    Attributes
    ----------
    in_force : InForce
    partitions : dict of int to Partition
        By number; -1 is the shard as a whole.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        topic: str = "events",
        job: str = "streamgauge",
        per_partition: bool = True,
        saves: bool = True,
        models: Models | None = None,
    ) -> None:
        self.settings = settings
        self.models = Models(settings.models) if models is None else models
        self.topic, self.job, self.per_partition, self.saves = topic, job, per_partition, saves
        self.in_force = InForce(settings.decide)
        self.partitions: dict[int, Partition] = {}
        self.performance = [PerformanceWatch(name) for name in settings.models.use if settings.drift is not None]

    @property
    def member_names(self) -> list[str]:
        """Members of the ensemble, shadows included, in the order of their opinions."""
        return [*Detectors(self.settings.detectors).names, *self.models.names]

    def process(self, raw: RawBatch) -> BatchResult:
        """Score a batch and learn from it.

        Parameters
        ----------
        raw : RawBatch
            Records in arrival order; those of one partition in the order of their offsets.

        Returns
        -------
        BatchResult
            Every record is scored, a dead letter, or late.
        """
        result = BatchResult()
        if not self.per_partition:
            self._partition(-1).process(raw, result)
            return result
        numbers = np.unique(raw.partitions).tolist()
        for number in numbers:
            if len(numbers) == 1:
                self._partition(number).process(raw, result)
                continue
            rows = np.flatnonzero(raw.partitions == number)
            before = len(result.rows)
            self._partition(number).process(raw.take(rows), result)
            result.rows[before:] = [rows[part] for part in result.rows[before:]]
        return result

    def tick(self, elapsed: dict[int, int]) -> BatchResult:
        """Nothing came on some partitions for so many milliseconds: report silent entities, and end windows."""
        result = BatchResult()
        for number, milliseconds in elapsed.items():
            if number in self.partitions:
                self.partitions[number].tick(milliseconds, result)
        return result

    # ---- what people and programs say ---------------------------------------------------------------------------------

    def apply(self, message: ControlMessage) -> None:
        """Put a control message in force, from the next batch on.

        Raises
        ------
        ModelError, SettingsError
            It names what is not there, or a model that cannot be used; what was in force before stays.
        """
        check(message, self.settings)
        if isinstance(message, ModelVersion):
            self.models.take(message)
        self.in_force.apply(message)
        for stages in self._all:
            if isinstance(message, Weights):
                stages.scorer.take_weights()
            elif isinstance(message, DetectorVersion):
                stages.scorer.swap(message)

    def act(self, message: EntityAction, offset: int) -> BatchResult:
        """Do what is asked with an entity, in each partition that knows it and has not done so.

        Parameters
        ----------
        message : EntityAction
        offset : int
            Of the message, on the control topic.
        """
        result = BatchResult()
        for stages in self._all:
            stages.act(message, offset, result)
        return result

    def hear(self, message: Feedback, offset: int) -> BatchResult:
        """Take up what somebody says of an alert.

        The entity of a false alert is learned from again, once, where its events are quarantined. When a model has become worse by
        what people say, the partition that knows the entity asks for a retraining.

        Parameters
        ----------
        message : Feedback
        offset : int
            Of the message, on the feedback topic.
        """
        result = BatchResult()
        news = self.in_force.feedback.take(message)
        worse = [(watch.model, found) for watch in self.performance if (found := watch.take(message))]
        for stages in self._all:
            if news:
                stages.scorer.take_weights()
            if not stages.hear(message, offset) or stages.window or not stages.entities.rows_of(message.entity):
                continue
            for model, (evidence, source) in worse:
                request = stages.monitor.ask(model, evidence, source, offset, stages.entities.store.clock)
                if request is not None:
                    result.requests.append(request)
                    result.count("retrain_requests")
        return result

    # ---- state --------------------------------------------------------------------------------------------------------

    def restore(self, saved: Iterable[tuple[str, bytes]]) -> None:
        """Become what an earlier run saved: all pairs of key and value that its results wrote and did not delete."""
        by_partition: dict[int, dict[str, bytes]] = {}
        for key, value in saved:
            first, _, rest = key.partition("/")
            by_partition.setdefault(int(first), {})[rest] = value
        for number, values in by_partition.items():
            self._partition(number).restore(values)

    @property
    def entities(self) -> dict[str, int]:
        """Entities known, how many of them are rich, and how many were past their warm-up at the last report of quality."""
        of = [partition.stages for partition in self.partitions.values()]
        return {
            "entities": sum(len(stages.entities.store) for stages in of),
            "rich_entities": sum(len(stages.entities.rich) for stages in of),
            "warm_entities": sum(stages.quality.warm for stages in of if stages.quality),
        }

    @property
    def budgets(self) -> tuple[float, float] | None:
        """Alerts a day that are wanted, and those achieved, over all partitions; None without a budget."""
        budgets = [partition.stages.budget for partition in self.partitions.values() if partition.stages.budget]
        return (sum(b.target for b in budgets), sum(b.achieved for b in budgets)) if budgets else None

    def canonical(self) -> dict[int, bytes]:
        """`Partition.canonical` of each partition."""
        return {number: self.partitions[number].canonical() for number in sorted(self.partitions)}

    @property
    def _all(self) -> Iterator[Stages]:
        for partition in self.partitions.values():
            yield from partition.all_stages

    def _partition(self, number: int) -> Partition:
        if number not in self.partitions:
            origin = Origin(self.topic, self.job, number)
            self.partitions[number] = Partition(self.settings, origin, self.in_force, self.models, self.saves)
        return self.partitions[number]
