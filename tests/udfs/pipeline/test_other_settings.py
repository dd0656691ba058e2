"""Saved state meets other settings than those it was saved with: it is refused with a reason, or read as far as it still means something."""

from __future__ import annotations

import re

import numpy as np
import pytest
from streamgauge.models.errors import StateError
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.pipeline.task import Job, Task
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

from tests.streams import SMALL, Run, batch

EVENTS = batch([{"entity": "pump", "x": float(i % 7), "where": "north"} for i in range(40)])
NEXT = batch([{"entity": "pump", "x": 1.0, "where": "north"}], offset=40)


def state_of(per_partition: bool, topics: EventTopics, settings: PipelineSettings = SMALL) -> dict[str, bytes]:
    """What a shard saves."""
    raw = EVENTS.take(np.arange(len(EVENTS)))
    if topics.several:
        raw.topics = [topics.names[-1]] * len(raw)
    return dict(Shard(settings, topics, per_partition=per_partition).process(raw).writes)


# ---- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topics", [EventTopics(("events",)), EventTopics(("events", "more"))], ids=["one", "several"])
@pytest.mark.parametrize(("was", "now"), [("partition", "entity"), ("entity", "partition")])
def test_a_switch_of_sharding_is_refused_and_the_message_says_what_to_do(was, now, topics):
    saved = state_of(was == "partition", topics)
    task = Task(Job(SMALL, topics, "feedback", "job", now == "partition"))
    said = f"saved with batch.sharding {was}, the settings say {now}: set batch.sharding: {was} again, or start without"
    with pytest.raises(StateError, match=re.escape(said)):
        task.process(0, NEXT, saved)
    with pytest.raises(StateError, match=re.escape(said)):
        task.tick(0, saved)


@pytest.mark.parametrize("per_partition", [True, False])
def test_the_same_sharding_and_a_shard_without_state_are_not_refused(per_partition):
    for saved in (state_of(per_partition, EventTopics(("events",))), {}):
        Task(Job(SMALL, EventTopics(("events",)), "feedback", "job", per_partition)).process(0, NEXT, saved)


def with_context(*fields: str) -> PipelineSettings:
    return SMALL.model_copy(update={"event": SMALL.event.model_copy(update={"context": fields})})


@pytest.mark.parametrize(("was", "now"), [([], ["where"]), (["where"], []), (["where"], ["where", "x"])])
def test_other_context_fields_are_refused_and_the_message_says_what_to_do(was, now):
    saved = Run(with_context(*was)).feed(EVENTS).saved
    said = f"saved with event.context {was}, the settings say {now}: set event.context: {was} again, or start without"
    with pytest.raises(StateError, match=re.escape(said)):
        Run(with_context(*now), saved)
    Run(with_context(*was), saved).feed(NEXT)
