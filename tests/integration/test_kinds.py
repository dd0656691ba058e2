"""Kinds of anomalies by their names, and silence, on the real cluster."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.studies.explain import draw, explain
from streamgauge.models.errors import InputError
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.base import IN_FILE
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.integration.live import Live

# the default settings; `Live` would use small warm-ups
PATIENT = PipelineSettings().model_dump(
    mode="json", context=IN_FILE, include={"detectors", "featurize", "calibration", "decide"}
)
PATIENT["decide"]["threshold"] = 4e-3  # a few hundred windows do not suffice for smaller tail probabilities


def data(records):
    return [json.loads(record.value)["data"] for record in records]


def test_runs_flat_lines_and_broken_rules_have_their_kind_in_the_alert(cluster, tmp_path):
    live = Live(
        cluster,
        tmp_path,
        decide={"threshold": 1e-4, "warmup": 30, "rules": [{"id": "full", "when": "used / size > 0.95 && size > 10"}]},
    )
    random = np.random.default_rng(0)
    hour = int(time.time()) // 3600 * 3600 - 7200  # all events within one hour, so there is no season to learn
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
    events[1400]["used"] = 97.0
    with live.job():
        live.send([("disk", event) for event in events])
        alerts = live.until(live.topics.alerts, lambda r: {"collective", "conditional"} <= {d["kind"] for d in data(r)})
    unresolved = [d for d in data(alerts) if d["state"] != "resolved"]
    kinds = {(d["kind"], max(d["contributions"], key=d["contributions"].get)) for d in unresolved}
    assert ("collective", "load") in kinds
    assert [d["rules"] for d in unresolved if d["kind"] == "conditional"] == [["full"]]


@pytest.mark.slow
def test_silence_and_its_end_raise_alerts_by_heartbeats_also_after_a_restart(cluster, tmp_path):
    live = Live(cluster, tmp_path, silence={"after": 3.0, "at_least": "15 s", "events": 20}, decide={"threshold": 1e-9})
    usual = [(e, {"entity": e, "x": float(i % 5)}) for i in range(25) for e in ("a", "b")]
    with live.job() as job:
        live.send(usual, rate=50)
        live.at_least(live.topics.scores, 50)
        savepoint = live.rest.stop(job)
    assert not live.read(live.topics.alerts)
    with live.job(from_savepoint=savepoint):
        silent = data(live.until(live.topics.alerts, lambda r: len(r) >= 2))
        last = max(r.offset for r in live.read(live.topics.events) if r.key == b"a")
        with pytest.raises(InputError, match=f"a sent nothing, .* its last event was offset {last} of partition"):
            explain(live.settings, next(d["alert_id"] for d in silent if d["entity"] == "a"))
        live.send(usual[:2])
        alerts = data(live.until(live.topics.alerts, lambda r: len(r) >= 4))
    assert sorted((d["entity"], d["state"], d["kind"]) for d in silent) == [
        ("a", "opened", "collective"),
        ("b", "opened", "collective"),
    ]
    back = [d for d in alerts if d["state"] == "resolved"]
    assert sorted(d["alert_id"] for d in back) == sorted(d["alert_id"] for d in silent)


def test_windows_of_event_time_raise_alerts_are_amended_by_late_events_and_explained(cluster, tmp_path):
    minute, rows = 60_000, 190
    windows = {"minute": {"size": "1 m", "aggregates": {"paid": ["sum"]}}}
    live = Live(cluster, tmp_path, windows=windows, event={"out_of_order": "10 s", "amend_within": "5 m"}, **PATIENT)
    begin = (int(time.time() * 1000) - rows * minute) // minute * minute
    random = np.random.default_rng(0)
    usual = [
        (begin + second * 1000, {"entity": card, "paid": round(10 + float(random.normal()), 2)})
        for second in range(0, rows * 60, 5)
        for card in ("ann", "ben")
    ]
    burst = [(begin + 160 * minute + 500 * k, {"entity": "ann", "paid": 10.0}) for k in range(110)]
    late = [(t, e) for t, e in usual if e["entity"] == "ben" and 170 <= (t - begin) / minute < 171][1:]
    moved = {t for t, _ in late}
    made = [(t, t, e) for t, e in usual + burst if not (e["entity"] == "ben" and t in moved)]
    made += [(t + 130_000, t, e) for t, e in late]
    sent = [("ann", {**e, "ts": t}) for _, t, e in sorted(made, key=lambda m: m[:2])]  # one key, one partition
    with live.job() as job:
        live.send(sent)

        def enough(records):
            return {"opened", "retracted"} <= {d["state"] for d in data(records)}

        alerts = [d for d in data(live.until(live.topics.alerts, enough)) if "aggregate" in d]
        assert live.counted(job, "windows_amended") == 1
    [ann] = [d for d in alerts if d["entity"] == "ann" and d["state"] == "opened"]
    assert (ann["kind"], ann["aggregate"]["events"]) == ("collective", 122)
    [opened, retracted] = [d for d in alerts if d["entity"] == "ben"]
    assert (retracted["state"], retracted["alert_id"]) == ("retracted", opened["alert_id"])
    assert [retracted["amended"][when]["actual"]["minute.count"] for when in ("was", "now")] == [1.0, 12.0]
    again = Shard(live.settings.pipeline(), live.topics.events, live.settings.job.name)
    records = [r for r in live.read(live.topics.events) if r.partition == opened["source"]["partition"]]
    replayed = again.process(raw_batch(records)).alerts
    assert sorted(text for _, text in replayed) == sorted(r.value for r in live.read(live.topics.alerts))
    found = explain(live.settings, ann["alert_id"])
    assert found.equal
    assert found.blamed in ("minute.paid.sum", "minute.count")
    assert len(found.values) > 100
    draw(found, tmp_path / "window.png")
    assert (tmp_path / "window.png").stat().st_size > 10_000
