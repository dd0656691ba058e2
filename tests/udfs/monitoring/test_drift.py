"""Drift is reported when it lasts and concerns many entities; what concerns few entities, or passes, is an incident."""

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
    """The requests for events that are cut into batches, and the watch.

    `given` may have: begin (offset of the first event), alerts and right (of each event), reference and names.
    """
    begin, alerts, right = given.get("begin", 0), given.get("alerts"), given.get("right")
    reference, names = given.get("reference", REFERENCE), given.get("names", ("a", "b"))
    right = np.ones(len(X), np.bool_) if right is None else right
    alerts = np.zeros(len(X), np.bool_) if alerts is None else alerts
    watch = watch or DriftWatch(SETTINGS, "m", Origin("events", "job", 3))
    offsets, requests = np.arange(begin, begin + len(X)), []
    for part in np.split(np.arange(len(X)), sorted(cuts)):
        who, probed = [f"e{k}" for k in entities[part]], np.flatnonzero(offsets[part] % 50 == 0)
        times = 1000 * offsets[part]
        seen = ModelEvents(X[part], alerts[part], (probed, right[part][probed]), 1e-3, who, offsets[part], times)
        requests += watch.watch(version, reference, names, seen)
    return [json.loads(text)["data"] for _, text in requests], watch


def events(spans, moved=1.0, first=0, last=None, shift=2.0, seed=0):
    """Events of which a share of the entities (`moved`) has one field shifted, from span `first` up to, but not including, `last`."""
    random = np.random.default_rng(seed)
    n = spans * EVERY
    X, entities = random.normal(size=(n, 2)), random.integers(0, ENTITIES, n)
    when = (np.arange(n) >= first * EVERY) & (np.arange(n) < (spans if last is None else last) * EVERY)
    X[when & (entities < moved * ENTITIES), 1] += shift
    return X, entities


def test_a_lasting_shift_of_all_entities_gives_one_request_with_its_evidence():
    requests, _ = watched(*events(9, first=2))
    [request] = requests
    assert (request["model"], request["version"], request["reason"]) == ("m", 1, "inputs")
    assert request["offsets"] == {"3": [2 * EVERY, 5 * EVERY]}
    assert request["since"] == "1970-01-01T00:33:20.000Z"
    evidence = request["evidence"]
    assert list(evidence["fields"]) == ["b"]
    assert evidence["fields"]["b"]["population_stability_index"] > 1
    assert evidence["entities_moved"] > 0.9
    assert (evidence["spans"], evidence["events"]) == (3, 3 * EVERY)


def test_another_request_follows_after_a_rest_if_the_version_is_still_used():
    assert len(watched(*events(12, first=2))[0]) == 2


@pytest.mark.parametrize("seed", range(5))
def test_stable_data_a_passing_shift_and_a_shift_of_few_entities_are_no_drift(seed):
    assert watched(*events(8, moved=0, seed=seed))[0] == []
    assert watched(*events(8, first=2, last=4, seed=seed))[0] == []
    requests, watch = watched(*events(8, moved=0.25, first=2, shift=6.0, seed=seed))
    assert requests == []
    assert watch.to_state()[3] == 6  # spans with drift, which concerns too few entities


def test_drift_of_the_scores_is_a_reason_even_if_no_field_has_drifted():
    """As it happens if the relation between fields has changed."""
    random = np.random.default_rng(0)
    raw_scores = random.gamma(2.0, size=(8 * EVERY, 1))
    raw_scores[2 * EVERY :] *= 3.0
    X, entities = events(8, moved=0)
    reference = reference_of(np.hstack((random.gamma(2.0, size=(5000, 1)), random.normal(size=(5000, 2)))))
    requests, _ = watched(np.hstack((raw_scores, X)), entities, reference=reference, names=(SCORE, "a", "b"))
    [request] = requests
    assert request["reason"] == "scores"
    assert request["evidence"]["fields"] == {}
    assert request["evidence"]["score"]["population_stability_index"] > 1


@pytest.mark.parametrize(("share", "asked"), [(1.0, 1), (0.2, 0)])
def test_far_more_alerts_than_promised_are_a_reason_unless_few_entities_raise_them(share, asked):
    random = np.random.default_rng(0)
    X, entities = events(8, moved=0)
    alerts = (random.random(len(X)) < 0.1) & (entities < share * ENTITIES)
    alerts[: 2 * EVERY] = False
    requests, _ = watched(X, entities, alerts=alerts)
    assert [request["reason"] for request in requests] == ["alerts"] * asked
    assert all(request["evidence"]["promised"] == 1.0 for request in requests)


@pytest.mark.parametrize("seed", range(5))
def test_a_field_that_few_events_have_neither_drifts_by_chance_nor_hides_other_reasons(seed):
    X, entities = events(8, moved=0, seed=seed)
    random = np.random.default_rng(seed)
    X[random.random(len(X)) > 0.03, 1] = np.nan
    requests, watch = watched(X, entities)
    assert requests == []
    assert watch.to_state()[3] < 3  # spans with drift in a row
    alerts = (random.random(len(X)) < 0.1) & (np.arange(len(X)) >= 2 * EVERY)
    [request] = watched(X, entities, alerts=alerts)[0]
    assert request["reason"] == "alerts"
    assert request["offsets"] == {"3": [2 * EVERY, 5 * EVERY]}
    X[2 * EVERY :, 1] += 3.0
    assert [request["reason"] for request in watched(X, entities)[0]] == ["inputs"]


