"""A job that reads events again, under newer messages or other settings, leaves no alert open that nobody resolves."""

from __future__ import annotations

import json
from itertools import pairwise

import hypothesis
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamgauge.udfs.pipeline.task import Job, Task
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

from tests.streams import SMALL, START, batch, stream

MINUTE = 60_000
RULES = '{"type":"rules","rules":[{"id":"low","when":"f0 < 8"}]}'
NO_RULES = '{"type":"rules","rules":[]}'
STRICT = '{"type":"threshold","value":1e-12}'
QUIET = json.dumps(
    {
        "type": "maintenance",
        "windows": [{"entities": "*", "start": "2025-01-01T00:00:00Z", "end": "2026-12-31T00:00:00Z"}],
    }
)
NEWER = {"no rules": NO_RULES, "a stricter threshold": STRICT, "maintenance": QUIET, "none": None}


class Topics:
    """A job with one shard, its saved state, and the alerts on their topic. It can be started again from any saved state."""

    def __init__(self, settings=SMALL, per_partition=True, name="job"):
        self.settings, self.per_partition, self.name = settings, per_partition, name
        self.alerts: list[bytes] = []
        self.start({})

    def start(self, saved, *messages):
        self.task = Task(Job(self.settings, EventTopics(("events",)), "feedback", self.name, self.per_partition))
        for offset, text in enumerate(messages):
            self.task.hear("control", offset, text)
        self.task.recall(self.alerts)
        self.saved = dict(saved)
        return self

    def feed(self, raw, cuts=()):
        edges = sorted({0, len(raw), *(c for c in cuts if 0 < c < len(raw))})
        for begin, end in pairwise(edges):
            part = raw.take(np.arange(begin, end))
            self.keep(self.task.process(0, part, None if self.task.has(0) else dict(self.saved)))
        return self

    def keep(self, result):
        for key in result.deletes:
            del self.saved[key]
        self.saved |= result.writes
        self.alerts += [text for _, text in result.alerts]

    def tick(self, minutes):
        """Let time pass as a heartbeat does."""
        shard = self.task._shards[0]
        result = shard.tick(dict.fromkeys(shard.partitions, int(minutes * MINUTE)))
        self.keep(result)

    def open_by_topic(self):
        newest = {data["alert_id"]: data["state"] for data in self.told()}
        return {identity for identity, state in newest.items() if state in ("opened", "updated")}

    def open_by_state(self):
        return {identity for one in self.task._shards[0].partitions.values() for identity in one.open_alerts()}

    def told(self):
        """The data of all alerts on the topic."""
        return [json.loads(text)["data"] for text in self.alerts]

    def unknown(self):
        """Entities of the incidents that were resolved because they did not open again."""
        return [data["entity"] for data in self.told() if data.get("reason") == "unknown"]


def part(raw, begin, end):
    return raw.take(np.arange(begin, end))


def end(job, partitions=1, topic="events"):
    """One more event of each partition."""
    last = batch(
        [{"entity": "last", "f0": 10.0}] * partitions, range(partitions), stamps=[START + 90 * 86_400_000] * partitions
    )
    last.offsets[:] = 10_000
    return job.feed(last)


# ---- newer messages -----------------------------------------------------------------------------------------------------


@hypothesis.settings(max_examples=6)
@given(
    st.integers(0, 3),
    st.integers(1, 350),
    st.integers(10, 200),
    st.sampled_from(sorted(NEWER)),
    st.booleans(),
    st.lists(st.integers(1, 399), max_size=4),
)
@example(0, 60, 150, "no rules", True, [])
@example(0, 60, 150, "a stricter threshold", False, [30])
@example(0, 234, 104, "maintenance", True, [])
def test_after_a_replay_the_topic_of_alerts_and_the_state_agree_on_what_is_open(
    seed, saved_at, read_since, newer, per_partition, cuts
):
    raw = stream(seed=seed, partitions=2)
    job = Topics(per_partition=per_partition).start({}, RULES).feed(part(raw, 0, saved_at))
    saved, crash = dict(job.saved), min(saved_at + read_since, len(raw))
    job.feed(part(raw, saved_at, crash), cuts)
    assert job.open_by_topic() == job.open_by_state()
    ended = {data["alert_id"] for data in job.told()} - job.open_by_topic()
    messages = [RULES] if NEWER[newer] is None else [RULES, NEWER[newer]]
    job.start(saved, *messages).feed(part(raw, saved_at, len(raw)), cuts)
    end(job, 2)
    assert job.open_by_topic() <= job.open_by_state()
    # The end of these was told, and under newer messages they have not ended.
    assert job.open_by_state() - job.open_by_topic() <= ended
    if newer == "none":  # the same again, and nothing more
        assert job.unknown() == []


