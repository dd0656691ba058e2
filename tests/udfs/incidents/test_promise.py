"""The threshold follows from the promised number of false incidents, and honest evidence opens about that many from the first day on."""

from __future__ import annotations

import json
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.events.stream_kind import KNOWN, LOOK_EVERY_WHEN_KNOWN
from streamgauge.udfs.incidents.promise import (
    DAY,
    EACH,
    KNOWN_EVENTS,
    MOST,
    SAFE,
    STRICTEST,
    Promise,
    age_of,
    is_look,
    until_look,
)
from streamgauge.udfs.pipeline.checkpoint import HEADER, HEADER_VERSION
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.promise import false_incidents

from tests.streams import SMALL, START, Run, batch

HOUR = 3_600_000


def times_of(rates, hours=1.0, start=START):
    """Event times: this many events a day in each of some spans of `hours`, evenly, in milliseconds."""
    found = []
    for k, rate in enumerate(rates):
        n = round(rate * hours / 24)
        found.append(start + (k + (np.arange(n) + 0.5) / max(n, 1)) * hours * HOUR)
    return np.concatenate(found).astype(np.int64)


def simulate(promise, times, seed=0, entities=1, evidence=None):
    """Feed evidence as rare as it says, exponential with mean 1; returns the promise and the event times of the incidents."""
    random, one, begin, opened = np.random.default_rng(seed), Promise(false_incidents(promise)), 0, []
    evidence = random.exponential(size=len(times)) if evidence is None else evidence
    while begin < len(times):
        end = min(begin + until_look(begin), len(times))
        part = times[begin:end]
        places = np.flatnonzero(evidence[begin:end] >= -math.log(one.threshold))
        one.count(part, part - times[0], np.full(end - begin, one.threshold), places)
        opened.append(part[places])
        if is_look(end):
            one.look(int(part[-1]), lambda _: entities)
        begin = end
    return one, np.concatenate(opened)


def by_day(promise, times, days, seeds=40, **more):
    """Mean number of incidents on each day, over many streams."""
    found = [
        np.histogram(simulate(promise, times, seed, **more)[1], START + DAY * np.arange(days + 1))[0]
        for seed in range(seeds)
    ]
    return np.mean(found, axis=0)


@pytest.mark.parametrize(
    ("promise", "entities", "events_a_day", "a_day"),
    [
        ("3 per day", 1, 8_000, 3),  # one entity
        ("3 per day", 20, 40_000, 3),  # of twenty together
        ("1 per hour", 20, 60_000, 24),
        ("21 per week", 1, 5_000, 3),
        ("1 per week per entity", 20, 40_000, 20 / 7),
    ],
)
def test_honest_evidence_opens_as_many_incidents_as_promised_from_the_first_day_on(
    promise, entities, events_a_day, a_day
):
    days = 9
    found = by_day(promise, times_of([events_a_day] * days, 24), days, entities=entities)
    assert (found > a_day / 2).all()
    assert (found < a_day * 2).all()
    for begin, end in ((0, 1), (1, 7), (7, 9)):  # by age of the entities
        assert found[begin:end].mean() == pytest.approx(a_day, rel=0.4)


NIGHT, NOON = 2_000, 20_000
RATES = {
    "day and night, from the night on": ([*[NIGHT] * 8, *[NOON] * 16] * 6, 6),
    "day and night, from the day on": ([*[NOON] * 16, *[NIGHT] * 8] * 6, 6),
    "an hour of ten times as many": ([*[8_000] * 60, 80_000, *[8_000] * 35], 4),
    "a pause of ten days": ([*[8_000] * 48, *[0] * 240, *[8_000] * 48], 14),
    "twice as many each day": ([1_500 * 2**day for day in range(6) for _ in range(24)], 6),
}


@pytest.mark.parametrize("name", RATES)
def test_the_promise_is_kept_where_the_rate_of_events_changes(name):
    rates, days = RATES[name]
    found = by_day("3 per day", times_of(rates), days, seeds=20)
    some = [sum(rates[24 * day : 24 * day + 24]) > 0 for day in range(days)]
    assert found[some].mean() == pytest.approx(3, rel=0.5)
    assert found.max() < 6.5
    assert found[some].min() > 1


@pytest.mark.parametrize(("days", "pause"), [(1, 5), (3, 30), (10, 300)])
def test_a_long_pause_does_not_hide_how_many_events_there_are_usually(days, pause):
    before = times_of([20_000] * days, 24)
    usual = simulate("1 per day", before)[0].threshold
    after = before[-1] + pause * DAY + 4_320 * np.arange(until_look(len(before)))
    one, _ = simulate("1 per day", np.concatenate((before, after)).astype(np.int64))
    assert usual <= one.threshold < 3 * usual


def test_a_time_that_stands_still_does_not_open_incidents_without_end():
    _, opened = simulate("1 per day", np.full(200_000, START))
    assert len(opened) < 15  # at 1e-4 there would be 20, and more with each event
    one, _ = simulate("1 per day", np.concatenate(([START - 365 * DAY], times_of([20_000] * 3, 24))).astype(np.int64))
    assert one.expected < 4  # although the first event came a year too early


