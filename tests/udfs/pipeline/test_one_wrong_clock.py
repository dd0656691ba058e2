"""A device whose clock is wrong changes what is known of itself only, never of others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, Run, batch

HOUR = 3_600_000
DAY = 24 * HOUR
EVERY = 1_000
CHOSEN = PipelineSettings.model_validate(
    SMALL.model_dump()
    | {
        "entity": {"forget_after": "1 h"},
        "silence": {"at_least": "20 s", "events": 3},
        "windows": {"minute": {"size": "1 m", "aggregates": {"x": ["mean"]}}},
    }
)


def fleet(ahead: int | None, n: int = 400, at: int = 200, begin: int = START):
    """Events of ten devices, a second apart; one event of the device `wrong` has a time that is `ahead` of its arrival."""
    random = np.random.default_rng(0)
    values = [{"entity": f"d{i % 10}", "x": float(random.normal(5, 1)), "ts": begin + i * EVERY} for i in range(n)]
    values[at]["entity"] = "wrong"
    if ahead is not None:
        values[at]["ts"] += ahead
    return batch(values, stamps=begin + EVERY * np.arange(n))


def others(records):
    """Records about all but the device `wrong`."""
    return sorted(record for record in records if b'"wrong"' not in record[1])


def told(run):
    """Entity, change and place of each alert about all but the device `wrong`; the promise in it depends on all events."""
    alerts = [json.loads(text) for _, text in others(run.alerts)]
    return [(alert["data"]["entity"], alert["type"], alert["data"]["source"]) for alert in alerts]


@pytest.mark.parametrize("ahead", [HOUR, 12 * HOUR, 23 * HOUR, 60 * DAY, -12 * HOUR], ids=lambda a: f"{a // HOUR} h")
def test_a_wrong_time_of_one_device_restarts_silences_and_delays_no_other(ahead):
    usual, wrong = Run(CHOSEN).feed(fleet(None)), Run(CHOSEN).feed(fleet(ahead), [150, 201, 300])
    if 0 < ahead < DAY:  # otherwise the event is a dead letter or late, and nothing is learned from it
        assert others(wrong.scores) == others(usual.scores)
    assert len(others(wrong.scores)) == len(others(usual.scores))
    assert told(wrong) == told(usual)
    late = [json.loads(text) for _, text in wrong.late]
    assert all(record["offset"] == 200 for record in late)
    dead = [json.loads(text) for _, text in wrong.dead]
    assert all((letter["offset"], letter["reason"]) == (200, "time_out_of_range") for letter in dead)
    assert len(dead) == (abs(ahead) > DAY)
    stores = [run.shard.partitions[0].stages.entities.store for run in (usual, wrong)]
    for store in stores:
        assert store.known == 11 - (store is stores[1] and not 0 < ahead < DAY)
    assert stores[0].clock == stores[1].clock


@pytest.mark.parametrize("year", [2038, 2040, 2106, 2200])
def test_times_beyond_32_bits_are_times_like_others(year):
    begin = int((year - 1970) * 365.2425 * DAY)
    run = Run(CHOSEN).feed(fleet(None, begin=begin), [150])
    assert (run.counts["events"], run.late, run.dead) == (400, [], [])
    assert len(run.scores) >= 400


def test_a_pause_of_decades_is_a_pause():
    run = Run(CHOSEN).feed(fleet(None))
    later = fleet(None, begin=START + 20 * 365 * DAY)
    later.offsets = later.offsets + 400
    assert len(run.feed(later).late) == 0


# Where producers set Kafka's timestamp, it may be as wrong as the time of the event.
EVERYTHING = PipelineSettings.model_validate(
    CHOSEN.model_dump()
    | {
        "event": {"out_of_order": "2 s", "amend_within": "30 s", "late_after": "1 h"},
        "silence": {"at_least": "20 s", "events": 5},
        "decide": {"warmup": 5, "quiet_events": 3, "threshold": 0.001, "group_within": "1 m"},
        "windows": {"minute": {"size": "1 m", "aggregates": {"x": ["mean", "max"]}}},
        "track": 1000,
    }
)
WRONG = (10 * 60_000, HOUR, 23 * HOUR, 60 * DAY, 40_000 * DAY, -10 * 60_000, -HOUR, -60 * DAY, -START)


def with_stamp(wrong, timed, at=400, n=1200):
    """Ten devices, of which one stops for a time and others have faults; `wrong` is added to Kafka's timestamp of one record.

    The event of that record has the same time as the timestamp (`timed` is None), the right time (True), or none (False).
    """
    random = np.random.default_rng(1)
    values, stamps = [], START + EVERY * np.arange(n)
    for i in range(n):
        device = f"d{i % 10}" if not (i % 10 == 3 and 500 <= i < 800) else "d4"
        x = float(random.normal(5, 1)) + 60.0 * (i in (350, 351, 407, 408, 600, 900, 901))
        values.append({"entity": device, "x": x, "ts": int(stamps[i])})
    values[at]["entity"] = "wrong"
    stamps[at] += wrong
    if timed is None:
        values[at]["ts"] = int(stamps[at])
    elif not timed:
        del values[at]["ts"]
    return batch(values, stamps=stamps)


def outputs(run):
    """All alerts, scores and late events about all but the device `wrong`, with all that they say.

    An event whose own time is wrong is in another window. What windows have learned is another event then, so of alerts about windows
    only the entity, the change and the place are compared, and not how many incidents were expected.
    """
    alerts = [json.loads(text) for _, text in others(run.alerts)]
    for alert in alerts:
        alert["data"].pop("promise", None)
        if "aggregate" in alert["data"]:
            kept = ("alert_id", "entity", "window", "aggregate", "source", "actual", "severity")
            alert["data"] = {name: alert["data"][name] for name in kept}
    return alerts, others(run.scores), others(run.late)


def state_of_others(run):
    partition = run.shard.partitions[0]
    found = {"clock": partition.stages.entities.silence.clock, "windows": partition.windows.clock.newest}
    for stages in partition.all_stages:
        store = stages.entities.store
        known = [(name, row) for name, row in store.index.items() if name != "wrong"]
        found |= {(stages.window, name): (store.head[row].tolist(), int(store.born[row])) for name, row in known}
        if not stages.window:
            found |= {name: store.fields[row].tolist() for name, row in known}
        found[stages.window, "clock"] = store.clock
    return found


@pytest.fixture(scope="module")
def undisturbed():
    return Run(EVERYTHING).feed(with_stamp(0, True))


def test_the_stream_has_silences_incidents_and_windows(undisturbed):
    alerts = [json.loads(text)["data"] for _, text in undisturbed.alerts]
    assert {alert["agreed"][0] for alert in alerts if alert["agreed"]} >= {"silence"}
    assert any("aggregate" in alert for alert in alerts)
    assert undisturbed.late == undisturbed.dead == []


@pytest.mark.parametrize("timed", [True, None, False])
@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: f"{w / HOUR:.1f} h")
def test_one_wrong_timestamp_of_kafka_changes_nothing_of_others(undisturbed, wrong, timed):
    run = Run(EVERYTHING).feed(with_stamp(wrong, timed), [150, 401, 700])
    usual = undisturbed
    dropped = len(run.dead) + len(run.late)  # the cohort then learned one event less than usually
    if dropped:
        right = with_stamp(0, True)
        usual = Run(EVERYTHING).feed(right.take(np.flatnonzero(np.arange(len(right)) != 400)))
    assert outputs(run) == outputs(usual)
    assert state_of_others(run) == state_of_others(usual)


def test_a_wrong_time_of_the_first_event_changes_no_threshold():
    chosen = PipelineSettings.model_validate(SMALL.model_dump() | {"decide": {"promise": "2 per day"}})
    runs = [Run(chosen).feed(fleet(ahead, n=2_000, at=0)) for ahead in (None, 23 * HOUR)]
    usual, wrong = (run.shard.partitions[0].stages.promise for run in runs)
    assert usual.to_state() == wrong.to_state()
    assert usual.threshold != SMALL.decide.threshold


@pytest.mark.parametrize("ahead", [HOUR, 23 * HOUR])
def test_a_wrong_time_does_not_move_the_report_that_comes_with_its_event(ahead):
    chosen = PipelineSettings.model_validate(SMALL.model_dump() | {"track": 1_000})
    [(_, notice)] = [one for one in Run(chosen).feed(fleet(ahead, n=1_100, at=999)).notices if b"track" in one[1]]
    assert json.loads(notice)["time"] == rfc3339(START + 999 * EVERY)


@pytest.mark.parametrize("ahead", [HOUR, 23 * HOUR, -HOUR])
def test_an_incident_with_a_wrong_time_does_not_part_the_incidents_around_it(ahead):
    decide = SMALL.decide.model_dump() | {"threshold": 1e-9, "rules": [{"id": "far", "when": "x > 500"}]}
    chosen = PipelineSettings.model_validate(SMALL.model_dump() | {"decide": decide})
    found = []
    for wrong in (None, ahead):
        raw = fleet(wrong)
        for place in (195, 200, 202, 207):
            event = json.loads(raw.payloads[place])
            raw.payloads[place] = json.dumps(event | {"x": 1e6}).encode()
        run = Run(chosen).feed(raw, [201])
        opened = [json.loads(text)["data"] for _, text in others(run.alerts) if b'"opened"' in text]
        found.append([(data["entity"], data["group"]["id"]) for data in opened])
    assert found[0] == found[1]
    assert len({group for _, group in found[0]}) == 1


def test_windows_that_are_added_begin_soon_although_an_event_has_a_wrong_time():
    before = CHOSEN.model_copy(update={"windows": {"other": CHOSEN.windows["minute"]}})
    first = [Run(before).feed(fleet(ahead).take(np.arange(300))) for ahead in (None, 23 * HOUR)]
    usual, wrong = (Run(CHOSEN, run.saved).shard.partitions[0].windows.of["minute"].since for run in first)
    assert usual == wrong


@pytest.mark.parametrize("stamp", [START * 1_000, START * 1_000_000, 2**63 - 1], ids=["us", "ns", "largest"])
def test_a_timestamp_of_kafka_that_is_no_time_in_milliseconds_counts_as_missing(stamp):
    raw = with_stamp(0, True)
    raw.stamps[400] = stamp
    run = Run(EVERYTHING).feed(raw, [401])
    usual = Run(EVERYTHING).feed(with_stamp(0, True))
    assert (run.scores, run.dead, state_of_others(run)) == (usual.scores, [], state_of_others(usual))
    untimed = with_stamp(0, False)
    untimed.stamps[400] = stamp
    [(_, letter)] = Run(EVERYTHING).feed(untimed, [401]).dead
    assert json.loads(letter)["reason"] == "no_time"
