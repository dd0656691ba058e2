"""All shards of one task of the job. This is the boundary that no error crosses, whatever is in a record or a message.

This module does not need Flink. The operator passes bytes and saved state, and gets records and changes of the state back.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Ints
from streamgauge.models.errors import ModelError, RegistryError, SettingsError, StateError
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.inbox import Inbox, Received
from streamgauge.udfs.control.messages import DetectorVersion, EntityAction, ModelVersion
from streamgauge.udfs.control.proof import FeedbackRefusedError, signer
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.output.dead_letter import INTERNAL, MOST_MESSAGE, internal_letter, place_of
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.pipeline.told_before import ToldBefore
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

REFUSED = "feedback_refused"  # reason of a dead letter: feedback that can be read, but is not believed
QUIET = 1.0  # after this many seconds without a record, time passes for a partition by the clock of the machine

log = logging.getLogger(__name__)
State = dict[str, bytes]


class SavedStateWanted(Exception):  # noqa: N818  not an error but a request: only the operator can read the saved state
    """A shard must be restored, but its saved state was not given."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all tasks of a job have in common.

    Attributes
    ----------
    settings : PipelineSettings
    topics : EventTopics
    feedback_topic : str
    name : str
        Name of the job in alerts.
    per_partition : bool
        See `Shard`.
    """

    settings: PipelineSettings
    topics: EventTopics
    feedback_topic: str
    name: str
    per_partition: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The results of a message.

    Attributes
    ----------
    received : Received or None
        None if the message was read before, or cannot be put in force.
    results : list of BatchResult
        One for each shard.
    dead_letter : str or None
        JSON of the dead letter, if the message cannot be put in force.
    model_failed : bool
        Whether a model is the reason why it cannot.
    refused : bool
        Whether it is feedback that is not believed.
    """

    received: Received | None
    results: list[BatchResult]
    dead_letter: str | None = None
    model_failed: bool = False
    refused: bool = False


