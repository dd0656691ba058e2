"""An entity has usual values of its own in each situation that the settings declare."""

from __future__ import annotations

import functools
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.control.messages import EntityAction
from streamgauge.udfs.entities import knowledge
from streamgauge.udfs.settings.pipeline import EntitySettings, PipelineSettings

from tests.streams import SMALL, START, Run, batch


def settings(*context, base=None):
    raw = (base or PipelineSettings()).model_dump()
    raw["event"]["context"] = context
    raw["decide"]["threshold"] = 1e-3
    return PipelineSettings.model_validate(raw)


def payments(n=3000, seed=0):
    """Payments of ten cards. A tenth of them is made while travelling, and these are ten times as large."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(n):
        travelling = bool(random.random() < 0.1)
        amount = float(random.normal(500, 20) if travelling else random.normal(50, 5))
        made.append(
            {
                "entity": f"card{i % 10}",
                "amount": round(amount, 2),
                "hops": float(random.normal(3, 1)),
                "travelling": travelling,
            }
        )
    return made


def opened_alerts(run):
    return [d for d in (json.loads(text)["data"] for _, text in run.alerts) if d["state"] == "opened"]


def test_a_large_amount_is_usual_while_travelling_and_a_contextual_anomaly_at_home():
    made = payments()
    made[2900] |= {"amount": 510.0, "travelling": False}
    raw = batch(made)
    run = Run(settings("travelling")).feed(raw)
    late = [d for d in opened_alerts(run) if d["source"]["offset"] >= 1000]
    [found] = [d for d in late if d["source"]["offset"] == 2900]
    assert (found["kind"], found["context"]) == ("contextual", {"travelling": False})
    assert found["expected"]["amount"] == pytest.approx(50, abs=5)
    assert found["entity"] == "card0"
    assert "travelling" not in found["actual"]
    assert len(late) <= 5
    assert 2900 not in [d["source"]["offset"] for d in opened_alerts(Run(settings()).feed(raw))]


@functools.cache
def uncut(seed):
    chosen, raw = settings("travelling", base=SMALL), batch(payments(600, seed))
    return chosen, raw, Run(chosen).feed(raw)


@hypothesis.example(cuts=[472], seed=1)
@given(st.lists(st.integers(1, 599), max_size=8), st.integers(0, 4))
@hypothesis.settings(max_examples=15)
def test_neither_batches_nor_restarts_matter(cuts, seed):
    chosen, raw, whole = uncut(seed)
    cut = Run(chosen).feed(raw, cuts)
    assert cut.outputs() == whole.outputs()
    assert cut.shard.canonical() == whole.shard.canonical()
    stop = cuts[0] if cuts else 300
    before = Run(chosen).feed(raw.take(np.arange(stop)))
    after = Run(chosen, before.saved).feed(raw.take(np.arange(stop, len(raw))))
    assert sorted(before.alerts + after.alerts) == sorted(whole.alerts)
    assert after.shard.canonical() == whole.shard.canonical()


def test_situations_of_forgotten_entities_are_not_kept_in_mind(monkeypatch):
    monkeypatch.setattr(knowledge, "COUNT_EVERY", 1000)  # the least recent entities beyond 1,000 are forgotten
    run = Run(settings("travelling", base=SMALL.model_copy(update={"entity": EntitySettings(most=1000)})))
    for begin in range(0, 12_000, 500):
        values = [
            {"entity": f"card{k % 7}", "amount": 1.0, "travelling": f"trip {k}"} for k in range(begin, begin + 500)
        ]
        run.feed(batch(values, offset=begin))
    entities = run.shard.partitions[0].stages.entities
    assert len(entities.store) <= 2000
    assert len(entities.situations._seen) <= 6000
    assert len(entities.rows_of("card1")) == sum(name.startswith("card1\x1f") for name in entities.store.index) > 0


def test_an_entity_is_shown_and_forgotten_in_all_its_situations():
    run = Run(settings("travelling")).feed(batch(payments()))
    message = EntityAction(type="entity", entity="card3", action="forget", id="r")
    answers = [json.loads(text)["data"] for _, text in run.shard.act(message, 0).notices]
    assert sorted(answer["context"]["travelling"] for answer in answers) == ["False", "True"]
    usual = {answer["context"]["travelling"]: answer["fields"]["amount"]["usual"] for answer in answers}
    assert usual == {"False": pytest.approx(50, abs=3), "True": pytest.approx(500, abs=20)}
    assert run.shard.act(message.model_copy(update={"action": "show"}), 1).notices == []


MINUTE = 60_000


def watched(**more):
    raw = settings("travelling", base=SMALL).model_dump()
    raw["decide"]["threshold"] = 1e-9  # nothing else alerts
    return PipelineSettings.model_validate(
        raw | {"silence": {"after": 3, "at_least": "1 m", "events": 20}, "track": None} | more
    )


def journeys(minutes=200, lost=(100, 150)):
    """Two cards with an event a minute each. Both travel every second hour; one of them sends nothing for a while."""
    made, stamps = [], []
    for minute in range(minutes):
        for card in ("kept", "lost"):
            if card == "kept" or not lost[0] <= minute < lost[1]:
                made.append({"entity": card, "amount": float(minute % 7), "travelling": minute // 60 % 2 == 1})
                stamps.append(START + minute * MINUTE)
    return batch(made, stamps=stamps)


def silent(run):
    alerts = [json.loads(text)["data"] for _, text in run.alerts]
    return [(d["entity"], d["state"], round(d["actual"]["seconds without an event"] / 60)) for d in alerts]


def test_an_entity_is_silent_if_it_sends_nothing_in_any_situation():
    run = Run(watched()).feed(journeys())
    assert silent(run) == [("lost", "opened", 4), ("lost", "resolved", 51)]


@functools.cache
def uncut_journeys():
    raw = journeys()
    return raw, Run(watched()).feed(raw)


@given(st.lists(st.integers(1, 340), max_size=6), st.integers(1, 340))
@hypothesis.settings(max_examples=10)
def test_silence_in_situations_does_not_depend_on_batches_and_restarts(cuts, stop):
    raw, whole = uncut_journeys()
    cut = Run(watched()).feed(raw, cuts)
    before = Run(watched()).feed(raw.take(np.arange(stop)))
    after = Run(watched(), before.saved).feed(raw.take(np.arange(stop, len(raw))))
    assert cut.alerts == before.alerts + after.alerts == whole.alerts
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()


def test_an_entity_forgotten_while_silent_is_removed_from_the_store_of_silence_too():
    run = Run(watched()).feed(journeys(lost=(100, 200)))
    message = EntityAction(type="entity", entity="lost", action="forget", id="r")
    run.take(run.shard.act(message, 0))
    assert [state for _, state, _ in silent(run)] == ["opened", "resolved"]
    run.feed(batch([{"entity": "kept", "amount": 1.0}], offset=1000))
    again = Run(watched(), run.saved).shard.partitions[0]
    assert list(again.stages.entities.silence.store.index) == ["kept"]
    assert again.canonical() == run.shard.partitions[0].canonical()


def test_the_least_recent_entities_are_forgotten_if_there_are_too_many(monkeypatch):
    monkeypatch.setattr("streamgauge.udfs.entities.knowledge.COUNT_EVERY", 200)
    made = [{"entity": f"card{i}", "amount": 1.0, "travelling": False} for i in range(2000)]
    run = Run(watched(entity={"most": 1000})).feed(batch(made, stamps=START + 10 * np.arange(2000)))
    entities = run.shard.partitions[0].stages.entities
    assert len(entities.silence.store) == len(entities.store) == 950
