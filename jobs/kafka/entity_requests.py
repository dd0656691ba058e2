"""Requests about one entity. They go to the running job over the control topic, and the job answers on the notices topic."""

from __future__ import annotations

import time
import uuid
from typing import Any, Literal

from streamgauge.jobs.kafka.cloud_events import event_of
from streamgauge.jobs.kafka.follow import follow_topic
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import InputError
from streamgauge.udfs.control.messages import EntityAction

Action = Literal["show", "forget", "release", "rewind"]
FURTHER_ANSWERS = 1.5  # seconds to wait after the first answer, for the answers of other partitions and of windows


def ask(kafka: KafkaSettings, entity: str, action: Action, seconds: float = 15.0) -> list[dict[str, Any]]:
    """Ask the running job to show an entity, or to change what it learned of it.

    Parameters
    ----------
    kafka : KafkaSettings
    entity : str
    action : {"show", "forget", "release", "rewind"}
    seconds : float
        How long to wait for the first answer.

    Returns
    -------
    list of dict
        The data of the answers: one for each partition, and for each kind of window, that knows the entity.

    Raises
    ------
    ClusterError
        The broker or the topic is not there.
    InputError
        No job answers.
    """
    message = EntityAction(type="entity", entity=entity, action=action, id=uuid.uuid4().hex)
    answers: list[dict[str, Any]] = []
    records = follow_topic(kafka, kafka.topics.notices)
    next(records)  # now the place to read from is known, so the answers cannot be missed
    send_control(kafka, message)
    deadline = time.monotonic() + seconds
    for record in records:
        answer = None if record is None else event_of(record.value)
        if answer and answer["data"].get("request") == message.id:
            deadline = deadline if answers else min(deadline, time.monotonic() + FURTHER_ANSWERS)
            answers.append(answer["data"])
        if time.monotonic() > deadline:
            break
    if not answers:
        raise InputError(f"no running job knows an entity {entity!r}, or none runs (waited {seconds:g} s)")
    return answers
