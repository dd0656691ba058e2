"""Incidents that follow each other are one, and incidents that open together are a group."""

from __future__ import annotations

import json

import hypothesis
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.persistence.codec import unpack
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.incidents.groups import AllGroups, Groups
from streamgauge.udfs.incidents.severity import important
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, Run, batch

HOUR = 3_600_000


def settings(**decide):
    raw = SMALL.model_dump()
    raw["decide"] |= {"threshold": 1e-3, "warmup": 50, **decide}
    return PipelineSettings.model_validate(raw)


def alerts(run, state="opened"):
    """The data of the alerts about incidents that opened (or resolved, ...)."""
    return [d for d in (json.loads(text)["data"] for _, text in run.alerts) if d["state"] == state]


def test_incidents_that_follow_each_other_soon_become_one_incident():
    x = np.where((np.arange(1200) >= 600) & (np.arange(1200) % 15 == 0), 1.0, 0.0)  # every fifteenth event
    rules = [{"id": "never", "when": "x > 0.5"}]
    only_rules = settings(quiet_events=5, rules=rules, threshold=1e-9)
    run = Run(only_rules).feed(batch([{"entity": "e", "x": float(v)} for v in x]))
    assert [d["source"]["offset"] for d in alerts(run)] == [600, 615, 630]
    assert [d["source"]["offset"] for d in alerts(run, "resolved")] == [605, 625]


def test_a_level_shift_is_one_alert_and_then_the_level_is_learned():
    random = np.random.default_rng(1)
    hour = 1_760_000_400_000  # all within one hour
    wave = np.sin(np.arange(3000) / 30)
    load = 50 + random.normal(0, 1, 3000)
    load[1500:] += 15.0
    events = [
        {"entity": "e", "load": float(a), "other": float(5 * b + random.normal())}
        for a, b in zip(load, wave, strict=True)
    ]
    run = Run(PipelineSettings()).feed(batch(events, stamps=hour + 1000 * np.arange(3000)))
    opened = [d["source"]["offset"] for d in alerts(run)]
    assert len([o for o in opened if o >= 1500]) == 1
    assert 1500 <= opened[-1] < 1510
    assert alerts(run, "resolved")[-1]["source"]["offset"] < 2400


def test_incidents_that_open_together_are_a_group_whose_root_is_the_first():
    groups = Groups(5 * 60_000)
    first = groups.join("a1", "db-1", "latency", START)
    assert first == {"id": "a1", "incidents": 1, "root": {"entity": "db-1", "field": "latency", "time": START}}
    second = groups.join("a2", "api-1", "errors", START + 60_000)
    assert (second["id"], second["incidents"], second["root"]["entity"]) == ("a1", 2, "db-1")
    assert groups.join("a3", "api-2", "errors", START + 2 * HOUR)["id"] == "a3"
    assert Groups(0).join("a1", "db-1", "latency", START) is None


def opened(entity, minute, partition=0):
    """The data of the alert of an incident that opens."""
    return {
        "alert_id": f"{entity}-{minute}",
        "entity": entity,
        "contributions": {"load": 0.2, "errors": 0.8},
        "window": {"from": rfc3339(START + 60_000 * minute)},
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


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=30), st.data())
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
    chosen = settings(threshold=1e-9, rules=[{"id": "far", "when": "x > 500"}])
    whole, cut = Run(chosen).feed(raw), Run(chosen).feed(raw, cuts)
    before = Run(chosen).feed(raw.take(np.arange(stop)))
    after = Run(chosen, before.saved).feed(raw.take(np.arange(stop, 600)))
    assert cut.alerts == before.alerts + after.alerts == whole.alerts
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()
    assert {d["group"]["root"]["entity"] for d in alerts(whole) if d["source"]["offset"] in (404, 408)} == {"e1"}


def test_the_importance_of_the_entity_raises_or_lowers_the_severity():
    steps = {"db-*": 1, "test-*": -3}
    assert important("medium", "db-7", steps) == "high"
    assert important("critical", "db-7", steps) == "critical"
    assert important("critical", "test-1", steps) == "low"
    assert important("medium", "web", steps) == "medium"
