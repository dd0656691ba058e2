"""What anomalous events did: the field to blame, how far it is away, whether it is back to normal, and who found it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.udfs.incidents.effects import (
    ALWAYS,
    NOW,
    ODD,
    TENFOLD,
    USUAL,
    effects_of,
    first_to_speak,
    look_of,
    usual_values,
)
from streamgauge.udfs.incidents.kinds import CONDITIONAL, CONTEXTUAL, POINT, RELATIVE

from tests.udfs.incidents.scored import KINDS_OF_MEMBERS, LEVEL, LODA, TIME_OF_DAY, scored_of, without

NEEDED = 9.0
INFINITE = math.inf


def effects(X, n=1, text_fields=0, anomalous=True, **given):
    X = np.broadcast_to(np.asarray(X, dtype=np.float64), (n, np.shape(X)[-1])).copy()
    scored = scored_of(n, X.shape[1], text_fields, **given)
    anomalous = np.broadcast_to(np.asarray(anomalous), n)
    return effects_of(scored, X, anomalous, np.full(n, NEEDED))


# ---- the field to blame, and its size --------------------------------------------------------------------------------


def test_the_field_with_the_largest_share_is_to_blame_and_its_size_is_in_usual_variations():
    found = effects([4.0, 30.0], expected=[4.0, 20.0], variations=[1.0, 2.0], blame=[0.3, 0.7])
    assert (found.fields[0], found.sides[0], found.sizes[0], found.relative[0]) == (2, 1, 5.0, 0.5)
    below = effects([-6.0, 30.0], expected=[4.0, 20.0], variations=[1.0, 2.0], blame=[0.7, 0.3])
    assert (below.fields[0], below.sides[0], below.sizes[0], below.relative[0]) == (1, -1, 10.0, 2.5)


@pytest.mark.parametrize("numeric", [[4.0], [4.0, 5.0, 6.0]])
def test_text_fields_have_numbers_of_their_own_and_no_size(numeric):
    found = effects(numeric, text_fields=2, text_blame=[0.0, 3.0], blame=0.5, expected=1.0, variations=1.0)
    assert (found.fields[0], found.sides[0]) == (-2, 0)
    assert np.isnan([found.sizes[0], found.relative[0]]).all()


def test_only_anomalous_events_with_shares_are_looked_at():
    found = effects(
        [9.0], n=3, anomalous=[False, True, True], expected=1.0, variations=1.0, blame=[[1.0], [np.nan], [1.0]]
    )
    assert found.fields.tolist() == [0, 0, 1]
    assert np.isnan(found.sizes).tolist() == [True, True, False]


@pytest.mark.parametrize(("value", "side"), [(12.9, 0), (13.0, 1), (7.1, 0), (7.0, -1)])
def test_a_field_is_clearly_away_from_three_usual_variations_on(value, side):
    assert effects([value], expected=10.0, variations=1.0, blame=1.0).sides[0] == side


def test_nothing_is_measured_where_nothing_was_expected():
    found = effects([13.0], expected=math.nan, variations=1.0, blame=1.0)
    assert (found.fields[0], found.sides[0], found.nothing_left[0]) == (1, 0, False)
    assert np.isnan([found.sizes[0], found.relative[0]]).all()


def test_a_value_where_zero_is_expected_is_infinitely_far_from_it_by_share():
    assert effects([0.5], expected=0.0, variations=1.0, blame=1.0).relative[0] == INFINITE
    assert np.isnan(effects([0.0], expected=0.0, variations=1.0, blame=1.0).relative[0])
    assert effects([9.0], expected=-10.0, variations=1.0, blame=1.0).relative[0] == pytest.approx(1.9)


@pytest.mark.parametrize(
    ("value", "expected", "variation", "left"),
    [
        (1.0, 100.0, 30.0, True),
        (-1.0, 100.0, 30.0, True),
        (1.0, -100.0, 30.0, True),
        (1.1, 100.0, 30.0, False),  # more than a hundredth is left
        (1.0, 100.0, 34.0, False),  # not clearly below
        (0.0, 0.0, 1.0, False),
        (1.0, 100.0, math.nan, False),
    ],
)
def test_a_field_has_dropped_to_nothing_if_a_hundredth_is_left_and_it_is_clear(value, expected, variation, left):
    assert effects([value], expected=expected, variations=variation, blame=1.0).nothing_left[0] == left


def test_a_field_that_never_varied_needs_no_variation_to_have_dropped_to_nothing():
    assert effects([0.0], expected=5.0, variations=math.nan, blame=1.0, steady=True).nothing_left[0]
    assert not effects([4.0], expected=5.0, variations=math.nan, blame=1.0, steady=True).nothing_left[0]


@pytest.mark.parametrize(("share", "is_steady"), [(0.5, True), (0.49, False)])
def test_an_event_is_the_change_of_fields_that_never_varied_if_they_have_half_of_it(share, is_steady):
    blame, steady = [share / 2, share / 2, 1.0 - share], [True, True, False]
    found = effects([1.0, 1.0, 1.0], expected=0.0, variations=1.0, blame=blame, steady=steady)
    assert found.steady[0] == is_steady


# ---- the values themselves -------------------------------------------------------------------------------------------


def test_a_look_is_found_by_its_channel_and_unknown_where_the_channel_is_not_used():
    scored = scored_of(looks={ALWAYS: [1.0, 2.0], NOW: [3.0, 4.0]})
    assert look_of(scored, ALWAYS).tolist() == [[1.0, 2.0]]
    assert look_of(scored, NOW).tolist() == [[3.0, 4.0]]
    assert np.isnan(look_of(without(scored, ALWAYS), ALWAYS)).tolist() == [[True, True]]


def test_a_value_is_usual_if_one_in_a_hundred_is_as_far_else_if_it_was_in_the_usual_range():
    looks = {ALWAYS: [USUAL - 0.01, USUAL, math.nan, math.nan]}
    scored = scored_of(2, 4, looks=looks, usual=[[False, True, True, False], [True, True, True, True]])
    assert usual_values(scored, 0).tolist() == [True, False, True, False]
    assert usual_values(scored, 1).tolist() == [True, False, True, True]


@pytest.mark.parametrize("fields", [1, 4])
def test_an_event_is_odd_by_one_value_that_is_rarer_the_more_fields_there_are(fields):
    for beyond, is_odd in ((0.01, True), (-0.01, False)):
        evidence = [0.0] * (fields - 1) + [ODD + math.log(fields) + beyond]
        found = effects([0.0] * fields, n=2, anomalous=False, looks={ALWAYS: evidence})
        assert found.odd.tolist() == [is_odd, is_odd]
    assert effects([0.0, 0.0], anomalous=False, steady=[False, True]).odd[0]
    assert effects(np.empty((1, 0)), anomalous=False).odd.tolist() == [False]


def usual_level(**given):
    """Whether an event of two fields, both to blame, is anomalous only by the difference from those before it."""
    known = {"blame": [0.6, 0.4], "expected": 10.0, "variations": 1.0, "looks": {ALWAYS: 0.0, NOW: 0.0}}
    X = given.pop("X", [20.0, 20.0])
    text_fields = given.pop("text_fields", 0)
    return bool(effects(X, text_fields=text_fields, **(known | given)).usual_level[0])


def test_the_return_to_usual_values_is_told_from_their_level_at_any_time_and_now():
    assert usual_level()
    assert usual_level(by_kind={"point": 50.0, "contextual": 50.0})
    assert not usual_level(looks={ALWAYS: [0.0, USUAL], NOW: 0.0})
    assert not usual_level(looks={ALWAYS: [0.0, 0.0], NOW: [0.0, NEEDED - TENFOLD]})
    assert usual_level(looks={ALWAYS: 0.0, NOW: [0.0, NEEDED - TENFOLD - 0.01]})
    assert usual_level(looks={ALWAYS: 0.0, NOW: math.nan}, by_kind={"point": 50.0})


@pytest.mark.parametrize("kind", ["collective", "relative", "drift"])
def test_an_event_of_which_another_kind_of_anomaly_was_found_is_no_return(kind):
    assert not usual_level(by_kind={kind: NEEDED})
    assert usual_level(by_kind={kind: NEEDED - 0.01})


def test_where_the_time_of_day_is_not_known_contextual_evidence_speaks_for_it():
    unknown = {ALWAYS: 0.0, NOW: math.nan}
    assert not usual_level(looks=unknown, by_kind={"contextual": NEEDED})
    assert usual_level(looks=unknown, by_kind={"contextual": NEEDED - 0.01})
    assert usual_level(looks={ALWAYS: 0.0, NOW: [0.0, math.nan]}, by_kind={"contextual": NEEDED})


def test_a_value_as_expected_now_is_usual_now_whatever_the_time_of_day_says():
    loud = {ALWAYS: 0.0, NOW: NEEDED}
    assert usual_level(looks=loud, X=[10.24, 20.0])
    assert not usual_level(looks=loud, X=[10.26, 20.0])


def test_a_field_with_a_small_share_need_not_be_usual_but_one_with_a_quarter_must():
    far = {ALWAYS: [0.0, 50.0], NOW: 0.0}
    assert usual_level(looks=far, blame=[0.76, 0.24])
    assert not usual_level(looks=far, blame=[0.75, 0.25])


def test_with_many_fields_the_one_with_the_largest_share_must_be_usual():
    blame = np.full(9, 0.11)
    blame[3] = 0.12
    for place, is_usual in ((3, False), (4, True)):
        evidence = np.zeros(9)
        evidence[place] = 50.0
        looks = {ALWAYS: evidence, NOW: 0.0}
        assert usual_level(X=[20.0] * 9, blame=blame, looks=looks) == is_usual


def test_a_text_field_to_blame_is_no_return_of_numbers():
    assert not usual_level(text_fields=1, text_blame=3.0)
    assert usual_level(text_fields=1, text_blame=0.01)


# ---- who found it ----------------------------------------------------------------------------------------------------


def first(kind, anomalous=True, **members):
    scored = scored_of(members={name.replace("_", " "): evidence for name, evidence in members.items()})
    found = first_to_speak(scored, KINDS_OF_MEMBERS, np.array([kind]), np.array([anomalous]))
    return int(found[0]) - 1


def test_the_channel_of_the_kind_speaks_first_whatever_other_members_say():
    assert first(POINT, level=2.0, loda=50.0, time_of_day=50.0) == LEVEL
    assert first(CONTEXTUAL, level=50.0, time_of_day=2.0) == TIME_OF_DAY


def test_other_members_of_the_kind_speak_where_no_channel_has_evidence():
    assert first(POINT, level=0.0, loda=1.0, time_of_day=50.0) == LODA
    assert first(POINT, loda=1.0) == LODA


def test_shadows_and_novelty_cannot_have_spoken():
    scored = scored_of(members={"forest shadow": 50.0, "value_novelty": 60.0, "loda": 1.0})
    assert first_to_speak(scored, KINDS_OF_MEMBERS, np.array([POINT]), np.ones(1, np.bool_))[0] == LODA + 1
    silent = scored_of(members={"forest shadow": 50.0, "value_novelty": 60.0})
    assert first_to_speak(silent, KINDS_OF_MEMBERS, np.array([POINT]), np.ones(1, np.bool_))[0] == 0


def test_nobody_found_a_broken_rule_a_kind_that_no_member_looks_for_or_an_event_that_is_not_anomalous():
    assert first(CONDITIONAL, level=50.0) == -1
    assert first(RELATIVE, level=50.0) == -1
    assert first(POINT, anomalous=False, level=50.0) == -1


def test_each_event_is_looked_at_by_itself():
    scored = scored_of(3, members={"level": [5.0, 0.0, 5.0], "loda": [9.0, 9.0, 9.0], "time of day": 3.0})
    kinds, anomalous = np.array([POINT, POINT, CONTEXTUAL]), np.ones(3, np.bool_)
    found = first_to_speak(scored, KINDS_OF_MEMBERS, kinds, anomalous)
    assert (found - 1).tolist() == [LEVEL, LODA, TIME_OF_DAY]
