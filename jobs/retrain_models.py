"""The trainer: a process beside the job that keeps trained models good.

When the data of a model have drifted, the job writes a request to retrain. The trainer answers it. It trains candidates on the events since
the drift began: one with the detector of the live version, and one with each other detector that the settings name. It judges them on the
same validation data as the live version. The best candidate becomes the shadow of the live version.

The job then reports how the two compare, and these reports decide. The new version first counts for a few entities (it is a canary). Then
it becomes live, and the old version is its shadow. It may be rejected at each step. If it raises too many alerts when it is live, the old
version becomes live again.

A training has a thread of its own, and there is one at a time. Reports are judged meanwhile. The offset of a request is committed when its
training has ended: a trainer that was killed reads it again.

While a live version is compared with its shadow, further requests wait: each answer would be another shadow, and the comparison would begin
anew. If no report about the two comes for a day, the newest request is answered (`ShadowJudge.compared_with`).

After a rejection the trainer waits before it answers the next request for that model: a minute, then twice as long each time, up to a day
(`jobs.retraining.backoff`). A new version that stays live ends the waiting.

The aliases in the registry say which version has which role, and which requests wait. How long they wait follows from the notices. So
the trainer can be killed at any point: when it is started again, it continues from there. A network whose training was interrupted is
trained on from the last epoch that was saved, on the same events (`Registry.unfinished`). The trainer changes nothing about a frozen model.
"""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.retraining.backoff import Clock
from streamgauge.jobs.retraining.candidates import Candidates, reason
from streamgauge.jobs.retraining.notices import step_of
from streamgauge.jobs.retraining.reports import Reports, Say
from streamgauge.jobs.retraining.roles import FROZEN, LIVE, SHADOW, Roles
from streamgauge.jobs.retraining.shadow_judge import ShadowJudge
from streamgauge.jobs.retraining.topics import TrainerTopics
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.train import registry_of
from streamgauge.models.errors import ClusterError
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.persistence.registry import Registry

REQUESTED = "io.streamgauge.retrain.requested"
# Requests that wait in memory for the end of a training. With more, no messages are read until then.
MOST_WAITING = 1000
RETRY = 2.0  # seconds between two attempts to reach a broker that has gone away
LOOK = 10.0  # seconds between two looks whether requests that wait can be answered: each look reads the registry
IDLE = 5.0  # seconds without a message, after which a single run ends


