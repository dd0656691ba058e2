"""A stretch is judged: thresholds, rules, kinds, effects, what is suppressed, and severities, each from the others."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.control.messages import Trial
from streamgauge.udfs.control.shares import place_of
from streamgauge.udfs.incidents.effects import TENFOLD
from streamgauge.udfs.incidents.judge import Judge
from streamgauge.udfs.incidents.kinds import COLLECTIVE, CONDITIONAL, CONTEXTUAL, DRIFT, POINT
from streamgauge.udfs.incidents.severity import CRITICAL, HIGH, LOW, MEDIUM
from streamgauge.udfs.scoring.normalise import distances
from streamgauge.udfs.scoring.scorer import Fields
from streamgauge.udfs.settings.pipeline import DecideSettings
from streamgauge.udfs.settings.rules import Rule

from tests.udfs.incidents.scored import KINDS_OF_MEMBERS, LEVEL, LODA, scored_of
from tests.udfs.incidents.test_what_is_suppressed import stretch_of

THRESHOLD = 1e-4
NEEDED = -math.log(THRESHOLD)


def judge(X, scored, entities=None, message=None, point_kind=POINT, elsewhere=None, **decide):
    settings = DecideSettings(**decide)
    in_force = InForce(settings)
    if message is not None:
        in_force.apply(message)
    names = Fields([f"f{k}" for k in range(len(X[0]))], [])
    made = Judge(settings, in_force, KINDS_OF_MEMBERS, point_kind)
    return made.judge(stretch_of(X, entities), names, scored, THRESHOLD, elsewhere)


def test_an_event_is_anomalous_at_the_threshold_and_without_a_trial_there_are_no_arms():
    scored = scored_of(3, 1, joined=[NEEDED - 0.01, NEEDED + 1e-9, math.nan])
    judged = judge([[1.0]] * 3, scored)
    assert judged.thresholds.tolist() == [THRESHOLD] * 3
    assert judged.evidence_needed == pytest.approx([NEEDED] * 3)
    assert judged.anomalous.tolist() == [False, True, False]
    assert judged.alertable.tolist() == [NEEDED - 0.01, NEEDED + 1e-9, 0.0]
    assert judged.arms == []
    assert judged.scored is scored


def test_in_a_trial_each_entity_has_the_threshold_of_its_arm():
    entities = [f"e{k}" for k in range(20)]
    trial = Trial(type="trial", a=1e-3, b=1e-6, share=0.4)
    judged = judge([[1.0]] * 20, scored_of(20, 1, joined=10.0), entities, trial)
    of_b = [place_of(entity, "trial") < 0.4 for entity in entities]
    assert set(of_b) == {True, False}
    assert judged.arms == ["b" if b else "a" for b in of_b]
    assert judged.thresholds.tolist() == [1e-6 if b else 1e-3 for b in of_b]
    assert judged.anomalous.tolist() == [not b for b in of_b]


def test_an_event_that_breaks_a_rule_is_conditional_and_as_severe_as_the_rule_says():
    rule = Rule(id="r", when="f0 > 5", severity="high")
    given = {"joined": [0.0, 50.0, 0.0], "by_kind": {"drift": 20.0}, "members": {"level": 3.0}}
    judged = judge([[9.0], [9.0], [1.0]], scored_of(3, 1, **given), rules=(rule,))
    assert judged.violations.any.tolist() == [True, True, False]
    assert judged.kinds.tolist() == [CONDITIONAL, CONDITIONAL, POINT]
    assert judged.severities.tolist() == [HIGH, CRITICAL, LOW]
    assert judged.channels.tolist() == [0, 0, 0]
    assert judged.anomalous.tolist() == [False, True, False]


def test_what_an_anomalous_event_did_and_who_found_it_is_told_of_broken_rules_too():
    rule = Rule(id="r", when="f0 > 25")
    given = {"expected": 10.0, "variations": 2.0, "blame": 1.0, "members": {"loda": [1.0, 9.0, 9.0]}}
    judged = judge([[30.0], [20.0], [20.0]], scored_of(3, 1, joined=[0.0, 20.0, 0.0], **given), rules=(rule,))
    assert judged.effects.sizes[:2].tolist() == [10.0, 5.0]
    assert np.isnan(judged.effects.sizes[2])
    assert judged.channels.tolist() == [0, LODA + 1, 0]
    assert judged.severities[1] == MEDIUM  # five usual variations


def test_the_point_of_a_window_is_collective_for_incidents_but_is_found_by_those_that_look_for_points():
    given = {"joined": 20.0, "by_kind": {"point": 20.0}, "members": {"level": 20.0}}
    judged = judge([[1.0]], scored_of(1, 1, **given), point_kind=COLLECTIVE)
    assert judged.kinds.tolist() == [COLLECTIVE]
    assert judged.channels.tolist() == [LEVEL + 1]
    assert (
        judge([[1.0]], scored_of(1, 1, **given | {"by_kind": {"drift": 20.0}}), point_kind=COLLECTIVE).kinds[0] == DRIFT
    )


def test_a_usual_value_at_the_wrong_time_or_in_another_situation_is_contextual():
    given = {"joined": 20.0, "by_kind": {"point": 20.0}, "blame": 1.0}
    assert judge([[1.0]], scored_of(1, 1, usual=True, members={"time of day": 9.0}, **given)).kinds[0] == CONTEXTUAL
    assert judge([[1.0]], scored_of(1, 1, **given)).kinds[0] == POINT
    assert judge([[1.0]], scored_of(1, 1, **given), elsewhere=lambda *_: True).kinds[0] == CONTEXTUAL


def test_the_smallest_effect_that_matters_suppresses_and_bounds_but_never_what_breaks_a_rule():
    rule = Rule(id="r", when="f0 == 11.0", severity="low")
    given = {"expected": 10.0, "variations": 0.1, "blame": 1.0, "joined": NEEDED + 4.5 * TENFOLD}
    scored = scored_of(4, 1, **given)
    judged = judge([[12.0], [16.0], [11.0], [90.0]], scored, fields={"f0": {"absolute": 4.0}}, rules=(rule,))
    assert judged.suppressed.events.tolist() == [True, False, False, False]
    assert judged.suppressed.reasons["small"] == 1
    assert judged.suppressed.most_severity.tolist() == [CRITICAL, MEDIUM, CRITICAL, CRITICAL]
    assert judged.severities.tolist() == [CRITICAL, MEDIUM, CRITICAL, CRITICAL]


def test_the_lifecycle_is_given_what_was_judged():
    scored = scored_of(2, 1, joined=[20.0, 1.0], expected=10.0, variations=1.0, blame=1.0)
    scored.features[:] = [[0.9, 0.5, 0.5], [0.5, 0.5, 0.5]]
    scored.verdicts.evidence[:] = [8.0, 0.5]
    judged = judge([[30.0], [10.0]], scored, fields={"f0": {"absolute": 50.0}})
    given = judged.candidates()
    for found, expected in (
        (given.alertable, scored.verdicts.strongest),
        (given.evidence, scored.verdicts.evidence),
        (given.violated, judged.violations.any),
        (given.suppressed, [True, False]),
        (given.kinds, judged.kinds),
        (given.evidence_needed, judged.evidence_needed),
        (given.deviations, distances(scored.features)),
        (given.channels, judged.channels),
        (given.severities, judged.severities),
        (given.most_severe, judged.suppressed.most_severity),
    ):
        np.testing.assert_array_equal(found, expected)
    assert given.effects is judged.effects
