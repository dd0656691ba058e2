"""An incident opens, is updated, and resolves; its changes are alerts with one alert id."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from streamgauge.udfs.entities.columns import CHANNEL, HISTORY, OPENED_OFFSET, RELEASED, SEVEREST, STATUS
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import WHOLE, Events
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.incidents.effects import Effects
from streamgauge.udfs.incidents.kinds import COLLECTIVE, CONDITIONAL, DRIFT, OPENED, POINT, RESOLVED, UPDATED, kind_of
from streamgauge.udfs.incidents.lifecycle import LEVEL_EVENTS, RETURNS_WITHIN, Candidates, Lifecycle
from streamgauge.udfs.incidents.severity import CRITICAL, HIGH, LOW, MEDIUM
from streamgauge.udfs.output.alert import alert_id, score_of
from streamgauge.udfs.settings.pipeline import DecideSettings

from tests.streams import Run, stream

SETTINGS = DecideSettings(threshold=1e-3, quiet_events=3, warmup=5)
NEEDED = -math.log(SETTINGS.threshold)  # evidence


def effects(n, fields=1, sides=0, sizes=np.nan, usual_level=False, odd=False):
    """What n events did; each argument is one value for all of them, or one for each."""

    def each(value, kind):
        return np.broadcast_to(np.asarray(value, dtype=kind), n).copy()

    no = np.zeros(n, np.bool_)
    return Effects(
        each(fields, np.int64),
        each(sides, np.int64),
        each(sizes, np.float64),
        each(np.nan, np.float64),
        no,
        no,
        each(usual_level, np.bool_),
        each(odd, np.bool_),
    )


def follow(powers, seen=None, violated=None, rows=None, store=None, kinds=None, settings=SETTINGS, **further):
    """The changes of incidents for events of given alert evidence, in powers of ten: 4 is a tail probability of 10^-4.

    `further` are `single`, the evidence of the single events where it differs from the alert evidence; `severities`; `quarantine`, the
    most events that are quarantined, `quarantined` and `deviations`; and what the events did (see `effects`).
    """
    single, severities = further.pop("single", powers), further.pop("severities", 0)
    quarantine, quarantined = further.pop("quarantine", 0), further.pop("quarantined", False)
    deviations = further.pop("deviations", np.nan)
    n = len(powers)
    seen = 100 + np.arange(n) if seen is None else seen
    store = EntityStore(1) if store is None else store
    store.rows(["a", "b"], 1)
    ints, no = np.arange(n), np.zeros(n, np.bool_)
    stretch = Stretch(
        Events(ints, [{}] * n, ["a"] * n, ints, np.full(n, WHOLE)),
        np.empty((n, 1)),
        ints,
        ints * 0,
        np.zeros(n, np.int64) if rows is None else np.array(rows),
        np.broadcast_to(np.asarray(seen), n).copy(),
        np.full(n, quarantined),
        np.full(n, -1),
        no,
        no,
        ints,
    )
    candidates = Candidates(
        np.asarray(powers, dtype=np.float64) * math.log(10),
        np.asarray(single, dtype=np.float64) * math.log(10),
        no if violated is None else np.array(violated),
        no,
        np.array(kinds or [POINT] * n),
        np.full(n, NEEDED),
        np.full(n, deviations),
        effects(n, **further),
        np.ones(n, np.int64),
        np.broadcast_to(np.asarray(severities), n).astype(np.int64),
        np.full(n, CRITICAL),
    )
    decisions = Lifecycle(settings, 1, quarantine).follow(store, stretch, candidates)
    return list(zip(decisions.place.tolist(), decisions.change.tolist(), strict=True)), decisions


def test_an_incident_opens_once_is_updated_by_ten_times_rarer_events_and_resolves_after_quiet_ones():
    changes, decisions = follow([0, 3.1, 3.5, 4.2, 4.3, 1, 1, 1, 0])
    assert changes == [(1, OPENED), (3, UPDATED), (7, RESOLVED)]
    assert decisions.anomalous.tolist() == [False, True, True, True, True, False, False, False, False]
    assert decisions.anomalous.dtype == np.bool_  # other stages negate it


def test_an_event_is_anomalous_from_the_threshold_on():
    power = NEEDED / math.log(10)
    assert power * math.log(10) == NEEDED
    assert follow([power])[0] == [(0, OPENED)]
    assert follow([power - 1e-9])[0] == []


def test_an_incident_has_the_kind_of_its_first_event_and_the_first_event_of_another_kind_is_an_update():
    changes, decisions = follow([3.1, 3.1, 3.1, 3.1, 3.1], kinds=[POINT, COLLECTIVE, POINT, COLLECTIVE, DRIFT])
    assert changes == [(0, OPENED), (1, UPDATED), (4, UPDATED)]
    assert [kind_of(int(status)) for status in decisions.incident[:, STATUS]] == [POINT] * 3
    assert decisions.incident[:, CHANNEL].tolist() == [1] * 3


def test_an_incident_is_updated_when_it_becomes_more_severe_and_is_never_less_severe_again():
    changes, decisions = follow([3.1, 3.1, 3.1, 3.1, 0, 0, 0], severities=[LOW, MEDIUM, LOW, HIGH, 0, 0, 0])
    assert changes == [(0, OPENED), (1, UPDATED), (3, UPDATED), (6, RESOLVED)]
    assert decisions.incident[:, SEVEREST].tolist() == [LOW, MEDIUM, HIGH, HIGH]


def test_an_incident_of_thirty_anomalous_events_is_a_step_more_severe_once():
    changes, decisions = follow([3.1] * 70)
    assert changes == [(0, OPENED), (29, UPDATED)]
    assert decisions.incident[:, SEVEREST].tolist() == [LOW, MEDIUM]
    broken = follow([0] * 40, violated=[True] * 40, kinds=[CONDITIONAL] * 40)[0]
    assert broken == [(0, OPENED)]  # the severity of a rule is that of the settings


# ---- one fault, or two ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "effect"),
    [
        ("another field", {"fields": [1] * 9 + [2], "sides": [1] * 10}),
        ("a number after a text field", {"fields": [-1] * 9 + [1], "sides": [0] * 9 + [1]}),
        ("the other direction", {"sides": [1] * 9 + [-1]}),
        ("another kind", {"kinds": [POINT] * 9 + [COLLECTIVE]}),
    ],
)
def test_after_a_few_quiet_events_another_fault_ends_the_incident_and_opens_its_own(what, effect):
    store = EntityStore(1)
    quiet = DecideSettings(threshold=1e-3, quiet_events=20, warmup=5)
    powers = [5, 5, 5, 5, 0, 0, 0, 0, 0, 5]
    changes, decisions = follow(powers, settings=quiet, store=store, **effect)
    assert changes == [(0, OPENED), (9, RESOLVED), (9, OPENED)], what
    assert decisions.incident[:, OPENED_OFFSET].tolist() == [0, 0, 9]
    soon = {name: values[:3] + values[-1:] * 2 for name, values in effect.items()}
    one = [change for change in follow([5, 5, 5, 0, 5], settings=quiet, **soon)[0] if change[1] != UPDATED]
    assert one == [(0, OPENED)], f"{what}: so soon after the first event it is the same fault"


def test_the_same_fault_after_a_few_quiet_events_is_part_of_the_incident():
    quiet = DecideSettings(threshold=1e-3, quiet_events=20, warmup=5)
    assert follow([5, 5, 0, 0, 0, 0, 0, 5], sides=1, sizes=8.0, settings=quiet)[0] == [(0, OPENED)]


def test_a_fault_that_turns_to_the_other_direction_is_another_one_but_noise_in_both_is_not():
    up_and_down, noise = [1] * 7 + [-1] * 3, [1, -1] * 5
    assert follow([5] * 10, sides=up_and_down)[0] == [(0, OPENED), (7, RESOLVED), (7, OPENED)]
    assert follow([5] * 10, sides=noise)[0] == [(0, OPENED)]


def test_a_fault_three_times_as_large_and_ten_times_rarer_is_another_one():
    powers, sizes = [5] * 7 + [6.5], [8.0] * 7 + [25.0]
    assert follow(powers, sizes=sizes)[0] == [(0, OPENED), (7, RESOLVED), (7, OPENED)]
    assert follow(powers, sizes=[8.0] * 7 + [20.0])[0] == [(0, OPENED), (7, UPDATED)]
    assert follow([5] * 8, sizes=sizes)[0] == [(0, OPENED)]
    grows = [8.0 * 1.3**k for k in range(20)]
    assert RESOLVED not in dict(follow([5 + 0.5 * k for k in range(20)], sizes=grows)[0]).values()


def test_a_smaller_fault_after_a_larger_one_opens_an_incident_of_its_own():
    changes, _ = follow([9, 9, 0, 0, 0, 4, 4, 0, 0, 0], sizes=[50, 50, 0, 0, 0, 5, 5, 0, 0, 0])
    assert changes == [(0, OPENED), (4, RESOLVED), (5, OPENED)]
    changes, _ = follow([9, 9, *[0] * 12, 4], sizes=[50, 50, *[0] * 12, 5])
    assert changes == [(0, OPENED), (4, RESOLVED), (14, OPENED)]


def test_the_return_to_normal_is_quiet():
    back = [False] * 3 + [True] * 3
    changes, decisions = follow([5, 5, 5, 9, 5, 4], usual_level=back)
    assert changes == [(0, OPENED), (5, RESOLVED)]
    assert decisions.anomalous.tolist() == [True] * 3 + [False] * 3


def test_the_return_from_a_fault_that_was_not_told_is_no_anomaly():
    assert follow([2, 5, 5], odd=[True, False, False], usual_level=[False, True, True])[0] == []


@pytest.mark.parametrize(
    ("events", "is_return"), [(1, True), (2, True), (RETURNS_WITHIN, True), (RETURNS_WITHIN + 1, False)]
)
def test_a_fault_that_was_not_told_may_end_within_eight_events(events, is_return):
    quiet = events - 1
    odd, back = [True] + [False] * events, [False] * events + [True]
    changes, _ = follow([2, *[0] * quiet, 5], odd=odd, usual_level=back)
    assert changes == ([] if is_return else [(events, OPENED)])


def test_a_jump_within_the_usual_range_is_an_anomaly_where_no_fault_came_before():
    assert follow([0, 0, 5], usual_level=[False, False, True])[0] == [(2, OPENED)]
    long_ago = [5, *[0] * 10, 5]
    assert follow(long_ago, usual_level=[False] * 11 + [True])[0] == [(0, OPENED), (3, RESOLVED), (11, OPENED)]


def test_a_broken_rule_is_no_return_to_normal():
    assert follow([5, 5], usual_level=[False, True], violated=[False, True], kinds=[POINT, CONDITIONAL])[0] == [
        (0, OPENED),
        (1, UPDATED),
    ]


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


def test_the_events_of_an_incident_are_quarantined_until_the_patience_ends():
    store, further = EntityStore(1), {"quarantine": 20, "quarantined": True}
    follow([5] * 20, store=store, deviations=9.0 * np.arange(20), **further)
    assert (store.head[0, RELEASED], store.head[0, HISTORY] & 1) == (0, 1)
    follow([5], store=store, deviations=180.0, **further)
    assert (store.head[0, RELEASED], store.head[0, HISTORY] & 1) == (1, 0)


def test_only_events_that_were_quarantined_become_a_new_level():
    store, further = EntityStore(1), {"quarantine": 1000, "deviations": 8.0}
    released = []
    for events, quarantined in ((LEVEL_EVENTS, False), (LEVEL_EVENTS - 1, True), (1, False), (1, True)):
        follow([5] * events, store=store, quarantined=quarantined, **further)
        released.append(int(store.head[0, RELEASED]))
    assert released == [0, 0, 0, 1]


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


def test_times_have_the_format_of_cloudevents():
    assert rfc3339(1760000000123) == "2025-10-09T08:53:20.123Z"