class Trainer:
    """Answers requests to retrain, and moves versions through shadow to live, or back.

    Parameters
    ----------
    settings : Settings
        Those of the job.
    registry : Registry, optional
        That of the settings by default.
    say : callable
        Called with a line of text at each step.
    clock : callable
        Returns the seconds since 1970. Waits after rejections are measured by it.
    topics : TrainerTopics, optional
        Those of the settings by default.

    Attributes
    ----------
    reports : Reports
        With the waits of the models (`backoff`) and the metrics.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry | None = None,
        say: Say = lambda _: None,
        clock: Clock = time.time,
        topics: TrainerTopics | None = None,
    ) -> None:
        self.settings, self.say = settings, say
        self.registry: Registry = registry or registry_of(settings)
        topics = topics or TrainerTopics(settings)
        self.reports = Reports(settings.models.use, self.registry, topics, say, clock)
        self.roles = Roles(self.registry, topics, settings.retrain.canary)
        parts = settings.retrain, self.registry, self.roles, self.reports
        self.candidates, self.shadows = Candidates(*parts), ShadowJudge(*parts)
        self._threads = ThreadPoolExecutor(1, "training")
        self._training: Future[None] | None = None
        self._stop = threading.Event()  # ends the training

    def run(self, once: bool = False) -> int:
        """Answer messages until interrupted.

        Parameters
        ----------
        once : bool
            End as soon as there is nothing to do.

        Returns
        -------
        int
            Number of messages that were handled.

        Raises
        ------
        ClusterError
            The broker does not answer in a single run. Other runs wait for it, and then do again what they could not write.
        """
        try:
            while True:
                try:
                    self.recall()
                    return self._follow(once)
                except ClusterError as error:
                    if once:
                        raise
                    self.say(f"{error}; trying again in {RETRY:g} s")
                    time.sleep(RETRY)
        finally:
            self._stop.set()
            wait([self._training] if self._training else [])
            self._stop.clear()
            self._training = None

    def recall(self) -> None:
        """Continue from what the notices and the aliases say, as after a kill."""
        with self.reports.lock:
            self.reports.recall()
            for name in self.settings.models.use:
                self._send_again(name)

    def _send_again(self, name: str) -> None:
        """Tell the jobs the roles of a model once more."""
        try:
            self.roles.send_again(name)
        except ClusterError:
            raise
        except Exception as error:  # stores have errors of their own; the trainer goes on with the other models
            self.say(f"{name}: its roles cannot be told: {error}")

    def _follow(self, once: bool) -> int:
        """Handle messages until interrupted, or until there is nothing to do. Returns how many were handled."""
        kafka, topics = self.settings.kafka, self.settings.kafka.topics
        done, changed = 0, False
        read: dict[TopicPartition, int] = {}  # the offset after the last message that was read
        waiting: dict[tuple[TopicPartition, int], dict[str, Any]] = {}  # requests without an answer, by their places
        reading: dict[str, Any] = {
            "group_id": f"{kafka.group}-trainer",
            "auto_offset_reset": "earliest",
            "max_poll_records": 1,
            "max_poll_interval_ms": 3_600_000,
        }
        followed = (topics.retrain_requests, topics.notices)
        with clients.consumer(kafka, f"follow {topics.retrain_requests!r}", *followed, **reading) as consumer:
            idle, looked = time.monotonic(), -math.inf
            while not once or self._training or time.monotonic() - idle < IDLE:
                for record in (r for batch in consumer.poll(500).values() for r in batch):
                    place = TopicPartition(record.topic, record.partition)
                    read[place], changed, idle = record.offset + 1, True, time.monotonic()
                    event = step_of(record.value)
                    if event and event["type"] == REQUESTED:
                        waiting[place, record.offset] = event
                        continue
                    if event:
                        self.handle(event)
                    done += 1
                if self.has_trained(None if len(waiting) >= MOST_WAITING else 0.0):
                    if time.monotonic() - looked >= LOOK:
                        self.answer_due()
                        looked = time.monotonic()
                    for at, request in list(waiting.items()):
                        if not self.handle(request):
                            break
                        del waiting[at]
                        done, changed = done + 1, True
                    idle = time.monotonic() if self._training else idle
                if changed:  # after handling: a message may be handled twice, but none is lost
                    first = {place: min(o for p, o in waiting if p == place) for place, _ in waiting}
                    consumer.commit({place: OffsetAndMetadata(first.get(place, end)) for place, end in read.items()})
                    changed = False
        return done

    def has_trained(self, seconds: float | None = 0.0) -> bool:
        """Whether no training runs, or it ends within so many seconds; None waits for its end. Raises what it could not report."""
        if self._training is None:
            return True
        if not wait([self._training], seconds).done:
            return False
        training, self._training = self._training, None
        training.result()
        return True

    def handle(self, event: dict[str, Any]) -> bool:
        """Handle one message. What cannot be done is reported, and the trainer goes on, whatever the message holds.

        Returns
        -------
        bool
            False if it is to be handled again when the training that runs now has ended.
        """
        kind, data = event["type"].removeprefix("io.streamgauge."), event["data"]
        try:
            with self.reports.lock:
                if data["model"] not in self.settings.models.use and data["model"] not in self.registry.names():
                    self.say(f"{kind}: {data['model'][:100]!r} is no model")
                elif kind == "retrain.requested":
                    return self.retrain(data)
                elif kind == "model.compared":
                    self.shadows.judge(data)
        except Exception as error:  # also what a message lacks, and a registry that is away
            self._tell_failure(data, error)
        return True

    def answer_due(self) -> None:
        """Answer the requests whose wait is over."""
        for request in self.reports.backoff.due():
            try:
                waits = self.shadows.compared_with(request["model"], int(request["version"])) is not None
            except Exception:
                waits = False  # `handle` reports it
            if not waits and self.handle({"type": REQUESTED, "data": request}):
                self.reports.forget(request)

    def retrain(self, request: dict[str, Any]) -> bool:
        """Begin to train candidates, the best of which becomes the shadow if it is good enough.

        Nothing is trained if the model is frozen, if the request has an answer already, or if it has to wait: after a rejection, and
        while the live version is compared with a shadow.

        Parameters
        ----------
        request : dict
            Data of the request.

        Returns
        -------
        bool
            As of `handle`. When its training has ended, the request has an answer.
        """
        name, asked, backoff = request["model"], int(request["version"]), self.reports.backoff
        aliases = self.registry.aliases(name)
        live = aliases.get(LIVE)
        if FROZEN in aliases:
            [entry, *_] = self.registry.history(name, FROZEN)
            why = f"frozen by {entry['by']}: {entry['why']}"
            self.reports.tell("declined", name, {"request": request["request"], "why": why})
            return True
        if live != asked:
            self.say(f"{name}: version {asked} has drifted, but {live} is live: nothing to do")
            return True
        if backoff.is_rejected(name, request["request"]):
            self.say(f"{name}: the answer to {request['request']} was rejected already")
            return True
        answers = self.candidates.answers(request)
        tried = {entry["version"] for entry in self.registry.history(name, SHADOW)}
        done, shadow = [answer.version for answer in answers.values() if answer.version in tried], aliases.get(SHADOW)
        # A kill between the alias and the notice leaves a shadow that nobody was told of: it is compared and told again.
        if done and (shadow not in done or backoff.is_told(name, shadow)):
            self.say(f"{name}: version {done[0]} has answered that already")
            return True
        if seconds := backoff.seconds_left(name):
            count = backoff.rejections(name)
            why = f"waits {seconds:.0f} s after {count} rejected answer{'s' * (count > 1)}"
            self.reports.defer(name, request, why)
            return True
        compared = self.shadows.compared_with(name, asked)
        if compared is not None and compared not in done:
            why = f"waits until version {live} has been compared with version {compared}, or no report of that comes for a day"
            self.reports.defer(name, request, why)
            return True
        if self._training is None:
            self._training = self._threads.submit(self._train, request, answers)
        return False

    def _train(self, request: dict[str, Any], answers: dict[str, Manifest]) -> None:
        """Train in the thread of its own."""
        try:
            self.candidates.train_and_choose(request, answers, self._stop)
        except Exception as error:
            self._tell_failure(request, error)
        self.candidates.forget(request["model"])  # not after a stop, which is no such error

    def _tell_failure(self, data: dict[str, Any], error: Exception) -> None:
        request = asked if isinstance(asked := data.get("request"), str) else None
        with self.reports.lock:
            self.reports.tell("failed", data["model"], {"why": reason(error), "request": request})
            if isinstance(error, ClusterError):  # an alias may have been changed, and the jobs not told
                self._send_again(data["model"])
