"""A trial of two thresholds: each entity has one of them, and is judged as if there were no other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.messages import Trial, parse

from tests.streams import SMALL, Run, stream

A, B = 0.02, 0.001
# No quarantine: it would change what the cohort learns during an incident, and so the scores of the entities of the other arm.
SETTINGS = SMALL.model_copy(update={"entity": SMALL.entity.model_copy(update={"quarantine": 0})})


def run_trial(cuts=(), **trial):
    run = Run(SETTINGS)
    run.shard.apply(Trial(type="trial", a=A, b=B, **trial))
    return run.feed(stream(seed=3), cuts)


def alerts(run):
    return [data for _, text in run.alerts if (data := json.loads(text)["data"])]


def essence(data):
    return {k: v for k, v in data.items() if k not in ("trial", "group", "promise")}  # these are about the partition


def test_each_entity_is_judged_as_if_its_threshold_were_the_only_one():
    in_trial, entities = alerts(run_trial()), [f"e{k}" for k in range(6)]
    arms = dict(zip(entities, Trial(type="trial", a=A, b=B).arms(entities), strict=True))
    assert set(arms.values()) == {"a", "b"}
    assert all(data["trial"] == arms[data["entity"]] for data in in_trial)
    for arm, threshold in (("a", A), ("b", B)):
        alone = SETTINGS.model_copy(update={"decide": SETTINGS.decide.model_copy(update={"threshold": threshold})})
        expected = [essence(data) for data in alerts(Run(alone).feed(stream(seed=3))) if arms[data["entity"]] == arm]
        assert [essence(data) for data in in_trial if data["trial"] == arm] == expected
        assert expected
        assert {data["threshold"] for data in expected} == {threshold}


@given(st.lists(st.integers(1, 399), max_size=8))
def test_batch_boundaries_do_not_matter(cuts):
    assert run_trial(cuts).outputs() == run_trial().outputs()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_arms_have_their_shares_and_opened_alerts_are_counted_by_arm(share):
    arms = Trial(type="trial", a=A, b=B, share=share).arms([f"pump-{k}" for k in range(5000)])
    assert abs(np.mean([arm == "b" for arm in arms]) - share) < 0.03
    run = run_trial(share=share)
    opened = [data["trial"] for data in alerts(run) if data["state"] == "opened"]
    assert {arm: run.counts.get(f"alerts.trial_{arm}", 0) for arm in "ab"} == {arm: opened.count(arm) for arm in "ab"}


def test_after_a_trial_the_threshold_from_before_holds():
    run, plain = Run(SETTINGS), Run(SETTINGS)
    run.shard.apply(parse('{"type": "trial", "a": 0.5, "b": 0.4}'))
    run.shard.apply(parse('{"type": "trial"}'))
    assert run.feed(stream(seed=3)).outputs() == plain.feed(stream(seed=3)).outputs()


def test_half_a_trial_is_refused():
    with pytest.raises(SettingsError, match="two thresholds, a and b, or none"):
        parse('{"type": "trial", "a": 0.5}')
