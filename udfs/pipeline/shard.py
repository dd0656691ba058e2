"""The steps composed, for all logs of a shard. Flink-free: the same object works in the job, in the backtest and in the tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np
from streamgauge.models.catalog import COHORT
from streamgauge.models.detectors.cohort.windowed_forest import WindowedForest
from streamgauge.udfs.control.entity_actions import act, release, rows_of
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import Control, DetectorVersion, EntityAction, ModelVersion, Said, Weights, check
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.events.stream_kind import KINDS as KINDS_OF_STREAMS
from streamgauge.udfs.monitoring.models import ask
from streamgauge.udfs.monitoring.performance import PerformanceWatch
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.partition import LogPipeline
from streamgauge.udfs.scoring.detectors import Detectors
from streamgauge.udfs.scoring.normalise import CHANNELS
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.detectors import HalfSpaceTreesSettings
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.windows.event_windows import Windows


class ScoringPipeline:
    """All logs of a shard.

    Parameters
    ----------
    settings : PipelineSettings
    topic, job : str
        Named in alerts.
    per_partition : bool
        Whether each Kafka partition is a log of its own, or the shard is one.
    saves : bool
        Whether results say what changed in the state.
    models : Models, optional
        Shared with other shards; loaded unless given.
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
        self.control = Control()
        self.logs: dict[int, LogPipeline] = {}
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
            self._log(-1).process(raw, result)
            return result
        partitions = np.unique(raw.partitions).tolist()
        for partition in partitions:
            if len(partitions) == 1:
                self._log(partition).process(raw, result)
                continue
            rows = np.flatnonzero(raw.partitions == partition)
            before = len(result.rows)
            self._log(partition).process(raw.take(rows), result)
            result.rows[before:] = [rows[part] for part in result.rows[before:]]
        return result

    def tick(self, elapsed: dict[int, int]) -> BatchResult:
        """Nothing came on some logs for so many milliseconds: tell who has fallen silent, and end windows."""
        result = BatchResult()
        for number, milliseconds in elapsed.items():
            if number in self.logs:
                self.logs[number].tick(milliseconds, result)
        return result

    def apply(self, message: Said) -> None:
        """Take up a control message, from the next batch on.

        Raises
        ------
        ModelError, SettingsError
            It names what is not there, or a model that cannot be used; what was there before stays.
        """
        check(message, self.settings)
        if isinstance(message, ModelVersion):
            self.models.take(message)
        self.control.apply(message)
        for log in self._all:
            if isinstance(message, Weights):
                log.weigh()
            elif isinstance(message, DetectorVersion):
                log.swap(message)

    def act(self, message: EntityAction, offset: int) -> BatchResult:
        """Do what is asked with an entity, in each log that knows it and has not done so.

        Parameters
        ----------
        message : EntityAction
        offset : int
            Of the message, on the control topic.
        """
        result = BatchResult()
        for log in self._all:
            if offset > log.acted:
                log.acted = offset
                act(log, message, result)
        return result

    def hear(self, message: Feedback, offset: int) -> BatchResult:
        """Take up what somebody says of an alert.

        A false one's entity is learned from again, once, where it was held back. When a model has become worse by what is said, the log
        that knows the entity asks for a retraining.

        Parameters
        ----------
        message : Feedback
        offset : int
            Of the message, on the feedback topic.
        """
        result = BatchResult()
        news = self.control.heard.take(message)
        worse = [(watch.model, told) for watch in self.performance if (told := watch.take(message))]
        for log in self._all:
            if news:
                log.weigh()
            if offset > log.judged:
                log.judged = offset
                if message.verdict == "false":
                    release(log, message.entity)
                if not log.name and rows_of(log, message.entity):
                    for model, (evidence, source) in worse:
                        ask(log, model, evidence, source, offset, result)
        return result

    def restore(self, saved: Iterable[tuple[str, bytes]]) -> None:
        """Become what an earlier run saved: all pairs of key and value that its results wrote and did not delete."""
        by_log: dict[int, dict[str, bytes]] = {}
        for key, value in saved:
            log, _, rest = key.partition("/")
            by_log.setdefault(int(log), {})[rest] = value
        for number, values in by_log.items():
            self._log(number).restore(values)

    @property
    def entities(self) -> dict[str, int]:
        """Entities known, how many of them are rich, and how many were warm when it was tracked last."""
        logs = self.logs.values()
        return {
            "entities": sum(len(log.store) for log in logs),
            "rich_entities": sum(len(log.rich) for log in logs),
            "warm_entities": sum(log.tracking.warm for log in logs if log.tracking),
        }

    @property
    def budgets(self) -> tuple[float, float] | None:
        """Alerts a day that are wanted, and those achieved, over all logs; None without a budget."""
        budgets = [log.budget for log in self.logs.values() if log.budget]
        return (sum(b.target for b in budgets), sum(b.achieved for b in budgets)) if budgets else None

    def canonical(self) -> dict[int, bytes]:
        """`LogPipeline.canonical` of each log."""
        return {number: self.logs[number].canonical() for number in sorted(self.logs)}

    @property
    def _all(self) -> Iterator[LogPipeline]:
        for log in self.logs.values():
            yield log
            if log.windows:
                yield from log.windows.logs.values()

    def _log(self, number: int) -> LogPipeline:
        if number not in self.logs:
            names = (self.topic, self.job, self.control)
            log = self.logs[number] = LogPipeline(number, self.settings, *names, self.models, self.saves)
            if self.settings.windows:
                log.windows = Windows(number, self.settings, *names, self.saves, log.budget)
        return self.logs[number]


def warm_up(settings: PipelineSettings, models: Models) -> None:
    """Compile every kernel on short streams with all there is, so that no real batch has to wait for it."""
    small = HalfSpaceTreesSettings(n_trees=1, height=2, window_size=10)
    forests = {name: small for name, kind in COHORT.items() if issubclass(kind, WindowedForest)}
    chosen = {name: small for name in forests if getattr(settings.detectors, name)}
    short = settings.model_copy(update={"detectors": settings.detectors.model_copy(update=chosen)})
    n = 300
    zeros = np.zeros(n, np.int64)
    name = settings.event.entity
    for fields in (1, 2):
        pipeline = ScoringPipeline(short, models=models)
        values = [{name: "e", "x": i % 7, "t": "a", **({"y": i} if fields > 1 and i % 3 else {})} for i in range(n)]
        pipeline.process(RawBatch(list(map(msgspec.json.encode, values)), zeros, np.arange(n), zeros))
    for kind in KINDS_OF_STREAMS:
        pipeline.logs[0].detectors.learn_cohort(kind, np.full((n, 2 * CHANNELS), 0.5), np.zeros((n, 1)))
