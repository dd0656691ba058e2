"""Events of a long incident are scored but not learned, until they prove to be a new level or a maximum is reached."""

from __future__ import annotations

import json

import hypothesis
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.entities.columns import CENTRE, QUARANTINED_AFTER, SEEN, VARIANCE
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, Run, batch

EVERY = 900_000  # milliseconds between events: an entity is judged with less care after some days


def settings(quarantine=200, **decide):
    raw = PipelineSettings().model_dump()
    raw["entity"]["quarantine"] = quarantine
    raw["decide"] |= {"warmup": 590, "threshold": 1e-3, **decide}  # only the anomalous stretch can alert
    return PipelineSettings.model_validate(raw)


def run(values, quarantine=200, cuts=(), base=None, **decide):
    events = [{"entity": "e", "x": float(v)} for v in values]
    stamps = START + EVERY * np.arange(len(events))
    return Run(base or settings(quarantine, **decide)).feed(batch(events, stamps=stamps), cuts)


def usual(n=600, seed=0):
    return 100 + np.random.default_rng(seed).normal(size=n)


def number(run, which, entity="e"):
    """One of the entity's numbers for its field."""
    store = run.shard.partitions[0].stages.entities.store
    return store.fields[store.index[entity], 0, which]


def states(run):
    return [json.loads(text)["data"]["state"] for _, text in run.alerts]


def ended(run):
    alerts = [json.loads(text)["data"] for _, text in run.alerts]
    return [data for data in alerts if data["state"] == "resolved"]


def test_an_erratic_stretch_is_scored_but_hardly_changes_the_variance():
    random = np.random.default_rng(1)
    stretch = 100 + 30 * random.normal(size=150)
    guarded, plain = (run(np.concatenate((usual(), stretch)), q, quiet_events=150) for q in (200, 0))
    before = run(usual())
    assert guarded.counts["held_back"] > 100
    assert "held_back" not in plain.counts
    change = [number(one, VARIANCE) - number(before, VARIANCE) for one in (guarded, plain)]
    assert change[0] < 0.1 * change[1]
    assert guarded.counts["scored"] == plain.counts["scored"] == 750 - guarded.counts["unjudged"]


def test_a_new_level_is_learned_after_fifty_events_and_a_ramp_or_noise_only_after_the_maximum():
    random = np.random.default_rng(2)
    flat = 130 + random.normal(size=300)
    ramp = 110 + 0.2 * np.arange(300) + random.normal(size=300)
    noise = 100 + 40 * random.normal(size=300)

    def quarantined(stretch):
        return run(np.concatenate((usual(), stretch)), quiet_events=400, threshold=1e-4).counts["held_back"]

    assert 50 <= quarantined(flat) < 90
    assert quarantined(ramp) == quarantined(noise) == 200


def test_an_entity_that_returns_to_its_old_level_is_scored_as_before():
    stretch = 100 + 30 * np.random.default_rng(3).normal(size=100)
    guarded = run(np.concatenate((usual(), stretch, usual(seed=5))))
    assert states(guarded)[-1] == "resolved"
    quarantined = [data["held_back"] for data in ended(guarded)]
    assert sum(quarantined) == guarded.counts["held_back"] > 30
    assert abs(number(guarded, CENTRE) - 100) < 0.3


def test_a_new_level_that_stays_is_learned_and_the_resolved_alert_says_so():
    level = run(np.concatenate((usual(), 30 + usual(1000, seed=6))), quiet_events=200, threshold=1e-4)
    [resolved] = ended(level)
    assert level.counts["held_back"] >= 50
    assert resolved["held_back"] == 0


@given(st.lists(st.integers(1, 899), max_size=10), st.integers(0, 5), st.sampled_from([40, 200]))
@hypothesis.settings(max_examples=25)
def test_neither_batches_nor_restarts_change_which_events_are_quarantined(cuts, seed, quarantine):
    random = np.random.default_rng(seed)
    values = np.concatenate((usual(400), 100 + 30 * random.normal(size=100), usual(200, 7), usual(200, 8) + 40))
    base = SMALL.model_copy(update={"entity": SMALL.entity.model_copy(update={"quarantine": quarantine})})
    entities = random.integers(0, 2, len(values))
    raw = batch([{"entity": f"e{e}", "x": float(v)} for e, v in zip(entities.tolist(), values, strict=True)])
    whole, cut = Run(base).feed(raw), Run(base).feed(raw, cuts)
    assert whole.counts["held_back"] == cut.counts["held_back"] > 0
    assert cut.outputs() == whole.outputs()
    assert cut.shard.canonical() == whole.shard.canonical()
    stop = cuts[0] if cuts else 450
    before = Run(base).feed(raw.take(np.arange(stop)))
    after = Run(base, before.saved).feed(raw.take(np.arange(stop, len(raw))), [c - stop for c in cuts])
    assert sorted(before.alerts + after.alerts) == sorted(whole.alerts)
    assert after.shard.canonical() == whole.shard.canonical()


def test_one_call_of_touch_counts_at_most_sixteen_events_of_an_entity():
    store = EntityStore(1)
    rows = store.rows(["a"] * 20 + ["b"] * 5, 1)
    done, _, seen, quarantined = store.touch(rows, np.arange(25), 100, 100)
    assert done == QUARANTINED_AFTER
    assert not quarantined.any()
    assert seen.tolist() == list(range(1, QUARANTINED_AFTER + 1))
    assert store.head[rows[0], SEEN] == QUARANTINED_AFTER
    assert store.touch(rows[done:], np.arange(done, 25), 100, 100)[0] == 25 - QUARANTINED_AFTER