def test_a_stream_that_begins_with_a_burst_is_not_deaf_at_once():
    burst = START + np.arange(200_000) // 100  # a hundred events a millisecond
    assert simulate("1 per day", burst[:400])[0].threshold == SAFE
    one, _ = simulate("1 per day", burst)
    assert one.threshold >= 1 / (EACH * len(burst)) / 4
    assert one.expected < 2  # so many false incidents were allowed in all


def test_a_stream_of_few_events_gets_fewer_incidents_than_promised():
    one, _ = simulate("1 per day", times_of([48] * 30, 24))
    assert one.threshold == MOST
    assert one.expected == pytest.approx(48 * MOST, rel=0.5)


def test_the_threshold_is_safe_until_the_rate_is_known():
    times = times_of([5_000], 24)
    assert simulate("1 per day", times[: KNOWN_EVENTS - 1])[0].threshold == SAFE
    assert simulate("1 per day", times[:128])[0].threshold == pytest.approx(1 / 5_000, rel=0.05)
    assert Promise(false_incidents("1 per month")).threshold == pytest.approx(SAFE / 30)
    slow = times_of([10] * 4, 24)
    assert simulate("1 per day", slow[:32])[0].threshold == MOST  # after three days the rate is known


def test_before_the_first_event_no_time_has_passed():
    one = Promise(false_incidents("1 per day"))
    one.look(START, lambda _: 1)
    assert (one.threshold, one.expected, one.achieved) == (SAFE, 0.0, 0.0)
    [_, span, *_] = one.to_state()["averages"]
    assert span == 0.0


def test_fewer_incidents_than_promised_do_not_make_the_threshold_looser():
    times = times_of([10_000] * 8, 24)
    one, opened = simulate("2 per day", times, evidence=np.zeros(len(times)))
    assert len(opened) == 0
    assert one.threshold == pytest.approx(2 / 10_000, rel=0.02)


def test_clearly_more_incidents_make_the_threshold_stricter_slowly_and_not_without_end():
    times = times_of([10_000] * 20, 24)
    # twelve true incidents a day, whatever the threshold
    evidence = np.where(np.arange(len(times)) % 833 == 832, 100.0, 0.0)
    before, _ = simulate("1 per day", times[:29_000], evidence=evidence)
    after, _ = simulate("1 per day", times[:49_000], evidence=evidence)
    last, _ = simulate("1 per day", times, evidence=evidence)
    assert before.threshold == pytest.approx(1e-4, rel=0.05)
    assert 1e-4 / math.e < after.threshold < 0.6e-4  # two days later
    assert last.threshold == pytest.approx(1e-4 * math.exp(STRICTEST), rel=0.1)
    assert last.achieved == pytest.approx(12, rel=0.1)
    few = np.where(np.arange(len(times)) % 4000 == 3999, 100.0, 0.0)
    assert simulate("1 per day", times, evidence=few)[0].threshold == pytest.approx(1e-4, rel=0.02)


def test_incidents_are_counted_by_the_age_of_their_entities():
    times = times_of([5_000] * 10, 24)
    one, opened = simulate("5 per day", times)
    report = one.report(replaced=False)
    assert report["promised"] == 5
    ages = report["by_age"]
    assert [ages[age]["events"] for age in ("day_1", "days_2_to_7", "later")] == [5_000, 30_000, 15_000]
    assert sum(age["opened"] for age in ages.values()) == len(opened)
    assert ages["later"]["promised"] == pytest.approx(15, rel=0.02)
    assert one.report(replaced=False)["by_age"]["later"] == {"events": 0, "promised": 0.0, "opened": 0}
    assert one.report(replaced=True)["promised"] == round(one.expected, 6)


def test_a_report_tells_parts_of_an_incident():
    one = Promise(false_incidents("1 per day"))
    one.count(START + np.arange(10), np.zeros(10, np.int64), np.full(10, 2.5e-3), np.zeros(0, np.int64))
    assert one.report(replaced=False)["by_age"]["day_1"] == {"events": 10, "promised": 0.025, "opened": 0}


@given(st.lists(st.integers(1, 999), max_size=8), st.sampled_from(["3 per day", "1 per week per entity"]))
def test_the_state_does_not_depend_on_how_events_are_counted_and_restored(cuts, promise):
    random = np.random.default_rng(0)
    times = START + np.cumsum(random.integers(0, 60_000, 1000))
    thresholds = np.where(random.random(1000) < 0.5, 1e-3, 3e-4)  # a trial of two thresholds
    ages, opened = times - START, np.flatnonzero(random.random(1000) < 0.01)
    states = []
    for parts in ([], cuts):
        one, begin = Promise(false_incidents(promise)), 0
        for end in sorted({*parts, *(n for n in range(1, 1001) if is_look(n)), 1000}):
            places = opened[(opened >= begin) & (opened < end)] - begin
            one.count(times[begin:end], ages[begin:end], thresholds[begin:end], places)
            if is_look(end):
                one.look(int(times[end - 1]), lambda _: 7)
            if parts:
                again = Promise(false_incidents(promise))
                again.restore(json.loads(json.dumps(one.to_state())))
                one = again
            begin = end
        states.append(one.to_state())
    assert states[0] == states[1]


