"""Drift is told when it lasts, across the cohort; what hits few entities, or passes, is an incident."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.evaluation.drift import reference_of
from streamgauge.models.persistence.registry import SCORE
from streamgauge.udfs.monitoring.drift import DriftWatch, ModelEvents
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.settings.pipeline import DriftSettings

EVERY, ENTITIES = 1000, 40
SETTINGS = DriftSettings(every=EVERY, rest=5)
REFERENCE = reference_of(np.random.default_rng(9).normal(size=(5000, 2)))


def watched(X, entities, cuts=(), watch=None, version=1, **given):
    """Requests for events, cut into batches.

    Given may be: begin (offset of the first event), alerts and right (of each event), reference and names.
    """
    begin, alerts, right = given.get("begin", 0), given.get("alerts"), given.get("right")
    reference, names = given.get("reference", REFERENCE), given.get("names", ("a", "b"))
    right = np.ones(len(X), np.bool_) if right is None else right
    alerts = np.zeros(len(X), np.bool_) if alerts is None else alerts
    watch = watch or DriftWatch(SETTINGS, "m", Origin("events", "job", 3))
    offsets, told = np.arange(begin, begin + len(X)), []
    for part in np.split(np.arange(len(X)), sorted(cuts)):
        who, probed = [f"e{k}" for k in entities[part]], np.flatnonzero(offsets[part] % 50 == 0)
        times = 1000 * offsets[part]
        seen = ModelEvents(X[part], alerts[part], (probed, right[part][probed]), 1e-3, who, offsets[part], times)
        told += watch.watch(version, reference, names, seen)
    return [json.loads(text)["data"] for _, text in told], watch


def events(spans, moved=1.0, first=0, last=None, shift=2.0, seed=0):
    """A share of the entities shifts one field, from one span to before another."""
    random = np.random.default_rng(seed)
    n = spans * EVERY
    X, entities = random.normal(size=(n, 2)), random.integers(0, ENTITIES, n)
    when = (np.arange(n) >= first * EVERY) & (np.arange(n) < (spans if last is None else last) * EVERY)
    X[when & (entities < moved * ENTITIES), 1] += shift
    return X, entities


def test_a_shift_of_all_that_lasts_is_asked_for_once_and_says_what_speaks_for_it():
    told, _ = watched(*events(9, first=2))
    [request] = told
    assert (request["model"], request["version"], request["reason"]) == ("m", 1, "inputs")
    assert request["offsets"] == {"3": [2 * EVERY, 5 * EVERY]}
    assert request["since"] == "1970-01-01T00:33:20.000Z"
    evidence = request["evidence"]
    assert list(evidence["fields"]) == ["b"]
    assert evidence["fields"]["b"]["population_stability_index"] > 1
    assert evidence["entities_moved"] > 0.9
    assert (evidence["spans"], evidence["events"]) == (3, 3 * EVERY)


def test_it_is_asked_again_after_a_rest_while_the_same_version_is_at_work():
    assert len(watched(*events(12, first=2))[0]) == 2


@pytest.mark.parametrize("seed", range(5))
def test_what_stays_or_passes_or_hits_few_is_no_drift(seed):
    assert watched(*events(8, moved=0, seed=seed))[0] == []
    assert watched(*events(8, first=2, last=4, seed=seed))[0] == []
    told, watch = watched(*events(8, moved=0.25, first=2, shift=6.0, seed=seed))
    assert told == []
    assert watch.to_state()[3] == 6  # it has moved, for few


def test_scores_that_move_are_a_reason_where_no_field_does():
    """As when the relation between fields has changed."""
    random = np.random.default_rng(0)
    magnitudes = random.gamma(2.0, size=(8 * EVERY, 1))
    magnitudes[2 * EVERY :] *= 3.0
    X, entities = events(8, moved=0)
    reference = reference_of(np.hstack((random.gamma(2.0, size=(5000, 1)), random.normal(size=(5000, 2)))))
    told, _ = watched(np.hstack((magnitudes, X)), entities, reference=reference, names=(SCORE, "a", "b"))
    [request] = told
    assert request["reason"] == "scores"
    assert request["evidence"]["fields"] == {}
    assert request["evidence"]["score"]["population_stability_index"] > 1


@pytest.mark.parametrize(("share", "asked"), [(1.0, 1), (0.2, 0)])
def test_alerts_many_times_the_promise_are_a_reason_unless_few_entities_raise_them(share, asked):
    random = np.random.default_rng(0)
    X, entities = events(8, moved=0)
    alerts = (random.random(len(X)) < 0.1) & (entities < share * ENTITIES)
    alerts[: 2 * EVERY] = False
    told, _ = watched(X, entities, alerts=alerts)
    assert [request["reason"] for request in told] == ["alerts"] * asked
    assert all(request["evidence"]["promised"] == 1.0 for request in told)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("after", "asked"), [(0.4, 1), (0.9, 0)])
def test_a_model_that_tells_fewer_probes_than_it_did_when_new_is_a_reason(seed, after, asked):
    X, entities = events(12, moved=0, seed=seed)
    share = np.where(np.arange(len(X)) < 6 * EVERY, 0.9, after)
    right = np.random.default_rng(seed).random(len(X)) < share
    told, _ = watched(X, entities, right=right)
    told = told[:1]  # it goes on, and is asked again after a rest
    assert [request["reason"] for request in told] == ["recall"] * asked
    assert all(request["evidence"]["after"] < request["evidence"]["before"] for request in told)


def test_state_of_the_release_before_is_taken_up():
    X, entities = events(6, first=1)
    whole, _ = watched(X, entities)
    told, before = watched(X[:2500], entities[:2500])
    after = DriftWatch(SETTINGS, "m", Origin("events", "job", 3))
    after.restore(before.to_state()[:11])
    assert told + watched(X[2500:], entities[2500:], watch=after, begin=2500)[0] == whole


def test_another_version_begins_anew():
    X, entities = events(4, first=0)
    _, watch = watched(X[: 2 * EVERY], entities[: 2 * EVERY])
    assert watched(X[2 * EVERY :], entities[2 * EVERY :], watch=watch, version=2, begin=2 * EVERY)[0] == []


@given(st.lists(st.integers(1, 5999), max_size=10), st.integers(0, 3), st.integers(1, 5999))
def test_neither_batches_nor_restarts_matter(cuts, seed, stop):
    X, entities = events(6, first=1, moved=0.8, seed=seed)
    X[::7, 0] = np.nan
    right = np.random.default_rng(seed).random(len(X)) < np.linspace(1.0, 0.2, len(X))
    whole, end = watched(X, entities, right=right)
    cut, same = watched(X, entities, cuts, right=right)
    assert cut == whole
    assert same.to_state() == end.to_state()
    told, before = watched(X[:stop], entities[:stop], right=right[:stop])
    after = DriftWatch(SETTINGS, "m", Origin("events", "job", 3))
    after.restore(json.loads(json.dumps(before.to_state())))
    rest, _ = watched(X[stop:], entities[stop:], watch=after, begin=stop, right=right[stop:])
    assert told + rest == whole
    assert json.dumps(after.to_state()) == json.dumps(end.to_state())
