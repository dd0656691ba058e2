"""Saved state meets other settings than those it was saved with: it is refused with a reason, or what still has a meaning is read."""

from __future__ import annotations

import json
import re

import hypothesis
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamgauge.models.errors import StateError
from streamgauge.udfs.entities.columns import BLAMED, CHANNEL, STATUS
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.pipeline.task import Job, Task
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

from tests.streams import SMALL, START, Run, batch

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


# ---- windows come and go ------------------------------------------------------------------------------------------------

MINUTE = 60_000
BEGIN = START // MINUTE * MINUTE
OF_X = {"size": "1 m", "aggregates": {"x": ["sum", "max"]}}
OF_Y = {"size": "2 m", "every": "1 m", "aggregates": {"y": ["sum"], "kind": ["distinct"]}}
X, BOTH, NONE = {"of_x": OF_X}, {"of_x": OF_X, "of_y": OF_Y}, {}


def with_windows(windows) -> PipelineSettings:
    event = SMALL.event.model_dump() | {"out_of_order": "10 s", "amend_within": "5 m"}
    return PipelineSettings.model_validate(SMALL.model_dump() | {"windows": windows, "event": event})


def traffic(n: int = 600):
    """Events of two entities, five seconds apart, some of them late. `fan` sends far more of both fields in the 12th minute of each 20."""
    random = np.random.default_rng(0)
    events, stamps = [], []
    for i in range(n):
        minute = i * 5_000 // MINUTE
        x, y = random.normal(10, 1, 2) + (40.0 if i % 2 and minute % 20 == 12 else 0.0)
        late = 60_000 if i % 37 == 5 else 0
        owner = "fan" if i % 2 else "pump"
        events.append({"entity": owner, "x": x, "y": y, "kind": f"k{i % 3}", "ts": BEGIN + 5_000 * i - late})
        stamps.append(BEGIN + 5_000 * i)
    return batch(events, stamps=stamps)


def part(raw, begin, end):
    return raw.take(np.arange(begin, end))


def windows_told(run, name):
    """Changes of the incidents of windows: state, entity, window and its values."""
    told = [json.loads(text)["data"] for _, text in run.alerts]
    return [
        (one["state"], one["entity"], one["aggregate"], one["actual"])
        for one in told
        if one.get("aggregate", {}).get("window") == name
    ]


def keys_of_windows(saved):
    return {key.split("/")[1] for key in saved if "/w:" in key}


@hypothesis.settings(max_examples=8)
@given(st.sampled_from([X, NONE]), st.integers(1, 300), st.integers(301, 599), st.integers(1, 598))
@example(X, 200, 400, 401)
@example(NONE, 200, 400, 401)
def test_a_window_that_is_removed_and_added_again_begins_anew(between, removed, added, restarted):
    raw = traffic()
    before = Run(with_windows(BOTH)).feed(part(raw, 0, removed))
    without = Run(with_windows(between), before.saved).feed(part(raw, removed, added), [removed + 50])
    assert keys_of_windows(without.saved) <= {f"w:{name}" for name in between}
    whole = Run(with_windows(BOTH), without.saved).feed(part(raw, added, len(raw)))
    stop = min(max(restarted, added), len(raw))
    first = Run(with_windows(BOTH), without.saved).feed(part(raw, added, stop))
    second = Run(with_windows(BOTH), first.saved).feed(part(raw, stop, len(raw)), [stop - 3, stop + 10])
    assert first.alerts + second.alerts == whole.alerts
    assert second.shard.canonical() == whole.shard.canonical()
    assert Run(with_windows(BOTH), whole.saved).shard.canonical() == whole.shard.canonical()


@pytest.mark.parametrize("between", [X, NONE], ids=["other windows", "no windows"])
def test_the_first_window_of_an_added_kind_begins_after_all_events_from_before(between):
    raw = traffic()
    before = Run(with_windows(between)).feed(part(raw, 0, 400))
    run = Run(with_windows(BOTH), before.saved).feed(part(raw, 400, 450), [420])
    reports = run.shard.partitions[0].windows.of["of_y"].reports
    last_before = BEGIN + 5_000 * 399
    assert reports
    assert all(end - 2 * MINUTE > last_before for end in reports)


def test_other_windows_that_come_and_go_do_not_change_those_that_stay():
    raw = traffic()
    alone = Run(with_windows(X)).feed(raw)
    run = Run(with_windows(X)).feed(part(raw, 0, 150))
    for begin, windows in ((150, BOTH), (250, X), (350, BOTH), (450, X)):
        run, told = Run(with_windows(windows), run.saved), run.alerts
        run.alerts += told
        run.feed(part(raw, begin, begin + 100 if begin < 450 else len(raw)))
    assert windows_told(run, "of_x") == windows_told(alone, "of_x")
    assert {state for state, *_ in windows_told(alone, "of_x")} >= {"opened", "resolved"}
    assert keys_of_windows(run.saved) == {"w:of_x"}


