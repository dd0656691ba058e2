"""Windows of event time are scored like events, do not depend on order or batches, and are amended by late events."""

from __future__ import annotations

import functools
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import EntityAction, parse
from streamgauge.udfs.pipeline import window_partitions
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, Run, batch

MINUTE = 60_000
BEGIN = START // MINUTE * MINUTE
EVERY = 5_000  # milliseconds between events of an entity


def settings(every="1 m", base=None, quiet_events=None, threshold=None, **event):
    raw = (PipelineSettings() if base is None else base).model_dump()
    raw["event"] |= {"out_of_order": "10 s", "amend_within": "5 m", **event}
    chosen = {"quiet_events": quiet_events, "threshold": threshold}
    raw["decide"] |= {key: value for key, value in chosen.items() if value}
    raw["windows"] = {"minute": {"size": "1 m", "every": every, "aggregates": {"x": ["sum", "max", "p90"]}}}
    raw["output"] = {"scores": "all"}
    return PipelineSettings.model_validate(raw)


def with_promise(chosen, promise):
    decide = chosen.decide.model_copy(update={"promise": promise, "threshold": None})
    return chosen.model_copy(update={"decide": decide})


def events(minutes=190, seed=0, burst=None, gap=None, entities=("fan", "pump", "valve")):
    """(time, event) of some entities. Pump sends ten times as often in the minute `burst`, and nothing in the minute `gap`."""
    random = np.random.default_rng(seed)
    made = []
    for t in range(0, minutes * MINUTE, EVERY):
        for entity in entities:
            times = 1
            if entity == "pump" and t // MINUTE in (burst, gap):
                times = 10 if t // MINUTE == burst else 0
            for k in range(times):
                x = 10.0 + random.normal()
                made.append(
                    (BEGIN + t + 400 * k + int(random.integers(300)), {"entity": entity, "x": round(float(x), 2)})
                )
    return sorted(made, key=lambda event: event[0])


def raw(made, order=None):
    """A batch of events in an order. Each arrives at its own time or that of the newest event before it, whichever is later."""
    made = made if order is None else [made[i] for i in order]
    times = np.array([t for t, _ in made])
    stamps = np.maximum.accumulate(times)
    return batch([{**event, "ts": int(t)} for t, event in made], stamps=stamps)


def alerts_of(run, what="aggregate"):
    alerts = [json.loads(text)["data"] for _, text in run.alerts]
    return [alert for alert in alerts if what in alert]


