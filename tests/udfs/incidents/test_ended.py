"""An open incident of an entity that sends nothing any more ends, and an alert says why. What is kept of incidents is bounded."""

from __future__ import annotations

import functools
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamgauge.jobs.service.messages import Record, change_of
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.entities import knowledge
from streamgauge.udfs.entities.columns import STATUS
from streamgauge.udfs.pipeline.task import Job, Task
from streamgauge.udfs.settings.pipeline import LOOK_EVERY, PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

from tests.streams import SMALL, START, Run, batch

MINUTE = 60_000
HOUR = 60 * MINUTE
RULE = {"rules": [{"id": "negative", "when": "x < 0"}], "quiet_events": 3, "threshold": 1e-12}


def settings(entity=None, **more) -> PipelineSettings:
    raw = SMALL.model_dump()
    chosen = {"decide": raw["decide"] | RULE, "entity": raw["entity"] | {"forget_after": "2 h"} | (entity or {})}
    return PipelineSettings.model_validate(raw | chosen | more)


def stopping(minutes=400, back_at=None):
    """`fan` sends each minute. `pump` breaks a rule in minute 99, and sends nothing after it, or from the minute `back_at` on."""
    events, stamps = [], []
    for minute in range(minutes):
        for entity in ("fan", "pump"):
            if entity == "fan" or minute < 100 or (back_at is not None and minute >= back_at):
                x = -5.0 if (entity, minute) == ("pump", 99) else float(minute % 7)
                events.append({"entity": entity, "x": x, "ts": START + minute * MINUTE, "side": "left"})
                stamps.append(START + minute * MINUTE)
    return batch(events, stamps=stamps)


def told(run, entity="pump"):
    alerts = [json.loads(text) for key, text in run.alerts if key == entity]
    return [(one["data"]["state"], one["data"].get("reason")) for one in alerts]


def open_incidents(run):
    stages = [stages for partition in run.shard.partitions.values() for stages in partition.all_stages]
    return sum(int((one.entities.store.head[:, STATUS] > 0).sum()) for one in stages)


# ---- entities that stop -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [(), ("side",)])
def test_the_incident_of_an_entity_that_sends_nothing_any_more_ends_and_the_alert_says_why(context):
    raw = settings().model_dump()
    run = Run(PipelineSettings.model_validate(raw | {"event": raw["event"] | {"context": context}})).feed(stopping())
    assert told(run) == [("opened", None), ("resolved", "absent")]
    opened, resolved = (json.loads(text) for key, text in run.alerts if key == "pump")
    assert opened["data"]["alert_id"] == resolved["data"]["alert_id"]
    assert opened["id"] != resolved["id"]
    assert resolved["data"]["why"] == "the entity sent nothing for longer than entity.forget_after"
    assert resolved["data"]["severity"] == opened["data"]["severity"]
    assert resolved["data"]["window"] == opened["data"]["window"]  # its last event was the one that opened it
    # within a tenth of `entity.forget_after` of event time after it
    assert opened["time"] == "2025-10-09T10:32:20.000Z"
    assert "2025-10-09T12:32:20" < resolved["time"] <= "2025-10-09T12:44:20.000Z"
    assert open_incidents(run) == 0
    assert run.counts["alerts.opened"] == run.counts["alerts.resolved"] == 1


def test_an_entity_that_is_back_after_so_long_begins_anew_without_its_incident():
    first, second = Run(settings()).feed(stopping(back_at=220)), Run(settings()).feed(stopping(back_at=219))
    assert told(first) == [("opened", None), ("resolved", "absent")]  # 121 minutes later
    assert told(second) == [("opened", None), ("resolved", None)]  # two hours later, which is not longer than two hours


@pytest.mark.parametrize("every", [{}, {"every": "5 m"}])
def test_the_incident_of_windows_of_an_entity_that_stops_ends_too(every):
    windows = {"quarter": {"size": "10 m", "aggregates": {"x": ["min"]}, **every}}
    decide = SMALL.decide.model_dump() | RULE | {"rules": [{"id": "low", "when": "quarter.x.min < 0"}]}
    run = Run(settings(windows=windows, decide=decide)).feed(stopping(600))
    assert [change for change in told(run) if change[0] != "updated"] == [("opened", None), ("resolved", "absent")]
    opened, *_, resolved = (json.loads(text)["data"] for key, text in run.alerts if key == "pump")
    assert resolved["aggregate"] == {key: opened["aggregate"][key] for key in ("window", "from", "to")}
    assert resolved["alert_id"] == opened["alert_id"]
    assert {"topic", "partition", "offset"} == set(resolved["source"])


