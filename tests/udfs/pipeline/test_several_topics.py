"""A shard with partitions of several topics: each is by itself, and says where it is from."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.settings.topics import EventTopics

from tests.streams import Run, stream

FIRST, SECOND = "pumps", "metrics"
TOPICS = EventTopics((FIRST, SECOND))
cuts = st.lists(st.integers(1, 799), max_size=12)


def on(topic: str, raw: RawBatch) -> RawBatch:
    return RawBatch(raw.payloads, raw.partitions, raw.offsets, raw.stamps, topics=[topic] * len(raw))


def both(seed: int = 0) -> RawBatch:
    """Two topics with the same partitions, offsets and entities, whose records take turns."""
    one, other = stream(seed=seed, partitions=2), stream(seed=seed + 1, partitions=2)
    payloads = [payload for pair in zip(one.payloads, other.payloads, strict=True) for payload in pair]
    columns = [
        np.column_stack((getattr(one, name), getattr(other, name))).ravel()
        for name in ("partitions", "offsets", "stamps")
    ]
    return RawBatch(payloads, *columns, topics=[FIRST, SECOND] * len(one))


def only(raw: RawBatch, topic: str) -> RawBatch:
    return raw.take(np.array([i for i, name in enumerate(raw.topics or ()) if name == topic]))


@given(cuts, st.integers(0, 3))
def test_batch_boundaries_do_not_matter(where, seed):
    raw = both(seed)
    whole, cut = Run(topics=TOPICS).feed(raw), Run(topics=TOPICS).feed(raw, where)
    assert cut.outputs() == whole.outputs()
    assert cut.shard.canonical() == whole.shard.canonical()


@given(st.integers(1, 799), cuts)
def test_resuming_from_saved_state_equals_never_having_stopped(stop, where):
    raw = both()
    before = Run(topics=TOPICS).feed(raw.take(np.arange(stop)), where)
    after = Run(saved=before.saved, topics=TOPICS).feed(raw.take(np.arange(stop, len(raw))), where)
    whole = Run(topics=TOPICS).feed(raw)
    assert after.shard.canonical() == whole.shard.canonical()
    joined = {name: sorted(before.outputs()[name] + records) for name, records in after.outputs().items()}
    assert joined == whole.outputs()


def test_topics_do_not_influence_each_other():
    raw = both()
    together = Run(topics=TOPICS).feed(raw)
    first, second = (Run(topics=name).feed(only(raw, name)) for name in (FIRST, SECOND))
    joined = {name: sorted(records + second.outputs()[name]) for name, records in first.outputs().items()}
    assert together.outputs() == joined
    keyed = {f"{key}@{SECOND}": value for key, value in second.shard.canonical().items()}
    assert together.shard.canonical() == first.shard.canonical() | keyed


def test_every_record_names_the_topic_that_it_came_from():
    raw = both()
    run, payloads = Run(topics=TOPICS).feed(raw), {}
    for topic, partition, offset, payload in zip(raw.topics, raw.partitions, raw.offsets, raw.payloads, strict=True):
        payloads[topic, int(partition), int(offset)] = payload
    sources = [json.loads(text)["data"]["source"] for _, text in run.alerts]
    for place in (*map(json.loads, (text for _, text in (*run.scores, *run.late))), *sources):
        event = json.loads(payloads[place["topic"], place["partition"], place["offset"]])
        assert place.get("entity", event["entity"]) == event["entity"]
    assert {source["topic"] for source in sources} == {FIRST, SECOND}
    assert {json.loads(text)["topic"] for _, text in run.dead} == {FIRST, SECOND}
    notices = [json.loads(text) for _, text in run.notices]
    assert {notice["source"].rpartition("/")[2] for notice in notices} == {FIRST, SECOND}


def test_the_same_events_on_two_topics_are_incidents_with_different_ids():
    raw = stream()
    run = Run(topics=TOPICS).feed(on(FIRST, raw)).feed(on(SECOND, raw))
    ids: dict[str, set[str]] = {FIRST: set(), SECOND: set()}
    for _, text in run.alerts:
        data = json.loads(text)["data"]
        ids[data["source"]["topic"]].add(data["alert_id"])
    assert len(ids[FIRST]) == len(ids[SECOND]) > 0
    assert not ids[FIRST] & ids[SECOND]


def test_a_job_with_one_topic_has_the_same_state_and_outputs_whether_or_not_its_records_name_it():
    raw = stream(partitions=2)
    named, plain = Run(topics=EventTopics((FIRST,))).feed(on(FIRST, raw)), Run(topics=FIRST).feed(raw)
    assert named.saved == plain.saved
    assert named.outputs() == plain.outputs()
    assert {key.partition("/")[0] for key in plain.saved} == {"0", "1"}


def test_a_topic_can_be_added_to_saved_state():
    raw = both()
    first, second = only(raw, FIRST), only(raw, SECOND)
    before = Run(topics=FIRST).feed(first.take(np.arange(200)))
    after = Run(saved=before.saved, topics=TOPICS).feed(second).feed(first.take(np.arange(200, 400)))
    assert {key.partition("/")[0] for key in after.saved} == {"0", "1", f"0@{SECOND}", f"1@{SECOND}"}
    assert after.shard.canonical() == Run(topics=TOPICS).feed(raw).shard.canonical()


def test_the_state_of_a_topic_that_no_longer_matches_the_pattern_stays_as_it_is():
    wide, narrow = EventTopics((), "pumps|metrics"), EventTopics((), "pumps")
    before = Run(topics=wide).feed(both())
    alone = Run(saved=before.saved, topics=narrow)
    assert list(alone.shard.canonical()) == [f"0@{FIRST}", f"1@{FIRST}"]
    alone.feed(on(FIRST, stream(seed=9)))
    again = Run(saved=alone.saved, topics=wide)
    for key in (f"0@{SECOND}", f"1@{SECOND}"):
        assert again.shard.canonical()[key] == before.shard.canonical()[key]


def test_with_a_pattern_the_state_of_every_topic_has_its_name():
    run = Run(topics=EventTopics((), "pumps|metrics")).feed(both())
    keys = {f"{number}@{name}" for number in (0, 1) for name in (FIRST, SECOND)}
    assert {key.partition("/")[0] for key in run.saved} == keys
    assert run.outputs() == Run(topics=TOPICS).feed(both()).outputs()
