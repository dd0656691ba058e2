"""Which anomalous events do not count, and how severe the others may be, event by event."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import WHOLE, Events
from streamgauge.udfs.incidents.kinds import COLLECTIVE, POINT
from streamgauge.udfs.incidents.severity import CRITICAL, HIGH, MEDIUM
from streamgauge.udfs.incidents.suppress import Suppressor
from streamgauge.udfs.scoring.scorer import Fields
from streamgauge.udfs.settings.pipeline import DecideSettings, FieldSettings, Maintenance

from tests.udfs.incidents.scored import scored_of

START = 1_760_000_000_000
NEEDED = 9.0
NAMES = Fields(["x", "y"], ["country", "city"])


def moment(milliseconds):
    return datetime.fromtimestamp((START + milliseconds) / 1000, UTC)


def stretch_of(X, entities=None):
    n = len(X)
    ints, no = np.arange(n), np.zeros(n, np.bool_)
    entities = ["e"] * n if entities is None else entities
    events = Events(ints, [{}] * n, entities, START + 1000 * ints, np.full(n, WHOLE))
    X, zeros, slots = np.asarray(X, dtype=np.float64), ints * 0, np.full(n, -1)
    return Stretch(events, X, ints, zeros, zeros, ints + 1, no, slots, no, no, events.times)


def look(X, fields=None, in_force=None, anomalous=True, kind=POINT, entities=None, **given):
    n = len(X)
    suppressor = Suppressor(
        {name: FieldSettings(**settings) for name, settings in (fields or {}).items()},
        in_force or InForce(DecideSettings()),
    )
    known = {"expected": 10.0, "blame": [1.0, 0.0], "by_kind": {"point": 12.0}}
    anomalous = np.broadcast_to(np.asarray(anomalous), n)
    scored = scored_of(n, len(X[0]), 2, **(known | given))
    kinds = np.full(n, kind)
    return suppressor.look(anomalous, stretch_of(X, entities), NAMES, scored, np.full(n, NEEDED), kinds)


def most_severe(value, blame=(1.0, 0.0), expected=10.0, other=10.0, text=0.0, **fields):
    """The highest severity of an event with this value of x; None where it does not count."""
    fields = fields or {"x": {"absolute": 4.0}}
    found = look([[value, other]], fields, blame=blame, expected=expected, text_blame=text)
    assert found.reasons == {"maintenance": 0, "small": int(found.events[0]), "feedback": 0}
    return None if found.events[0] else int(found.most_severity[0])


# ---- the smallest effect that matters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "severity"),
    [(3.9, None), (4.0, MEDIUM), (7.9, MEDIUM), (8.0, HIGH), (19.9, HIGH), (20.0, CRITICAL)],
)
def test_the_severity_follows_the_effect_on_either_side(effect, severity):
    assert most_severe(10.0 + effect) == most_severe(10.0 - effect) == severity


@pytest.mark.parametrize("smallest", [0.5, 4.0])
def test_an_effect_beyond_the_largest_float_is_the_largest(smallest):
    assert most_severe(1.7e308, x={"absolute": smallest}) == CRITICAL
    assert most_severe(1.7e308, expected=-1.7e308, x={"absolute": smallest}) == CRITICAL


def test_the_larger_of_an_absolute_and_a_relative_effect_is_the_smallest_that_matters():
    both = {"x": {"absolute": 4.0, "relative": 0.5}}
    assert most_severe(14.9, **both) is None
    assert most_severe(15.1, **both) == MEDIUM
    assert most_severe(-15.1, expected=-10.0, **both) == MEDIUM
    assert most_severe(1.0, expected=-1.0, **both) is None
    assert most_severe(10.1, x={"direction": "both"}) == CRITICAL  # every effect matters


@pytest.mark.parametrize(("direction", "above", "below"), [("above", CRITICAL, None), ("below", None, CRITICAL)])
def test_an_effect_in_a_direction_that_does_not_matter_is_none(direction, above, below):
    for effect in (0.5, 90.0):
        assert most_severe(10.0 + effect, x={"direction": direction}) == above
        assert most_severe(10.0 - effect, x={"direction": direction}) == below
    assert most_severe(10.0, x={"direction": direction}) is None


def test_the_largest_effect_of_the_fields_to_blame_counts():
    fields = {"x": {"absolute": 4.0}, "y": {"absolute": 1.0}}
    assert most_severe(10.0, other=13.0, blame=(0.5, 0.5), **fields) == HIGH
    assert most_severe(30.0, other=13.0, blame=(0.5, 0.5), **fields) == CRITICAL
    assert most_severe(10.0, other=13.0, blame=(0.8, 0.2), **fields) is None
    assert most_severe(10.0, other=13.0, blame=(0.75, 0.25), **fields) == HIGH


@pytest.mark.parametrize(
    "given",
    [
        {"blame": (0.5, 0.5)},  # y has no settings
        {"blame": (0.5, 0.5), "text": 0.5},  # nor has a text field
        {"blame": (0.5, 0.0), "text": [0.0, 0.5]},
        {"expected": math.nan},
        {"blame": (0.24, 0.24), "text": 0.26},
    ],
)
def test_an_event_matters_where_a_field_to_blame_has_no_smallest_effect_or_nothing_was_expected(given):
    assert most_severe(10.0, **given) == CRITICAL


def test_events_that_are_not_anomalous_are_not_looked_at():
    found = look([[10.0, 10.0]] * 3, {"x": {"absolute": 4.0}}, anomalous=[False, True, False])
    assert found.events.tolist() == [False, True, False]
    assert found.most_severity.tolist() == [CRITICAL] * 3
    assert look([[10.0, 10.0]]).events.tolist() == [False]  # without settings, every event counts


# ---- maintenance -----------------------------------------------------------------------------------------------------


def test_an_event_of_an_entity_in_maintenance_does_not_count_and_the_events_after_it_are_looked_at():
    window = Maintenance(entities="e*", start=moment(1000), end=moment(2000))
    in_force = InForce(DecideSettings(maintenance=(window,)))
    found = look([[20.0, 10.0]] * 4, None, in_force, entities=["e", "e", "e", "f"])
    assert found.events.tolist() == [False, True, False, False]
    assert found.reasons == {"maintenance": 1, "small": 0, "feedback": 0}
    small = look([[20.0, 10.0], [20.0, 10.0], [11.0, 10.0]], {"x": {"absolute": 4.0}}, in_force)
    assert small.reasons == {"maintenance": 1, "small": 1, "feedback": 0}
    assert small.most_severity.tolist() == [HIGH, CRITICAL, CRITICAL]


# ---- feedback --------------------------------------------------------------------------------------------------------


def said(verdict="false", field="x", kind="point", **further):
    """Everything in force after feedback of two people."""
    in_force = InForce(DecideSettings())
    for person in ("p1", "p2"):
        about = {"alert_id": "a", "entity": "e", "tail_probability": math.exp(-15.0), "effect": 5.0}
        message = about | {"kind": kind, "field": field, "verdict": verdict, "by": person} | further
        in_force.feedback.take(Feedback(**message))
    return in_force


def hidden(in_force, X=((15.0, 10.0),), **given):
    found = look([list(row) for row in X], None, in_force, **given)
    assert found.reasons == {"maintenance": 0, "small": 0, "feedback": int(found.events.sum())}
    return found.events.tolist()


def test_an_event_like_those_that_people_called_false_does_not_count():
    assert hidden(said()) == [True]
    assert hidden(said(), kind=COLLECTIVE) == [False]
    assert hidden(said(field="y")) == [False]
    assert hidden(said(entity="other")) == [False]
    assert hidden(said("true")) == [False]
    assert hidden(said(kind="collective"), kind=COLLECTIVE) == [True]


def test_a_rarer_event_or_one_with_a_larger_effect_on_either_side_counts():
    assert hidden(said(), by_kind={"point": 30.0}) == [False]
    assert hidden(said(), by_kind={"drift": 30.0, "point": 12.0}) == [False]
    assert hidden(said(), X=[(19.9, 10.0), (20.1, 10.0), (0.1, 10.0), (-0.1, 10.0)]) == [True, False, True, False]


def test_feedback_on_a_text_field_is_of_that_field():
    blame = {"blame": [0.2, 0.2], "text_blame": [0.0, 5.0]}
    assert hidden(said(field="city"), **blame) == [True]
    assert hidden(said(field="country"), **blame) == [False]
    assert hidden(said(field="city"), X=[(15.0, 1e9)], **blame) == [True]  # a text has no size


def test_feedback_on_an_event_for_which_no_field_is_to_blame_is_of_no_field():
    assert hidden(said(field=None), blame=[0.0, 0.0]) == [True]
    assert hidden(said(field="x"), blame=[0.0, 0.0]) == [False]
    assert hidden(said(field=None)) == [False]


def test_an_event_does_not_count_until_the_time_that_was_said():
    in_force = said("ignore", until=moment(1000))
    assert hidden(in_force, X=[(15.0, 10.0)] * 3, by_kind={"point": 50.0}) == [True, False, False]


def test_an_event_counts_only_where_its_effect_matters_and_no_feedback_hides_it():
    found = look([[12.0, 10.0], [15.0, 10.0], [21.0, 10.0]], {"x": {"absolute": 4.0}}, said())
    assert found.events.tolist() == [True, True, False]
    assert found.reasons == {"maintenance": 0, "small": 1, "feedback": 1}
    assert found.most_severity.tolist() == [CRITICAL, MEDIUM, HIGH]
