"""Scoring without learning: the same results as if the events had come, and no trace of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, batch, stream
from tests.udfs.pipeline.test_boundary import CHOSEN
from tests.udfs.pipeline.test_shard import TIGHT, crowd

PROMISED = PipelineSettings.model_validate(
    SMALL.model_dump() | {"decide": {"promise": "1 per week per entity", "warmup": 5, "quiet_events": 3}}
)


class Nothing:
    """A reporter that notes the offsets of the judged events."""

    def __init__(self, offsets):
        self.offsets = offsets

    def judged(self, stretch, judged, decisions):
        self.offsets += stretch.offsets.tolist()

    def complete(self, row, data):
        data["complete"] = True


def outcome(result):
    """What a batch says of its events, without windows and silences."""
    alerts = [json.loads(text)["data"] for _, text in result.alerts]
    own = [one for one in alerts if "channel" in one and "opened_offset" in one["source"]]
    left_out = ("complete", "promise")  # incidents of windows count in the promise
    own = [{name: value for name, value in one.items() if name not in left_out} for one in own]
    columns = {
        name: np.concatenate([*getattr(result, name), np.empty(0)]).tolist()
        for name in ("evidence", "alert_evidence", "anomalous", "judged", "rows")
    }
    return columns | {"alerts": own, "dead": result.dead_letters, "late": result.late, "scores": result.scores}


def rehearsed(shard: Shard, raw: RawBatch):
    offsets: list[int] = []
    return shard.rehearse(raw, lambda stages: Nothing(offsets)), offsets


@pytest.mark.parametrize("settings", [SMALL, TIGHT, CHOSEN, PROMISED], ids=["small", "tight", "chosen", "promised"])
@given(st.integers(0, 399), st.integers(1, 120), st.integers(0, 3), st.sampled_from([1, 3]))
@example(0, 50, 0, 3)
@example(190, 60, 1, 1)
def test_events_are_judged_as_if_they_came_and_leave_no_trace(settings, begin, n, seed, fields):
    raw = stream(seed=seed, fields=fields, partitions=2)
    shard = Shard(settings, saves=False)
    shard.process(raw.take(np.arange(begin)))
    before, following = shard.canonical(), raw.take(np.arange(begin, min(begin + n, len(raw))))
    first, offsets = rehearsed(shard, following)
    again, _ = rehearsed(shard, following)
    assert shard.canonical() == before
    real = shard.process(following)
    assert repr(outcome(first)) == repr(outcome(again)) == repr(outcome(real))
    rows = np.concatenate([*real.rows, np.empty(0, np.int64)]).astype(np.int64)
    assert sorted(offsets) == sorted(following.offsets[rows].tolist())


def test_a_shard_of_entities_and_what_is_known_of_all_of_them():
    raw = crowd(0)
    shard = Shard(SMALL, per_partition=False, saves=False)
    shard.process(raw.take(np.arange(250)))
    before, following = shard.canonical(), raw.take(np.arange(250, 400))
    first, _ = rehearsed(shard, following)
    assert shard.canonical() == before
    assert repr(outcome(first)) == repr(outcome(shard.process(following)))


def test_the_promise_counts_the_entities_that_send_nothing_now():
    """After 1,000 events the threshold is found anew, from the number of active entities."""
    random = np.random.default_rng(3)
    events = [{"entity": f"e{i % 40}", "x": float(random.normal())} for i in range(4_100)]
    raw = batch(events, stamps=START + 60_000 * np.arange(len(events)))
    shard = Shard(PROMISED, saves=False)
    shard.process(raw.take(np.arange(3_950)))
    alone = batch([{"entity": "e1", "x": float(x)} for x in random.normal(size=150)], offset=5_000)
    alone.stamps[:] = START + 60_000 * 4_000 + np.arange(150)
    first, _ = rehearsed(shard, alone)
    assert repr(outcome(first)) == repr(outcome(shard.process(alone)))


def test_an_incident_that_would_open_is_told_and_does_not_open():
    shard = Shard(SMALL, saves=False)
    shard.process(batch([{"entity": "a", "x": float(n % 7)} for n in range(200)]))
    for _ in range(2):
        result, _ = rehearsed(shard, batch([{"entity": "a", "x": 1e9}], offset=200))
        [alert] = [json.loads(text)["data"] for _, text in result.alerts]
        assert (alert["state"], alert["complete"]) == ("opened", True)
    assert shard.entities["entities"] == 1


def test_entities_and_partitions_that_were_never_seen_stay_unknown():
    shard = Shard(SMALL, saves=False)
    result, offsets = rehearsed(shard, batch([{"entity": "new", "x": 1.0}, b"broken"], partition=[0, 3]))
    assert (len(result.dead_letters), offsets) == (1, [0])
    assert shard.partitions == {}