def late(made, minute, by, entity="pump"):
    """The order of events if those of one entity in one minute come `by` minutes later."""
    keys = [t + by * MINUTE if e["entity"] == entity and (t - BEGIN) // MINUTE == minute else t for t, e in made]
    return np.argsort(keys, kind="stable").tolist()


def test_a_burst_of_usual_events_is_a_collective_anomaly_of_its_window():
    run = Run(settings()).feed(raw(events(burst=160)))
    opened, *_, resolved = alerts_of(run)
    begin, end = ("2025-10-09T11:33:00.000Z", "2025-10-09T11:34:00.000Z")
    assert (opened["entity"], opened["kind"], opened["state"]) == ("pump", "collective", "opened")
    assert opened["aggregate"] == {"window": "minute", "from": begin, "to": end, "events": 120}
    assert (opened["window"]["from"], opened["window"]["to"]) == (begin, end)
    assert opened["actual"]["minute.count"] == 120
    assert opened["expected"]["minute.count"] == pytest.approx(12, abs=1)
    assert set(opened["actual"]) == {"minute.count", "minute.x.sum", "minute.x.max", "minute.x.p90"}
    source = opened["source"]
    assert source["first_offset"] <= source["last_offset"] < source["offset"]
    assert (resolved["alert_id"], resolved["state"]) == (opened["alert_id"], "resolved")
    assert run.counts["windows"] == 3 * 189


TWO = ("fan", "pump")


@functools.cache
def uncut(seed, every, by):
    """Settings, a stream with late events, and its run in one batch."""
    made, small = events(80, seed=seed, burst=40, gap=55, entities=TWO), settings(every, SMALL)
    stream = raw(made, late(made, 40, by))
    return small, stream, Run(small).feed(stream)


@given(
    st.lists(st.integers(1, 1950), max_size=8),
    st.integers(0, 3),
    st.sampled_from(["1 m", "20 s"]),
    st.sampled_from([2, 4]),
)
@hypothesis.settings(max_examples=15)
def test_neither_batches_nor_restarts_matter(cuts, seed, every, by):
    small, stream, whole = uncut(seed, every, by)
    cut = Run(small).feed(stream, cuts)
    assert cut.outputs() == whole.outputs()
    assert cut.shard.canonical() == whole.shard.canonical()
    stop = cuts[0] if cuts else 1000
    before = Run(small).feed(stream.take(np.arange(stop)))
    after = Run(small, before.saved).feed(stream.take(np.arange(stop, len(stream))), cuts)
    assert sorted(before.alerts + after.alerts) == sorted(whole.alerts)
    assert after.shard.canonical() == whole.shard.canonical()
    assert {alert["state"] for alert in alerts_of(whole)} >= {"opened"}


@functools.cache
def uncut_with_promise():
    small, stream = with_promise(settings(base=SMALL), "500 per day"), raw(events(80, burst=60, entities=TWO))
    whole = Run(small).feed(stream)
    return small, stream, whole, whole.shard.canonical()


@given(st.lists(st.integers(1, 1950), max_size=5))
@hypothesis.settings(max_examples=8)
def test_incidents_of_windows_count_in_the_promise_whatever_the_batches(cuts):
    small, stream, whole, state = uncut_with_promise()
    cut = Run(small).feed(stream, cuts)
    assert cut.shard.canonical() == state
    stop = cuts[0] if cuts else 1000
    before = Run(small).feed(stream.take(np.arange(stop)))
    after = Run(small, before.saved).feed(stream.take(np.arange(stop, len(stream))))
    assert sorted(before.alerts + after.alerts) == sorted(whole.alerts)
    assert after.shard.canonical() == state
    partition = cut.shard.partitions[0]  # its report begins the counts anew
    assert partition.windows.of["minute"].stages.threshold == partition.stages.promise.threshold
    opened = [json.loads(text)["data"] for _, text in whole.alerts]
    opened = [data for data in opened if data["state"] == "opened"]
    assert any("aggregate" in data for data in opened)
    by_age = partition.stages.promise.report(False)["by_age"]
    assert by_age["day_1"]["opened"] == len(opened)
    events = whole.counts["scored"] + whole.counts["unjudged"]  # aggregates of windows are in neither
    assert by_age["day_1"]["events"] == events + whole.counts["windows"]


@pytest.mark.parametrize("cuts", [(130,), (195,), range(1, 1950, 13)])
def test_notices_about_quality_count_windows_whatever_the_batches(cuts):
    chosen = with_promise(settings(base=SMALL), "500 per day").model_copy(update={"track": 200})
    stream = raw(events(80, burst=60, entities=TWO))
    whole, cut = Run(chosen).feed(stream), Run(chosen).feed(stream, cuts)
    assert sorted(cut.notices) == sorted(whole.notices)
    assert cut.shard.canonical() == whole.shard.canonical()


@functools.cache
def in_order():
    return Run(settings(base=SMALL)).feed(raw(events(80, burst=40, entities=TWO)))


@given(st.integers(0, 10_000))
@hypothesis.settings(max_examples=15)
def test_events_out_of_order_within_the_bound_give_the_same_alerts(seed):
    made, small = events(80, burst=40, entities=TWO), settings(base=SMALL)
    delays = np.random.default_rng(seed).integers(0, 10_000, len(made))
    order = np.argsort([t + d for (t, _), d in zip(made, delays.tolist(), strict=True)], kind="stable").tolist()

    def compared(run):
        """Alerts without places, and without the promise, which counts events in the order of their coming."""
        return [{k: v for k, v in alert.items() if k not in ("source", "promise")} for alert in alerts_of(run)]

    expected = compared(in_order())
    assert compared(Run(small).feed(raw(made, order))) == expected != []


def test_an_alert_whose_window_is_amended_is_retracted_under_its_id_with_old_and_new_values():
    made = events()
    half = [k for k, (t, e) in enumerate(made) if e["entity"] == "pump" and (t - BEGIN) // MINUTE == 160][1:]
    keys = [t + (130_000 if k in half else 0) for k, (t, _) in enumerate(made)]
    run = Run(settings()).feed(raw(made, np.argsort(keys, kind="stable").tolist()))
    opened, retracted = alerts_of(run)
    assert (opened["state"], retracted["state"]) == ("opened", "retracted")
    assert opened["alert_id"] == retracted["alert_id"]
    amended = retracted["amended"]
    assert amended["was"] == {"actual": opened["actual"], "score": opened["score"]}
    assert (amended["was"]["actual"]["minute.count"], amended["now"]["actual"]["minute.count"]) == (1, 12)
    assert amended["now"]["score"] == retracted["score"] < opened["score"]
    assert run.counts["alerts.retracted"] == 1
    assert not run.late


def test_a_burst_that_comes_after_its_window_opens_the_same_alert_as_in_time_and_it_is_resolved():
    made = events(burst=160)
    run = Run(settings()).feed(raw(made, late(made, 160, 13 / 6)))
    in_time = alerts_of(Run(settings()).feed(raw(made)))
    opened, resolved = (a for a in alerts_of(run) if a["alert_id"] == in_time[0]["alert_id"])
    assert (opened["state"], resolved["state"]) == ("opened", "resolved")
    assert opened["amended"]["was"] is None
    assert opened["actual"] == in_time[0]["actual"]
    assert opened["score"] == pytest.approx(in_time[0]["score"], abs=0.05)


def test_further_events_of_a_reported_burst_update_its_alert():
    made = events(burst=160)
    mine = [k for k, (t, e) in enumerate(made) if e["entity"] == "pump" and (t - BEGIN) // MINUTE == 160][90:]
    keys = [t + (130_000 if k in mine else 0) for k, (t, _) in enumerate(made)]
    opened, updated, *_ = alerts_of(Run(settings()).feed(raw(made, np.argsort(keys, kind="stable").tolist())))
    assert (updated["state"], updated["alert_id"]) == ("updated", opened["alert_id"])
    counts = [updated["amended"][when]["actual"]["minute.count"] for when in ("was", "now")]
    assert counts == [90, 120]


@given(st.integers(2, 12))
@hypothesis.settings(max_examples=8)
def test_an_event_beyond_the_bound_is_late_and_every_offset_ends_once(by):
    made = events(80, entities=TWO)
    run = Run(settings(base=SMALL)).feed(raw(made, late(made, 60, by)))
    assert bool(run.late) == (by > 5)
    places = [json.loads(text)["offset"] for _, text in (*run.scores, *run.late)]
    assert sorted(places) == list(range(len(made)))


@pytest.mark.parametrize("cuts", [[], [1], [2], [1, 2]])
def test_what_is_told_of_a_partition_does_not_depend_on_late_events_in_the_same_batch(cuts):
    values = [{"entity": "pump", "ts": BEGIN, "x": 1.0}, {"entity": "pump", "x": 1.0}]
    values.append({"entity": "pump", "ts": BEGIN - 60 * MINUTE, "x": 1.0})
    run = Run(settings()).feed(batch(values, stamps=[BEGIN] * 3), cuts)
    assert run.counts["late"] == 1
    assert [json.loads(text)["data"]["change"] for _, text in run.notices].count("untimed") == 1


def test_an_entity_whose_clock_is_ahead_does_not_end_the_windows_of_others():
    made = events(burst=160)
    ahead = [(t + 3 * 60 * MINUTE if e["entity"] == "fan" else t, e) for t, e in made if (t - BEGIN) // MINUTE < 170]
    order = np.arange(len(ahead))
    stream = raw(ahead, order)
    stream.stamps = np.maximum.accumulate([t for t, e in made if (t - BEGIN) // MINUTE < 170])
    run = Run(settings(threshold=1e-3)).feed(stream)
    assert not run.late
    assert {(a["entity"], a["state"]) for a in alerts_of(run)} >= {("pump", "opened")}


def test_windows_of_a_silent_partition_end_as_time_passes_and_later_events_amend_them():
    made = events(minutes=161, burst=160)
    run = Run(settings()).feed(raw(made))
    assert not alerts_of(run)
    run.take(run.shard.tick({0: 5_000}))
    assert not alerts_of(run)
    run.take(run.shard.tick({0: 15_000}))
    [opened] = alerts_of(run)
    assert opened["aggregate"]["events"] == 120
    again = raw(
        [(BEGIN + 160 * MINUTE + 30_000, {"entity": "pump", "x": 10.0})]
        + [e for e in events(170) if e[0] >= BEGIN + 161 * MINUTE]
    )
    again.offsets += len(made)
    run.feed(again)
    updated = alerts_of(run, "amended")[0]
    assert (updated["state"], updated["alert_id"]) == ("updated", opened["alert_id"])
    assert updated["actual"]["minute.count"] == 121


def test_events_that_no_window_needs_any_more_are_deleted_from_the_saved_state_part_by_part(monkeypatch):
    monkeypatch.setattr(window_partitions, "DELETES", 3)
    stream, run, deleted = raw(events(minutes=20)), Run(settings()), []
    for i in range(0, len(stream), 4):
        result = run.shard.process(stream.take(np.arange(i, min(i + 4, len(stream)))))
        run.take(result)
        deleted.append(sum(key.startswith("0/v") for key in result.deletes))
    assert max(deleted) == 3  # of nine chunks of a minute
    kept = run.shard.partitions[0].windows.kept
    assert sum(key.startswith("0/v") for key in run.saved) < len(stream) / 4 / 2
    again = Run(settings(), run.saved).shard.partitions[0].windows.kept
    assert again.canonical(stream.stamps[-1] - 7 * MINUTE) == kept.canonical(stream.stamps[-1] - 7 * MINUTE)


def test_events_that_no_window_needs_any_more_are_forgotten_where_nothing_is_saved():
    stream, shard = raw(events(minutes=30)), Shard(settings(), saves=False)
    for part in np.array_split(np.arange(len(stream)), 30):
        shard.process(stream.take(part))
    kept, unsaved = shard.partitions[0].windows.kept, {}
    assert len(kept) < len(stream) / 2
    kept.save(unsaved)
    assert not unsaved


def test_an_alert_that_a_request_ends_is_the_same_after_a_restart():
    small = settings(base=SMALL, threshold=1e-12, quiet_events=100).model_dump()
    small["decide"]["rules"] = [{"id": "many", "when": "minute.count > 50"}]
    chosen = PipelineSettings.model_validate(small)
    run = Run(chosen).feed(raw(events(50, burst=40, entities=TWO)))
    restored = Run(chosen, run.saved)
    message = EntityAction(type="entity", entity="pump", action="forget", id="r")
    [(_, ended)] = run.shard.act(message, 0).alerts
    assert json.loads(ended)["data"]["reason"] == "forgotten"
    assert restored.shard.act(message, 0).alerts == [("pump", ended)]


def test_weights_that_came_before_the_first_window_ended_are_the_same_after_a_restart():
    small, stream = settings(base=SMALL), raw(events(12, entities=TWO))
    weights = parse('{"type": "weights", "weights": {"rolling_z_score": 9}}')
    run = Run(small).feed(stream.take(np.arange(4)))
    run.shard.apply(weights)
    run.feed(stream.take(np.arange(4, 8)))
    again = Run(small)
    again.shard.apply(weights)  # read again at the start
    again.shard.restore(run.saved.items())
    again.saved = dict(run.saved)
    rest = stream.take(np.arange(8, len(stream)))
    assert again.feed(rest).shard.canonical() == run.feed(rest).shard.canonical()


def test_a_late_event_before_the_first_window_with_events_ended_hinders_no_restart():
    small, made = settings(base=SMALL), events(12, entities=TWO)
    stream = raw([(BEGIN + at, {"entity": "fan", "x": 1.0}) for at in (605_000, 510_000, 612_000)] + made[-30:])
    run = Run(small).feed(stream.take(np.arange(3)))
    again = Run(small, run.saved)
    assert again.shard.canonical() == run.shard.canonical()
    rest = stream.take(np.arange(3, len(stream)))
    assert again.feed(rest).shard.canonical() == run.feed(rest).shard.canonical()


def test_rules_read_aggregates():
    raw_settings = settings().model_dump()
    raw_settings["decide"]["rules"] = [{"id": "too many", "when": "minute.count > 100.0", "severity": "critical"}]
    raw_settings["decide"]["threshold"] = 1e-12
    run = Run(PipelineSettings.model_validate(raw_settings)).feed(raw(events(burst=160)))
    [opened] = [a for a in alerts_of(run) if a["state"] == "opened"]
    assert (opened["kind"], opened["severity"], opened["rules"]) == ("conditional", "critical", ["too many"])


def test_a_burst_like_one_whose_alert_was_false_raises_no_alert():
    made = events(burst=160)
    again = [(t + 10 * MINUTE, e) for t, e in made if (t - BEGIN) // MINUTE == 160][:90]
    made = sorted(made + again, key=lambda event: event[0])
    stream = raw(made)
    cut = next(k for k, (t, _) in enumerate(made) if t > BEGIN + 165 * MINUTE)
    plain = Run(settings(quiet_events=2, threshold=1e-3)).feed(stream)
    assert len([a for a in alerts_of(plain) if a["state"] == "opened" and a["entity"] == "pump"]) == 2
    run = Run(settings(quiet_events=2, threshold=1e-3)).feed(stream.take(np.arange(cut)))
    first = next(a for a in alerts_of(run) if a["state"] == "opened" and a["entity"] == "pump")
    field = max(first["contributions"], key=first["contributions"].get)
    for k, who in enumerate(("ann", "ben")):
        feedback = {
            "alert_id": first["alert_id"],
            "entity": "pump",
            "kind": first["kind"],
            "field": field,
            "verdict": "false",
            "by": who,
        }
        feedback |= {
            "tail_probability": first["tail_probability"],
            "effect": abs(first["actual"][field] - first["expected"][field]),
        }
        run.shard.hear(Feedback.model_validate(feedback), k)
    run.feed(stream.take(np.arange(cut, len(made))))
    assert len([a for a in alerts_of(run) if a["state"] == "opened" and a["entity"] == "pump"]) == 1
    assert run.counts["muted.feedback"] > 0
