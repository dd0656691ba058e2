"""Kinds of anomalies by their names, and silence, on the real cluster."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from streamgauge.jobs.explain import explain
from streamgauge.models.errors import InputError

from tests.integration.live import Live

pytestmark = pytest.mark.integration


def data(records):
    return [json.loads(record.value)["data"] for record in records]


def test_runs_flat_lines_and_broken_rules_have_their_kind_in_the_alert(cluster, tmp_path):
    live = Live(
        cluster, tmp_path,
        decide={"threshold": 1e-4, "warmup": 30, "rules": [{"id": "full", "when": "used / size > 0.95 && size > 10"}]},
    )  # fmt: skip
    random = np.random.default_rng(0)
    hour = int(time.time()) // 3600 * 3600 - 7200  # within one hour: no season to learn first
    wave = 10 * np.sin(np.arange(1500) / 40)
    events = [
        {
            "entity": "disk",
            "ts": hour + i,
            "load": float(wave[i] + random.normal()),
            "used": 50 + float(random.normal()),
            "size": 100,
        }
        for i in range(1500)
    ]
    for event in events[1000:1040]:
        event["load"] = events[1000]["load"]
    for event in events[1200:1260]:
        event["used"] += 2.0
    events[1400]["used"] = 97.0
    with live.job():
        live.send([("disk", event) for event in events])
        alerts = live.until(live.topics.alerts, lambda r: {"collective", "conditional"} <= {d["kind"] for d in data(r)})
    told = [d for d in data(alerts) if d["state"] != "resolved"]
    kinds = {(d["kind"], max(d["contributions"], key=d["contributions"].get)) for d in told}
    assert {("collective", "load"), ("collective", "used")} <= kinds
    assert [d["rules"] for d in told if d["kind"] == "conditional"] == [["full"]]


def test_a_topic_that_falls_silent_is_told_by_the_heartbeat_and_its_return_too(cluster, tmp_path):
    live = Live(cluster, tmp_path, silence={"after": 3.0, "at_least": "2 s", "events": 20}, decide={"threshold": 1e-9})
    usual = [(e, {"entity": e, "x": float(i % 5)}) for i in range(25) for e in ("a", "b")]
    with live.job():
        live.send(usual, rate=50)
        began = time.monotonic()
        silent = data(live.until(live.topics.alerts, lambda r: len(r) >= 2))
        assert time.monotonic() - began < 30
        last = max(r.offset for r in live.read(live.topics.events) if r.key == b"a")
        with pytest.raises(InputError, match=f"a sent nothing, .* its last one before was offset {last} of partition"):
            explain(live.settings, next(d["alert_id"] for d in silent if d["entity"] == "a"))
        live.send(usual[:2])
        alerts = data(live.until(live.topics.alerts, lambda r: len(r) >= 4))
    assert sorted((d["entity"], d["state"], d["kind"]) for d in silent) == [
        ("a", "opened", "collective"),
        ("b", "opened", "collective"),
    ]
    back = [d for d in alerts if d["state"] == "resolved"]
    assert sorted(d["alert_id"] for d in back) == sorted(d["alert_id"] for d in silent)
