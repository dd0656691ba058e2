"""All partitions of a shard. This module does not need Flink: the job, the backtest and the tests use the same object."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from streamgauge.models.contract import Ints
from streamgauge.models.errors import StateError
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
from streamgauge.udfs.control.proof import Sign
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.monitoring.performance import PerformanceWatch
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.partition import Partition
from streamgauge.udfs.pipeline.stages import Reporter, Stages
from streamgauge.udfs.scoring.detectors import Detectors
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

MOST_PARTITIONS = 1 << 32  # more than a topic ever has
WHOLE_SHARD = -1  # stands in keys for the partition where a shard has one state


class Shard:
    """All partitions of a shard.

    Parameters
    ----------
    settings : PipelineSettings
    topics : EventTopics or str
        Topics of the events, or the only one; named in alerts.
    job : str
        Named in alerts.
    per_partition : bool
        Whether the shard has separate state for each Kafka partition, or one state for the whole shard.
    saves : bool
        Whether results contain the changes of the saved state.
    models : Models, optional
        Trained models that other shards use too; they are loaded if not given.
    sign : callable, optional
        Signs what alerts tell; only the job signs.

    Attributes
    ----------
    in_force : InForce
        What control messages and feedback put in force.
    partitions : dict of int or str to Partition
        By `Origin.key`: the number of the partition, with its topic if that is not the first one. -1 stands for the whole shard.
    reader : Reader
    performance : list of PerformanceWatch
        One for each trained model; none if drift is not watched.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        topics: EventTopics | str = "events",
        job: str = "streamgauge",
        per_partition: bool = True,
        saves: bool = True,
        models: Models | None = None,
        sign: Sign | None = None,
    ) -> None:
        self.settings = settings
        self.models = Models(settings.models) if models is None else models
        self.reader = Reader(settings.event)
        self.topics = EventTopics((topics,)) if isinstance(topics, str) else topics
        self.job, self.per_partition, self.saves, self._sign = job, per_partition, saves, sign
        self.in_force = InForce(settings.decide)
        self.partitions: dict[int | str, Partition] = {}
        self.performance = [PerformanceWatch(name) for name in settings.models.use if settings.drift is not None]

    @property
    def member_names(self) -> list[str]:
        """Members of the ensemble, shadows included, in the order of the columns of raw scores."""
        return [*Detectors(self.settings.detectors).names, *self.models.names]

    def process(self, raw: RawBatch) -> BatchResult:
        """Score a batch, and learn from it.

        Parameters
        ----------
        raw : RawBatch
            Records in arrival order; those of one partition are in the order of their offsets.

        Returns
        -------
        BatchResult
            Every record of the batch is either scored, or a dead letter, or late.
        """
        result = BatchResult()
        origins, of = self._origins(raw)
        for k, origin in enumerate(origins):
            if len(origins) == 1:
                self._partition(origin).process(raw, result)
                continue
            rows = np.flatnonzero(of == k)
            before = len(result.rows)
            self._partition(origin).process(raw.take(rows), result)
            result.rows[before:] = [rows[part] for part in result.rows[before:]]
        return result

    def keys_of(self, raw: RawBatch) -> list[int | str]:
        """Keys of the partitions that a batch has records of."""
        return [origin.key for origin in self._origins(raw)[0]]

    def _origins(self, raw: RawBatch) -> tuple[list[Origin], Ints]:
        """The partitions that a batch has records of, in a fixed order; and for each record, which of them it comes from."""
        if not self.per_partition:
            return [self._origin(self.topics.first, WHOLE_SHARD)], np.zeros(len(raw), np.int64)
        if raw.topics is None:
            numbers = np.unique(raw.partitions)
            origins = [self._origin(self.topics.first, number) for number in numbers.tolist()]
            return origins, np.searchsorted(numbers, raw.partitions)
        names = sorted(set(raw.topics))
        numbered = {name: k for k, name in enumerate(names)}
        topics = np.fromiter((numbered[topic] for topic in raw.topics), np.int64, len(raw))
        places = topics * MOST_PARTITIONS + raw.partitions
        unique = np.unique(places)
        origins = [self._origin(names[place // MOST_PARTITIONS], place % MOST_PARTITIONS) for place in unique.tolist()]
        return origins, np.searchsorted(unique, places)

    def _origin(self, topic: str, number: int) -> Origin:
        return Origin(topic, self.job, number, topic != self.topics.first, self._sign)

    def rehearse(self, raw: RawBatch, reporter_of: Callable[[Stages], Reporter]) -> BatchResult:
        """Score a batch as `process` would if it came next, and learn nothing.

        Parameters
        ----------
        raw : RawBatch
        reporter_of : callable
            Makes what listens to the stages of each partition.

        Returns
        -------
        BatchResult
            Without incidents of windows and silences.
        """
        entities = set(self.reader.read(raw)[0].entities)
        copied = copy.copy(self)
        copied.partitions = {}
        for origin in self._origins(raw)[0]:
            known = self.partitions.get(origin.key)
            one = self._new_partition(origin) if known is None else known.rehearsal(entities)
            one.stages.reporter = reporter_of(one.stages)
            copied.partitions[origin.key] = one
        return copied.process(raw)

    def tick(self, elapsed: dict[int | str, int]) -> BatchResult:
        """Let time pass on partitions without records.

        Parameters
        ----------
        elapsed : dict of int or str to int
            By key of the partition: milliseconds since its last record.

        Returns
        -------
        BatchResult
            Reports of silent entities and of windows that ended.
        """
        result = BatchResult()
        for key, milliseconds in elapsed.items():
            if key in self.partitions:
                self.partitions[key].tick(milliseconds, result)
        return result

    # ---- control messages and feedback --------------------------------------------------------------------------------

    def apply(self, message: ControlMessage) -> None:
        """Put a control message in force, from the next batch on.

        Raises
        ------
        ModelError, SettingsError
            The message names something that this job does not use, or a model that cannot be loaded. Nothing changes then.
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
        """Do an action on an entity, once in each partition that knows the entity.

        Parameters
        ----------
        message : EntityAction
        offset : int
            Offset of the message on the control topic. A partition ignores a message that it has done before.
        """
        result = BatchResult()
        for stages in self._all:
            stages.act(message, offset, result)
        return result

    def hear(self, message: Feedback, offset: int) -> BatchResult:
        """Take the feedback on an alert.

        A false alert ends the quarantine of its entity, once. If feedback shows that a model has become worse, the partition that
        knows the entity requests a retraining.

        Parameters
        ----------
        message : Feedback
        offset : int
            Offset of the message on the feedback topic.
        """
        result = BatchResult()
        is_new = self.in_force.feedback.take(message)
        worse = [(watch.model, found) for watch in self.performance if (found := watch.take(message))]
        for stages in self._all:
            if is_new:
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
        """Read the state of an earlier run: all pairs of key and value that its results wrote and did not delete.

        The state of a topic that does not match the pattern any more is left as it is.

        Raises
        ------
        StateError
            The state is damaged, has an unknown format, or was saved with another `batch.sharding` or `event.context`.
        """
        by_partition: dict[str, dict[str, bytes]] = {}
        for key, value in saved:
            first, _, rest = key.partition("/")
            by_partition.setdefault(first, {})[rest] = value
        self._check_sharding(by_partition)
        for first, values in by_partition.items():
            number, named, topic = first.partition("@")
            if not named or self.topics.matches(topic):
                self._partition(self._origin(topic if named else self.topics.first, int(number))).restore(values)

    def _check_sharding(self, places: Iterable[str]) -> None:
        """Refuse state that was saved with the other kind of sharding: it would never be read again."""
        before = {"entity" if place == str(WHOLE_SHARD) else "partition" for place in places}
        now = "partition" if self.per_partition else "entity"
        if before - {now}:
            [was] = before - {now}
            raise StateError(
                f"this state was saved with batch.sharding {was}, the settings say {now}: "
                f"set batch.sharding: {was} again, or start without this state"
            )

    @property
    def entities(self) -> dict[str, int]:
        """Number of known entities, of rich ones, and of those past their cold start when quality was last reported."""
        of = [partition.stages for partition in self.partitions.values()]
        return {
            "entities": sum(len(stages.entities.store) for stages in of),
            "rich_entities": sum(len(stages.entities.rich) for stages in of),
            "warm_entities": sum(stages.quality.warm for stages in of if stages.quality),
        }

    @property
    def promise(self) -> dict[str, float]:
        """Promised and achieved incidents a day of all partitions together."""
        of = [partition.stages for partition in self.partitions.values()]
        figures = [stages.promise.figures(stages.promise_replaced) for stages in of]
        return {name: sum(each[name] for each in figures) for name in ("promised", "achieved")}

    def canonical(self) -> dict[int | str, bytes]:
        """`Partition.canonical` of each partition."""
        return {key: self.partitions[key].canonical() for key in sorted(self.partitions, key=str)}

    @property
    def _all(self) -> Iterator[Stages]:
        for partition in self.partitions.values():
            yield from partition.all_stages

    def _partition(self, origin: Origin) -> Partition:
        if origin.key not in self.partitions:
            self.partitions[origin.key] = self._new_partition(origin)
        return self.partitions[origin.key]

    def _new_partition(self, origin: Origin) -> Partition:
        return Partition(self.settings, origin, self.in_force, self.models, self.reader, self.saves)
