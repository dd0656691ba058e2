"""Reports of how good the detection is; probes are found on the side, and leave no trace."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamgauge.jobs.settings.loading import validated
from streamgauge.udfs.monitoring.probe import PROBE_KINDS
from streamgauge.udfs.monitoring.quality import Facts, QualityTracker
from streamgauge.udfs.output.cloud_event import Origin

from tests.streams import Run, batch

EVERY = 400
N = 24_000


def chosen(track=EVERY, **sections):
    quick = {"track": track, "decide": {"threshold": 1e-3, "group_within": 0}, "calibration": {"warmup": 50}}
    return validated(quick | sections, "the test").pipeline()


def seasonal(n=N, entities=5):
    """One field that follows the hour, and one that all entities have in common."""
    random = np.random.default_rng(0)
    hours = np.arange(n) / entities / 6  # each entity has an event every ten minutes
    together = np.cumsum(random.normal(size=n)) / 10
    wave = 10 * np.sin(2 * np.pi * hours / 24)
    stamps = 1_760_000_400_000 + (np.arange(n) // entities) * 600_000
    X = np.column_stack((50 + wave + random.normal(size=n), 5 + np.sin(together) + 0.1 * random.normal(size=n)))
    return batch(
        [
            {"entity": f"e{i % entities}", "ts": int(stamps[i]), "load": x, "flow": y}
            for i, (x, y) in enumerate(X.tolist())
        ],
        stamps=stamps,
    )


@pytest.fixture(scope="module")
def tracked():
    return Run(chosen()).feed(seasonal(), range(0, N, 777))


def reports(run):
    """The data of the reports."""
    return [json.loads(text)["data"] for _, text in run.notices if b'"io.streamgauge.tracked"' in text]


def test_a_report_after_every_so_many_events_says_what_was_counted(tracked):
    records = reports(tracked)
    assert [record["events"] for record in records] == list(range(EVERY, N + 1, EVERY))
    assert sum(record["held_back"] for record in records) == tracked.counts.get("held_back", 0)
    assert sum(record["unjudged"] for record in records) == tracked.counts["unjudged"]
    assert records[-1]["unjudged"] == 0 < records[0]["unjudged"]
    opened = sum(sum(record["opened"].values()) for record in records)
    assert opened == tracked.counts.get("alerts.opened", 0)
    last = records[-1]
    assert last["entities"] == {"known": 5, "warm": 5, "rich": 5}
    assert last["stream"] == "fields"
    assert last["rarer"]["1e-1"] > last["rarer"]["1e-2"] >= last["rarer"]["1e-4"]


def test_probes_of_each_kind_are_made_and_found_once_the_entities_are_known(tracked):
    probes = [record["probe"] for record in reports(tracked) if record["probe"]]
    assert {probe["kind"] for probe in probes} == set(PROBE_KINDS)
    late = probes[len(probes) // 2 :]
    assert all(probe["found"] for probe in late if probe["kind"] in ("point", "collective"))
    assert all(any(probe["members"].values()) for probe in late if probe["found"])
    for of in ("kind", "tier"):
        for name in {probe[of] for probe in probes}:
            mine = [probe["found"] for probe in probes if probe[of] == name]
            assert tracked.counts[f"probes.planted_{name}"] == len(mine)
            assert tracked.counts.get(f"probes.found_{name}", 0) == sum(mine)


def test_probes_leave_no_trace(tracked):
    plain = Run(chosen(track=None)).feed(seasonal(), range(0, N, 777))
    assert plain.outputs() == tracked.outputs()
    mine, other = (run.shard.partitions[0].stages for run in (tracked, plain))
    state_of = {
        "detectors": lambda s: [one.to_state() for one in s.scorer.detectors.cohort.values()],
        "calibrators": lambda s: s.scorer.calibrators.to_state(),
        "entities": lambda s: s.entities.store.canonical(),
        "rich": lambda s: s.entities.rich.fields.tobytes(),
        "prior": lambda s: s.scorer.prior.tobytes(),
        "stream": lambda s: s.scorer.stream.to_state(),
    }
    for part, state in state_of.items():
        assert state(mine) == state(other), part


@settings(max_examples=8)
@given(st.lists(st.integers(1, 4999), max_size=5), st.integers(1, 4999))
def test_reports_do_not_depend_on_batches_and_restarts(cuts, stop):
    raw = seasonal(5000)
    whole, cut = Run(chosen()).feed(raw), Run(chosen()).feed(raw, cuts)
    before = Run(chosen()).feed(raw.take(np.arange(stop)))
    after = Run(chosen(), before.saved).feed(raw.take(np.arange(stop, 5000)))
    assert reports(cut) == reports(whole) == reports(before) + reports(after)


def test_a_report_after_a_restart_names_kinds_in_the_same_order():
    facts = Facts(400, "records", 1e-3, {}, {"known": 1, "warm": 1, "rich": 0}, [], {})
    running, restored = QualityTracker(EVERY), QualityTracker(EVERY)
    running.restore([[0, 0, 0, 0], 2, 0, {"point": 1, "conditional": 1}, 0])  # a point came first
    restored.restore(running.to_state())
    texts = [tracker.report(facts, None, Origin("events", "job", 0), 0)[0] for tracker in (running, restored)]
    assert texts[0] == texts[1]


def test_no_probe_is_made_in_a_cold_start_in_constant_fields_or_without_numbers():
    events = [{"entity": f"e{i % 3}", "x": 1.0} for i in range(2000)]
    assert [record["probe"] for record in reports(Run(chosen()).feed(batch(events)))] == [None] * 5
    events = [{"entity": f"e{i % 3}", "t": "a"} for i in range(1000)]
    assert [record["probe"] for record in reports(Run(chosen()).feed(batch(events)))] == [None] * 2
    events = [{"entity": f"e{i}", "x": float(i % 7)} for i in range(1000)]
    assert [record["probe"] for record in reports(Run(chosen()).feed(batch(events)))] == [None] * 2
