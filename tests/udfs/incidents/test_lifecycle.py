"""An incident opens, is updated, and resolves; its changes are alerts with one alert id."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from streamgauge.udfs.entities.columns import STATUS
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.incidents.kinds import COLLECTIVE, DRIFT, OPENED, POINT, RESOLVED, UPDATED, kind_of
from streamgauge.udfs.incidents.lifecycle import Candidates, Lifecycle
from streamgauge.udfs.output.alert import alert_id, score_of, severity_of
from streamgauge.udfs.settings.pipeline import DecideSettings

from tests.streams import Run, stream

SETTINGS = DecideSettings(threshold=1e-3, quiet_events=3, warmup=5)


def follow(powers, seen=100, violated=None, rows=None, store=None, kinds=None, single=None):
    """The changes of incidents for events of given alert evidence, in powers of ten: 4 is a tail probability of 10^-4.

    `single` is the evidence of the single events, where it differs from the alert evidence.
    """
    n = len(powers)
    store = EntityStore(1) if store is None else store
    store.rows(["a", "b"], 1)
    ints, no = np.arange(n), np.zeros(n, np.bool_)
    stretch = Stretch(
        Events(ints, [{}] * n, ["a"] * n, ints),
        np.empty((n, 1)),
        ints,
        ints * 0,
        np.zeros(n, np.int64) if rows is None else np.array(rows),
        np.broadcast_to(np.asarray(seen), n).copy(),
        no,
        np.full(n, -1),
        no,
    )
    candidates = Candidates(
        np.asarray(powers, dtype=np.float64) * math.log(10),
        np.asarray(powers if single is None else single, dtype=np.float64) * math.log(10),
        no if violated is None else np.array(violated),
        no,
        np.array(kinds or [POINT] * n),
        np.full(n, -math.log(SETTINGS.threshold)),
        np.full(n, np.nan),
    )
    decisions = Lifecycle(SETTINGS, 1, 0).follow(store, stretch, candidates)
    return list(zip(decisions.place.tolist(), decisions.change.tolist(), strict=True)), decisions


def test_an_incident_opens_once_is_updated_by_ten_times_rarer_events_and_resolves_after_quiet_ones():
    changes, decisions = follow([0, 3.1, 3.5, 4.2, 4.3, 1, 1, 1, 0])
    assert changes == [(1, OPENED), (3, UPDATED), (7, RESOLVED)]
    assert decisions.anomalous.tolist() == [False, True, True, True, True, False, False, False, False]


def test_the_first_event_of_another_kind_is_an_update_and_gives_the_incident_its_kind():
    changes, decisions = follow([3.1, 3.1, 3.1, 3.1, 3.1], kinds=[POINT, COLLECTIVE, POINT, COLLECTIVE, DRIFT])
    assert changes == [(0, OPENED), (1, UPDATED), (4, UPDATED)]
    assert [kind_of(int(status)) for status in decisions.incident[:, STATUS]] == [POINT, COLLECTIVE, DRIFT]


def test_evidence_without_alert_evidence_opens_no_incident_but_keeps_one_open():
    changes, decisions = follow([0, 1, 3.1, 1, 1, 1, 1, 1, 1], single=[0, 9, 9, 1, 1, 5, 1, 1, 1])
    assert changes == [(2, OPENED), (8, RESOLVED)]
    assert np.flatnonzero(decisions.anomalous).tolist() == [2]


def test_an_event_near_the_threshold_is_not_quiet():
    changes, _ = follow([3.1, 1, 1, 2.5, 1, 1, 1])
    assert changes == [(0, OPENED), (6, RESOLVED)]


def test_in_the_cold_start_of_an_entity_only_a_broken_rule_opens_an_incident():
    assert follow([9, 9], seen=[5, 6])[0] == [(1, OPENED)]
    assert follow([0], seen=1, violated=[True])[0] == [(0, OPENED)]


def test_each_entity_has_its_own_incident():
    changes, _ = follow([4, 4, 0, 0, 0, 0], rows=[0, 1, 0, 1, 0, 0])
    assert changes == [(0, OPENED), (1, OPENED), (5, RESOLVED)]


def test_an_incident_goes_on_in_the_next_batch():
    store = EntityStore(1)
    assert follow([4], store=store)[0] == [(0, OPENED)]
    assert follow([1, 1], store=store)[0] == []
    assert follow([1], store=store)[0] == [(0, RESOLVED)]


def test_the_alerts_of_an_incident_have_the_same_alert_id_and_different_event_ids():
    run = Run().feed(stream(seed=1))
    incidents: dict[str, list[str]] = {}
    ids = []
    for key, text in run.alerts:
        alert = json.loads(text)
        assert alert["specversion"] == "1.0"
        assert alert["type"] == f"io.streamgauge.alert.{alert['data']['state']}"
        assert key == alert["subject"] == alert["data"]["entity"]
        ids.append(alert["id"])
        incidents.setdefault(alert["data"]["alert_id"], []).append(alert["data"]["state"])
    assert len(set(ids)) == len(ids)
    for states in incidents.values():
        assert states[0] == "opened"
        assert set(states[1:-1]) <= {"updated"}
        assert states.count("resolved") <= 1


def test_alert_ids_depend_on_the_entity_the_configuration_and_the_place_only():
    one = alert_id("a", 1, "t", 0, 7)
    assert one == alert_id("a", 1, "t", 0, 7)
    others = [("b", 1, "t", 0, 7), ("a", 2, "t", 0, 7), ("a", 1, "u", 0, 7), ("a", 1, "t", 1, 7), ("a", 1, "t", 0, 8)]
    assert len({one, *(alert_id(*other) for other in others)}) == 6


@pytest.mark.parametrize(("power", "score"), [(0, 0.0), (1, 0.5), (3, 0.75), (4, 0.8), (9, 0.9)])
def test_the_score_follows_from_the_tail_probability(power, score):
    assert score_of(power * math.log(10)) == pytest.approx(score)


@pytest.mark.parametrize(("power", "severity"), [(4.01, "low"), (5.01, "medium"), (6.01, "high"), (8.01, "critical")])
def test_severity_grows_with_the_evidence_beyond_the_threshold(power, severity):
    assert severity_of(power * math.log(10), 1e-4) == severity


def test_times_have_the_format_of_cloudevents():
    assert rfc3339(1760000000123) == "2025-10-09T08:53:20.123Z"
