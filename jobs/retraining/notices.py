"""The trainer's own notices, read back when it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamgauge.jobs.kafka.cloud_events import event_of
from streamgauge.jobs.kafka.topics import records_since
from streamgauge.jobs.settings.kafka import KafkaSettings

STEP = "io.streamgauge.model."
_STEP_BYTES = STEP.encode()


def steps_since(kafka: KafkaSettings, since: int) -> Iterator[dict[str, Any]]:
    """Notices about models since a time, in order. Only these are parsed, because the topic holds many others.

    Parameters
    ----------
    kafka : KafkaSettings
    since : int
        Milliseconds.

    Yields
    ------
    dict
        A CloudEvent.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    for record in records_since(kafka, kafka.topics.notices, since):
        if _STEP_BYTES in (record.value or b"") and (event := step_of(record.value)):
            yield event


def step_of(value: bytes | None) -> dict[str, Any] | None:
    """The CloudEvent about a model in a record; None if the record holds anything else, whatever it is."""
    event = event_of(value)
    return event if event and isinstance(event["data"].get("model"), str) else None
