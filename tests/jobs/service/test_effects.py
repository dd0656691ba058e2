"""What a verdict will change is what the job will do."""

from __future__ import annotations

import json
import math

import pytest
from streamgauge.jobs.service.effects import effects
from streamgauge.udfs.control.feedback import FeedbackInForce, parse_feedback

from tests.jobs.service.made import change, said


def incident(*messages):
    """An incident as the history gives it."""
    return {"first": messages[0]["data"], "changes": [{"data": message["data"]} for message in messages]}


def test_wrong_asks_for_an_event_ten_times_rarer_or_twice_as_far_off():
    found = effects(incident(change(), change(state="updated", minute=1, tail_probability=1e-8)), [], "ann")
    assert found.now is None
    assert found.after.rarer == pytest.approx(1e-10)
    assert found.after.farther == pytest.approx(2 * 44)


def test_one_person_moves_the_bound_by_a_million_at_most():
    found = effects(incident(change(tail_probability=1e-40)), [], "ann")
    assert found.after.rarer == pytest.approx(1e-10)  # the threshold is 1e-4


def test_what_others_said_of_incidents_like_it_counts():
    others = [said("a7", "ben", tail_probability=1e-40, effect=None)]
    found = effects(incident(change()), others, "ann")
    assert (found.now.rarer, found.now.farther) == (pytest.approx(1e-10), None)
    assert found.after.rarer == pytest.approx(1e-16)
    outvoted = [said("a7", name, "true") for name in ("ben", "eve")]
    assert effects(incident(change()), outvoted, "ann").after is None
    elsewhere = [said("a7", "ben", kind="drift")]
    assert effects(incident(change()), elsewhere, "ann").now is None


def test_the_job_does_what_was_said():
    """The bound that is shown is the one at which `FeedbackInForce` begins to let events through."""
    found = effects(incident(change()), [], "ann")
    in_force, message = FeedbackInForce(), said(by="ann", effect=44.0)
    in_force.take(parse_feedback(json.dumps(message)))
    needed = -math.log(1e-4)

    def hidden(tail, effect):
        return in_force.hides(("pump-1", "point", "flow"), 0, -math.log(tail), needed, effect)

    assert hidden(1.01 * found.after.rarer, 1.0)
    assert not hidden(0.99 * found.after.rarer, 1.0)
    assert not hidden(1.01 * found.after.rarer, 1.01 * found.after.farther)


def test_a_silence_is_not_suppressed():
    data = change(kind="collective")
    del data["data"]["threshold"]
    found = effects(incident(data), [], "ann")
    assert (found.suppresses, found.after) == (False, None)
