"""What feedback changed: the last events through the pipeline twice, with and without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from streamgauge.jobs.kafka.feedback import heard
from streamgauge.jobs.kafka.pipeline_settings import pipeline_of
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.kafka.topics import read_compacted, records_since
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ModelError, SettingsError
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import EntityAction, parse
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import ScoringPipeline

BATCH = 2000
Alert = tuple[str, int, int]  # entity, partition and offset at which it opened


@dataclass(frozen=True, slots=True)
class Effect:
    """What feedback changed.

    Attributes
    ----------
    events : int
    alerts_without, alerts_with : int
        Incidents that opened.
    avoided : dict of str to int
        Of the incidents that opened only without it: found false, found true (detections lost), judged by nobody.
    added : int
        Incidents that opened only with it.
    """

    events: int
    alerts_without: int
    alerts_with: int
    avoided: dict[str, int]
    added: int


def effect_of_feedback(
    settings: Settings, since: int, most: int, say: Callable[[int, int], None] = lambda *_: None
) -> Effect:  # fmt: skip
    """Score events again with all feedback known from the beginning, and with none.

    Parameters
    ----------
    settings : Settings
    since : int
        Milliseconds.
    most : int
        Newest events that are looked at.
    say : callable
        Told of events done, and of how many there are.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    kafka, words = settings.kafka, heard(settings.kafka)
    records = records_since(kafka, kafka.topics.events, since, most)
    raw = raw_batch(records)
    said = [text for _, text in read_compacted(kafka, kafka.topics.control)]
    without, with_it = (
        _opened(settings, said, told, raw, lambda n, k=k: say(k * len(raw) + n, 2 * len(raw)))  # type: ignore[misc]
        for k, told in enumerate(([], words))
    )
    return compared(without, with_it, words, len(raw))


def _opened(
    settings: Settings, said: list[str], words: list[Feedback], raw: RawBatch, say: Callable[[int], None]
) -> set[Alert]:
    """Incidents that open."""
    pipeline = ScoringPipeline(
        pipeline_of(settings), settings.kafka.topics.events, settings.job.name, settings.batch.sharding == "partition", False
    )  # fmt: skip
    for control in said:
        try:
            message = parse(control)
            if not isinstance(message, EntityAction):
                pipeline.apply(message)
        except (SettingsError, ModelError):
            continue  # the job refused it too
    for k, word in enumerate(words):
        pipeline.hear(word, k)
    found: set[Alert] = set()
    for begin in range(0, len(raw), BATCH):
        rows = np.arange(begin, min(begin + BATCH, len(raw)))
        for _, text in pipeline.process(raw.take(rows)).alerts:
            data: dict[str, Any] = json.loads(text)["data"]
            if data["state"] == "opened" and "opened_offset" in data["source"]:
                found.add((data["entity"], data["source"]["opened_partition"], data["source"]["opened_offset"]))
        say(begin + len(rows))
    return found


def compared(without: set[Alert], with_it: set[Alert], words: list[Feedback], events: int) -> Effect:
    """The difference between two runs, and what people said of it.

    Parameters
    ----------
    without, with_it : set of (entity, partition, offset)
    words : list of Feedback
    events : int
    """
    avoided = {"false": 0, "true": 0, "unjudged": 0}
    for entity, partition, offset in without - with_it:
        votes = [
            1 if word.verdict == "true" else -1
            for word in words
            if word.source is not None and word.entity == entity and word.verdict != "ignore"
            and word.source.partition == partition and word.source.first <= offset <= word.source.last
        ]  # fmt: skip
        avoided["true" if sum(votes) > 0 else "false" if sum(votes) < 0 else "unjudged"] += 1
    return Effect(events, len(without), len(with_it), avoided, len(with_it - without))