class Task:
    """All shards of one task.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._sign = signer(job.settings.feedback)
        self.models = Models(job.settings.models)
        self.inbox = Inbox(job.settings, self.models, job.feedback_topic)
        self._told_before = ToldBefore({})
        self._told_to: dict[int, ToldBefore] = {}  # by shard
        self._shards: dict[int, Shard] = {}
        self._last_record: dict[int, dict[int | str, float]] = {}

    def has(self, shard: int) -> bool:
        """Whether a shard is in memory; if not, its saved state is needed."""
        return shard in self._shards

    def recall(self, alerts: Iterable[bytes]) -> None:
        """Take the alerts on the topic, before the first batch, so that those which do not come again are resolved."""
        self._told_before = ToldBefore.of_topic(self.job.name, alerts)

    # ---- records ------------------------------------------------------------------------------------------------------

    def process(self, shard: int, raw: RawBatch, saved: State | None) -> BatchResult:
        """Score a batch. A record that raises an error becomes a dead letter; the others are scored as if it had not come.

        Parameters
        ----------
        shard : int
        raw : RawBatch
        saved : dict of str to bytes, optional
            The shard's saved state before the batch. It is not needed if the shard is in memory and no record raises an error.

        Raises
        ------
        SavedStateWanted
            The saved state is needed: call again with it.
        StateError
            The saved state is damaged, or has an unknown format. Only this and the next one fail the task; nothing in a record does.
        RegistryError
            The schema registry is away. Flink reads the records again.
        """
        answers: list[BatchResult] = []
        try:
            if shard not in self._shards:
                if saved is None:
                    raise SavedStateWanted
                answers = self._restore(shard, saved)
            result = self._shards[shard].process(raw)
        except (StateError, RegistryError, SavedStateWanted):
            raise
        except Exception as error:  # any error that a record causes in a stage; `_carefully` finds the record
            self._shards.pop(shard, None)
            stage, place = place_of(error)
            log.error("%s raised %s at %s: the batch is tried again in parts", stage, type(error).__name__, place)
            if saved is None:
                raise SavedStateWanted from error
            result = self._carefully(shard, raw, saved)
        _add(result, answers)
        self._settle(shard, result)
        self._note_time(shard, raw)
        return result

    def _carefully(self, shard: int, raw: RawBatch, saved: State) -> BatchResult:
        """Score a batch in ever smaller halves, until the records that raise errors are found. After each error the shard is restored."""
        state, whole, attempts = dict(saved), BatchResult(), [np.arange(len(raw))]
        while attempts:
            rows = attempts.pop()
            if shard not in self._shards:
                self._restore(shard, state)
            part = raw.take(rows)
            try:
                result = self._shards[shard].process(part)
            except (StateError, RegistryError):
                raise
            except Exception as error:  # the same boundary as in `process`
                del self._shards[shard]
                if len(rows) > 1:
                    attempts += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
                else:
                    self._set_aside(part, error, whole)
                continue
            for key in result.deletes:
                del state[key]
            state |= result.writes
            _merge(whole, result, rows)
        if shard not in self._shards:  # the last record was one that raises an error
            self._restore(shard, state)
        whole.writes = {key: value for key, value in state.items() if saved.get(key) is not value}
        whole.deletes = [key for key in saved if key not in state]
        return whole

    def _set_aside(self, raw: RawBatch, error: Exception, whole: BatchResult) -> None:
        stage, place = place_of(error)
        topic = self.job.topics.first if raw.topics is None else raw.topics[0]
        where = f"{topic}, partition {raw.partitions[0]}, offset {raw.offsets[0]}"
        log.error(
            "record set aside (%s): %s raised %s at %s", where, stage, type(error).__name__, place, exc_info=error
        )
        whole.dead_letters.append(internal_letter(raw, 0, topic, error))
        whole.count(f"dead_letters.{INTERNAL}")
        whole.count("events")

    def tick(self, shard: int, saved: State | None) -> BatchResult:
        """Let time pass for partitions without records; `saved` as in `process`."""
        answers: list[BatchResult] = []
        if shard not in self._shards:
            if saved is None:
                raise SavedStateWanted
            answers = self._restore(shard, saved)
        now, last = time.monotonic(), self._last_record[shard]
        result = self._shards[shard].tick({n: int((now - at) * 1000) for n, at in last.items() if now - at >= QUIET})
        _add(result, answers)
        self._settle(shard, result)
        return result

    def _settle(self, shard: int, result: BatchResult) -> None:
        if shard not in self._told_to:
            self._told_to[shard] = self._told_before.copy()
        self._told_to[shard].settle(self._shards[shard], result)

    def _note_time(self, shard: int, raw: RawBatch) -> None:
        keys = self._shards[shard].keys_of(raw)
        self._last_record[shard].update(dict.fromkeys(keys, time.monotonic()))

    def _restore(self, shard: int, state: State) -> list[BatchResult]:
        """Make a shard from its saved state and the messages in force; returns the results of the messages."""
        job = self.job
        restored = Shard(job.settings, job.topics, job.name, job.per_partition, models=self.models, sign=self._sign)
        for message in self.inbox.in_force.values():  # first, because some of them decide how the state is read
            # The models are the task's, which took a version when it came. That of a detector takes the place of the saved one below.
            if not isinstance(message, ModelVersion | DetectorVersion):
                restored.apply(message)
        for received in self.inbox.feedback:
            assert isinstance(received.message, Feedback)
            restored.in_force.feedback.take(received.message)
        restored.restore(state.items())
        # A version may be newer than the state: it learns from the saved one. The version of the state changes nothing.
        for message in self.inbox.in_force.values():
            if isinstance(message, DetectorVersion):
                restored.apply(message)
        self._forget_lost_offsets(restored)
        answers = [_deliver(restored, received) for received in (*self.inbox.feedback, *self.inbox.actions)]
        self._shards[shard] = restored
        self._last_record[shard] = dict.fromkeys(restored.partitions, time.monotonic())
        return answers

    def _forget_lost_offsets(self, restored: Shard) -> None:
        """Let offsets begin anew if a topic of messages did: it was made anew after the state was saved."""
        control, feedback = self.inbox.newest_offset(feedback=False), self.inbox.newest_offset(feedback=True)
        for partition in restored.partitions.values():
            for stages in partition.all_stages:
                if stages.acted > control or stages.judged > feedback:
                    log.warning(
                        "the topic of control messages or of feedback ends before what this state has taken (%d, %d): it was made "
                        "anew; what is on it by now is not done again",
                        stages.acted,
                        stages.judged,
                    )
                stages.acted, stages.judged = min(stages.acted, control), min(stages.judged, feedback)

    def _begin_anew(self, topic: str, offset: int) -> None:
        """Let what is in memory take messages from an offset on, because their topic was made anew."""
        mark = "judged" if topic == self.job.feedback_topic else "acted"
        for shard in self._shards.values():
            for stages in (stages for partition in shard.partitions.values() for stages in partition.all_stages):
                setattr(stages, mark, min(getattr(stages, mark), offset - 1))

    # ---- messages -----------------------------------------------------------------------------------------------------

    def hear(self, topic: str, offset: int, text: str | None) -> Answer:
        """Put a message in force, between two batches. If that is impossible, it becomes a dead letter and nothing changes."""
        received = None
        try:
            received = self.inbox.take(topic, offset, text)
            if received is None:
                return Answer(None, [])
            if received.anew:
                log.warning("%s: offset %d holds another message than before: the topic was made anew", topic, offset)
                self._begin_anew(topic, offset)
            return Answer(received, [_deliver(one, received) for one in self._shards.values()])
        except (SettingsError, ModelError) as error:
            reason = REFUSED if isinstance(error, FeedbackRefusedError) else "bad_control"
            message, model_failed = str(error), isinstance(error, ModelError)
        except Exception as error:  # any error that a message causes in a shard
            stage, place = place_of(error)
            log.error(
                "%s, offset %d: %s raised %s at %s", topic, offset, stage, type(error).__name__, place, exc_info=error
            )
            reason, message, model_failed = INTERNAL, f"{type(error).__name__}: {str(error)[:MOST_MESSAGE]}", False
            self._shards.clear()  # a shard may have taken half of the message, so each is restored from its saved state
        if received is not None:
            self.inbox.drop(received)
        log.error("%s; what was there before stays in force", message)
        letter = _dead_letter(topic, offset, text, reason, message)
        return Answer(None, [], letter, model_failed, refused=reason == REFUSED)

    # ---- figures ------------------------------------------------------------------------------------------------------

    def levels(self) -> dict[str, float]:
        """Numbers of entities, and promised and achieved incidents a day, of all shards together, by name of the metric."""
        levels = [shard.entities for shard in self._shards.values()]
        promises = [shard.promise for shard in self._shards.values()]
        names = ("entities", "rich_entities", "warm_entities")
        sums: dict[str, float] = {name: sum(level[name] for level in levels) for name in names}
        return sums | {f"promise_{what}": sum(one[what] for one in promises) for what in ("promised", "achieved")}


def _deliver(shard: Shard, received: Received) -> BatchResult:
    """Give a message to a shard."""
    message = received.message
    if isinstance(message, Feedback):
        shard.in_force.judged = received.offset
        return shard.hear(message, received.offset)
    if isinstance(message, EntityAction):
        shard.in_force.acted = received.offset
        return shard.act(message, received.offset)
    shard.apply(message)
    return BatchResult()


def _add(result: BatchResult, answers: list[BatchResult]) -> None:
    """Add the results of the messages that were delivered before a batch to the result of the batch."""
    for answer in reversed(answers):
        result.alerts[:0] = answer.alerts
    for answer in answers:
        result.add_counts(answer.counts)
        result.notices += answer.notices
        result.requests += answer.requests


def _merge(whole: BatchResult, part: BatchResult, rows: Ints) -> None:
    """Add the result of some rows of a batch to that of the whole batch."""
    for name in ("alerts", "dead_letters", "late", "scores", "notices", "requests"):
        getattr(whole, name).extend(getattr(part, name))
    for name in ("evidence", "members", "alert_evidence", "judged", "anomalous"):
        getattr(whole, name).extend(getattr(part, name))
    whole.rows += [rows[part_rows] for part_rows in part.rows]
    whole.add_counts(part.counts)
    for name in ("seconds", "model_seconds"):
        total = getattr(whole, name)
        for step, seconds in getattr(part, name).items():
            total[step] = total.get(step, 0.0) + seconds


def _dead_letter(topic: str, offset: int, text: str | None, reason: str, message: str) -> str:
    """The dead letter of a control message or feedback that cannot be put in force."""
    payload = base64.b64encode((text or "").encode(errors="replace")).decode()
    record = {"topic": topic, "partition": 0, "offset": offset, "reason": reason, "message": message}
    return json.dumps(record | {"payload": payload})
