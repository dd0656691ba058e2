"""An entity that stops sending is reported after its own usual gap, and again when it is back."""

from __future__ import annotations

import functools
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, Run, batch

MINUTE = 60_000


def settings(**silence):
    raw = SMALL.model_dump() | {"silence": {"after": 3, "at_least": "1 m", "events": 20, **silence}}
    raw["decide"]["threshold"] = 1e-9  # nothing else alerts
    return PipelineSettings.model_validate(raw)


def stream(minutes=200, stops=None, every=None):
    """Entities that send at their interval in minutes; `stops` says in which minutes each of them sends nothing."""
    stops, every = stops or {}, every or {}
    events, stamps = [], []
    for minute in range(minutes):
        for entity in ("steady", "pump", "slow"):
            first, last = stops.get(entity, (minutes, minutes))
            if minute % every.get(entity, 1) == 0 and not first <= minute < last:
                events.append({"entity": entity, "x": float(minute % 7)})
                stamps.append(START + minute * MINUTE)
    return batch(events, stamps=stamps)


def reports(run):
    return [
        (d["entity"], d["state"], round(d["actual"]["seconds without an event"] / 60, 1))
        for d in (json.loads(text)["data"] for _, text in run.alerts)
    ]


def test_a_silent_entity_is_reported_after_three_times_its_longest_gap_and_when_it_is_back():
    run = Run(settings()).feed(stream(stops={"pump": (100, 150)}))
    assert reports(run) == [("pump", "opened", 3.9), ("pump", "resolved", 51.0)]
    first, last = (json.loads(text) for _, text in run.alerts)
    assert first["data"]["alert_id"] == last["data"]["alert_id"]
    assert first["id"] != last["id"]
    assert first["data"]["score"] == last["data"]["score"]
    assert (first["data"]["kind"], first["data"]["expected"]) == ("collective", {"seconds without an event": 60.0})
    assert run.counts["alerts.opened"] == run.counts["alerts.resolved"] == 1


@pytest.mark.parametrize(("importance", "severity"), [({}, "high"), ({"pu*": -2}, "low"), ({"pu*": 1}, "critical")])
def test_the_importance_of_an_entity_counts_for_its_silence(importance, severity):
    raw = settings().model_dump()
    raw["decide"]["importance"] = importance
    run = Run(PipelineSettings.model_validate(raw)).feed(stream(stops={"pump": (100, 150)}))
    assert [json.loads(text)["data"]["severity"] for _, text in run.alerts] == [severity] * 2


def test_an_entity_that_sends_seldom_is_silent_only_after_a_longer_time():
    run = Run(settings()).feed(stream(400, stops={"slow": (240, 400)}, every={"slow": 8}))
    [(entity, state, minutes)] = reports(run)
    assert (entity, state) == ("slow", "opened")
    assert 24 < minutes < 26


def test_an_entity_in_cold_start_is_not_reported():
    assert reports(Run(settings()).feed(stream(stops={"pump": (15, 200)}))) == []


def test_a_silence_may_be_reported_again_and_a_gap_that_recurs_becomes_usual():
    night = [{"entity": e, "x": 1.0} for _ in range(8 * 60) for e in ("steady", "pump")]
    stamps = [START + (d * 24 * 60 + m) * MINUTE for d in range(8) for m in range(60) for _ in range(2)]
    run = Run(settings()).feed(batch(night, stamps=stamps))
    assert {entity for entity, _, _ in reports(run)} == {"steady", "pump"}
    assert len(reports(run)) == 4  # each is reported once, and its return: the second night is usual


