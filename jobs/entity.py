"""One entity in the running job: what is known of it, and what to do with it; asked on the control topic, answered on the notices."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, Literal

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from streamgauge.jobs.settings import KafkaSettings
from streamgauge.jobs.topics import client_options, send_control
from streamgauge.models.errors import ClusterError, InputError
from streamgauge.udfs.control import EntityAction

Action = Literal["show", "forget", "release", "rewind"]
AND_OTHERS = 1.5  # seconds to wait for further answers after the first: of other partitions, and of windows


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
        The data of each answer: one for each log, and kind of window, that knows the entity.

    Raises
    ------
    ClusterError
        The broker or the topic is not there.
    InputError
        Nobody answers.
    """
    message = EntityAction(type="entity", entity=entity, action=action, id=uuid.uuid4().hex)
    try:
        consumer = KafkaConsumer(**client_options(kafka), enable_auto_commit=False, isolation_level="read_committed")
    except KafkaError as error:
        raise ClusterError(f"no Kafka broker answers at {kafka.bootstrap} ({type(error).__name__})") from error
    try:
        partitions = consumer.partitions_for_topic(kafka.topics.notices)
        if not partitions:
            raise ClusterError(
                f"there is no topic {kafka.topics.notices!r} at {kafka.bootstrap}: `streamgauge submit` makes it"
            )
        places = [TopicPartition(kafka.topics.notices, p) for p in sorted(partitions)]
        consumer.assign(places)
        consumer.seek_to_end(*places)
        for place in places:
            consumer.position(place)
        send_control(kafka, message)
        answers: list[dict[str, Any]] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for record in (r for batch in consumer.poll(200).values() for r in batch):
                data = json.loads(record.value)["data"]
                if data.get("request") == message.id:
                    deadline = deadline if answers else min(deadline, time.monotonic() + AND_OTHERS)
                    answers.append(data)
    finally:
        consumer.close()
    if not answers:
        raise InputError(f"no running job knows an entity {entity!r}, or none runs (waited {seconds:g} s)")
    return answers