def test_time_that_passes_without_events_ends_it_where_the_job_has_heartbeats():
    run = Run(settings()).feed(stopping(100))
    assert told(run) == [("opened", None)]
    run.take(run.shard.tick({0: HOUR}))
    assert told(run) == [("opened", None)]
    run.take(run.shard.tick({0: 2 * HOUR + 1}))
    assert told(run) == [("opened", None), ("resolved", "absent")]
    assert open_incidents(Run(settings(), run.saved)) == 0


def test_it_ends_also_if_time_passed_before_whose_events_came_later():
    raw = stopping(100)
    run = Run(settings()).feed(raw.take(np.arange(100)))
    run.take(run.shard.tick({0: 10 * HOUR}))  # the broker was away
    run.feed(raw.take(np.arange(100, len(raw))))
    run.take(run.shard.tick({0: 2 * HOUR + 1}))
    assert told(run) == [("opened", None), ("resolved", "absent")]


@functools.cache
def uncut(back_at):
    raw = stopping(back_at=back_at)
    return raw, Run(settings()).feed(raw)


@hypothesis.settings(max_examples=10)
@example([], 318, 220)
@given(st.lists(st.integers(1, 499), max_size=8), st.integers(1, 499), st.sampled_from([None, 219, 220, 225, 235]))
def test_batches_and_restarts_do_not_matter(cuts, stop, back_at):
    raw, whole = uncut(back_at)
    cut = Run(settings()).feed(raw, cuts)
    before = Run(settings()).feed(raw.take(np.arange(stop)), cuts)
    after = Run(settings(), before.saved).feed(raw.take(np.arange(stop, len(raw))), [c - stop for c in cuts])
    assert cut.alerts == before.alerts + after.alerts == whole.alerts
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()


# ---- entities that are forgotten ----------------------------------------------------------------------------------------


@hypothesis.settings(max_examples=5)
@given(st.lists(st.integers(1, 2999), max_size=6), st.integers(1, 2999))
def test_incidents_stay_within_the_limit_of_entities_and_each_ends_with_an_alert(cuts, stop):
    chosen = settings({"most": 1000})
    raw = batch([{"entity": f"e{i}", "x": -1.0} for i in range(3000)])  # each opens an incident and sends nothing more
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knowledge, "COUNT_EVERY", LOOK_EVERY)
        whole, cut = Run(chosen).feed(raw), Run(chosen).feed(raw, cuts)
        before = Run(chosen).feed(raw.take(np.arange(stop)))
        after = Run(chosen, before.saved).feed(raw.take(np.arange(stop, 3000)))
    assert open_incidents(whole) == whole.shard.entities["entities"] <= 1000
    states = [(one["data"]["state"], one["data"].get("reason")) for one in map(json.loads, dict(whole.alerts).values())]
    assert states.count(("resolved", "evicted")) == 3000 - open_incidents(whole)
    assert cut.alerts == before.alerts + after.alerts == whole.alerts
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()


@pytest.mark.parametrize(("action", "reason"), [("forget", "forgotten"), ("rewind", "rewound")])
def test_a_person_who_forgets_or_rewinds_an_entity_ends_its_incident_with_an_alert(action, reason):
    random = np.random.default_rng(0)
    events = [{"entity": "pump", "x": float(random.normal(50, 1))} for _ in range(300)]
    for event in events[200:]:
        event["x"] = -abs(event["x"]) * float(random.uniform(0.1, 9))  # long enough to be quarantined
    run = Run(settings({"quarantine": 200})).feed(batch(events))
    before, events_told = open_incidents(run), told(run)
    assert before == 1
    run.take(run.shard.act(parse(json.dumps({"type": "entity", "entity": "pump", "action": action, "id": "a"})), 0))
    assert open_incidents(run) == 0
    assert told(run) == [*events_told, ("resolved", reason)]
    assert len(run.shard.partitions[0].stages.entities.points.of) == 0


def test_such_an_alert_is_not_lost_where_the_request_waited_for_a_restart():
    job = Job(settings(), EventTopics(("events",)), "feedback", "job", True)
    saved = Task(job).process(0, stopping(100), {}).writes
    task = Task(job)
    task.hear("control", 0, '{"type":"entity","entity":"pump","action":"forget","id":"a"}')
    result = task.process(0, batch([{"entity": "fan", "x": 1.0}], offset=500, stamps=[START + 100 * MINUTE]), saved)
    assert [json.loads(text)["data"].get("reason") for _, text in result.alerts] == ["forgotten"]
    assert result.counts["alerts.resolved"] == 1


def test_the_history_reads_such_an_alert():
    run = Run(settings()).feed(stopping())
    text = run.alerts[-1][1]
    change = change_of(Record("alerts", 0, 7, START, text))
    assert (change["state"], change["data"]["reason"]) == ("resolved", "absent")