def test_silence_of_the_whole_topic_is_reported_as_time_passes():
    run = Run(settings()).feed(stream(60))
    assert reports(run) == []
    run.take(run.shard.tick({0: 3 * MINUTE + MINUTE // 2}))
    assert {entity for entity, _, _ in reports(run)} == {"steady", "pump", "slow"}
    run.take(run.shard.tick({0: 10 * MINUTE}))
    assert len(reports(run)) == 3  # each once
    later = stream(90)
    run.feed(later.take(np.flatnonzero(later.stamps > START + 80 * MINUTE)))
    assert [state for _, state, _ in reports(run)] == ["opened"] * 3 + ["resolved"] * 3
    again = Run(settings(), run.saved)
    assert again.shard.canonical() == run.shard.canonical()


def test_silence_in_a_maintenance_is_not_reported():
    run = Run(settings())
    window = {"entities": "pu*", "start": "2025-10-01T00:00:00Z", "end": "2025-10-30T00:00:00Z"}
    run.shard.apply(parse(json.dumps({"type": "maintenance", "windows": [window]})))
    assert reports(run.feed(stream(stops={"pump": (100, 200)}))) == []


def test_the_alert_of_a_silent_entity_is_resolved_when_the_entity_is_forgotten():
    raw = settings().model_dump() | {"entity": {"forget_after": "2 h"}}
    run = Run(PipelineSettings.model_validate(raw)).feed(stream(300, stops={"pump": (100, 300)}))
    assert reports(run) == [("pump", "opened", 3.9)]
    stages = run.shard.partitions[0].stages
    result = run.shard.process(batch([]))
    stages.add_forgotten(stages.entities.forget(stages.entities.store.absent(7_200_000)), result)
    assert "pump" not in stages.entities.store.index
    assert [json.loads(text)["data"]["state"] for _, text in result.alerts] == ["resolved"]


def test_the_report_of_a_return_does_not_depend_on_the_other_events_of_the_batch():
    more = batch([{"entity": "pump", "x": 1.0}] * 3, offset=1000, stamps=[START + 201 * MINUTE] * 3)
    silent = stream(200, stops={"pump": (100, 200)})
    together, single = (Run(settings()).feed(silent) for _ in range(2))
    together.feed(more)
    single.feed(more, [1, 2])
    assert together.alerts == single.alerts
    assert [state for _, state, _ in reports(together)] == ["opened", "resolved"]


@functools.cache
def uncut():
    raw = stream(stops={"pump": (100, 150), "slow": (120, 180)})
    return raw, Run(settings()).feed(raw)


@hypothesis.settings(max_examples=10)
@given(st.lists(st.integers(1, 450), max_size=6), st.integers(1, 450))
def test_batches_and_restarts_do_not_matter(cuts, stop):
    raw, whole = uncut()
    cut = Run(settings()).feed(raw, cuts)
    before = Run(settings()).feed(raw.take(np.arange(stop)))
    after = Run(settings(), before.saved).feed(raw.take(np.arange(stop, len(raw))))
    assert cut.alerts == before.alerts + after.alerts == whole.alerts
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()


def fleet(stopped, minutes=160):
    """Twelve entities, eight send every minute, four every tenth; `stopped` says in which minutes each of them sends nothing."""
    events, stamps = [], []
    for minute in range(minutes):
        for n in range(12):
            first, last = stopped(n)
            if (n < 8 or minute % 10 == 0) and not first <= minute < last:
                events.append({"entity": f"e{n}", "x": float(minute % 7)})
                stamps.append(START + minute * MINUTE)
    return batch(events, stamps=stamps)


def test_silence_of_most_entities_is_one_incident_about_the_source():
    run = Run(settings(events=10)).feed(fleet(lambda n: (111, 130) if n != 2 else (0, 0)))
    told = [json.loads(text)["data"] for _, text in run.alerts]
    assert [(data["entity"], data["state"], data["severity"]) for data in told] == [
        ("events/0", "opened", "critical"),
        ("events/0", "resolved", "critical"),
    ]
    assert told[0]["entities"] == 7
    assert told[0]["alert_id"] == told[1]["alert_id"]
    assert told[0]["window"]["from"] == rfc3339(START + 110 * MINUTE)


def test_a_source_that_sends_nothing_is_one_incident_also_if_its_entities_send_at_different_intervals():
    run = Run(settings(events=10)).feed(fleet(lambda n: (110, 150)))
    assert [(name, state) for name, state, _ in reports(run)] == [("events/0", "opened"), ("events/0", "resolved")]


def test_less_than_half_of_the_entities_are_reported_one_by_one():
    run = Run(settings(events=10)).feed(fleet(lambda n: (110, 200) if n < 3 else (0, 0)))
    assert [(name, state) for name, state, _ in reports(run)] == [(f"e{n}", "opened") for n in range(3)]


def test_entities_that_stay_silent_when_their_source_is_back_are_reported_then():
    run = Run(settings(events=10)).feed(fleet(lambda n: (110, 150) if n != 3 else (110, 200), minutes=200))
    assert [(name, state) for name, state, _ in reports(run)] == [
        ("events/0", "opened"),
        ("events/0", "resolved"),
        ("e3", "opened"),
    ]


def test_an_entity_that_stops_while_others_of_its_source_stay_silent_is_reported():
    run = Run(settings(events=10)).feed(fleet(lambda n: (60, 500) if n < 7 else (90, 120) if n == 7 else (0, 0)))
    assert [(name, state) for name, state, _ in reports(run)] == [
        ("events/0", "opened"),
        ("e7", "opened"),
        ("e7", "resolved"),
    ]


def test_an_outage_of_the_source_teaches_no_gap():
    stopped = [*range(61, 80), *range(111, 130)]
    raw = fleet(lambda n: (0, 0))
    kept = ~np.isin((raw.stamps - START) // MINUTE, stopped)
    run = Run(settings(events=10)).feed(raw.take(np.flatnonzero(kept)))
    assert [(name, state) for name, state, _ in reports(run)] == [("events/0", "opened"), ("events/0", "resolved")] * 2
    expected = [json.loads(text)["data"]["expected"]["seconds without an event"] for _, text in run.alerts]
    assert max(expected) == 60.0


@functools.cache
def outage():
    raw = fleet(lambda n: (60, 90) if n < 9 else (0, 0), minutes=110)
    return raw, Run(settings(events=10)).feed(raw)


@hypothesis.settings(max_examples=10)
@given(st.sets(st.integers(1, 600), max_size=6), st.integers(1, 600))
def test_batches_and_restarts_do_not_matter_for_a_silent_source(cuts, stop):
    raw, whole = outage()
    cut = Run(settings(events=10)).feed(raw, sorted(cuts))
    before = Run(settings(events=10)).feed(raw.take(np.arange(stop)))
    after = Run(settings(events=10), before.saved).feed(raw.take(np.arange(stop, len(raw))))
    assert [name for name, _, _ in reports(whole)] == ["events/0"] * 2
    assert cut.alerts == before.alerts + after.alerts == whole.alerts
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()


def late_data(context):
    """`pump` sends only late events from minute 60 on, and nothing from minute 90 to 120; `fan` is steady."""
    events, stamps = [], []
    for minute in range(150):
        for entity in ("fan", "pump"):
            if entity == "pump" and 90 <= minute < 120:
                continue
            sent = START + minute * MINUTE
            event = {"entity": entity, "x": float(minute % 7), "ts": sent, "side": "left" if minute % 2 else "right"}
            if entity == "pump" and minute >= 60:
                event["ts"] = START + 30 * MINUTE
            events.append(event)
            stamps.append(sent)
    chosen = settings()
    event = {"late_after": "10 m", "context": context}
    return PipelineSettings.model_validate(chosen.model_dump() | {"event": event}), batch(events, stamps=stamps)


@functools.cache
def late_and_uncut(context):
    chosen, raw = late_data(context)
    return chosen, raw, Run(chosen).feed(raw)


@hypothesis.settings(max_examples=10)
@example([125], 140, ())  # the last batch before the restart has late events of `pump` only
@given(st.lists(st.integers(1, 260), max_size=6), st.integers(1, 260), st.sampled_from([(), ("side",)]))
def test_a_late_event_is_a_sign_of_life_whatever_the_batches_and_restarts(cuts, stop, context):
    chosen, raw, whole = late_and_uncut(context)
    assert [(name, state) for name, state, _ in reports(whole)] == [("pump", "opened"), ("pump", "resolved")]
    assert len(whole.late) == 60
    cut = Run(chosen).feed(raw, cuts)
    before = Run(chosen).feed(raw.take(np.arange(stop)), cuts)
    after = Run(chosen, before.saved).feed(raw.take(np.arange(stop, len(raw))))
    assert cut.alerts == before.alerts + after.alerts == whole.alerts
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()


@pytest.mark.parametrize("context", [(), ("side",)])
def test_restoring_after_each_late_event_tells_the_same_silences(context):
    chosen, raw, whole = late_and_uncut(context)
    run = Run(chosen).feed(raw.take(np.arange(160)))
    saved, alerts = run.saved, run.alerts
    for i in range(160, len(raw)):
        run = Run(chosen, saved).feed(raw.take(np.array([i])))
        saved, alerts = run.saved, alerts + run.alerts
    assert alerts == whole.alerts
    assert run.shard.canonical() == whole.shard.canonical()


@pytest.mark.parametrize("silence", [True, False])
def test_a_late_event_moves_the_clock_of_the_partition_whatever_the_restarts(silence):
    chosen = settings() if silence else SMALL
    chosen = chosen.model_copy(update={"event": chosen.event.model_copy(update={"late_after": 1_000})})
    run = Run(chosen).feed(batch([{"entity": "pump", "x": 1.0, "ts": START + 5_000}], stamps=[START]))
    run.feed(batch([{"entity": "pump", "x": 1.0, "ts": START + 3_000}], offset=1, stamps=[START + 4_000]))
    assert len(run.late) == 1
    store = run.shard.partitions[0].stages.entities.store
    again = Run(chosen, run.saved).shard
    assert again.partitions[0].stages.entities.store.clock == store.clock == START + 3_000
    assert again.canonical() == run.shard.canonical()
