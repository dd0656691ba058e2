"""Incidents that open together are a group, and groups end."""

from __future__ import annotations

import json

import hypothesis
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.incidents.groups import AllGroups, Groups
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, Run, batch

MINUTE = 60_000
HOUR = 60 * MINUTE


def test_incidents_that_open_together_are_a_group_whose_root_is_the_first():
    groups = Groups(5 * 60_000)
    first = groups.join("a1", "db-1", "latency", START)
    assert first == {"id": "a1", "incidents": 1, "root": {"entity": "db-1", "field": "latency", "time": START}}
    second = groups.join("a2", "api-1", "errors", START + 60_000)
    assert (second["id"], second["incidents"], second["root"]["entity"]) == ("a1", 2, "db-1")
    assert groups.join("a3", "api-2", "errors", START + 2 * HOUR)["id"] == "a3"
    assert Groups(0).join("a1", "db-1", "latency", START) is None


def test_an_incident_from_long_before_a_group_is_alone_and_the_group_goes_on():
    groups = Groups(5 * MINUTE)
    groups.join("a1", "db-1", "latency", START + 60 * MINUTE)
    late = groups.join("a2", "api-1", "errors", START)
    assert late == {"id": "a2", "incidents": 1, "root": {"entity": "api-1", "field": "errors", "time": START}}
    third = groups.join("a3", "api-2", "errors", START + 61 * MINUTE)
    assert (third["id"], third["incidents"]) == ("a1", 2)


def opened(entity, minute, partition=0):
    """The data of the alert of an incident that opens."""
    return {
        "alert_id": f"{entity}-{minute}",
        "entity": entity,
        "contributions": {"load": 0.2, "errors": 0.8},
        "window": {"from": rfc3339(START + int(60_000 * minute))},
        "source": {"partition": partition},
        "group": {"id": f"of-{partition}"},
    }


def test_incidents_on_all_partitions_that_open_together_are_a_group():
    groups = AllGroups(5 * 60_000)
    assert groups.join(opened("db-1", 0, 0)) is None
    change, group = groups.join(opened("api-1", 3, 1))
    assert (change, group["id"], group["incidents"], group["partitions"]) == ("opened", "db-1-0", 2, [0, 1])
    assert group["root"] == {"entity": "db-1", "field": "errors", "time": rfc3339(START), "alert_id": "db-1-0"}
    assert (group["entities"], group["groups"]) == (["db-1", "api-1"], ["of-0", "of-1"])
    assert groups.join(opened("far", 60, 2)) is None


def test_the_root_of_a_group_names_no_field_where_only_a_rule_was_broken():
    no_share = {"contributions": {"load": 0.0, "errors": 0.0}}
    groups = AllGroups(5 * 60_000)
    groups.join(opened("db-1", 0, 0) | no_share)
    _, group = groups.join(opened("api-1", 3, 1))
    assert (group["root"]["entity"], group["root"]["field"]) == ("db-1", None)
    raw = SMALL.model_dump()
    raw["decide"]["rules"] = [{"id": "hot", "when": "heat > 90"}]
    run = Run(PipelineSettings.model_validate(raw)).feed(batch([{"entity": "pump", "flow": 1.0, "heat": 99.0}]))
    [alert] = [json.loads(text)["data"] for _, text in run.alerts]
    assert alert["contributions"] == {"flow": 0.0, "heat": 0.0}
    assert (alert["group"]["root"]["entity"], alert["group"]["root"]["field"]) == ("pump", None)


def test_a_group_is_reported_again_when_it_has_doubled_and_when_its_root_changes():
    groups = AllGroups(5 * 60_000)
    notices = [groups.join(opened(f"e{n}", 10 + n % 3, n % 4)) for n in range(9)]
    assert [n + 1 for n, notice in enumerate(notices) if notice] == [2, 4, 8]
    change, group = groups.join(opened("earlier", 6, 3))
    assert (change, group["incidents"], group["root"]["entity"]) == ("updated", 10, "earlier")
    assert group["id"] == notices[1][1]["id"]  # a group keeps the id that was reported first


def test_an_incident_between_two_groups_merges_them_and_the_group_names_both():
    groups = AllGroups(5 * 60_000)
    first = [groups.join(opened(f"a{n}", 0)) for n in range(2)][1][1]
    second = [groups.join(opened(f"b{n}", 8, 1)) for n in range(2)][1][1]
    assert first["id"] != second["id"]
    change, group = groups.join(opened("between", 4, 2))
    assert (change, group["incidents"], group["id"], group["joined"]) == ("updated", 5, first["id"], [second["id"]])


# In so short a time, it is not known yet how often incidents come. Later, their order decides which are near.
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=30), st.data())
def test_groups_do_not_depend_on_the_order_of_incidents_and_on_restarts(made, data):
    alerts = [opened(f"e{n}", minute, partition) for n, (minute, partition) in enumerate(made)]
    groups = AllGroups(3 * 60_000)
    for n, alert in enumerate(data.draw(st.permutations(alerts))):
        groups.join(alert)
        if n % 7 == 3:
            again = AllGroups(3 * 60_000)
            again.restore(groups.to_state())
            groups = again
    minutes = sorted(minute for minute, _ in made)
    cuts = [n for n in range(1, len(minutes)) if minutes[n] - minutes[n - 1] > 3]
    sizes = np.diff([0, *cuts, len(minutes)]).tolist()
    notices = [groups.join(opened("last", minutes[at], 0)) for at in [0, *cuts]]
    assert len(sizes) == len(notices)
    meta, _ = unpack(groups.to_state(), AllGroups.kind, AllGroups.version)
    saved = sorted((g["from"], g["incidents"]) for g in meta["groups"])
    assert [n - 1 for _, n in saved] == sizes