def test_a_lasting_change_of_few_entities_does_not_hide_a_change_of_all():
    """A quarter of the entities got another setpoint, and stays so. Later another field of all entities changes, by less."""
    X, entities = events(12, first=6, shift=1.2)
    setpoint = np.where((entities < ENTITIES / 4) & (np.arange(len(X)) >= 2 * EVERY), 61.0, 60.0)
    usual = np.random.default_rng(9).normal(size=5000)
    reference = reference_of(np.column_stack((np.full(5000, 60.0), usual)))
    watch = DriftWatch(SETTINGS.model_copy(update={"rest": 20}), "m", Origin("events", "job", 3))
    given = {"reference": reference, "names": ("setpoint", "b"), "watch": watch}
    assert watched(np.column_stack((setpoint, X[:, 1]))[: 6 * EVERY], entities[: 6 * EVERY], **given)[0] == []
    [request] = watched(
        np.column_stack((setpoint, X[:, 1]))[6 * EVERY :], entities[6 * EVERY :], begin=6 * EVERY, **given
    )[0]
    assert list(request["evidence"]["fields"]) == ["setpoint", "b"]
    assert request["evidence"]["entities_moved"] > 0.5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("after", "asked"), [(0.4, 1), (0.9, 0)])
def test_a_model_that_finds_fewer_probes_than_in_its_first_spans_is_a_reason(seed, after, asked):
    X, entities = events(12, moved=0, seed=seed)
    share = np.where(np.arange(len(X)) < 6 * EVERY, 0.9, after)
    right = np.random.default_rng(seed).random(len(X)) < share
    requests, _ = watched(X, entities, right=right)
    requests = requests[:1]  # the model stays worse, so there is another request after a rest
    assert [request["reason"] for request in requests] == ["recall"] * asked
    assert all(request["evidence"]["after"] < request["evidence"]["before"] for request in requests)


def test_state_of_an_earlier_release_is_restored():
    X, entities = events(6, first=1)
    whole, _ = watched(X, entities)
    requests, before = watched(X[:2500], entities[:2500])
    after = DriftWatch(SETTINGS, "m", Origin("events", "job", 3))
    after.restore(before.to_state()[:11])
    assert requests + watched(X[2500:], entities[2500:], watch=after, begin=2500)[0] == whole


def test_a_watch_that_has_seen_no_event_is_restored():
    """A partition that began with dead letters, or whose model was not loaded yet."""
    fresh, after = (DriftWatch(SETTINGS, "m", Origin("events", "job", 3)) for _ in range(2))
    after.restore(json.loads(json.dumps(fresh.to_state())))
    assert after.to_state() == fresh.to_state()
    assert watched(*events(6, first=1), watch=after)[0] == watched(*events(6, first=1))[0] != []


@pytest.mark.parametrize("shorter", [400, 899, 900])
def test_after_a_restart_with_shorter_spans_the_running_one_is_begun_anew(shorter):
    X, entities = events(10, first=0)
    _, before = watched(X[:900], entities[:900])
    after = DriftWatch(SETTINGS.model_copy(update={"every": shorter}), "m", Origin("events", "job", 3))
    after.restore(json.loads(json.dumps(before.to_state())))
    [request] = watched(X[900 : 900 + 3 * shorter], entities[900 : 900 + 3 * shorter], watch=after, begin=900)[0]
    assert request["offsets"] == {"3": [900, 900 + 3 * shorter]}
    assert request["evidence"]["events"] == 3 * shorter


def test_another_version_starts_from_the_beginning():
    X, entities = events(4, first=0)
    _, watch = watched(X[: 2 * EVERY], entities[: 2 * EVERY])
    assert watched(X[2 * EVERY :], entities[2 * EVERY :], watch=watch, version=2, begin=2 * EVERY)[0] == []


@given(st.lists(st.integers(1, 5999), max_size=10), st.integers(0, 3), st.integers(1, 5999))
def test_requests_and_state_do_not_depend_on_batches_and_restarts(cuts, seed, stop):
    X, entities = events(6, first=1, moved=0.8, seed=seed)
    X[::7, 0] = np.nan
    right = np.random.default_rng(seed).random(len(X)) < np.linspace(1.0, 0.2, len(X))
    whole, end = watched(X, entities, right=right)
    cut, same = watched(X, entities, cuts, right=right)
    assert cut == whole
    assert same.to_state() == end.to_state()
    requests, before = watched(X[:stop], entities[:stop], right=right[:stop])
    after = DriftWatch(SETTINGS, "m", Origin("events", "job", 3))
    after.restore(json.loads(json.dumps(before.to_state())))
    rest, _ = watched(X[stop:], entities[stop:], watch=after, begin=stop, right=right[stop:])
    assert requests + rest == whole
    assert json.dumps(after.to_state()) == json.dumps(end.to_state())