@pytest.mark.parametrize("change", [{"size": "3 m"}, {"every": "30 s"}], ids=str)
def test_a_window_of_another_length_begins_anew(change):
    raw = traffic()
    before = Run(with_windows(BOTH)).feed(part(raw, 0, 300))
    changed = with_windows({"of_x": OF_X, "of_y": OF_Y | change})
    after = Run(changed, before.saved)
    stages = after.shard.partitions[0].windows.of["of_y"].stages
    assert len(stages.entities.store) == 0
    after.feed(part(raw, 300, 600))
    assert len(stages.entities.store) == 2
    assert Run(changed, after.saved).shard.canonical() == after.shard.canonical()


def test_a_window_with_other_aggregates_goes_on_and_new_ones_are_like_new_fields():
    raw = traffic()
    before = Run(with_windows(BOTH)).feed(part(raw, 0, 300))
    changed = with_windows({"of_x": {"size": "1 m", "aggregates": {"x": ["max"], "y": ["mean"]}}, "of_y": OF_Y})
    after = Run(changed, before.saved)
    of_x = after.shard.partitions[0].windows.of["of_x"]
    assert len(of_x.stages.entities.store) == 2
    assert of_x.stages.alignment.schema.numeric == ["of_x.count", "of_x.x.sum", "of_x.x.max", "of_x.y.mean"]
    after.feed(part(raw, 300, 600))
    assert set(of_x.reports[max(of_x.reports)].values["fan"]) == {"of_x.count", "of_x.x.max", "of_x.y.mean"}
    assert Run(changed, after.saved).shard.canonical() == after.shard.canonical()


# ---- open incidents -----------------------------------------------------------------------------------------------------

VALUES = np.random.default_rng(0).normal(10, 1, 200).tolist()
OPENS = batch([{"entity": "pump", "x": x, "where": "north"} for x in [*VALUES, 500.0]])
ENDS = batch([{"entity": "pump", "x": x, "where": "north"} for x in VALUES[:12]], offset=201)


def with_open_incident() -> tuple[Run, np.ndarray, list[str]]:
    """A run whose entity has an open incident, with the incident and the names of the members."""
    run = Run().feed(OPENS)
    stages = run.shard.partitions[0].stages
    head = stages.entities.store.head[0]
    assert head[STATUS]
    return run, head, stages.scorer.members


def saved_after(run: Run) -> dict[str, bytes]:
    """The state of a run after one more event of the entity."""
    return run.feed(batch([{"entity": "pump", "x": 500.0, "where": "north"}], offset=201)).saved


def without_detectors(*names: str) -> PipelineSettings:
    return SMALL.model_copy(update={"detectors": SMALL.detectors.model_copy(update=dict.fromkeys(names))})


ALL = [name for name, chosen in SMALL.detectors if chosen is not None and name != "levels"]


@pytest.mark.parametrize(
    ("channel", "gone", "named"),
    [
        ("rolling_z_score", ("runs",), "rolling_z_score"),
        ("level", ("runs",), "level"),
        ("flat line", ("runs",), None),
        ("relations", ALL, None),
    ],
)
@pytest.mark.parametrize("restarts", [1, 2])
def test_an_open_incident_keeps_the_member_that_opened_it_where_members_come_and_go(channel, gone, named, restarts):
    run, head, members = with_open_incident()
    head[CHANNEL] = members.index(channel) + 1
    after = Run(without_detectors(*gone), saved_after(run))
    for _ in range(restarts - 1):
        after.feed(batch([{"entity": "fan", "x": 1.0, "where": "north"}], offset=202))
        after = Run(without_detectors(*gone), after.saved)
    after.feed(ENDS.take(np.arange(2, 12)))
    [ended] = [json.loads(text)["data"] for _, text in after.alerts]
    assert (ended["state"], ended["channel"]) == ("resolved", named)


def test_state_of_an_earlier_release_that_numbers_text_fields_after_the_numeric_ones_is_read():
    run, head, _ = with_open_incident()
    head[BLAMED] = 2  # one numeric field, then the text field
    after = Run(SMALL, saved_after(run))
    assert after.shard.partitions[0].stages.entities.store.head[0, BLAMED] == -1
    after.feed(batch([{"entity": "fan", "x": 1.0, "y": 1.0, "z": 1.0}], offset=202))
    assert Run(SMALL, after.saved).shard.partitions[0].stages.entities.store.head[0, BLAMED] == -1
