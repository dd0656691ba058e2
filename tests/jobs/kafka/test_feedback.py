"""Votes of people about alerts."""

from __future__ import annotations

from streamgauge.jobs.kafka.feedback import votes
from streamgauge.udfs.control.feedback import Feedback


def judged(alert_id, verdict, by):
    return Feedback(alert_id=alert_id, entity="e", kind="point", tail_probability=1e-5, verdict=verdict, by=by)


def test_true_and_false_are_votes_and_a_draw_is_zero():
    feedback = [
        judged("a", "true", "ann"),
        judged("a", "true", "ben"),
        judged("b", "false", "ann"),
        judged("c", "true", "ann"),
    ]
    assert votes([*feedback, judged("c", "false", "ben")]) == {"a": 2, "b": -1, "c": 0}