@hypothesis.settings(max_examples=10)
@given(st.lists(st.integers(1, 599), max_size=6), st.integers(1, 599))
def test_groups_do_not_depend_on_batches_and_restarts(cuts, stop):
    random = np.random.default_rng(2)
    events = [{"entity": f"e{i % 3}", "x": float(random.normal())} for i in range(600)]
    for k, place in enumerate((400, 404, 408, 550)):
        events[place] |= {"x": 1000.0 * 100**k}
    raw = batch(events, stamps=START + 60_000 * np.arange(600))
    raw_settings = SMALL.model_dump()
    raw_settings["decide"] |= {"threshold": 1e-9, "warmup": 50, "rules": [{"id": "far", "when": "x > 500"}]}
    chosen = PipelineSettings.model_validate(raw_settings)
    whole, cut = Run(chosen).feed(raw), Run(chosen).feed(raw, cuts)
    before = Run(chosen).feed(raw.take(np.arange(stop)))
    after = Run(chosen, before.saved).feed(raw.take(np.arange(stop, 600)))
    assert cut.alerts == before.alerts + after.alerts == whole.alerts
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()
    told = [data for data in (json.loads(text)["data"] for _, text in whole.alerts) if data["state"] == "opened"]
    assert {d["group"]["root"]["entity"] for d in told if d["source"]["offset"] in (404, 408)} == {"e1"}


def fleet(incidents_a_day, burst=()):
    """Times of unrelated incidents of three days, and of a burst, in order; and whether each is of the burst."""
    random = np.random.default_rng(5)
    alone = START + random.uniform(0, 72 * HOUR, 3 * incidents_a_day).astype(np.int64)
    times = np.concatenate((alone, np.asarray(burst, np.int64)))
    order = np.argsort(times, kind="stable")
    return times[order], (np.arange(len(times)) >= len(alone))[order]


def test_unrelated_incidents_of_a_large_fleet_are_no_group_and_a_burst_among_them_is_one():
    burst = START + 50 * HOUR + np.arange(0, 120_000, 400)
    times, of_burst = fleet(2_857, burst)  # 20,000 entities, `1 per week per entity`
    groups = Groups(5 * MINUTE)
    ids = [groups.join(f"a{n}", "e", None, int(time))["id"] for n, time in enumerate(times)]
    _, sizes = np.unique(np.array(ids)[(times > START + 2 * HOUR) & ~of_burst], return_counts=True)
    assert sizes.mean() < 1.5
    _, of_one = np.unique(np.array(ids)[of_burst], return_counts=True)
    assert of_one.max() > 250


def test_groups_of_all_partitions_of_a_large_fleet_end_and_the_burst_is_one_of_them():
    burst = START + 50 * HOUR + np.arange(0, 120_000, 400)
    times, of_burst = fleet(2_857, burst)
    groups, largest, of_one = AllGroups(5 * MINUTE), 0, 0
    for n, (time, belongs) in enumerate(zip(times.tolist(), of_burst.tolist(), strict=True)):
        notice = groups.join(opened(f"e{n}", (time - START) / MINUTE, n % 8))
        if notice and belongs:
            of_one = max(of_one, notice[1]["incidents"])
        elif notice and time > START + 2 * HOUR and notice[1]["incidents"] < 64:
            largest = max(largest, notice[1]["incidents"])
    assert largest <= 16
    assert of_one >= 64


def test_how_near_incidents_of_a_group_are_is_restored():
    times, _ = fleet(500)
    groups = Groups(5 * MINUTE)
    for n, time in enumerate(times.tolist()):
        groups.join(f"a{n}", "e", None, time)
        if n % 100 == 50:
            again = Groups(5 * MINUTE)
            again.restore(groups.to_state())
            assert again.to_state() == groups.to_state()
            assert again.join("next", "e", None, time + MINUTE) == groups.join("next", "e", None, time + MINUTE)


def test_groups_of_all_partitions_are_restored_with_how_near_their_incidents_are_and_without_where_it_was_not_saved():
    times, _ = fleet(500)
    groups, again, older = AllGroups(5 * MINUTE), AllGroups(5 * MINUTE), AllGroups(5 * MINUTE)
    for n, time in enumerate(times.tolist()):
        groups.join(opened(f"e{n}", (time - START) / MINUTE))
    again.restore(groups.to_state())
    assert again.to_state() == groups.to_state()
    meta, _ = unpack(groups.to_state(), AllGroups.kind, AllGroups.version)
    older.restore(pack(AllGroups.kind, AllGroups.version, {"groups": meta["groups"]}, {}))
    restored, _ = unpack(older.to_state(), AllGroups.kind, AllGroups.version)
    assert restored["groups"] == meta["groups"]
    assert restored["near"] != meta["near"]


def test_an_incident_with_a_wrong_time_does_not_end_the_groups_of_others_nor_changes_how_near_they_are():
    times, _ = fleet(2_857)
    usual, wrong = AllGroups(5 * MINUTE), AllGroups(5 * MINUTE)
    for n, time in enumerate(times[:3_000].tolist()):
        if n == 2_500:
            wrong.join(opened("wrong", 10_000_000))
        alert = opened(f"e{n}", (time - START) / MINUTE)
        assert usual.join(alert) == wrong.join(alert)
    assert (
        unpack(usual.to_state(), AllGroups.kind, 1)[0]["near"] == unpack(wrong.to_state(), AllGroups.kind, 1)[0]["near"]
    )
