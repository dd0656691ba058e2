"""What feedback changed: the newest events are scored twice, with feedback and without."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from streamgauge.jobs.kafka.event_topics import there
from streamgauge.jobs.kafka.feedback import newest_feedback
from streamgauge.jobs.kafka.pipeline_settings import pipeline_of
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.kafka.topics import read_texts, records_since
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ModelError, SettingsError
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import EntityAction, parse
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard

BATCH = 2000
Alert = tuple[str, str, int, int]  # entity; topic, partition and offset at which it opened


@dataclass(frozen=True, slots=True)
class Effect:
    """What feedback changed.

    Attributes
    ----------
    events : int
    alerts_without, alerts_with : int
        Incidents that opened.
    avoided : dict of str to int
        Incidents that opened only without feedback, by what people found of them: false, true (these were lost), or unjudged.
    added : int
        Incidents that opened only with feedback.
    """

    events: int
    alerts_without: int
    alerts_with: int
    avoided: dict[str, int]
    added: int


def effect_of_feedback(
    settings: Settings, since: int, most: int, say: Callable[[int, int], None] = lambda *_: None
) -> Effect:
    """Score events again with all feedback known from the beginning, and with none.

    Parameters
    ----------
    settings : Settings
    since : int
        Milliseconds.
    most : int
        How many of the newest events are scored again.
    say : callable
        Called with the number of events scored, and with their total.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    kafka, feedback = settings.kafka, newest_feedback(settings)
    found = [records_since(kafka, topic, since, most) for topic in there(kafka)]
    raw = raw_batch(list(heapq.merge(*found, key=lambda record: record.timestamp))[-most:])
    control = [text for _, text in read_texts(kafka, kafka.topics.control)]
    without, with_it = (
        _opened(settings, control, known, raw, lambda n, k=k: say(k * len(raw) + n, 2 * len(raw)))  # type: ignore[misc]
        for k, known in enumerate(([], feedback))
    )
    return compared(without, with_it, feedback, len(raw))


def _opened(
    settings: Settings, control: list[str], feedback: list[Feedback], raw: RawBatch, say: Callable[[int], None]
) -> set[Alert]:
    """The incidents that open."""
    shard = Shard(
        pipeline_of(settings),
        settings.kafka.topics.event_topics,
        settings.job.name,
        settings.batch.sharding == "partition",
        False,
    )
    for text in control:
        try:
            message = parse(text)
            if not isinstance(message, EntityAction):
                shard.apply(message)
        except (SettingsError, ModelError):
            continue  # the job refused it too
    for k, one in enumerate(feedback):
        shard.hear(one, k)
    found: set[Alert] = set()
    for begin in range(0, len(raw), BATCH):
        rows = np.arange(begin, min(begin + BATCH, len(raw)))
        for _, alert in shard.process(raw.take(rows)).alerts:
            data: dict[str, Any] = json.loads(alert)["data"]
            if data["state"] == "opened" and "opened_offset" in data["source"]:
                source = data["source"]
                found.add((data["entity"], source["topic"], source["opened_partition"], source["opened_offset"]))
        say(begin + len(rows))
    return found


def compared(without: set[Alert], with_it: set[Alert], feedback: list[Feedback], events: int) -> Effect:
    """The difference between two runs, and what people found of the alerts that differ.

    Parameters
    ----------
    without, with_it : set of (entity, topic, partition, offset)
    feedback : list of Feedback
    events : int
    """
    avoided = {"false": 0, "true": 0, "unjudged": 0}
    for entity, topic, partition, offset in without - with_it:
        votes = [
            1 if one.verdict == "true" else -1
            for one in feedback
            if one.source is not None
            and one.entity == entity
            and one.verdict != "ignore"
            and one.source.topic in (None, topic)
            and one.source.partition == partition
            and one.source.first <= offset <= one.source.last
        ]
        avoided["true" if sum(votes) > 0 else "false" if sum(votes) < 0 else "unjudged"] += 1
    return Effect(events, len(without), len(with_it), avoided, len(with_it - without))
