"""Incidents that follow each other are one."""

from __future__ import annotations

import json

import numpy as np
from streamgauge.udfs.incidents.severity import important
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, Run, batch


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


def test_the_importance_of_the_entity_raises_or_lowers_the_severity():
    steps = {"db-*": 1, "test-*": -3}
    assert important("medium", "db-7", steps) == "high"
    assert important("critical", "db-7", steps) == "critical"
    assert important("critical", "test-1", steps) == "low"
    assert important("medium", "web", steps) == "medium"
