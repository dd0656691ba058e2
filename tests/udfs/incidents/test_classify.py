"""The kind of an anomalous event follows from the evidence, and from the field to blame."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.udfs.incidents.classify import classify
from streamgauge.udfs.incidents.kinds import (
    COLLECTIVE,
    CONDITIONAL,
    CONTEXTUAL,
    DRIFT,
    KIND_BITS,
    KINDS,
    POINT,
    RELATIVE,
    kind_of,
)
from streamgauge.udfs.scoring.calibrate import AGREES

from tests.udfs.incidents.scored import KINDS_OF_MEMBERS, scored_of

NEEDED = 9.0
CONTEXTUAL_MEMBERS = np.array([kind == "contextual" for kind in KINDS_OF_MEMBERS])


def kind(X=(1.0, 2.0), violated=False, members_of_context=CONTEXTUAL_MEMBERS, elsewhere=None, **given):
    X = np.array([X], dtype=np.float64)
    scored = scored_of(1, X.shape[1], given.pop("text_fields", 0), **({"joined": NEEDED} | given))
    return int(classify(scored, X, np.array([violated]), np.array([NEEDED]), members_of_context, elsewhere)[0])


@pytest.mark.parametrize(("name", "code"), [("collective", COLLECTIVE), ("relative", RELATIVE), ("drift", DRIFT)])
def test_the_kind_with_the_most_evidence_counts(name, code):
    assert kind(by_kind={"point": 5.0, "contextual": 6.0, name: 7.0}) == code
    assert KINDS[code] == name


def test_an_event_that_breaks_a_rule_is_conditional_and_one_that_is_not_anomalous_a_point():
    assert kind(violated=True, by_kind={"drift": 50.0}) == CONDITIONAL
    assert kind(violated=True, joined=0.0) == CONDITIONAL
    assert kind(joined=NEEDED - 0.01, by_kind={"drift": 50.0}) == POINT
    assert kind(joined=np.nan, by_kind={"drift": 50.0}) == POINT


def test_a_run_that_the_peers_do_not_share_is_relative_where_that_alone_is_rare_enough():
    assert kind(by_kind={"collective": 20.0, "relative": NEEDED}) == RELATIVE
    assert kind(by_kind={"collective": 20.0, "relative": NEEDED - 0.01}) == COLLECTIVE
    assert kind(by_kind={"drift": 20.0, "relative": NEEDED}) == DRIFT


@pytest.mark.parametrize("evidence", [{"point": 20.0}, {"contextual": 20.0}])
def test_a_value_that_is_usual_but_not_now_is_contextual(evidence):
    given = {"by_kind": evidence, "blame": [0.2, 0.8]}
    assert kind(usual=[False, True], members={"time of day": AGREES}, **given) == CONTEXTUAL
    assert kind(usual=[True, False], members={"time of day": AGREES}, **given) == POINT
    assert kind(usual=[False, True], members={"time of day": AGREES - 0.01}, **given) == POINT
    assert kind(usual=[False, True], members={"level": 50.0}, **given) == POINT
    nobody = np.zeros(len(KINDS_OF_MEMBERS), np.bool_)
    assert kind(usual=[False, True], members={"time of day": 50.0}, members_of_context=nobody, **given) == POINT


def test_a_text_field_to_blame_makes_a_point():
    given = {"text_fields": 1, "text_blame": 9.0, "usual": True, "members": {"time of day": 50.0}}
    assert kind(by_kind={"contextual": 20.0}, elsewhere=lambda *_: True, **given) == POINT


def test_a_value_that_is_usual_in_another_situation_is_contextual():
    asked = []

    def elsewhere(place, column, value):
        asked.append((place, column, value))
        return value > 5.0

    given = {"by_kind": {"point": 20.0}, "blame": [0.2, 0.8], "elsewhere": elsewhere}
    assert kind(X=(1.0, 7.0), **given) == CONTEXTUAL
    assert kind(X=(7.0, 1.0), **given) == POINT
    assert asked == [(0, 1, 7.0), (0, 1, 1.0)]
    assert kind(X=(1.0, 7.0), **given | {"by_kind": {"drift": 20.0}}) == DRIFT


def test_without_numbers_the_evidence_alone_decides():
    assert kind(X=(), by_kind={"contextual": 20.0}) == CONTEXTUAL
    assert kind(X=(), by_kind={"point": 20.0}) == POINT


def test_each_event_is_classified_by_itself_and_by_its_own_threshold():
    scored = scored_of(4, joined=9.0, by_kind={"drift": [9.0, 0.0, 9.0, 9.0], "collective": [0.0, 9.0, 0.0, 0.0]})
    needed, violated = np.array([8.0, 8.0, 10.0, 8.0]), np.array([False, False, False, True])
    found = classify(scored, np.ones((4, 2)), violated, needed, CONTEXTUAL_MEMBERS)
    assert found.tolist() == [DRIFT, COLLECTIVE, POINT, CONDITIONAL]


@pytest.mark.parametrize("code", list(KINDS))
def test_the_kind_is_read_from_a_status_whatever_kinds_were_reported(code):
    reported = sum(1 << (KIND_BITS + other) for other in KINDS)
    assert kind_of(code | reported) == code