def test_the_alert_of_an_incident_that_does_not_open_again_is_resolved_and_says_why():
    values = [{"entity": f"e{i % 2}", "x": -1.0 if i == 30 else float(i % 5)} for i in range(60)]
    rule = '{"type":"rules","rules":[{"id":"negative","when":"x < 0"}]}'
    job = Topics().start({}, rule).feed(part(batch(values), 0, 20))
    saved = dict(job.saved)
    job.feed(part(batch(values), 20, 32))
    [opened] = job.told()
    assert (opened["entity"], opened["state"]) == ("e0", "opened")
    job.start(saved, rule, NO_RULES).feed(part(batch(values), 20, 30))
    assert len(job.alerts) == 1  # its event comes yet
    job.feed(part(batch(values), 30, 60))
    [_, resolved] = job.told()
    assert (resolved["alert_id"], resolved["state"], resolved["reason"]) == (opened["alert_id"], "resolved", "unknown")
    assert "this incident did not open again" in resolved["why"]
    ids = [json.loads(text)["id"] for text in job.alerts]
    assert len(set(ids)) == 2


def test_a_replay_under_the_same_messages_gives_the_same_alerts_and_no_others():
    raw = stream(seed=1)
    job = Topics().feed(part(raw, 0, 100))
    saved, before = dict(job.saved), len(job.alerts)
    job.feed(part(raw, 100, 400))
    first = job.alerts[before:]
    job.start(saved).feed(part(raw, 100, 400), [7, 150])
    assert job.alerts[before:] == first + first


def test_a_version_of_a_detector_that_came_while_the_job_was_down_is_at_work_after_its_start():
    raw, version = stream(seed=2), {"type": "detector", "detector": "half_space_trees", "version": "7"}
    message = json.dumps(version | {"settings": {"n_trees": 3, "window_size": 20}})
    job = Topics().feed(part(raw, 0, 200))
    before = len(job.alerts)
    job.start(job.saved, message).feed(part(raw, 200, 300))
    job.start(job.saved, message).feed(part(raw, 300, 400))
    told = [data["detectors"]["half_space_trees"]["version"] for data in job.told()[before:] if data["detectors"]]
    assert set(told) == {"7"}
    [partition] = job.task._shards[0].partitions.values()
    assert partition.stages.scorer.detectors.cohort["half_space_trees"].n_trees == 3


@pytest.mark.parametrize("saved_at", [50, 130, 250])
def test_it_makes_no_difference_whether_a_version_comes_while_the_job_is_down_or_just_before(saved_at):
    raw, version = stream(seed=2), {"type": "detector", "detector": "half_space_trees", "version": "7"}
    message = json.dumps(version | {"settings": {"n_trees": 3, "window_size": 15}})
    before, down = (Topics().feed(part(raw, 0, saved_at)) for _ in range(2))
    before.task.hear("control", 0, message)
    down.start(down.saved, message)
    for job in (before, down):
        job.feed(part(raw, saved_at, 400))
    assert down.alerts == before.alerts
    assert down.task._shards[0].canonical() == before.task._shards[0].canonical()


# ---- other settings, other state ----------------------------------------------------------------------------------------


def test_a_job_that_starts_without_its_state_resolves_what_it_told_before():
    values = [{"entity": "pump", "x": -1.0 if i == 30 else float(i % 5)} for i in range(60)]
    decide = SMALL.decide.model_dump() | {"rules": [{"id": "negative", "when": "x < 0"}], "quiet_events": 50}
    job = Topics(PipelineSettings.model_validate(SMALL.model_dump() | {"decide": decide})).feed(batch(values))
    assert len(job.open_by_topic()) == 1
    job.start({}).feed(batch(values[:10], offset=60))
    assert job.open_by_topic() == set()
    assert job.unknown() == ["pump"]


def test_alerts_of_other_jobs_and_what_is_no_alert_do_not_matter():
    values = [{"entity": "pump", "x": -1.0 if i == 38 else float(i % 5)} for i in range(40)]
    rule = '{"type":"rules","rules":[{"id":"negative","when":"x < 0"}]}'
    other = Topics(name="other").start({}, rule).feed(batch(values))
    assert len(other.open_by_topic()) == 1
    [alert] = [json.loads(text) for text in other.alerts]
    job = Topics()
    odd = [b"", b"{", b"[]", b"\xff", b'{"data": 7}', json.dumps(alert | {"time": "never"}).encode()]
    odd.append(
        json.dumps(alert | {"source": "/streamgauge/job/events", "data": alert["data"] | {"source": None}}).encode()
    )
    job.alerts = [*other.alerts, *odd]
    job.start({}).feed(batch(values[:10], offset=60))
    assert job.alerts == [*other.alerts, *odd]


