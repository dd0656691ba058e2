"""Questions and orders about one entity: they go to the running job on the control topic, and it answers on the notices topic."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, Literal

from streamgauge.jobs.kafka.follow import follow_topic
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import InputError
from streamgauge.udfs.control.messages import EntityAction

Action = Literal["show", "forget", "release", "rewind"]
FURTHER_ANSWERS = 1.5  # seconds to wait for further answers after the first: of other partitions, and of windows


def ask(kafka: KafkaSettings, entity: str, action: Action, seconds: float = 15.0) -> list[dict[str, Any]]:
    """Ask the job about an entity, or to do something with it.

    Parameters
    ----------
    kafka : KafkaSettings
    entity : str
    action : {"show", "forget", "release", "rewind"}
    seconds : float
        To wait for an answer.

    Returns
    -------
    list of dict
        The data of each answer: one for each partition, and kind of window, that knows the entity.

    Raises
    ------
    ClusterError
        The broker or the topic is not there.
    InputError
        Nobody answers.
    """
    message = EntityAction(type="entity", entity=entity, action=action, id=uuid.uuid4().hex)
    answers: list[dict[str, Any]] = []
    records = follow_topic(kafka, kafka.topics.notices)
    next(records)  # from here on
    send_control(kafka, message)
    deadline = time.monotonic() + seconds
    for record in records:
        data = {} if record is None else json.loads(record.value)["data"]
        if data.get("request") == message.id:
            deadline = deadline if answers else min(deadline, time.monotonic() + FURTHER_ANSWERS)
            answers.append(data)
        if time.monotonic() > deadline:
            break
    if not answers:
        raise InputError(f"no running job knows an entity {entity!r}, or none runs (waited {seconds:g} s)")
    return answers
