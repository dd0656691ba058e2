"""Which anomalous events count: maintenance, direction, the smallest effect that matters, k of n, and fields that never varied."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.settings.detectors import DetectorSettings, ValueNoveltySettings
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, Run, batch

WIDE = [1, 50, 99, 300, 301, 302, 350]


def usual(n=400, entities=2, fields=("x",)):
    random = np.random.default_rng(0)
    return [{"entity": f"e{i % entities}", **{f: float(random.normal(100, 2)) for f in fields}} for i in range(n)]


def settings(**decide):
    return PipelineSettings.model_validate(
        SMALL.model_dump() | {"decide": {"threshold": 1e-3, "warmup": 100, "quiet_events": 3, **decide}}
    )


def opened(events, cuts=(), message=None, **decide):
    """The severity of each incident that opened, by the offset of its first event; the same for two ways of cutting batches."""
    runs = []
    for where in (cuts, WIDE):
        run = Run(settings(**decide))
        if message:
            run.shard.apply(message)
        runs.append(run.feed(batch(events), where))
    assert runs[0].outputs() == runs[1].outputs()
    assert runs[0].shard.canonical() == runs[1].shard.canonical()
    alerts = [json.loads(text)["data"] for _, text in runs[0].alerts]
    return {d["source"]["offset"]: d["severity"] for d in alerts if d["state"] == "opened"}, runs[0]


def test_a_value_between_the_usual_ones_is_new_but_raises_no_alert():
    random = np.random.default_rng(1)
    x = np.where(np.arange(600) // 5 % 2, 100.0, 0.0) + random.normal(0, 5, 600)
    x[450], x[520] = 50.0, 2000.0
    chosen = settings().model_copy(update={"detectors": DetectorSettings(value_novelty=ValueNoveltySettings())})
    stamps = START + 900_000 * np.arange(600)  # days, after which an entity is judged with less care
    run = Run(chosen).feed(batch([{"entity": "e", "x": float(v)} for v in x], stamps=stamps), WIDE)
    novelty = [json.loads(text)["detectors"].get("value_novelty", 1.0) for _, text in run.scores]
    alerts = [json.loads(text)["data"] for _, text in run.alerts]
    rows = {data["source"]["offset"] for data in alerts if data["state"] == "opened"}
    assert max(novelty[450], novelty[520]) < 1e-3
    assert 450 not in rows
    assert 520 in rows


def test_a_field_counts_only_in_its_direction():
    events = usual()
    events[300]["x"], events[350]["x"] = 160.0, 40.0
    both = set(opened(events)[0])
    assert {300, 350} <= both
    above, run = opened(events, fields={"x": {"direction": "above"}})
    assert 300 in above
    assert 350 not in above
    assert run.counts["muted.small"] > 0
    assert 300 not in opened(events, fields={"x": {"direction": "below"}})[0]


def test_a_field_counts_only_from_the_smallest_effect_that_matters():
    events = usual()
    events[300]["x"], events[350]["x"] = 130.0, 190.0
    assert {300, 350} <= set(opened(events)[0])
    for smallest in ({"absolute": 60}, {"relative": 0.6}):
        found = opened(events, fields={"x": smallest})[0]
        assert 350 in found
        assert 300 not in found


def test_a_field_without_settings_counts_even_if_another_field_does_not_matter():
    events = usual(fields=("x", "y"))
    events[300] |= {"x": 200.0}
    events[350] |= {"x": 200.0, "y": 500.0}
    found = opened(events, fields={"x": {"absolute": 1e6}})[0]
    assert 300 not in found
    assert 350 in found


def test_k_anomalous_events_of_n_open_an_incident():
    events = usual(600)
    events[300]["x"] = 180.0
    for i, far in ((400, 230.0), (404, 20.0), (408, 290.0)):  # three of five of e0
        events[i]["x"] = far
    found = opened(events, hits=3, within=5)[0]
    assert 300 not in found
    assert 408 in found
    assert not {400, 404} & set(found)
    resumed = Run(settings(hits=3, within=5)).feed(batch(events[:406]))
    after = Run(settings(hits=3, within=5), resumed.saved)
    after.feed(batch(events[406:], offset=406))
    assert [json.loads(t)["data"]["source"]["offset"] for _, t in after.alerts][:1] == [408]


def test_a_broken_rule_opens_an_incident_at_once_even_if_k_of_n_are_required():
    rules = parse('{"type":"rules","rules":[{"id":"r","when": "x < 0"}]}')
    events = usual(40)
    events[10]["x"] = -1.0
    assert list(opened(events, message=rules, hits=3, within=5)[0]) == [10]


def moment(i):
    return datetime.fromtimestamp((START + 1000 * i) / 1000, UTC).isoformat()


def test_events_in_maintenance_are_scored_and_learned_but_open_no_incident():
    events = usual(600)
    for i, far in ((300, 180.0), (301, 180.0), (500, 290.0)):
        events[i]["x"] = far
    windows = [{"entities": "e0*", "start": moment(290), "end": moment(310), "why": "upgrade"}]
    found, run = opened(events, maintenance=windows)
    assert 300 not in found  # e0
    assert {301, 500} <= set(found)
    assert run.counts["muted.maintenance"] >= 1
    assert len(run.scores) == 600
    message = parse(json.dumps({"type": "maintenance", "windows": []}))
    assert 300 in opened(events, message=message, maintenance=windows)[0]


def test_a_change_by_one_unit_of_a_constant_field_is_at_most_medium():
    for change in (1.0, -1.0):
        events = [{"entity": "a", "x": 7.0} for _ in range(375)]
        for event in events[350:]:  # not at 400, where an hour begins that the seasonal profile does not know
            event["x"] = 7.0 + change
        run = Run(settings()).feed(batch(events))
        alerts = [json.loads(text)["data"] for _, text in run.alerts]
        assert {d["severity"] for d in alerts} <= {"low", "medium"}
        assert sum(d["state"] == "opened" for d in alerts) == 1


@pytest.mark.parametrize(
    ("decide", "message"),
    [
        ({"hits": 3, "within": 2}, "3 anomalous events cannot be among the last 2"),
        ({"maintenance": [{"start": "2026-01-01T00:00:00", "end": "2026-01-02T00:00:00Z"}]}, "need a zone"),
        ({"maintenance": [{"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}]}, "must be after start"),
        ({"fields": {"x": {"direction": "up"}}}, "'both', 'above' or 'below'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(decide, message):
    from streamgauge.jobs.settings.loading import validated

    with pytest.raises(SettingsError, match=message):
        validated({"decide": decide}, "here")


@pytest.mark.parametrize(("value", "severity"), [(130.0, "medium"), (160.0, "high"), (5000.0, "critical")])
def test_severity_follows_the_effect_as_a_multiple_of_the_smallest_one_that_matters(value, severity):
    events = usual(3000)
    events[2900]["x"] = value
    severities, _ = opened(events, fields={"x": {"absolute": 20}}, threshold=1e-3)
    assert severities[2900] == severity