WINDOWS = {"minute": {"size": "1 m", "aggregates": {"x": ["min"]}}}


def with_windows(windows, **decide):
    raw = SMALL.model_dump()
    rule = {
        "rules": [{"id": "negative", "when": "minute.x.min < 0"}],
        "quiet_events": 30,
        "threshold": 1e-12,
        "fields": {"x": {"absolute": 1000}},
    }
    return PipelineSettings.model_validate(raw | {"windows": windows, "decide": raw["decide"] | rule | decide})


def minutes(n, low):
    """Two entities, an event every ten seconds; `pump` has a negative value in the minute `low`."""
    values = [
        {"entity": e, "x": -1.0 if (e, i) == ("pump", 6 * low) else i % 5 + 1.0}
        for i in range(6 * n)
        for e in ("fan", "pump")
    ]
    return batch(values, stamps=START // MINUTE * MINUTE + 10_000 * (np.arange(12 * n) // 2))


def test_incidents_of_windows_that_were_removed_are_resolved():
    job = Topics(with_windows(WINDOWS)).feed(part(minutes(60, 30), 0, 400))
    assert [(one["entity"], one["state"]) for one in job.told()] == [("pump", "opened")]
    job.settings = with_windows({})
    job.start(job.saved).feed(part(minutes(60, 30), 400, 500))
    assert job.unknown() == ["pump"]
    assert job.open_by_topic() == set()


@pytest.mark.parametrize("saved_at", [100, 369, 371, 400])
def test_incidents_of_windows_are_not_resolved_before_their_window_has_ended_again(saved_at):
    raw = minutes(60, 30)
    job = Topics(with_windows(WINDOWS)).feed(part(raw, 0, saved_at))
    saved = dict(job.saved)
    job.feed(part(raw, saved_at, 420))
    first = list(job.alerts)
    assert len(first) == 1
    job.start(saved).feed(part(raw, saved_at, 420), range(0, 400, 7))
    assert set(job.alerts) == set(first)
    job.start(saved, '{"type":"rules","rules":[]}').feed(part(raw, saved_at, 420), range(0, 400, 7))
    assert (
        job.open_by_topic()
        == job.open_by_state()
        == (set() if saved_at < 372 else {json.loads(first[0])["data"]["alert_id"]})
    )


# ---- silence ------------------------------------------------------------------------------------------------------------


def watching(**silence):
    raw = SMALL.model_dump()
    chosen = {"silence": {"after": 3, "at_least": "1 m", "events": 20} | silence}
    return PipelineSettings.model_validate(raw | chosen | {"decide": raw["decide"] | {"threshold": 1e-12}})


def each_minute(n, stopped=()):
    """`fan` and `pump` send each minute; `pump` not in the minutes `stopped`."""
    sent = [(m, e) for m in range(n) for e in ("fan", "pump") if e == "fan" or m not in stopped]
    return batch([{"entity": e, "x": m % 7} for m, e in sent], stamps=[START + m * MINUTE for m, _ in sent])


def test_a_silence_that_was_told_by_the_clock_of_the_machine_and_does_not_come_again_is_resolved():
    raw = each_minute(60)
    job = Topics(watching()).feed(part(raw, 0, 80))
    saved = dict(job.saved)
    job.tick(10)  # the broker is away
    assert len(job.open_by_topic()) == 2
    job.start(saved).feed(part(raw, 80, 120))  # when it is back, no event is missing
    assert sorted(job.unknown()) == ["fan", "pump"]
    assert job.open_by_topic() == job.open_by_state() == set()


def test_a_silence_that_goes_on_is_not_resolved():
    raw = each_minute(100, stopped=range(40, 100))
    job = Topics(watching()).feed(part(raw, 0, 80))
    saved = dict(job.saved)
    job.feed(part(raw, 80, 110))
    [opened] = job.open_by_topic()
    job.start(saved).feed(part(raw, 80, len(raw)), range(0, 100, 3))
    assert job.unknown() == []
    assert job.open_by_topic() == job.open_by_state() == {opened}


def test_silences_are_resolved_when_they_are_not_looked_for_any_more():
    raw = each_minute(100, stopped=range(40, 100))
    job = Topics(watching()).feed(part(raw, 0, 110))
    assert len(job.open_by_topic()) == 1
    job.settings = SMALL.model_copy(update={"decide": SMALL.decide.model_copy(update={"threshold": 1e-12})})
    job.start(job.saved).feed(part(raw, 110, 120))
    assert job.unknown() == ["pump"]
    assert job.open_by_topic() == set()
