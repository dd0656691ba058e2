"""The pipeline of the job within the service, to score events that clients send. Only this module needs numerical libraries."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from streamgauge.jobs.kafka.read_range import in_time_order, newest, raw_batch
from streamgauge.jobs.kafka.topics import partition_of, partitions_of
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError, StreamgaugeError
from streamgauge.udfs.entities.columns import SEEN
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import WHOLE, RawBatch, offset_of, place_of, with_place
from streamgauge.udfs.incidents.judge import Judged
from streamgauge.udfs.incidents.kinds import KINDS, OPENED, SEVERITIES
from streamgauge.udfs.incidents.lifecycle import Decisions
from streamgauge.udfs.incidents.severity import important
from streamgauge.udfs.output.alert import score_of
from streamgauge.udfs.output.dead_letter import INTERNAL
from streamgauge.udfs.output.dead_letter import place_of as place_in_code
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.pipeline.stages import Stages

PART = 500  # records that are learned at once; requests wait for them
WAIT = 15.0  # seconds between two tries to read the topic
BEYOND = 1 << 40  # offset of the first event that a client sends; those of the topic are smaller
Answer = dict[str, Any]  # the fields of `answers.ScoredEvent` that are known
_log = structlog.get_logger()


class Listener:
    """Notes how the events of one partition were judged; see `stages.Reporter`.

    Parameters
    ----------
    stages : Stages
    found : dict of int to Answer
        By number (`with_place`); the answers are added.
    """

    def __init__(self, stages: Stages, found: dict[int, Answer]) -> None:
        self._stages, self._found = stages, found

    def judged(self, stretch: Stretch, judged: Judged, decisions: Decisions) -> None:
        """Note the events of a stretch."""
        opened, names = set(decisions.place[decisions.change == OPENED].tolist()), self._stages.fields
        for i, number in enumerate(with_place(stretch.offsets, stretch.events.places).tolist()):
            answer = _scored(i, judged) | {"opens": i in opened}
            blamed = self._stages.alerts.blamed(i, stretch, names, judged)
            if blamed and blamed[0].share > 0:
                answer |= {"field": blamed[0].field, "actual": blamed[0].actual, "expected": blamed[0].expected}
            if decisions.anomalous[i]:
                answer |= {"anomalous": True, "kind": KINDS[int(judged.kinds[i])]}
                severity, importance = SEVERITIES[int(judged.severities[i])], self._stages.settings.decide.importance
                answer["severity"] = important(severity, stretch.events.entities[i], importance)
            self._found[number] = answer

    def complete(self, row: int, data: dict[str, Any]) -> None:
        """Add nothing to alerts: nobody reads them."""


def _scored(i: int, judged: Judged) -> Answer:
    """The score of the event at place `i`, if enough is known to judge it."""
    verdicts = judged.scored.verdicts
    if math.isnan(verdicts.joined[i]):
        return {"outcome": "unjudged"}
    evidence = float(verdicts.evidence[i])
    return {"outcome": "scored", "score": score_of(evidence), "tail_probability": math.exp(-evidence)}


def _number(letter: dict[str, Any]) -> int:
    """The number (`with_place`) of what was set aside."""
    return int(with_place(np.array([letter["offset"]]), np.array([letter.get("place", WHOLE)]))[0])


def _of_every_record(answers: dict[int, Answer], failed: dict[int, Answer], raw: RawBatch) -> dict[int, Answer]:
    """Answers by number, in the order of the events, so that each record has at least one."""
    first, last = int(raw.offsets[0]), int(raw.offsets[-1])
    answers = dict(answers)
    for offset in {*range(first, last + 1)} - set(map(offset_of, answers)):
        answers[offset] = {"outcome": "skipped"}
    ordered = sorted(answers, key=lambda number: (offset_of(number), place_of(number)))
    return {
        number: {"entity": None, "known": 0, "record": offset_of(number) - first}
        | answers[number]
        | failed.get(offset_of(number), {})
        for number in ordered
    }


class EventScorer:
    """Scores events as if they came next on the topic.

    Parameters
    ----------
    shard : Shard
        It is changed by `learn`, and by `score` if that is asked to learn.
    partitions : int
        Number of partitions of the topic.
    """

    def __init__(self, shard: Shard, partitions: int) -> None:
        self._shard, self._partitions = shard, partitions
        self._lock = threading.Lock()  # a shard has one user at a time
        self._next = BEYOND

    def learn(self, raw: RawBatch) -> bool:
        """Learn records; False if this failed, which is logged."""
        with self._lock:
            return self._learn(raw)

    def _learn(self, raw: RawBatch) -> bool:
        try:
            self._shard.process(raw)
        except Exception as error:  # as in the job, no record stops the service
            _log.error("records were not learned", records=len(raw), place=place_in_code(error)[1], exc_info=error)
            return False
        return True

    def score(self, payloads: Sequence[bytes], learn: bool = False) -> list[Answer]:
        """Score events, in order: each one sees what those before it taught.

        Parameters
        ----------
        payloads : sequence of bytes
            As on the topic.
        learn : bool
            Whether the events are learned. Otherwise all that they taught is forgotten at the end.

        Returns
        -------
        list of Answer
            One for each event, in their order. `record` says which of `payloads` holds it.
        """
        with self._lock:
            raw, answers = self._batch(payloads)
            found, failed = self._rehearse(raw)
            answers |= {number: answers.get(number, {}) | answer for number, answer in found.items()}
            answers = _of_every_record(answers, failed, raw)
            if learn:
                usable = [row for row, offset in enumerate(raw.offsets.tolist()) if offset not in failed]
                learned = self._learn(raw.take(np.array(usable, np.int64)))
                for answer in answers.values():
                    answer["learned"] = learned and answer["outcome"] in ("scored", "unjudged")
        return list(answers.values())

    def _batch(self, payloads: Sequence[bytes]) -> tuple[RawBatch, dict[int, Answer]]:
        """The records as if they came next, and what is known of the entities of their events, by number (`with_place`)."""
        n = len(payloads)
        offsets = np.arange(self._next, self._next + n)
        self._next += n
        raw = RawBatch(payloads, np.zeros(n, np.int64), offsets, np.full(n, int(time.time() * 1000)))
        answers: dict[int, Answer] = {}
        events, _ = self._shard.reader.read(raw)
        numbers = with_place(offsets[events.rows], events.places).tolist()
        # Backwards, so that the partition of a record is that of its first event.
        for i in reversed(range(len(events))):
            raw.partitions[events.rows[i]], known = self._place(events.entities[i])
            answers[numbers[i]] = {"entity": events.entities[i], "known": known}
        return raw, answers

    def _place(self, entity: str) -> tuple[int, int]:
        """The partition of an entity, and the number of its events there."""
        for partition in self._shard.partitions.values():
            number, entities = partition.stages.origin.partition, partition.stages.entities
            rows = entities.rows_of(entity)
            if rows:
                return max(number, 0), int(entities.store.head[rows, SEEN].sum())
        return partition_of(entity, self._partitions), 0

    def _rehearse(self, raw: RawBatch) -> tuple[dict[int, Answer], dict[int, Answer]]:
        """Answers by number (`with_place`), and those for records that raise an error by offset. The others are scored without them."""
        try:
            return self._answers(raw), {}
        except Exception:  # any error that an event causes in a stage
            failed = {
                int(raw.offsets[row]): answer
                for row in range(len(raw))
                if (answer := self._failure(raw.take(np.array([row]))))
            }
        rest = raw.take(np.flatnonzero(~np.isin(raw.offsets, list(failed))))
        if len(rest) and (answer := self._failure(rest)):
            return {}, failed | dict.fromkeys(rest.offsets.tolist(), answer)
        return self._answers(rest) if len(rest) else {}, failed

    def _failure(self, raw: RawBatch) -> Answer | None:
        """The answer for events that raise an error; None if they raise none."""
        try:
            self._answers(raw)
        except Exception as error:  # as above
            _log.error("events could not be scored", events=len(raw), place=place_in_code(error)[1], exc_info=error)
            return {"outcome": "dead_letter", "reason": INTERNAL, "message": type(error).__name__}
        return None

    def _answers(self, raw: RawBatch) -> dict[int, Answer]:
        found: dict[int, Answer] = {}
        result = self._shard.rehearse(raw, lambda stages: Listener(stages, found))
        for _, text in result.dead_letters:
            letter = json.loads(text)
            answer = {"outcome": "dead_letter", "reason": letter["reason"], "message": letter["message"]}
            found[_number(letter)] = answer
        for _, text in result.late:
            letter = json.loads(text)
            message = f"{letter['late_by_ms']} ms older than what is scored"
            found[_number(letter)] = {"outcome": "late", "reason": "late", "message": message}
        return found


@dataclass
class Warmth:
    """What has been learned from the topic; written by the thread that reads it.

    Attributes
    ----------
    problem : str
        Why there is nothing yet, or why it does not go on.
    records : int
        Records that were learned.
    done : bool
        Whether these are all that are learned at the start.
    """

    problem: str = "the newest records of the topic are being read"
    records: int = 0
    done: bool = False


class Scoring:
    """Scores events in this process, after it has learned the newest records of the topic.

    It reads the topic once, at its start. Control messages and feedback do not count. With several topics of events it scores nothing.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scorer: EventScorer | None = None
        self.warmth = Warmth()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scoring", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading, and wait for the thread."""
        self._stop.set()
        self._thread.join(30)

    def score(self, payloads: Sequence[bytes], learn: bool) -> list[Answer]:
        """Score events; see `EventScorer.score`.

        Raises
        ------
        ClusterError
            The topic could not be read yet.
        """
        if self._scorer is None:
            raise ClusterError(f"events cannot be scored yet: {self.warmth.problem}")
        return self._scorer.score(payloads, learn)

    def warm(self, raw: RawBatch, partitions: int) -> None:
        """Begin anew with these records of the topic.

        Parameters
        ----------
        raw : RawBatch
            Those of a partition are in the order of their offsets.
        partitions : int
            Number of partitions of the topic.

        Raises
        ------
        StreamgaugeError
            A model cannot be loaded.
        """
        settings = self._settings
        topic, by_partition = settings.kafka.topics.event_topics.first, settings.batch.sharding == "partition"
        shared = by_partition and settings.decide.threshold is None
        pipeline = settings.pipeline(partitions if shared else 1)
        shard = Shard(pipeline, topic, settings.job.name, by_partition, saves=False)
        self._scorer = EventScorer(shard, partitions)
        self.warmth = Warmth()
        for start in range(0, len(raw), PART):
            if self._stop.is_set():
                return
            self._scorer.learn(raw.take(np.arange(start, min(start + PART, len(raw)))))
            self.warmth.records = min(start + PART, len(raw))
        self.warmth.done = True

    def _run(self) -> None:
        kafka, most = self._settings.kafka, self._settings.service.replay
        if kafka.topics.event_topics.several:
            self.warmth.problem = "the job reads several topics of events, and an event that is sent here names none"
            return
        topic = kafka.topics.event_topics.first
        while not self._stop.is_set():
            try:
                records = newest(kafka, topic, most) if most else []
                raw = in_time_order([raw_batch(records)])
                self.warm(raw, len(partitions_of(kafka, topic)))
                return
            except StreamgaugeError as error:
                self.warmth.problem = str(error)
            except Exception as error:  # the thread must go on, or no request is ever answered
                self.warmth.problem = f"{type(error).__name__}: {error}"
                _log.exception("the newest records could not be learned")
            self._stop.wait(WAIT)