@given(st.integers(0, 2 * KNOWN))
def test_the_next_look_is_the_next_number_of_events_at_which_to_look(events):
    step = until_look(events)
    assert 1 <= step <= LOOK_EVERY_WHEN_KNOWN
    assert is_look(events + step)
    assert not any(is_look(events + k) for k in range(1, step))


# ---- in the pipeline --------------------------------------------------------------------------------------------------


def settings(**decide):
    raw = SMALL.model_dump()
    raw["decide"] |= {"threshold": None, "warmup": 50, **decide}
    raw["detectors"] |= {"levels": None, "day_profile": None}
    return PipelineSettings.model_validate(raw | {"track": 200})


def reports(run):
    """What the notices about quality say of the promise."""
    return [json.loads(text)["data"]["promise"] for _, text in run.notices if b"io.streamgauge.tracked" in text]


def stream(n=600):
    random = np.random.default_rng(3)
    values = random.normal(size=n) * np.where(random.random(n) < 0.03, 30, 1)
    stamps = START + 60_000 * np.arange(n)
    return batch([{"entity": f"e{i % 2}", "x": float(x)} for i, x in enumerate(values)], stamps=stamps)


@hypothesis.settings(max_examples=5)
@given(
    st.lists(st.integers(1, 599), max_size=6),
    st.integers(1, 599),
    st.sampled_from(["50 per day", "90 per day per entity"]),
)
def test_the_promise_does_not_depend_on_batches_and_restarts(cuts, stop, promise):
    raw, chosen = stream(), settings(promise=promise)
    whole, cut = Run(chosen).feed(raw), Run(chosen).feed(raw, cuts)
    before = Run(chosen).feed(raw.take(np.arange(stop)))
    after = Run(chosen, before.saved).feed(raw.take(np.arange(stop, 600)))
    assert cut.alerts == before.alerts + after.alerts == whole.alerts
    assert reports(cut) == reports(before) + reports(after) == reports(whole)
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()


def test_alerts_notices_and_metrics_say_what_was_promised_and_achieved():
    run = Run(settings(promise="50 per day")).feed(stream())
    opened = [data for data in (json.loads(text)["data"] for _, text in run.alerts) if data["state"] == "opened"]
    assert opened
    assert {(data["promise"]["promised"], data["promise"]["age"]) for data in opened} == {(50, "day_1")}
    told = [report["by_age"]["day_1"] for report in reports(run)]
    assert sum(age["opened"] for age in told) == len(opened) == run.counts["by_age.opened_day_1"]
    assert sum(age["events"] for age in told) == 600 == run.counts["by_age.events_day_1"]
    assert run.shard.promise["promised"] == 50
    assert run.shard.promise["achieved"] > 0


def test_incidents_that_a_rule_opens_do_not_count():
    run = Run(settings(rules=[{"id": "never", "when": "x > -100"}])).feed(stream())
    assert run.counts["alerts.opened"] == 2
    assert run.shard.promise["achieved"] == 0.0
    assert "by_age.opened_day_1" not in run.counts


def test_a_threshold_of_the_settings_or_of_a_message_replaces_the_promise():
    stages = Run(settings(threshold=0.01)).feed(stream()).shard.partitions[0].stages
    assert stages.threshold == 0.01
    stages.in_force.threshold = 0.001
    assert stages.threshold == 0.001
    stages = Run(settings()).feed(stream()).shard.partitions[0].stages
    assert stages.threshold == stages.promise.threshold
    stages.in_force.threshold = 0.002
    assert stages.threshold == 0.002


def test_a_state_with_a_budget_begins_a_new_promise():
    before = Run(settings()).feed(stream())
    header, arrays = unpack(before.saved["0/m"], HEADER, HEADER_VERSION)
    del header["promise"]
    header["budget"] = [0, 0, 1e-4, 0.0, 9e3, 0.0, 1, 0.5]  # as 0.1.0 saved it
    run = Run(settings(), before.saved | {"0/m": pack(HEADER, HEADER_VERSION, header, arrays)})
    assert run.shard.partitions[0].stages.promise.to_state() == Promise(false_incidents("1 per day")).to_state()
    run.feed(stream())
    assert run.counts["scored"] == 600


def test_an_entity_of_an_older_state_is_old():
    old, store = EntityStore(1), EntityStore(1)
    old.touch(old.rows(["e"], 1), np.array([START]), int(DAY), int(DAY))
    writes = {}
    old.segment([np.array([0])], [], "e", writes, [])
    meta, arrays = unpack(writes["e1"], EntityStore.kind, EntityStore.version)
    assert arrays["born"].tolist() == [START]
    arrays = {name: array for name, array in arrays.items() if name != "born"}
    store.restore([(1, pack(EntityStore.kind, EntityStore.version, meta, arrays))])
    assert age_of(int(store.ages(np.array([0]), np.array([START]))[0])) == "later"
