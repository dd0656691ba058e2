"""What the trainer reads from Kafka, and what it writes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from typing import Any

from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.feedback import newest_feedback
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.retraining.history import past_since_drift
from streamgauge.jobs.retraining.notices import steps_since
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.persistence.unfinished import Unfinished
from streamgauge.models.training.candidate import Past
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import ModelVersion
from streamgauge.udfs.output.cloud_event import Origin


class TrainerTopics:
    """The topics of a job, as the trainer sees them.

    Parameters
    ----------
    settings : Settings
        Those of the job.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def send(self, message: ModelVersion) -> None:
        """Tell the jobs which version has which role."""
        send_control(self.settings.kafka, message)

    def publish(self, step: str, name: str, data: dict[str, Any], at: int) -> None:
        """Write a notice of a step about a model; `at` is its time in milliseconds."""
        kafka = self.settings.kafka
        origin = Origin(kafka.topics.event_topics.text, self.settings.job.name)
        text = origin.event(uuid.uuid4().hex, f"model.{step}", name, at, {"model": name, **data})
        with clients.producer(kafka, f"write to {kafka.topics.notices!r}") as producer:
            producer.send(kafka.topics.notices, text, name.encode()).get(30)

    def past_steps(self, since: int) -> Iterable[dict[str, Any]]:
        """Notices about models since a time, in milliseconds."""
        return steps_since(self.settings.kafka, since)

    def feedback_since(self, since: int) -> list[Feedback]:
        """The newest feedback since a time, in milliseconds."""
        return newest_feedback(self.settings, since)

    def past(self, request: dict[str, Any], stop: threading.Event, unfinished: Unfinished) -> Past:
        """Events of all partitions since the drift began, as soon as there are enough; SystemExit if it is to stop before."""
        return past_since_drift(self.settings, request, stop, unfinished)
