"""The trainer: a process beside the job that keeps trained models good.

When the data of a model have drifted, the job writes a request to retrain. The trainer answers it. It trains candidates on the events since
the drift began: one with the detector of the live version, and one with each other detector that the settings name. It judges them on the
same validation data as the live version. The best candidate becomes the shadow of the live version.

The job then reports how the two compare, and these reports decide. The new version first counts for a few entities (it is a canary). Then
it becomes live, and the old version is its shadow. It may be rejected at each step. If it raises too many alerts when it is live, the old
version becomes live again.

After a rejection the trainer waits before it answers the next request for that model: a minute, then twice as long each time, up to a day
(`jobs.retraining.backoff`). A new version that stays live ends the waiting.

The aliases in the registry say which version has which role, and which requests wait. How long they wait follows from the notices. So
the trainer can be killed at any point: when it is started again, it continues from there. It changes nothing about a frozen model.
"""

from __future__ import annotations

import time
from typing import Any

from streamgauge.jobs.kafka import clients
from streamgauge.jobs.retraining.backoff import Clock
from streamgauge.jobs.retraining.candidates import Candidates
from streamgauge.jobs.retraining.notices import step_of
from streamgauge.jobs.retraining.reports import Reports, Say
from streamgauge.jobs.retraining.roles import FROZEN, Roles
from streamgauge.jobs.retraining.shadow_judge import ShadowJudge
from streamgauge.jobs.retraining.topics import TrainerTopics
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.train import registry_of
from streamgauge.models.errors import ClusterError, StreamgaugeError
from streamgauge.models.persistence.registry import Registry

RETRY = 2.0  # seconds between two attempts to reach a broker that has gone away
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
        while True:
            try:
                self.recall()
                return self._follow(once)
            except ClusterError as error:
                if once:
                    raise
                self.say(f"{error}; trying again in {RETRY:g} s")
                time.sleep(RETRY)

    def recall(self) -> None:
        """Continue from what the notices and the aliases say, as after a kill."""
        self.reports.recall()
        for name in self.settings.models.use:
            self.roles.send_again(name)

    def _follow(self, once: bool) -> int:
        """Handle messages until interrupted, or until there is nothing to do. Returns how many were handled."""
        kafka, topics = self.settings.kafka, self.settings.kafka.topics
        done = 0
        reading: dict[str, Any] = {
            "group_id": f"{kafka.group}-trainer",
            "auto_offset_reset": "earliest",
            "max_poll_records": 1,
            "max_poll_interval_ms": 3_600_000,
        }
        followed = (topics.retrain_requests, topics.notices)
        with clients.consumer(kafka, f"follow {topics.retrain_requests!r}", *followed, **reading) as consumer:
            idle = time.monotonic()
            while not once or time.monotonic() - idle < IDLE:
                self.answer_due()
                for record in (r for batch in consumer.poll(500).values() for r in batch):
                    if event := step_of(record.value):
                        self.handle(event)
                    consumer.commit()  # after handling: a message may be handled twice, but none is lost
                    done += 1
                    idle = time.monotonic()
        return done

    def handle(self, event: dict[str, Any]) -> None:
        """Handle one message. What cannot be done is reported, and the trainer goes on, whatever the message holds."""
        kind, data = event["type"].removeprefix("io.streamgauge."), event["data"]
        try:
            if data["model"] not in (*self.settings.models.use, *self.registry.names()):
                self.say(f"{kind}: {data['model'][:100]!r} is no model")
            elif kind == "retrain.requested":
                self.retrain(data)
            elif kind == "model.compared":
                self.shadows.judge(data)
        except Exception as error:  # also what a message lacks, and a registry that is away
            why = str(error) if isinstance(error, StreamgaugeError) else f"{type(error).__name__}: {error}"
            request = asked if isinstance(asked := data.get("request"), str) else None
            self.reports.tell("failed", data["model"], {"why": why, "request": request})

    def answer_due(self) -> None:
        """Answer the requests whose wait is over."""
        for request in self.reports.backoff.due():
            self.handle({"type": "io.streamgauge.retrain.requested", "data": request})
            self.reports.forget(request)

    def retrain(self, request: dict[str, Any]) -> None:
        """Train candidates, and let the best be the shadow if it is good enough.

        Nothing is trained if the model is frozen, if the request has an answer already, or if it has to wait.

        Parameters
        ----------
        request : dict
            Data of the request.
        """
        name, asked, backoff = request["model"], int(request["version"]), self.reports.backoff
        aliases = self.registry.aliases(name)
        live = aliases.get("live")
        if FROZEN in aliases:
            [entry, *_] = self.registry.history(name, FROZEN)
            why = f"frozen by {entry['by']}: {entry['why']}"
            self.reports.tell("declined", name, {"request": request["request"], "why": why})
            return
        if live != asked:
            self.say(f"{name}: version {asked} has drifted, but {live} is live: nothing to do")
            return
        if backoff.is_rejected(name, request["request"]):
            self.say(f"{name}: the answer to {request['request']} was rejected already")
            return
        answers = self.candidates.answers(request)
        tried = {entry["version"] for entry in self.registry.history(name, "shadow")}
        done, shadow = [answer.version for answer in answers.values() if answer.version in tried], aliases.get("shadow")
        # A kill between the alias and the notice leaves a shadow that nobody was told of: it is compared and told again.
        if done and (shadow not in done or backoff.is_told(name, shadow)):
            self.say(f"{name}: version {done[0]} has answered that already")
            return
        if wait := backoff.seconds_left(name):
            self.reports.defer(name, request, wait)
            return
        self.candidates.train_and_choose(request, answers)
